"""Changes of datum that PROJ can only make roughly, on published coordinates of one mark."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from pyproj import CRS, Transformer
from rasterio.transform import from_origin

from eo_dl.chips.chipset import open_chip_set
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.datumshift import rough_shift
from eo_dl.errors import LabelError
from eo_dl.io.scene import open_scene
from eo_dl.labels.coverage import match_labels
from eo_dl.labels.labeloptions import LabelOptions
from eo_dl.labels.reading import labels_of
from tests.making import noise, write_raster

# Test point TP01 of Ordnance Survey's OSTN15: ETRS89 longitude and latitude, and easting and northing of
# OSGB36.
LON, LAT = -6.29977752014, 49.92226393730
EASTING, NORTHING = 91492.146, 11318.804
NEAR = (LON - 0.1, LAT - 0.1, LON + 0.1, LAT + 0.1)


@pytest.fixture
def rough() -> None:
    """These tests are about a PROJ without the grid of OSTN15."""
    if rough_shift(CRS("EPSG:27700"), CRS("EPSG:25829"), NEAR) is None:
        pytest.skip("PROJ has the grid file of OSTN15 here")


@pytest.mark.parametrize(
    ("source", "target", "area"),
    [
        ("EPSG:4326", "EPSG:25832", (8, 50, 9, 51)),
        ("EPSG:32632", "EPSG:3857", (8, 50, 9, 51)),
        ("EPSG:4326", "EPSG:26917", (-81, 40, -80, 41)),
        ("EPSG:32632", "EPSG:32633", (8, 50, 9, 51)),
        ("EPSG:4326", "EPSG:28992", (5, 52, 5.1, 52.1)),
    ],
)
def test_usual_pairs_have_their_best_way(source: str, target: str, area: tuple[float, ...]) -> None:
    assert rough_shift(CRS(source), CRS(target), area) is None  # type: ignore[arg-type]


@pytest.mark.usefixtures("rough")
def test_a_datum_left_unchanged_is_named_with_its_grid_file() -> None:
    shift = rough_shift(CRS("EPSG:27700"), CRS("EPSG:25829"), NEAR)
    assert shift is not None and shift.accuracy_m is None and not shift.within(1000)
    said = shift.describe(CRS("EPSG:27700"), CRS("EPSG:25829"), 0.25)
    assert "uk_os_OSTN15" in said and "projsync" in said


@pytest.mark.usefixtures("rough")
def test_labels_of_the_british_grid_are_refused_or_accepted(tmp_path: Path) -> None:
    x, y = Transformer.from_crs("EPSG:4258", "EPSG:25829", always_xy=True).transform(LON, LAT)
    path = write_raster(
        tmp_path / "uk.tif",
        noise(1, 64, 64),
        crs="EPSG:25829",
        transform=from_origin(x - 8, y + 8, 0.25, 0.25),
    )
    box = shapely.box(EASTING - 5, NORTHING - 5, EASTING + 5, NORTHING + 5)
    geopandas.GeoDataFrame({"class": ["roof"]}, geometry=[box], crs="EPSG:27700").to_file(tmp_path / "l.gpkg")
    scene = open_scene(path)
    with pytest.raises(LabelError, match=r"projsync.*`accept_shift_m`"):
        match_labels(labels_of(tmp_path / "l.gpkg", LabelOptions()), [scene])
    accepted = labels_of(tmp_path / "l.gpkg", LabelOptions(accept_shift_m=10))
    notes = match_labels(accepted, [scene]).labels.notes
    assert any("accepted by `accept_shift_m`" in note for note in notes)
    made = tile([scene], accepted, out=tmp_path / "chips", size_px=16, split=Split((1, 0, 0)))
    again = open_chip_set(made.path)
    assert len(again.labels_of(0)) == 1, "training takes what tile accepted"
    mask = np.ones((40, 40), np.uint8)
    write_raster(
        tmp_path / "uk_mask.tif",
        mask,
        crs="EPSG:27700",
        transform=from_origin(EASTING - 10, NORTHING + 10, 0.5, 0.5),
    )
    with pytest.raises(LabelError, match="projsync") as refused:
        match_labels(labels_of(tmp_path / "uk_mask.tif", LabelOptions()), [scene])
    assert "accept_shift_m" not in str(refused.value), "label rasters have no such option"
