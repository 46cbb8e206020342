"""A training that starts from weights: what reaches the model, and in which units."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eo_dl.chips.chipset import ChipSet
from eo_dl.core.bands import BandSet
from eo_dl.core.normalization import Normalization
from eo_dl.errors import BundleError, ConfigError
from eo_dl.networks.backbones import make_backbone
from eo_dl.networks.weightsources import WeightsSource
from eo_dl.training.record.results import TrainingResult
from eo_dl.training.setup.weightsnorm import weights_normalization
from eo_dl.training.train import train
from eo_dl.training.trainconfig import TrainConfig
from tests.making import tiny_network

FAST: dict[str, Any] = {
    "min_steps": 1,
    "batch_size": 8,
    "epochs": 1,
    "baselines": False,
    "picture_epochs": None,
}


def _run(chips: ChipSet, out: Path, task: str, **settings: Any) -> TrainingResult:
    return train(
        chips,
        config=TrainConfig.model_validate(
            {**FAST, "task": task, "task_options": tiny_network(task), **settings}
        ),
        out=out,
    )


def test_a_model_starts_another_task_frozen_with_its_normalization(
    small_chips: ChipSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = _run(small_chips, tmp_path / "first.eodl", "segmentation")
    moved = replace(
        small_chips,
        statistics=tuple(replace(s, mean=s.mean + 1, std=s.std * 1.1) for s in small_chips.statistics),
    )
    with caplog.at_level(logging.INFO):
        second = _run(
            moved,
            tmp_path / "second.eodl",
            "detection",
            weights=str(first.model.path),
            freeze="backbone",
            normalization="weights",
        )
    before, after = first.model.state(), second.model.state()
    # not the counters of batches
    backbone = [name for name in after if name.startswith("backbone.") and after[name].dtype.kind == "f"]
    assert backbone
    assert all(np.array_equal(before[name], after[name]) for name in backbone)
    assert second.model.spec.normalization == first.model.spec.normalization
    assert second.model.spec.provenance.weights_from == "first.eodl"
    assert any("normalized as" in note for note in second.notes)
    said = "tensors of the backbone from first.eodl (bands by name: red, nir)"
    assert any(said in note for note in second.notes)
    assert said in caplog.text
    assert "matched\tconv1.0.weight" in (second.folder / "weights.txt").read_text().splitlines()


def test_a_whole_network_starts_another_of_its_task(small_chips: ChipSet, tmp_path: Path) -> None:
    first = _run(small_chips, tmp_path / "first.eodl", "segmentation")
    second = _run(
        small_chips,
        tmp_path / "second.eodl",
        "segmentation",
        weights=str(first.model.path),
        weights_for="network",
        lr=1e-12,
        weight_decay=0,
        seed=5,
    )
    before, after = first.model.state(), second.model.state()
    learnt = [
        name
        for name in after
        if after[name].dtype.kind == "f" and not name.endswith(("running_mean", "running_var"))
    ]
    assert all(np.allclose(before[name], after[name], atol=1e-6) for name in learnt), (
        "no step was long enough to leave where it began"
    )
    assert any("tensors of the other layers" in note for note in second.notes)
    assert "matched\thead.weight" in (second.folder / "weights.txt").read_text().splitlines()


def test_what_cannot_start_a_whole_network_is_told_before_any_work(
    small_chips: ChipSet, tmp_path: Path
) -> None:
    torch.save(make_backbone("test_resnet", 2).state_dict(), tmp_path / "weights.pth")
    trees = _run(small_chips, tmp_path / "trees.eodl", "detection").model.path
    for weights, error, said in (
        ("none", ConfigError, "give one as `weights`"),
        (tmp_path / "weights.pth", BundleError, "is not a model of eo_dl"),
        (trees, BundleError, "another task or architecture"),
    ):
        with pytest.raises(error, match=said):
            _run(
                small_chips, tmp_path / "m.eodl", "segmentation", weights=str(weights), weights_for="network"
            )
        assert not (tmp_path / "m.run").exists()


def test_a_linear_probe_learns_one_layer(small_chips: ChipSet, tmp_path: Path) -> None:
    torch.save(make_backbone("test_resnet", 2).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match="one linear layer"):
        _run(
            small_chips,
            tmp_path / "m.eodl",
            "segmentation",
            weights=str(tmp_path / "weights.pth"),
            freeze="probe",
        )
    assert not (tmp_path / "m.run").exists()
    with pytest.raises(ConfigError, match="would keep random weights"):
        _run(small_chips, tmp_path / "m.eodl", "segmentation", freeze="backbone")


def test_the_wrong_backbone_for_a_name_is_told_before_any_work(small_chips: ChipSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="set `backbone` to resnet18"):
        _run(small_chips, tmp_path / "m.eodl", "segmentation", weights="sentinel2-all-moco")
    assert not (tmp_path / "m.run").exists()


def _source(
    full: float | None, mean: tuple[float, ...] = (0.4, 0.5), std: tuple[float, ...] = (0.2, 0.1)
) -> WeightsSource:
    return WeightsSource(
        "somebody", dict, ("red", "green"), "", Normalization(mean, std), full, ours=("red", "nir")
    )


def _chips(chips: ChipSet, dtype: str, top: float) -> ChipSet:
    bands = BandSet(tuple(replace(band, dtype=dtype) for band in chips.bands))
    stats = tuple(replace(s, mean=top / 2, std=top / 4, p98=top, maximum=top) for s in chips.statistics)
    return replace(chips, bands=bands, statistics=stats)


@pytest.mark.parametrize(
    ("dtype", "top", "full", "factor"),
    [
        ("uint8", 250, 1, 255),
        ("uint8", 250, 255, 1),
        ("float32", 0.9, 1e4, 1e-4),
        ("uint16", 6000, 1e4, 1),
        ("uint16", 6000, None, 1),
    ],
)
def test_the_weights_normalization_comes_in_the_units_of_the_chips(
    small_chips: ChipSet, dtype: str, top: float, full: float | None, factor: float
) -> None:
    given = _chips(small_chips, dtype, top)
    found, notes = weights_normalization(given, _source(full))
    assert found.mean == pytest.approx((0.4 * factor, top / 2))
    assert found.std == pytest.approx((0.2 * factor, top / 4))
    assert "because the weights lack the band: nir" in notes[1]


@pytest.mark.parametrize(
    ("dtype", "top", "full"),
    [("uint16", 6000, 255), ("uint16", 6000, 1), ("uint8", 250, 1e4), ("uint8", 250, 0)],
)
def test_units_that_cannot_be_compared_are_refused(
    small_chips: ChipSet, dtype: str, top: float, full: float
) -> None:
    with pytest.raises(ConfigError, match=r"cannot be compared .*normalization=data"):
        weights_normalization(_chips(small_chips, dtype, top), _source(full))


def test_weights_without_a_normalization_or_a_common_band_are_refused_and_strange_scenes_named(
    small_chips: ChipSet,
) -> None:
    for source, says in (
        (None, "do not state"),
        (replace(_source(1), normalization=None), "do not state"),
        (replace(_source(1), ours=("nir", "pan")), "no band in common"),
    ):
        with pytest.raises(ConfigError, match=says):
            weights_normalization(small_chips, source)
    _, notes = weights_normalization(_chips(small_chips, "uint8", 250), _source(255, mean=(-4000, 0)))
    assert any("differ strongly from what the weights were trained on in red" in note for note in notes)
