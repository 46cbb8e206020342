"""Several processes as one training: who we are, and what all have to agree on. With one process all of this
is nothing.

Each process sees its share of every batch (`sampler.part_of`); gradients are averaged by torch's
DistributedDataParallel, sums inside losses go over all (`networks.losses.everywhere`). The first process
alone writes, scores and speaks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed

from ...errors import ConfigError
from ..trainconfig import TrainConfig

T = TypeVar("T")


@dataclass(frozen=True)
class ProcessLayout:
    """`devices` processes on each of `nodes` machines; `rank` is the number of this one. `launched`: somebody
    else starts the processes.
    """

    devices: int = 1
    nodes: int = 1
    rank: int = 0
    launched: bool = False

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.devices * self.nodes


ALONE = ProcessLayout()


def process_layout(config: TrainConfig, environment: Mapping[str, str] | None = None) -> ProcessLayout:
    """What the configuration asks for, or what torchrun or SLURM started. Raises `ConfigError` where the two
    differ.
    """
    env = os.environ if environment is None else environment
    found = _of_torchrun(env) or _of_slurm(env)
    if found is None:
        devices, nodes = config.devices or 1, config.nodes or 1
        if nodes > 1 and "NODE_RANK" not in env:
            raise ConfigError(
                "`nodes`: several machines are started by torchrun or SLURM's srun, which says how many there are; omit `nodes`"
            )
        return ProcessLayout(
            devices, nodes, int(env.get("NODE_RANK", 0)) * devices + int(env.get("LOCAL_RANK", 0))
        )
    for name, asked, there in (
        ("devices", config.devices, found.devices),
        ("nodes", config.nodes, found.nodes),
    ):
        if asked is not None and asked != there:
            raise ConfigError(
                f"--{name} {asked}: the launcher started {there} of them; leave --{name} out, or start as many"
            )
    return found


def refuse_without_program(processes: ProcessLayout) -> None:
    """Processes that we start ourselves run the same program again. Raises `ConfigError` where there is none,
    as in a notebook.
    """
    if (
        processes.devices > 1
        and not processes.launched
        and not getattr(sys.modules["__main__"], "__file__", None)
    ):
        raise ConfigError(
            f"`devices={processes.devices}`: the other processes start the running program again, which a notebook is not; use eo-dl train or a script"
        )


def _of_torchrun(env: Mapping[str, str]) -> ProcessLayout | None:
    if not {"RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"} <= set(env):
        return None
    devices = int(env["LOCAL_WORLD_SIZE"])
    return ProcessLayout(devices, int(env["WORLD_SIZE"]) // devices, int(env["RANK"]), True)


def _of_slurm(env: Mapping[str, str]) -> ProcessLayout | None:
    tasks = int(env.get("SLURM_NTASKS", 1))
    if tasks == 1 or "SLURM_PROCID" not in env or env.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        return None
    nodes = int(env.get("SLURM_NNODES", env.get("SLURM_JOB_NUM_NODES", 1)))
    if tasks % nodes:
        raise ConfigError(
            f"SLURM started {tasks} tasks on {nodes} machines; give each as many (ntasks-per-node)"
        )
    return ProcessLayout(tasks // nodes, nodes, int(env["SLURM_PROCID"]), True)


def is_distributed() -> bool:
    """True inside a training of several processes."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def rank() -> int:
    """Number of this process, 0 for the first or only one."""
    return distributed.get_rank() if is_distributed() else 0


def any_rank(flag: bool, device: torch.device) -> bool:
    """True in all processes where it is in any."""
    if not is_distributed():
        return flag
    found = torch.tensor(float(flag), device=device)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return bool(found.item())


def from_rank0(value: T) -> T:
    """The first process's value, in all."""
    if not is_distributed():
        return value
    box = [value if rank() == 0 else None]
    distributed.broadcast_object_list(box)
    return box[0]  # type: ignore[return-value]  # what the first process put in


def gather_to_rank0(own: list[T]) -> list[T]:
    """The items of all processes, in order of their numbers; in the others than the first: none."""
    if not is_distributed():
        return own
    parts: list[list[T] | None] | None = [None] * distributed.get_world_size() if rank() == 0 else None
    distributed.gather_object(own, parts)
    return [item for part in parts or [] for item in part or []]


def average_batchnorm(weights: Mapping[str, torch.Tensor]) -> None:
    """Give all processes the mean of their running statistics: batch normalization saw another share of the
    chips in each.
    """
    if not is_distributed():
        return
    for name, value in weights.items():
        if name.endswith(("running_mean", "running_var")):
            distributed.all_reduce(value)
            value /= distributed.get_world_size()
