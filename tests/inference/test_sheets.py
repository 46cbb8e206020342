"""Sheets of one grid give the map of their mosaic; what is no sheet of one scene is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eo_dl.bundle import Bundle
from eo_dl.core.classes import ClassSet
from eo_dl.errors import InputError, OutputExistsError
from eo_dl.inference.predict import predict
from eo_dl.inference.shards import assemble_shards, predict_shard
from eo_dl.io.scene import SceneReader, open_scene
from eo_dl.io.sheets import sheets_as_scene, sheets_path
from eo_dl.io.vectorlayers import read_layer
from tests.making import NORTH_UP, write_raster

Make = Callable[..., Bundle]


def cut(
    folder: Path,
    pixels: npt.NDArray[np.uint8],
    cols: list[int],
    rows: list[int],
    nodata: float | None = None,
) -> list[Path]:
    """The sheets of a picture that is cut at some columns and rows."""
    paths = []
    for top, bottom in zip([0, *rows], [*rows, pixels.shape[0]], strict=True):
        for left, right in zip([0, *cols], [*cols, pixels.shape[1]], strict=True):
            path = folder / f"sheet_{top}_{left}.tif"
            transform = NORTH_UP @ Affine.translation(left, top)
            piece = pixels[top:bottom, left:right]
            write_raster(path, piece, transform=transform, names=["gray"], nodata=nodata)
            paths.append(path)
    return paths


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_pixels_and_mask_are_those_of_the_mosaic(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cols = data.draw(st.lists(st.integers(1, 39), unique=True, max_size=2))
    rows = data.draw(st.lists(st.integers(1, 29), unique=True, min_size=1, max_size=2))
    folder = tmp_path_factory.mktemp("sheets")
    pixels = np.random.default_rng(1).integers(0, 200, (30, 40)).astype(np.uint8)
    sheets = cut(folder, pixels, sorted(cols), sorted(rows), nodata=7)
    sheets = data.draw(st.permutations(sheets))
    whole = open_scene(write_raster(folder / "whole.tif", pixels, nodata=7, names=["gray"]))
    joined = sheets_as_scene([open_scene(path) for path in sheets], folder / "map.tif", overwrite=True)
    assert joined.grid == whole.grid and joined.bands.names == whole.bands.names
    with SceneReader(joined) as one, SceneReader(whole) as other:
        found, expected = one.read(whole.grid.window), other.read(whole.grid.window)
    assert np.array_equal(found.pixels[:, expected.valid], expected.pixels[:, expected.valid])
    assert np.array_equal(found.valid, expected.valid)


@pytest.fixture
def town(tmp_path: Path) -> tuple[list[Path], Path]:
    """Blobs of which sheet borders cut some: the sheets, and the mosaic."""
    pixels = np.zeros((70, 90), np.uint8)
    for row, col in ((5, 5), (28, 40), (45, 41), (31, 70), (60, 10)):
        pixels[row : row + 8, col : col + 9] = 1
    return cut(tmp_path, pixels, [45], [33]), write_raster(tmp_path / "whole.tif", pixels, names=["gray"])


@pytest.mark.parametrize(
    ("task", "engine", "suffix"),
    [
        ("segmentation", "echo", ".tif"),
        ("segmentation", "echo", ".gpkg"),
        ("detection", "blobs", ".gpkg"),
    ],
)
def test_the_map_of_sheets_is_that_of_their_mosaic(
    task: str,
    engine: str,
    suffix: str,
    tmp_path: Path,
    town: tuple[list[Path], Path],
    make_bundle: Make,
    use_engine: Callable,
    engines: dict,
) -> None:
    background = task == "segmentation"
    bundle = make_bundle(task, classes=ClassSet.of_names(["blob"], background=background), margin_px=12)
    use_engine(engines[engine], bundle)
    sheets, whole = town
    expected = predict(bundle, whole, out=tmp_path / f"whole_map{suffix}")
    found = predict(bundle, sheets, out=tmp_path / f"map{suffix}")
    assert found.path == tmp_path / f"map{suffix}" and not found.parts
    if suffix == ".tif":
        with rasterio.open(found.path) as one, rasterio.open(expected.path) as other:
            assert np.array_equal(one.read(), other.read()) and one.transform == other.transform
        return
    assert found.count == expected.count == 5  # those on the borders once, and whole
    one, other = read_layer(found.path), read_layer(expected.path)
    assert one.geometry.geom_equals(other.geometry).all()
    if task == "detection":  # one by one, the sheets give parts
        alone = predict(bundle, sheets, out=tmp_path / "alone")
        assert alone.count is not None and alone.count > 5


def test_shards_of_sheets_give_the_same_bytes(
    tmp_path: Path, town: tuple[list[Path], Path], make_bundle: Make, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle(classes=ClassSet.of_names(["blob"], background=True))
    use_engine(engines["echo"], bundle)
    once = predict(bundle, town[0], out=tmp_path / "map.tif").path.read_bytes()
    (tmp_path / "map.tif").unlink()
    for shard in ("1/2", "2/2"):
        predict_shard(bundle, town[0], shard=shard, out=tmp_path / "map.tif")
    assert assemble_shards(bundle, town[0], out=tmp_path / "map.tif").path.read_bytes() == once


def test_sheets_may_call_not_a_number_nodata(tmp_path: Path) -> None:
    """NaN is not equal to NaN, so both sheets have the same nodata value all the same."""
    heights = np.arange(400, dtype=np.float32).reshape(20, 20)
    heights[:3] = np.nan
    sheets = []
    for name, col in (("west", 0), ("east", 12)):
        place = NORTH_UP @ Affine.translation(col, 0)
        piece = heights[:, :12] if col == 0 else heights[:, 12:]
        path = write_raster(tmp_path / f"{name}.tif", piece, transform=place, nodata=np.nan)
        sheets.append(open_scene(path))
    joined = sheets_as_scene(sheets, tmp_path / "map.tif")
    with SceneReader(joined) as reader:
        found = reader.read(joined.grid.window)
    assert np.array_equal(found.valid, np.isfinite(heights))
    assert np.array_equal(found.pixels[0][found.valid], heights[found.valid])


def test_gaps_are_found_in_a_mosaic_of_any_size(tmp_path: Path) -> None:
    """Two small sheets at opposite corners of a rectangle of 3.6 billion pixels."""
    pixels = np.ones((10, 10), np.uint8)
    far = NORTH_UP @ Affine.translation(59_990, 59_990)
    sheets = [
        write_raster(tmp_path / "a.tif", pixels),
        write_raster(tmp_path / "b.tif", pixels, transform=far),
    ]
    with pytest.raises(InputError, match=f"leave {60_000**2 - 200} px of their rectangle uncovered"):
        sheets_as_scene([open_scene(path) for path in sheets], tmp_path / "map.tif")


def test_what_is_no_sheet_is_refused(tmp_path: Path) -> None:
    pixels = np.ones((10, 10), np.uint8)
    beside, apart = (NORTH_UP @ Affine.translation(cols, 0) for cols in (10, 20))
    out = tmp_path / "map.tif"
    first = open_scene(write_raster(tmp_path / "a.tif", pixels))

    def refusal(path: Path) -> str:
        with pytest.raises(InputError) as refused:
            sheets_as_scene([first, open_scene(path)], out)
        return str(refused.value)

    text = refusal(write_raster(tmp_path / "gap.tif", pixels, transform=apart))
    assert "leave 100 px of their rectangle uncovered" in text and "state `nodata`" in text
    other_zone = write_raster(tmp_path / "zone.tif", pixels, crs="EPSG:32632", transform=beside)
    assert "sheets of one scene have one CRS" in refusal(other_zone)
    assert "sheets of one scene have one CRS" in refusal(write_raster(tmp_path / "p.tif", pixels, crs=None))
    shifted = NORTH_UP @ Affine.translation(10.4, 0)
    assert "do not lie on the grid" in refusal(write_raster(tmp_path / "s.tif", pixels, transform=shifted))
    coarse = beside @ Affine.scale(2)
    assert "do not lie on the grid" in refusal(write_raster(tmp_path / "c.tif", pixels, transform=coarse))
    two = write_raster(tmp_path / "two.tif", np.stack([pixels, pixels]), transform=beside)
    assert "has other bands, data types" in refusal(two)
    sheets_path(out).write_text("something else")
    fitting = open_scene(write_raster(tmp_path / "b.tif", pixels, transform=beside))
    with pytest.raises(OutputExistsError):
        sheets_as_scene([first, fitting], out)
    assert sheets_as_scene([first, fitting], out, overwrite=True).grid.width == 20
