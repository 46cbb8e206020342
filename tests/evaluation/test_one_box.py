"""Predictions of one object a chip: CorLoc chip by chip, where the file says so and the chips are given."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS

from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.evaluation.evaluate import evaluate
from eo_dl.evaluation.page import page
from eo_dl.io.outputtags import grid_tag
from eo_dl.io.vectorlayers import write_layer
from eo_dl.labels.reading import read_labels
from tests.making import write_geotiff

GRID = PixelGrid(CRS.from_epsg(32633), Affine.translation(500_000, 5_000_000) @ Affine.scale(2, -2), 256, 256)
TAGS = {"one_object": "largest", "min_visible": "0.5", "grid": grid_tag(GRID), "scene": "scene.tif"}
CELLS = [(col, row) for row in range(0, 256, 32) for col in range(0, 256, 32)]


def _layer(path: Path, boxes: list[shapely.Geometry], metadata: dict[str, str] | None = None) -> Path:
    assert GRID.crs is not None
    columns = {"class_name": ["ship"] * len(boxes), "score": np.linspace(0.5, 0.9, len(boxes))}
    write_layer(
        path,
        geopandas.GeoDataFrame(
            columns, geometry=GRID.geometries_to_map(np.array(boxes, object)), crs=GRID.crs.to_wkt()
        ),
        metadata=metadata or {},
    )
    return path


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> ChipSet:
    """A ship of 12 px in every chip of 32 px but each third, where there is none."""
    folder = tmp_path_factory.mktemp("chips")
    rng = np.random.default_rng(0)
    write_geotiff(folder / "scene.tif", rng.integers(1, 200, (1, 256, 256)).astype(np.uint8), GRID)
    _layer(
        folder / "truth.gpkg",
        [shapely.box(c + 6, r + 8, c + 18, r + 20) for place, (c, r) in enumerate(CELLS) if place % 3],
    )
    return tile(
        [folder / "scene.tif"],
        read_labels(folder / "truth.gpkg"),
        out=folder / "set",
        size_px=32,
        seed=3,
        split=Split((0.4, 0.2, 0.4)),
    )


def _predicted(place: int, col: int, row: int) -> list[shapely.Geometry]:
    """Of each four: right, 3 px beside (IoU 0.6), 6 px beside (IoU 1/3), nothing."""
    shift = {0: 0, 1: 3, 2: 6}.get(place % 4)
    return [] if shift is None else [shapely.box(col + 6 + shift, row + 8, col + 18 + shift, row + 20)]


def test_corloc_is_counted_chip_by_chip(chips: ChipSet, tmp_path: Path) -> None:
    found = [box for place, (c, r) in enumerate(CELLS) for box in _predicted(place, c, r)]
    report = evaluate(
        _layer(tmp_path / "found.gpkg", found, TAGS), chips.path.parent / "truth.gpkg", chips=chips
    )
    places = [CELLS.index((record.window.col, record.window.row)) for record in chips.split("test")]
    with_ship = [place for place in places if place % 3]
    overlaps = [{0: 1.0, 1: 0.6, 2: 1 / 3, 3: 0.0}[place % 4] for place in with_ship]
    assert report.headline[0].name == "corloc"
    assert report.score("corloc").value == pytest.approx(np.mean(np.array(overlaps) >= 0.5))
    assert report.score("corloc").count == len(with_ship)
    assert report.score("mean_box_iou").value == pytest.approx(np.mean(overlaps), abs=1e-3)
    assert report.score("accuracy").value == pytest.approx(
        np.mean([(place % 4 != 3) == bool(place % 3) for place in places])
    )
    assert f"{len(places)} test chips are scored as a whole: one object or none" in report.notes
    assert "CorLoc" in page(report)


def test_other_objects_and_no_chips_are_scored_as_objects_alone(chips: ChipSet, tmp_path: Path) -> None:
    truth = chips.path.parent / "truth.gpkg"
    found = [shapely.box(c + 6, r + 8, c + 18, r + 20) for c, r in CELLS]
    plain = evaluate(
        _layer(tmp_path / "plain.gpkg", found, {key: TAGS[key] for key in ("grid", "scene")}),
        truth,
        chips=chips,
    )
    assert plain.headline[0].name == "ap50"
    without = evaluate(_layer(tmp_path / "one.gpkg", found, TAGS), truth)
    assert without.headline[0].name == "ap50"
    assert any("`chips`" in note for note in without.notes)


def test_the_strongest_of_several_counts_and_chips_with_several_objects_are_said(
    chips: ChipSet, tmp_path: Path
) -> None:
    """Two ships in every chip, of which the larger one is the chip's."""
    small, large = (
        [shapely.box(c + a, r + a, c + a + side, r + a + side) for c, r in CELLS]
        for a, side in ((2, 6), (14, 12))
    )
    truth = _layer(tmp_path / "truth.gpkg", small + large)
    # the later ones have the higher scores
    right = evaluate(_layer(tmp_path / "right.gpkg", small + large, TAGS), truth, chips=chips)
    wrong = evaluate(_layer(tmp_path / "wrong.gpkg", large + small, TAGS), truth, chips=chips)
    assert (right.score("corloc").value, wrong.score("corloc").value) == (1, 0)
    count = len(chips.split("test"))
    assert (
        f"{count} of the scored chips show several objects and count with their most visible object"
        in right.notes
    )
    open_rule = evaluate(
        _layer(tmp_path / "open.gpkg", large, TAGS | {"one_object": "ignore"}), truth, chips=chips
    )
    assert not open_rule.score("corloc").defined
