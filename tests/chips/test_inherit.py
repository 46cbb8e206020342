"""Chips cut anew on the held-out ground of another chip set."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS, Transformer

from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.sampling import Sampling
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.errors import ConfigError
from tests.making import square, write_geotiff, write_polygons

GRID = PixelGrid(CRS.from_epsg(32633), Affine.translation(500_000, 5_000_000) @ Affine.scale(2, -2), 384, 384)
# the same ground, seen from the next zone
_X, _Y = Transformer.from_crs(32633, 32632, always_xy=True).transform(500_000, 5_000_000)
OTHER = PixelGrid(
    CRS.from_epsg(32632), Affine.translation(_X - 300, _Y + 300) @ Affine.scale(3, -3), 500, 500
)


def squares(path: Path, offset: int) -> Path:
    boxes = np.array(
        [
            shapely.box(c + offset, r + offset, c + offset + 12, r + offset + 12)
            for r in range(0, 384, 24)
            for c in range(0, 384, 24)
        ],
        dtype=object,
    )
    assert GRID.crs is not None
    return write_polygons(
        path,
        GRID.geometries_to_map(boxes).tolist(),
        crs=GRID.crs.to_wkt(),
        class_name=["wood"] * len(boxes),
    )


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> ChipSet:
    folder = tmp_path_factory.mktemp("old")
    rng = np.random.default_rng(0)
    for name, grid in (("scene", GRID), ("other", OTHER)):
        write_geotiff(
            folder / f"{name}.tif", rng.integers(1, 200, (1, grid.height, grid.width)).astype(np.uint8), grid
        )
    return tile(
        [folder / "scene.tif"],
        squares(folder / "old.gpkg", 2),
        out=folder / "chips",
        size_px=32,
        seed=4,
        split=Split((0.5, 0.2, 0.3), guard_px=0),
    )


def covered(chips: ChipSet, splits: tuple[str, ...]) -> np.ndarray:
    mask = np.zeros((384, 384), bool)
    for name in splits:
        for record in chips.split(name):
            mask[record.window.slices] = True
    return mask


def test_the_same_chips_get_the_same_splits_whatever_the_new_labels(old: ChipSet, tmp_path: Path) -> None:
    new = tile(
        [old.scenes[0]],
        squares(tmp_path / "new.gpkg", 7),
        out=tmp_path / "chips",
        size_px=32,
        seed=99,
        split=Split(like=old.path),
    )
    was = {r.window: r.split for r in old.records if r.keep and r.split != "none"}
    now = {r.window: r.split for r in new.records}
    assert {window: now[window] for window in was} == was
    assert sum(new.shared_ground.values()) == 0


@pytest.mark.parametrize(("size_px", "overlap_px"), [(24, 0), (48, 16), (40, 7)])
def test_nothing_is_learned_from_what_was_held_out(
    old: ChipSet, tmp_path: Path, size_px: int, overlap_px: int
) -> None:
    """Other chip sizes do not fit the old ones: what lies across is left out, never learned from."""
    new = tile(
        [old.scenes[0]],
        squares(tmp_path / "new.gpkg", 7),
        out=tmp_path / "chips",
        size_px=size_px,
        split=Split(like=old.path),
        sampling=Sampling(overlap_px=overlap_px),
    )
    assert not (covered(new, ("train",)) & covered(old, ("val", "test"))).any()
    assert not (covered(new, ("test",)) & covered(old, ("val",))).any()
    assert not (covered(new, ("val",)) & covered(old, ("test",))).any()
    assert new.split("test")


def test_the_ground_counts_even_in_another_scene_with_another_crs(old: ChipSet, tmp_path: Path) -> None:
    scene = old.path.parent / "other.tif"
    new = tile(
        [scene],
        squares(tmp_path / "new.gpkg", 2),
        out=tmp_path / "chips",
        size_px=32,
        split=Split(like=old.path),
        sampling=Sampling(min_valid=0.0),
    )
    held = [shapely.box(*r.window.box) for name in ("val", "test") for r in old.split(name)]
    assert OTHER.crs is not None
    frame = geopandas.GeoSeries(
        list(GRID.geometries_to_map(np.array(held, dtype=object))), crs=GRID.crs.to_wkt()
    ).to_crs(OTHER.crs.to_wkt())
    ground = shapely.union_all(frame.to_numpy())
    for record in new.split("train"):
        outline = OTHER.geometries_to_map(np.array([shapely.box(*record.window.box)], dtype=object))[0]
        assert shapely.intersection(outline, ground).area < 0.5


def test_what_cannot_be_is_refused(old: ChipSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give one of them"):
        tile(
            [old.scenes[0]],
            squares(tmp_path / "n.gpkg", 2),
            out=tmp_path / "a",
            size_px=32,
            split=Split(folds=3, like=old.path),
        )
    away = PixelGrid(GRID.crs, Affine.translation(700_000, 5_000_000) @ Affine.scale(2, -2), 64, 64)
    write_geotiff(tmp_path / "away.tif", np.ones((1, 64, 64), np.uint8), away)
    assert GRID.crs is not None
    far = square(5, 5, 15, away.transform)
    write_polygons(tmp_path / "far.gpkg", [far], crs=GRID.crs.to_wkt(), class_name=["wood"])
    with pytest.raises(ConfigError, match=r"no chip of the new set is val or test on its ground"):
        tile(
            [tmp_path / "away.tif"],
            tmp_path / "far.gpkg",
            out=tmp_path / "b",
            size_px=32,
            split=Split(like=old.path),
        )
