"""The verb `train` on a small scene, for both kinds of output."""

from __future__ import annotations

import csv
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eo_dl.bundle import load_model
from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.errors import (
    Cancelled,
    ChipSetError,
    ConfigError,
    DeviceError,
    EoDlError,
    OutputExistsError,
    SceneChangedError,
)
from eo_dl.io.yamlfiles import load_yaml
from eo_dl.networks.compute import Compute
from eo_dl.networks.weights import read_state
from eo_dl.training.record.results import TrainingResult
from eo_dl.training.train import train
from eo_dl.training.trainconfig import TrainConfig
from tests.making import tiny_network

SIDE, CHIP = 192, 32
FAST: dict[str, Any] = {"epochs": 2, "min_steps": 3, "batch_size": 4, "checkpoint_steps": 5, "lr": 0.003}


@pytest.fixture
def chips(small_chips: ChipSet) -> ChipSet:
    return small_chips


def run(
    chips: ChipSet,
    out: Path,
    task: str = "segmentation",
    *,
    resume: bool = False,
    overwrite: bool = False,
    **settings: Any,
) -> TrainingResult:
    options = tiny_network(task) | settings.pop("task_options", {})
    config = TrainConfig.model_validate({"task": task, "task_options": options, **FAST, **settings})
    return train(chips, config=config, out=out, resume=resume, overwrite=overwrite)


def test_segmentation_leaves_a_model_that_knows_all_and_pictures(
    chips: ChipSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "eo_dl"):
        found = run(chips, tmp_path / "m.eodl", epochs=4)
    assert "epoch 4 (100% of the run): loss" in caplog.text
    spec = load_model(tmp_path / "m.eodl").spec
    assert (spec.task, spec.chip_px, spec.margin_px) == ("segmentation", CHIP, CHIP // 8)
    assert spec.gsd_m == pytest.approx(1.0, rel=2e-3)
    assert [band.name for band in spec.bands] == ["red", "nir"]
    assert [c.name for c in spec.classes] == ["background", "roof"]
    assert {score.split for score in spec.scores} == {"val", "test"}
    assert spec.provenance.chip_set == chips.content_hash
    assert spec.provenance.extent is not None
    assert [score.name for score in spec.provenance.baselines if score.split == "test"] == [
        "majority class: mean_iou",
        "logistic regression on the pixel's bands: mean_iou",
        "logistic regression on the pixel's bands, balanced classes: mean_iou",
    ]
    assert (tmp_path / "m.eodl").parent / "m.run" == found.folder
    assert {p.name for p in found.folder.iterdir()} == {
        *(
            "run.json",
            "config.yaml",
            "history.csv",
            "curves.png",
            "preview.png",
            "worst.png",
            "calibration.png",
            "last.safetensors",
            "report.html",
            "tensorboard",
        )
    }
    page = found.report.read_text()
    assert page.count("data:image/png;base64,") == 4, "curves, examples, largest errors, reliability"
    assert spec.calibration is not None and spec.prediction_sets is not None
    for text in (
        "Calibration",
        "Sets of classes",
        "mean IoU, test",
        "majority class",
        "roof",
        found.scores[-1].overall("mean_iou").text(),
    ):
        assert text in page
    assert len(list(csv.DictReader((found.folder / "history.csv").read_text().splitlines()))) == 4
    assert found.model.read("preview.png").startswith(b"\x89PNG")
    assert (
        load_yaml(_file(tmp_path / "config.yaml", found.model.read("config.yaml")))["task_options"][
            "backbone"
        ]
        == "test_resnet"
    )
    assert read_state(found.folder / "last.safetensors").keys() == {
        k for k, v in found.model.state().items() if v.dtype.kind == "f"
    }
    assert not spec.provenance.unfinished
    assert found.scores[1].overall("mean_iou").value > 0.6
    summary = found.summary()
    assert summary.header == ("score", "val", "test")
    assert summary.rows[0][0] == "mean_iou: this model"
    assert all(len(row) == 3 for row in summary.rows)


def _file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_ctrl_c_keeps_the_best_model_so_far_and_the_run_goes_on(chips: ChipSet, tmp_path: Path) -> None:
    out = tmp_path / "m.eodl"
    config = TrainConfig.model_validate(
        {
            "task": "segmentation",
            **FAST,
            "epochs": 3,
            "baselines": False,
            "task_options": {"backbone": "test_resnet", "decoder_channels": [8]},
        }
    )

    def on_progress(done: int, total: int, what: str) -> None:
        if done == 2 * total // 3 + 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(
        Cancelled, match=r"interrupted after step .* `resume`; .*m\.eodl holds the best weights so far"
    ) as caught:
        train(chips, config=config, out=out, on_progress=on_progress)
    assert caught.value.exit_code == 130
    left = load_model(out)
    assert left.spec.provenance.unfinished.startswith("stopped by the user in epoch 3, after ")
    assert {score.split for score in left.spec.scores} == {"val"}
    assert b"**Unfinished**: stopped by the user" in left.read("README.md")
    with pytest.raises(OutputExistsError, match="continue the run with `resume`"):
        train(chips, config=config, out=out)
    finished = train(chips, config=config, out=out, resume=True)
    assert not finished.model.spec.provenance.unfinished
    train(chips, config=config, out=tmp_path / "whole.eodl")
    whole, resumed = weights_of(tmp_path / "whole.eodl"), weights_of(out)
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)
    with pytest.raises(OutputExistsError, match="exists already"):  # a finished model is not replaced
        train(chips, config=config, out=out, resume=True)


def test_scene_that_changes_stops_the_run_at_the_end_of_the_epoch(chips: ChipSet, tmp_path: Path) -> None:
    """The checkpoint before stays; the one of the epoch with old and new pixels is not written."""
    scene = Path(shutil.copy(chips.scenes[0].path, tmp_path))
    split = Split(block_px=64, guard_px=0)
    own = tile(scene, chips.labels, out=tmp_path / "chips", size_px=CHIP, split=split, write_chips=False)

    def on_progress(done: int, total: int, what: str) -> None:
        if what == "steps" and done == 4:
            os.utime(scene, ns=(0, 0))

    options = tiny_network("segmentation")
    settings = FAST | {"task": "segmentation", "task_options": options, "checkpoint_steps": 3}
    config = TrainConfig.model_validate(settings)
    with pytest.raises(SceneChangedError, match=r"changed while it was in use \(it was written to\)"):
        train(own, config=config, out=tmp_path / "m.eodl", on_progress=on_progress)
    assert not (tmp_path / "m.eodl").exists()
    checkpoints = sorted(path.name for path in (tmp_path / "m.run" / "checkpoints").glob("step-*.pt"))
    assert checkpoints == ["step-00000003.pt"]


def test_pictures_of_predictions_are_in_tensorboard(chips: ChipSet, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = run(
        chips,
        tmp_path / "m.eodl",
        picture_epochs=2,
        epochs=4,
        min_steps=2,
        baselines=False,
        ema=0.9,
        task_options={"decoder_channels": [8]},
    )
    events = EventAccumulator(str(found.folder / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    assert len(events.Images("validation chips")) == 2
    assert events.Images("validation chips")[0].encoded_image_string.startswith(b"\x89PNG")


def test_detection_chooses_its_threshold_on_val_and_tells_it(chips: ChipSet, tmp_path: Path) -> None:
    found = run(
        chips,
        tmp_path / "m.eodl",
        "detection",
        task_options={"pyramid_channels": 16, "head_channels": 32},
        epochs=3,
        min_steps=12,
    )
    threshold = found.model.spec.thresholds["score"]
    assert 0 < threshold < 1
    assert found.model.spec.margin_px >= 6
    assert found.primary == "ap50"
    assert found.baselines[0].name == "mean-size boxes at local maxima"
    assert found.baselines[1].overall("f1").value > 0.8
    assert "<table" in found._repr_html_()


def weights_of(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    return load_model(path).state()


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_a_run_cancelled_and_continued_gives_the_same_model(
    chips: ChipSet, tmp_path: Path, task: str
) -> None:
    options = tiny_network(task) | {"dropout": 0.2}
    settings: dict[str, Any] = {"task_options": options, "baselines": False}
    run(chips, tmp_path / "whole.eodl", task, **settings)
    config = TrainConfig.model_validate({"task": task, **FAST, "baselines": False, "task_options": options})

    def on_progress(done: int, total: int, what: str) -> None:
        if done == total // 2 + 1:
            raise Cancelled("by hand")

    with pytest.raises(Cancelled, match="`resume`"):
        train(chips, config=config, out=tmp_path / "cut.eodl", on_progress=on_progress)
    assert not (tmp_path / "cut.eodl").exists()
    with pytest.raises(OutputExistsError, match="`resume`"):
        train(chips, config=config, out=tmp_path / "cut.eodl")
    with pytest.raises(ConfigError, match=r"config\.lr: was 0\.003, now 0\.1"):
        train(chips, config=config.model_copy(update={"lr": 0.1}), out=tmp_path / "cut.eodl", resume=True)
    train(chips, config=config, out=tmp_path / "cut.eodl", resume=True)
    whole, cut = weights_of(tmp_path / "whole.eodl"), weights_of(tmp_path / "cut.eodl")
    assert whole.keys() == cut.keys()
    assert all(np.array_equal(whole[name], cut[name]) for name in whole)
    assert (tmp_path / "whole.run" / "history.csv").read_text().count("\n") == 3


@pytest.mark.slow
def test_a_run_killed_dead_continues_to_the_same_model(chips: ChipSet, tmp_path: Path) -> None:
    program = """
import os, signal, sys
from eo_dl.io.yamlfiles import load_yaml
from eo_dl.networks.weights import read_state
from eo_dl.training.trainconfig import TrainConfig
from eo_dl.training.train import train
def on_progress(done, total, what):
    if done == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
config = TrainConfig.model_validate(eval(sys.argv[4]))
train(sys.argv[1], config=config, out=sys.argv[2], resume=True, on_progress=on_progress)
"""
    config = {
        "task": "segmentation",
        **FAST,
        "baselines": False,
        "task_options": tiny_network("segmentation") | {"dropout": 0.2},
    }
    for name, kills in (("whole", []), ("killed", [2, 7])):
        for step in [*kills, -1]:
            done = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    program,
                    str(chips.path),
                    str(tmp_path / f"{name}.eodl"),
                    str(step),
                    repr(config),
                ],
                check=False,
            )
            assert done.returncode == (0 if step < 0 else -9)
    whole, killed = weights_of(tmp_path / "whole.eodl"), weights_of(tmp_path / "killed.eodl")
    assert all(np.array_equal(whole[name], killed[name]) for name in whole)


def test_the_number_of_workers_changes_no_weight(chips: ChipSet, tmp_path: Path) -> None:
    for workers in (0, 2):
        run(chips, tmp_path / f"w{workers}.eodl", workers=workers, epochs=1, baselines=False)
    alone, helped = weights_of(tmp_path / "w0.eodl"), weights_of(tmp_path / "w2.eodl")
    assert all(np.array_equal(alone[name], helped[name]) for name in alone)


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_it_trains_in_bfloat16(chips: ChipSet, tmp_path: Path, task: str) -> None:
    found = run(chips, tmp_path / "m.eodl", task, precision="bf16", epochs=1, baselines=False)
    assert all(array.dtype != np.float16 for array in found.model.state().values())
    assert np.isfinite(found.history[0]["train_loss"])


def test_a_chip_set_by_its_path_and_options_by_name(chips: ChipSet, tmp_path: Path) -> None:
    config = TrainConfig(task="detection", min_steps=1, baselines=False)
    found = train(
        chips.path,
        "segmentation",
        backbone="test_resnet",
        epochs=1,
        compute=Compute(batch_size=8),
        config=config,
        out=tmp_path / "m.eodl",
    )
    assert found.model.spec.task == "segmentation"
    assert found.model.spec.provenance.chip_counts == {
        "train": len(chips.split("train")),
        "val": len(chips.split("val")),
        "test": len(chips.split("test")),
    }


def wrong(chips: ChipSet, out: Path, **given: Any) -> str:
    with pytest.raises(EoDlError) as caught:
        train(chips, out=out, **given)
    assert "\n" not in str(caught.value)
    assert not out.with_suffix(".run").exists()
    return str(caught.value)


def test_wrong_input_is_one_line_and_leaves_nothing(chips: ChipSet, tmp_path: Path) -> None:
    out = tmp_path / "m.eodl"
    assert "segmentation" in wrong(chips, out, task="segmentatoin")
    assert "resnet18" in wrong(chips, out, task="segmentation", backbone="resnet81")
    assert "unet" in wrong(chips, out, task="segmentation", config={"task_options.network": "faster_rcnn"})
    assert "`weights`" in wrong(chips, out, task="segmentation", weights=str(tmp_path / "none.pth"))
    assert ".eodl" in wrong(chips, tmp_path / "m.pt", task="segmentation")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="`device` cuda"):
            train(chips, "segmentation", out=out, compute=Compute(device="cuda"))


def test_without_train_chips_there_is_nothing_to_train(chips: ChipSet, tmp_path: Path) -> None:
    from dataclasses import replace

    none = replace(chips, records=tuple(replace(record, split="test") for record in chips.records))
    with pytest.raises(ChipSetError, match="split 'train'"):
        train(none, "segmentation", out=tmp_path / "m.eodl")


def test_without_a_val_split_the_last_epoch_is_the_model(chips: ChipSet, tmp_path: Path) -> None:
    from dataclasses import replace

    without = replace(
        chips,
        records=tuple(
            replace(record, split="none" if record.split == "val" else record.split)
            for record in chips.records
        ),
    )
    found = run(without, tmp_path / "m.eodl", baselines=False)
    assert [scored.split for scored in found.scores] == ["test"]
    assert found.model.spec.provenance.training["best_epoch"] == 2
    assert any("last epoch" in note for note in found.notes)


def test_chips_that_teach_nothing_are_left_out_and_counted(chips: ChipSet, tmp_path: Path) -> None:
    from dataclasses import replace

    first = chips.split("train")[0].chip_id
    blank = replace(
        chips, records=tuple(replace(r, class_shares={}) if r.chip_id == first else r for r in chips.records)
    )
    found = run(blank, tmp_path / "m.eodl", epochs=1, baselines=False)
    assert any(note.startswith(f"1 of {len(chips.split('train'))} train chips") for note in found.notes)
