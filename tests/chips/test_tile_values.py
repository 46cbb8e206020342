"""Chip sets whose labels are numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from eo_dl.chips.augment import Augment, AugmentConfig
from eo_dl.chips.chipset import ChipSet, open_chip_set
from eo_dl.chips.dataset import ChipDataset
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.arrays import ValueTarget
from eo_dl.core.labelset import features_of
from eo_dl.core.normalization import Normalization
from eo_dl.core.valueinfo import ValueInfo
from eo_dl.errors import ConfigError
from eo_dl.labels.reading import read_values
from eo_dl.tasks import load_task
from eo_dl.tasks.taskguess import guess_task
from eo_dl.training.setup.taskdata import prepare_data
from eo_dl.training.trainconfig import TrainConfig
from tests.making import noise, square, write_polygons, write_raster

SIDE = 192
HEIGHTS = np.random.default_rng(0).gamma(2, 4, (SIDE, SIDE)).astype(np.float32)


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> ChipSet:
    folder = tmp_path_factory.mktemp("values")
    scene = write_raster(folder / "scene.tif", noise(2, SIDE, SIDE), names=["red", "nir"])
    heights = HEIGHTS.copy()
    heights[:32] = np.nan
    path = write_raster(folder / "height.tif", heights)
    return tile([scene], read_values(path, "height:m:0..90"), out=folder / "chips", size_px=32)


def test_the_numbers_of_each_split_are_in_the_set(chips: ChipSet) -> None:
    for split in ("train", "val", "test"):
        numbers = np.concatenate([HEIGHTS[record.window.slices].ravel() for record in chips.split(split)])
        known = [record.window.row >= 32 for record in chips.split(split)]
        numbers = np.concatenate(
            [HEIGHTS[r.window.slices].ravel() for r, k in zip(chips.split(split), known, strict=True) if k]
        )
        (found,) = chips.value_statistics[split]
        assert found.count == len(numbers)
        assert found.mean == pytest.approx(numbers.mean(dtype=float))
        assert found.maximum == pytest.approx(float(numbers.max()))
    summary = chips.summary()
    assert summary.header == ("split", "chips", "labelled", "height (m)")
    assert json.loads(json.dumps(summary.values))["splits"]["train"]["values"]["height"]["std"] > 0


def test_unit_range_and_numbers_are_there_when_it_is_opened_again(chips: ChipSet) -> None:
    again = open_chip_set(chips.path)
    assert again.classes == chips.classes
    assert again.classes.classes[0].value == ValueInfo("m", 0, 90)
    assert again.content_hash == chips.content_hash
    assert again.value_statistics == chips.value_statistics
    assert not [note for note in again.notes if "edited" in note]


def test_samples_hold_the_numbers_of_their_ground_also_when_turned(chips: ChipSet) -> None:
    task = load_task("regression")
    codec = task.make_codec(chips.classes, task.config.model_validate({}))
    records = [record for record in chips.records if record.window.row >= 32]
    plain = ChipDataset(chips, records, codec, Normalization.of(chips.statistics))
    target = plain[0].target
    assert isinstance(target, ValueTarget)
    np.testing.assert_array_equal(target.values[0], HEIGHTS[records[0].window.slices])
    turned = ChipDataset(
        chips,
        records,
        codec,
        Normalization.of(chips.statistics),
        augment=Augment(AugmentConfig(scale=1)),
        seed=3,
    )
    for index in range(len(records)):
        moved = turned[index].target.values[0]
        known = np.isfinite(moved)
        assert set(moved[known].tolist()) <= set(plain[index].target.values[0].ravel().tolist())
        assert known.mean() > 0.2


def test_the_task_follows_from_the_labels_and_others_are_refused(chips: ChipSet) -> None:
    assert guess_task(chips).task == "regression"
    data = prepare_data(chips, TrainConfig(task="regression"))
    (moments,) = data.inputs.value_moments or ()
    assert moments == (chips.value_statistics["train"][0].mean, chips.value_statistics["train"][0].std)
    with pytest.raises(ConfigError, match="choose `task` regression, or tile again with `values=none`"):
        prepare_data(chips, TrainConfig(task="segmentation"))


def test_numbers_of_features_survive_and_may_be_edited(tmp_path: Path) -> None:
    scene = write_raster(tmp_path / "scene.tif", noise(1, 128, 128))
    shapes = [square(8 * k, 16 * (k % 8), 7) for k in range(16)]
    path = write_polygons(tmp_path / "plots.gpkg", shapes, carbon=[float(k) for k in range(16)])
    labels = read_values(path, "carbon:t")
    chips = tile([scene], labels, out=tmp_path / "chips", size_px=32, write_chips=True)
    features, expected = features_of(open_chip_set(chips.path).labels), features_of(labels)
    assert features.values is not None and expected.values is not None
    np.testing.assert_array_equal(features.values, expected.values)
    written = next((chips.path / "masks").glob("*.tif"))
    with rasterio.open(written) as file:
        assert file.dtypes == ("float32",)
        assert np.isnan(file.read(1)).any()


def test_splits_share_out_low_and_high_numbers(tmp_path: Path) -> None:
    """An eighth of the ground is high; dealt by area alone, a split would often get none of it."""
    heights = np.zeros((256, 256), np.float32)
    heights[96:160, 64:192] = np.random.default_rng(1).uniform(10, 20, (64, 128))
    scene = write_raster(tmp_path / "scene.tif", noise(1, 256, 256))
    labels = read_values(write_raster(tmp_path / "height.tif", heights), "height")
    for seed in range(3):
        chips = tile(
            [scene],
            labels,
            out=tmp_path / f"chips{seed}",
            size_px=32,
            seed=seed,
            split=Split((0.5, 0.25, 0.25), guard_px=0),
        )
        for split in ("train", "val", "test"):
            (found,) = chips.value_statistics[split]
            assert found.minimum == 0 and found.maximum > 10, (seed, split)
