"""What is looked at before a training: its cost, and its learning rate."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from eo_dl.chips.chipset import ChipSet
from eo_dl.errors import ConfigError, OutputExistsError, TrainingError
from eo_dl.networks.device import choose_device, choose_precision
from eo_dl.tasks import available_tasks, load_task
from eo_dl.training.dryrun import dry_run
from eo_dl.training.findlr import find_lr, smoothed, steepest
from eo_dl.training.setup.runsetup import prepare_run
from eo_dl.training.setup.sampler import EpochPlan
from eo_dl.training.trainconfig import TrainConfig
from eo_dl_cli.train import command


def config(**settings: Any) -> TrainConfig:
    known = {
        "task": "segmentation",
        "task_options": {"backbone": "test_resnet", "decoder_channels": [16, 16]},
        "batch_size": 4,
        "min_steps": 6,
        "workers": 0,
    }
    return TrainConfig.model_validate(known | settings)


def everything_under(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_dry_run_counts_chips_and_steps_and_leaves_nothing_behind(small_chips: ChipSet) -> None:
    before = everything_under(small_chips.path.parent)
    found = dry_run(small_chips, config(epochs=7))
    assert everything_under(small_chips.path.parent) == before
    assert found.steps == 7 * EpochPlan(len(small_chips.split("train")), 4, 0, 6).steps
    assert found.minutes == pytest.approx((found.steps * found.step_seconds + 7 * found.val_seconds) / 60)
    assert found.memory_mb is None or found.memory_mb > 50
    values = found.summary().values
    assert values["chips"] == {split: len(small_chips.split(split)) for split in ("train", "val", "test")}
    assert found.advice == ""


def test_a_long_run_on_a_cpu_is_told_what_would_shorten_it_in_one_line(small_chips: ChipSet) -> None:
    found = dry_run(small_chips, config(epochs=10_000_000, device="cpu"))
    assert "minutes=30" in found.advice and "decoder_channels" in found.advice and "\n" not in found.advice
    capped = dry_run(small_chips, config(epochs=10_000_000, minutes=5.0, device="cpu"))
    assert capped.minutes == 5
    assert capped.advice == ""


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_auto_is_the_precision_in_which_predict_runs(
    small_chips: ChipSet, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    # Thresholds and test scores hold for the precision in which they were measured.
    monkeypatch.setattr("eo_dl.networks.device.computes_bf16", lambda device: True)
    setup = prepare_run(small_chips, TrainConfig(task=task, device="cpu"))
    in_prediction = choose_precision("auto", choose_device("cpu"), bfloat16=load_task(task).output.bfloat16)
    assert setup.precision == in_prediction == {"segmentation": "bf16", "detection": "32"}[task]


def test_a_dry_run_refuses_what_training_would(small_chips: ChipSet) -> None:
    with pytest.raises(ConfigError, match="did you mean 'dropout'"):
        dry_run(small_chips, config(task_options={"dropuot": 1}))


def test_the_finder_draws_a_plot_and_trains_nothing(
    small_chips: ChipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eo_dl.training.findlr.STEPS", 40)
    found = find_lr(small_chips, config(), picture=tmp_path / "m.lr.png")
    assert [path.name for path in tmp_path.iterdir()] == ["m.lr.png"]
    assert 1e-6 < found.lr < 1
    assert found.lr in found.rates
    assert all(a < b for a, b in itertools.pairwise(found.rates))
    with pytest.raises(OutputExistsError):
        find_lr(small_chips, config(), picture=tmp_path / "m.lr.png")


def test_the_suggestion_is_where_a_known_curve_falls_fastest() -> None:
    rates = np.logspace(-6, 0, 200)
    losses = 1 / (1 + (rates / 1e-3) ** 2) + (rates / 0.3) ** 4  # falls fastest at 1e-3, runs away near 0.3
    assert steepest(rates.tolist(), losses.tolist()) == pytest.approx(1e-3, rel=0.05)


def test_smoothing_is_an_average_that_knows_its_start() -> None:
    assert smoothed([2.0, 2.0, 2.0]) == pytest.approx([2, 2, 2])
    assert smoothed([0.0, 1.0])[1] == pytest.approx(0.1 / 0.19)


def test_a_loss_that_never_falls_is_one_line() -> None:
    with pytest.raises(TrainingError, match="fell at no learning rate"):
        steepest([1e-3, 1e-2, 1e-1], [1.0, 2.0, 3.0])


def test_the_command_line_shows_the_dry_run_and_names_every_task(small_chips: ChipSet) -> None:
    options = [
        "--task",
        "segmentation",
        "--backbone",
        "test_resnet",
        "--set",
        "task_options.decoder_channels=[8]",
        "--batch-size",
        "4",
        "--json",
        "-q",
    ]
    said = CliRunner().invoke(command, [str(small_chips.path), *options, "--dry-run"])
    assert said.exit_code == 0
    assert json.loads(said.stdout)["batch_size"] == 4
    assert ", ".join(available_tasks()) in " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert (
        "cannot be combined"
        in CliRunner().invoke(command, [str(small_chips.path), *options, "--dry-run", "--find-lr"]).output
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"batch_size": 1_000_000_000},
            "`batch_size` 1000000000: there are only .* train chips; take at most",
        ),
        ({"workers": 100_000}, "`workers` 100000: this machine has .* processors; take at most"),
    ],
)
def test_numbers_beyond_any_use_are_one_line_before_any_work(
    small_chips: ChipSet, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        prepare_run(small_chips, config(**settings))
