"""Several processes as one training: how many there are, which one this is, and what they must agree on.

Each process sees its part of every batch (`sampler.part_of`). Gradients are averaged by torch's
DistributedDataParallel, and sums inside losses go over all processes (`networks.losses.everywhere`). The
first process alone writes, scores and logs. With one process everything here does nothing.
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
    """The processes of a run, and which one this is."""

    devices: int = 1
    """Processes per machine, each with a GPU of its own where there are GPUs."""
    nodes: int = 1
    """Machines."""
    rank: int = 0
    """Number of this process."""
    launched: bool = False
    """True if torchrun or SLURM starts the processes, False if Lightning does."""

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.devices * self.nodes


ALONE = ProcessLayout()


def process_layout(config: TrainConfig, environment: Mapping[str, str] | None = None) -> ProcessLayout:
    """The processes that the configuration asks for, or that torchrun or SLURM started.

    Args:
        config: The configuration.
        environment: Environment variables (default: those of this process).

    Raises:
        ConfigError: Configuration and launcher disagree, or several machines have no launcher.
    """
    env = os.environ if environment is None else environment
    layout = _of_torchrun(env) or _of_slurm(env)
    if layout is None:
        return _of_config(config, env)
    for name, configured, started in (
        ("devices", config.devices, layout.devices),
        ("nodes", config.nodes, layout.nodes),
    ):
        if configured is not None and configured != started:
            raise ConfigError(
                f"`{name}` {configured}: the launcher started {started}; omit `{name}`, or set it to "
                f"{started}"
            )
    return layout


def refuse_without_program(layout: ProcessLayout) -> None:
    """Check that Lightning can start the other processes, which run the same program again.

    Raises:
        ConfigError: There is no program file, as in a notebook.
    """
    has_program = bool(getattr(sys.modules["__main__"], "__file__", None))
    if layout.devices > 1 and not layout.launched and not has_program:
        raise ConfigError(
            f"`devices` {layout.devices}: each process runs the program again, which is impossible in a "
            f"notebook; use eo-dl train or a script"
        )


def _of_config(config: TrainConfig, env: Mapping[str, str]) -> ProcessLayout:
    devices, nodes = config.devices or 1, config.nodes or 1
    if nodes > 1 and "NODE_RANK" not in env:
        raise ConfigError(
            f"`nodes` {nodes}: several machines need torchrun or SLURM's srun, which set the number "
            "themselves; omit `nodes`"
        )
    # Lightning sets these two in the processes that it starts.
    node_rank, local_rank = int(env.get("NODE_RANK", 0)), int(env.get("LOCAL_RANK", 0))
    return ProcessLayout(devices, nodes, node_rank * devices + local_rank)


def _of_torchrun(env: Mapping[str, str]) -> ProcessLayout | None:
    if not {"RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"} <= set(env):
        return None
    devices = int(env["LOCAL_WORLD_SIZE"])
    return ProcessLayout(devices, int(env["WORLD_SIZE"]) // devices, int(env["RANK"]), launched=True)


def _of_slurm(env: Mapping[str, str]) -> ProcessLayout | None:
    tasks = int(env.get("SLURM_NTASKS", 1))
    interactive = env.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if tasks == 1 or interactive or "SLURM_PROCID" not in env:
        return None
    nodes = int(env.get("SLURM_NNODES", env.get("SLURM_JOB_NUM_NODES", 1)))
    if tasks % nodes:
        raise ConfigError(
            f"SLURM started {tasks} tasks on {nodes} machines; start equally many on each (ntasks-per-node)"
        )
    return ProcessLayout(tasks // nodes, nodes, int(env["SLURM_PROCID"]), launched=True)


def is_distributed() -> bool:
    """True inside a training of several processes."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def rank() -> int:
    """The number of this process, 0 for the first or only one."""
    return distributed.get_rank() if is_distributed() else 0


def any_rank(flag: bool, device: torch.device) -> bool:
    """True in all processes if `flag` is true in any of them."""
    if not is_distributed():
        return flag
    largest = torch.tensor(float(flag), device=device)
    distributed.all_reduce(largest, distributed.ReduceOp.MAX)
    return bool(largest.item())


def from_rank0(value: T) -> T:
    """The value of the first process, in all processes."""
    if not is_distributed():
        return value
    values = [value if rank() == 0 else None]
    distributed.broadcast_object_list(values)
    return values[0]  # type: ignore[return-value]  # what the first process put in


def gather_to_rank0(items: list[T]) -> list[T]:
    """In the first process the items of all, in order of their ranks; in the others an empty list."""
    if not is_distributed():
        return items
    if rank() != 0:
        distributed.gather_object(items, None)
        return []
    parts: list[list[T] | None] = [None] * distributed.get_world_size()
    distributed.gather_object(items, parts)
    gathered: list[T] = []
    for part in parts:
        gathered += part or []
    return gathered


def average_batchnorm(weights: Mapping[str, torch.Tensor]) -> None:
    """Give all processes the mean of their running statistics.

    Batch normalization saw other chips in each process, unless it was synchronized.
    """
    if not is_distributed():
        return
    for name, value in weights.items():
        if name.endswith(("running_mean", "running_var")):
            distributed.all_reduce(value)
            value /= distributed.get_world_size()
