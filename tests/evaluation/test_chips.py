"""`evaluate` on the chips of a split: ground that was learned from is not scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from pyproj import CRS

from eo_dl.chips.chipset import ChipSet
from eo_dl.core.classes import ClassSet
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.core.window import Window
from eo_dl.errors import ChipSetError, ConfigError, LabelError
from eo_dl.evaluation.evaluate import evaluate
from eo_dl.io.outputtags import KIND_TAG
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.labels.reading import read_labels
from eo_dl.tasks import CHIPS
from tests.evaluation.woodchips import wood_chips
from tests.making import write_geotiff

GRID = PixelGrid(CRS.from_epsg(32633), Affine.translation(500_000, 5_000_000) @ Affine.scale(2, -2), 256, 256)
CLASSES = ClassSet.of_names(["wood"], background=True)


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> ChipSet:
    return wood_chips(tmp_path_factory.mktemp("chips"), GRID)


def _area(chips: ChipSet, split: str) -> np.ndarray:
    covered = np.zeros((256, 256), bool)
    for record in chips.records:
        if record.keep and record.split == split:
            covered[record.window.slices] = True
    return covered


def test_pixels_of_the_test_chips_and_no_others(chips: ChipSet, tmp_path: Path) -> None:
    """A map that is right on the test chips alone scores 1 there, and less on the train chips."""
    test = _area(chips, "test")
    assert test.any() and not (test & _area(chips, "train")).any()
    truth = np.zeros((256, 256), np.uint8)
    for row in range(0, 256, 32):
        for col in range(0, 256, 32):
            truth[row + 4 : row + 20, col + 4 : col + 20] = 1
    with RasterWriter(tmp_path / "map.tif", GRID, nodata=255, classes=CLASSES) as writer:
        writer.write(0, np.where(test, truth, 1 - truth).astype(np.uint8))
    labels = read_labels(chips.path.parent / "truth.gpkg")
    report = evaluate(tmp_path / "map.tif", labels, chips=chips.path)
    assert report.confusion is not None and report.confusion.sum() == test.sum()
    assert report.score("mean_iou").value == 1.0
    assert report.settings["only on"] == "the test chips of set"
    assert evaluate(tmp_path / "map.tif", labels, chips=chips, split="train").score("mean_iou").value == 0.0


def test_objects_centred_on_the_test_chips_and_no_others(chips: ChipSet, tmp_path: Path) -> None:
    truth = chips.path.parent / "truth.gpkg"
    labels = read_labels(truth)
    test = _area(chips, "test")
    centres = [(r + 12, c + 12) for r in range(0, 256, 32) for c in range(0, 256, 32)]
    report = evaluate(truth, labels, chips=chips.path)
    assert (
        report.counts["wood"]["truth"]
        == report.counts["wood"]["found"]
        == sum(bool(test[r, c]) for r, c in centres)
    )


def test_a_split_or_a_scene_that_is_not_there(chips: ChipSet, tmp_path: Path) -> None:
    labels = read_labels(chips.path.parent / "truth.gpkg")
    with pytest.raises(ConfigError, match="unknown `split` 'tset'"):
        evaluate(chips.path.parent / "truth.gpkg", labels, chips=chips, split="tset")
    away = PixelGrid(GRID.crs, Affine.translation(700_000, 5_000_000) @ Affine.scale(2, -2), 64, 64)
    with RasterWriter(tmp_path / "away.tif", away, nodata=255, classes=CLASSES) as writer:
        writer.write(0, np.zeros((64, 64), np.uint8))
    with pytest.raises(ChipSetError, match=r"no test chip lies on away\.tif.*scene\.tif"):
        evaluate(tmp_path / "away.tif", labels, chips=chips)


def test_of_several_maps_those_without_a_test_chip_are_left_out_and_counted(
    chips: ChipSet, tmp_path: Path
) -> None:
    """Of many scenes few are in one split; only where none is does evaluate stop."""
    maps = tmp_path / "maps"
    maps.mkdir()
    away = PixelGrid(GRID.crs, Affine.translation(700_000, 5_000_000) @ Affine.scale(2, -2), 64, 64)
    for name, grid in (("away", away), ("here", GRID)):
        with RasterWriter(maps / f"{name}.tif", grid, nodata=255, classes=CLASSES) as writer:
            writer.write(0, np.ones((grid.height, grid.width), np.uint8))
    labels = read_labels(chips.path.parent / "truth.gpkg")
    report = evaluate(maps, labels, chips=chips)
    assert "1 of 2 files are left out: no test chip lies on them" in report.notes
    assert report.confusion is not None and report.confusion.sum() == _area(chips, "test").sum()
    (maps / "here.tif").unlink()
    with pytest.raises(ChipSetError, match=r"no test chip lies on away\.tif"):
        evaluate(maps, labels, chips=chips)


def test_a_map_of_whole_chips_without_class_names_is_refused(chips: ChipSet, tmp_path: Path) -> None:
    """As conversion by another tool leaves it, which keeps the tags and drops the names."""
    write_geotiff(
        tmp_path / "map.tif",
        np.ones((1, 8, 8), np.uint8),
        GRID.crop(Window(0, 0, 8, 8)),
        nodata=255,
        tags={KIND_TAG: CHIPS.name},
    )
    with pytest.raises(LabelError, match=r"map\.tif: names no classes"):
        evaluate(tmp_path / "map.tif", chips.path.parent / "truth.gpkg")
