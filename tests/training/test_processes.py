"""Several processes as one training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.bundle import load_model
from eo_dl.chips.chipset import ChipSet
from eo_dl.errors import ChipSetError, ConfigError
from eo_dl.training.setup.processes import ALONE, ProcessLayout, process_layout, refuse_without_program
from eo_dl.training.setup.runsetup import prepare_run
from eo_dl.training.setup.sampler import EpochPlan, part_of
from eo_dl.training.trainconfig import TrainConfig

PROGRAM = Path(__file__).with_name("one_of_several.py")


@given(st.integers(1, 60), st.integers(2, 9), st.integers(1, 4), st.integers(1, 20))
def test_processes_part_every_batch_without_loss_or_repeat(
    count: int, batch_size: int, parts: int, min_steps: int
) -> None:
    plan = EpochPlan(max(count, parts), batch_size * parts, 3, min_steps, parts)
    batches = plan.batches(2)
    assert len(batches) == plan.steps
    shares = [[part_of(batch, part, parts) for batch in batches] for part in range(parts)]
    assert all(share for part in shares for share in part)  # nobody waits for a process without chips
    together = Counter(draw for part in shares for batch in part for draw in batch)
    assert together == Counter(
        (number, index) for number in range(2 * plan.passes, 3 * plan.passes) for index in range(plan.count)
    )


def test_the_plan_of_one_process_is_what_it_was() -> None:
    assert EpochPlan(9, 4, 1, 3).batches(0) == EpochPlan(9, 4, 1, 3, 1).batches(0)


TORCHRUN = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1"}
SLURM = {"SLURM_NTASKS": "4", "SLURM_NNODES": "2", "SLURM_PROCID": "3", "SLURM_JOB_NAME": "train"}


@pytest.mark.parametrize(
    ("environment", "settings", "processes"),
    [
        ({}, {}, ALONE),
        ({}, {"devices": 3}, ProcessLayout(3, 1, 0)),
        # a process that Lightning started
        ({"LOCAL_RANK": "2", "NODE_RANK": "0"}, {"devices": 3}, ProcessLayout(3, 1, 2)),
        (TORCHRUN, {}, ProcessLayout(4, 2, 5, True)),
        (TORCHRUN, {"devices": 4, "nodes": 2}, ProcessLayout(4, 2, 5, True)),
        (SLURM, {}, ProcessLayout(2, 2, 3, True)),
        (SLURM | {"SLURM_JOB_NAME": "bash"}, {}, ALONE),  # a person's shell on a node
        (SLURM | {"SLURM_NTASKS": "1"}, {}, ALONE),
    ],
)
def test_who_we_are_comes_from_the_launcher_or_the_configuration(
    environment: dict[str, str], settings: dict[str, int], processes: ProcessLayout
) -> None:
    assert process_layout(TrainConfig.model_validate(settings), environment) == processes


@pytest.mark.parametrize(
    ("environment", "settings", "said"),
    [
        (TORCHRUN, {"devices": 2}, "`devices` 2"),
        ({}, {"nodes": 2}, "torchrun"),
        (SLURM | {"SLURM_NNODES": "3"}, {}, "ntasks-per-node"),
    ],
)
def test_launcher_and_configuration_must_agree(
    environment: dict[str, str], settings: dict[str, int], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        process_layout(TrainConfig.model_validate(settings), environment)


def test_a_notebook_cannot_be_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    with pytest.raises(ConfigError, match="impossible in a notebook"):
        refuse_without_program(ProcessLayout(devices=2))
    refuse_without_program(ProcessLayout(devices=2, launched=True))  # the launcher starts them


def test_fewer_chips_than_processes_are_refused(small_chips: ChipSet) -> None:
    with pytest.raises(ChipSetError, match="too few for 500 processes"):
        prepare_run(small_chips, TrainConfig(task="segmentation", devices=500, device="cpu"))


def test_several_processes_do_not_share_one_gpu(
    small_chips: ChipSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match="a GPU of its own; use cuda"):
        prepare_run(small_chips, TrainConfig(task="segmentation", devices=2, device="cuda:1"))


def _python(*arguments: str | Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_two_processes_are_one_with_twice_the_batch(tmp_path: Path) -> None:
    """Without batch normalization, which on CPUs sees its own process's chips; losses over the whole batch,
    unequal parts of chips.
    """
    _python(PROGRAM, tmp_path / "one", "4")
    _python(
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", PROGRAM, tmp_path / "two", "2"
    )
    for name in ("last.pt", "best.pt"):
        one, two = (torch.load(tmp_path / kind / name) for kind in ("one", "two"))
        assert one.keys() == two.keys()
        assert all(torch.allclose(one[key], two[key], atol=2e-6, rtol=1e-4) for key in one), name
    one, two = (json.loads((tmp_path / kind / "history.json").read_text()) for kind in ("one", "two"))
    for alone, shared in zip(one, two, strict=True):
        for key in alone.keys() - {"seconds"}:
            assert alone[key] == pytest.approx(shared[key], rel=1e-4, nan_ok=True), key
    seen = [
        [tuple(entry) for entry in json.loads((tmp_path / folder).read_text())]
        for folder in ("one/seen-0.json", "two/seen-0.json", "two/seen-1.json")
    ]
    assert Counter(seen[1]) + Counter(seen[2]) == Counter(seen[0])
    assert all(len(part) > len(seen[0]) // 3 for part in seen[1:])


@pytest.mark.slow
def test_the_command_line_starts_its_own_processes(small_chips: ChipSet, tmp_path: Path) -> None:
    options = [
        "--task",
        "segmentation",
        "--backbone",
        "test_resnet",
        "--epochs",
        "2",
        "--batch-size",
        "4",
        "--devices",
        "2",
        "--device",
        "cpu",
    ]
    settings = [
        "--set",
        "min_steps=3",
        "--set",
        "baselines=false",
        "--set",
        "task_options.decoder_channels=[8]",
        "--progress",
        "none",
    ]
    _python("-m", "eo_dl_cli", "train", small_chips.path, *options, *settings, "-o", tmp_path / "m.eodl")
    assert {score.split for score in load_model(tmp_path / "m.eodl").spec.scores} == {"val", "test"}
