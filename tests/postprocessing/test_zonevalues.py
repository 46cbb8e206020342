from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eo_dl.core.classes import ClassSet
from eo_dl.core.valueinfo import ValueInfo
from eo_dl.errors import ConfigError
from eo_dl.io.outputtags import KIND_TAG, VALUES_TAG, values_tag
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.scene import open_scene
from eo_dl.postprocessing.zonesummary import SummaryOptions, summary
from tests.making import noise, square, write_polygons, write_raster

HEIGHTS = (3000 + np.random.default_rng(0).normal(0, 0.1, (40, 50))).astype(np.float32)


@pytest.fixture
def heights(tmp_path: Path) -> Path:
    """A map of values with an interval band and a hole."""
    scene = open_scene(write_raster(tmp_path / "scene.tif", noise(1, 40, 50)))
    planes = np.stack([HEIGHTS, HEIGHTS - 1])
    planes[:, :5, :5] = np.nan
    classes = ClassSet.of_values({"height": ValueInfo("m")})
    tags = {KIND_TAG: "values", VALUES_TAG: values_tag(classes)}
    with RasterWriter(
        tmp_path / "height.tif",
        scene.grid,
        dtype="float32",
        count=2,
        nodata=float("nan"),
        descriptions=["height", "height low"],
        tags=tags,
        units=["m", "m"],
    ) as writer:
        writer.write(0, planes)
    return tmp_path / "height.tif"


def test_each_zone_gets_the_numbers_of_its_pixels(tmp_path: Path, heights: Path) -> None:
    zones = write_polygons(
        tmp_path / "zones.gpkg",
        [square(0, 0, 10), square(20, 10, 12), square(25, 15, 12), square(0, 0, 5)],
        plot=["a", "b", "c", "d"],
    )
    found = summary(heights, zones=zones, out=tmp_path / "out.csv", options=SummaryOptions(by="plot"))
    table = pd.read_csv(found.path).set_index("zone")
    whole = HEIGHTS.astype(np.float64)
    whole[:5, :5] = np.nan
    for name, part in (("a", whole[:10, :10]), ("b", whole[10:22, 20:32]), ("c", whole[15:27, 25:37])):
        row = table.loc[name]
        assert row["height_mean"] == pytest.approx(np.nanmean(part), abs=1e-5)
        assert row["height_std"] == pytest.approx(np.nanstd(part), abs=1e-4)
        assert row["height_min"] == pytest.approx(np.nanmin(part), abs=1e-5)
        assert row["height_low_max"] == pytest.approx(np.nanmax(part) - 1, abs=1e-3)
    assert table.loc["a", "measured_m2"] == pytest.approx(75, rel=0.01)
    assert table["height_mean"].isna().tolist() == [False, False, False, True]
    assert found.notes == ("1 zones have no pixel with a number in them",)


def test_what_is_about_classes_is_refused(tmp_path: Path, heights: Path) -> None:
    zones = write_polygons(tmp_path / "zones.gpkg", [square(0, 0, 10)])
    options = SummaryOptions(means=[heights])
    with pytest.raises(ConfigError, match=r"is a map of values.*leave `means` out"):
        summary(heights, zones=zones, out=tmp_path / "out.gpkg", options=options)
