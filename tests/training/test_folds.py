from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from eo_dl.bundle import load_model
from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.errors import ConfigError, OutputExistsError
from eo_dl.training.folds import FoldScore, _results, train_folds
from eo_dl.training.train import train
from eo_dl.training.trainconfig import TrainConfig


@pytest.fixture(scope="module")
def folded(small_chips: ChipSet, tmp_path_factory: pytest.TempPathFactory) -> ChipSet:
    out = tmp_path_factory.mktemp("folds") / "chips"
    return tile(
        small_chips.scenes[0],
        small_chips.labels,
        out=out,
        size_px=32,
        split=Split(block_px=48, guard_px=0, folds=3),
    )


def config(**settings: Any) -> TrainConfig:
    options = {"backbone": "test_resnet", "decoder_channels": [8]}
    known = {
        "task": "segmentation",
        "task_options": options,
        "epochs": 1,
        "min_steps": 2,
        "batch_size": 8,
        "baselines": False,
    }
    return TrainConfig.model_validate(known | settings)


def test_every_fold_gets_a_model_that_never_saw_it_and_the_scores_their_spread(
    folded: ChipSet, tmp_path: Path
) -> None:
    found = train_folds(folded, config(), folds=3, out=tmp_path / "m.eodl")
    assert sorted(path.name for path in tmp_path.glob("*.*") if path.is_file()) == [
        "m-fold0.eodl",
        "m-fold1.eodl",
        "m-fold2.eodl",
        "m.folds.json",
    ]
    tests = [one.test for one in found.folds if one.test is not None]
    assert found.split == "test"
    assert found.mean == pytest.approx(statistics.fmean(tests))
    assert found.spread == pytest.approx(statistics.stdev(tests))
    assert found.use == max(found.folds, key=lambda one: one.val or 0).model
    for fold in range(3):
        assert (
            load_model(tmp_path / f"m-fold{fold}.eodl").spec.provenance.chip_set
            == folded.for_fold(fold).content_hash
        )
    written = json.loads((tmp_path / "m.folds.json").read_text())
    assert written["use"] == found.use
    assert len(written["folds"]) == 3
    assert [row[0] for row in found.summary().rows] == ["0", "1", "2", "mean"]
    with pytest.raises(OutputExistsError):
        train_folds(folded, config(), folds=3, out=tmp_path / "m.eodl")

    kept = (tmp_path / "m-fold0.eodl").read_bytes()
    (tmp_path / "m-fold2.eodl").unlink()
    again = train_folds(folded, config(), folds=3, out=tmp_path / "m.eodl", resume=True)
    assert (tmp_path / "m-fold0.eodl").read_bytes() == kept
    assert again.folds == found.folds


def test_one_fold_can_be_trained_alone(folded: ChipSet, tmp_path: Path) -> None:
    run = train(folded, config=config(), out=tmp_path / "m.eodl", val_fold=1)
    assert run.model.spec.provenance.chip_counts["val"] == len(folded.with_val_fold(1).split("val"))
    with pytest.raises(ConfigError, match="folds are 0 to 2"):
        train(folded, config=config(), out=tmp_path / "n.eodl", val_fold=3)


def test_other_folds_than_those_of_the_chip_set_are_refused(
    folded: ChipSet, small_chips: ChipSet, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="has 3 folds, not 5; set `folds` to 3"):
        train_folds(folded, config(), folds=5, out=tmp_path / "m.eodl")
    with pytest.raises(ConfigError, match="has no folds; tile with `folds` 5"):
        train_folds(small_chips, config(), folds=5, out=tmp_path / "m.eodl")
    with pytest.raises(ConfigError, match="several processes"):
        train_folds(folded, config(devices=2), folds=3, out=tmp_path / "m.eodl")


def test_of_two_folds_the_validation_scores_are_told(tmp_path: Path) -> None:
    found = _results(
        [FoldScore(0, "a", 0.4, None), FoldScore(1, "b", 0.8, None)],
        "mean_iou",
        "val",
        tmp_path / "m.folds.json",
    )
    assert found.mean == pytest.approx(0.6)
    assert found.use == "b"
    assert found.summary().rows[-1][1].startswith("0.600 ± 0.283")
