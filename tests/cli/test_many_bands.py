"""Scenes of many bands, and label files whose classes are not clear, on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely

from tests.making import CommandOutput, write_raster

Cli = Callable[..., CommandOutput]


@pytest.fixture(scope="module")
def spectrum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """224 bands of 12x10 px; 104 to 109 hold nodata alone, 150 one value, and 7 misses most pixels."""
    pixels = np.random.default_rng(3).integers(1, 900, (224, 12, 10)).astype(np.int16)
    pixels[103:109] = -9999
    pixels[149] = 5
    pixels[6, 2:] = -9999
    return write_raster(tmp_path_factory.mktemp("bands") / "flight.tif", pixels, nodata=-9999)


def test_ranges_of_bands_are_known(eo_dl_cli: Cli, spectrum: Path) -> None:
    said = eo_dl_cli("inspect", spectrum, "-b", "1-3, 220-224,red=9", "--json")
    assert [band["number"] for band in said.result["bands"]] == [1, 2, 3, 220, 221, 222, 223, 224, 9]
    assert said.result["bands"][-1]["name"] == "red"


@pytest.mark.parametrize("wrong", ["1-225", "0-3", "9-2", "1-3,nir", "1-999999999999", "red=1-3", "5,1-9"])
def test_a_wrong_band_is_one_short_line(eo_dl_cli: Cli, spectrum: Path, wrong: str) -> None:
    """It was one line of 6500 characters."""
    said = eo_dl_cli("inspect", spectrum, "-b", wrong)
    assert said.code == 2 and len(said.lines) == 1 and len(said.lines[0]) < 400, said.err


def test_statistics_are_those_of_each_band_and_name_dead_ones(eo_dl_cli: Cli, spectrum: Path) -> None:
    said = eo_dl_cli("inspect", spectrum, "--stats", "--json")
    bands = said.result["bands"]
    assert bands[0]["valid_share"] == 1 and bands[6]["valid_share"] == pytest.approx(1 / 6, abs=1e-4)
    assert (bands[103]["min"], bands[103]["max"], bands[103]["valid_share"]) == (None, None, 0)
    notes = [note for note in said.result["notes"] if "hold one value" in note]
    assert len(notes) == 1 and "bands band_104 to band_109, band_150 hold one value or none" in notes[0]
    (warning,) = [line for line in said.lines if line.startswith("warning: ")]
    assert "100% of its measured ground does not count" in warning and "--valid any" in warning
    assert "band_104 (100%)" in warning and len(warning) < 600


def test_dead_bands_are_left_out_on_request(eo_dl_cli: Cli, spectrum: Path) -> None:
    said = eo_dl_cli("inspect", spectrum, "--drop-dead-bands", "--valid", "any", "--json")
    assert len(said.result["bands"]) == 217
    assert any(
        "band_104 to band_109, band_150" in note and "are left out" in note for note in said.result["notes"]
    )


def test_tile_leaves_dead_bands_out_and_names_them_where_none_is_asked_for(
    eo_dl_cli: Cli, spectrum: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "l.gpkg"
    left, bottom, top = 500_000, 5_200_000 - 12, 5_200_000
    roof = shapely.box(left + 1, bottom + 1, left + 4, top - 2)
    geopandas.GeoDataFrame({"kind": ["roof"]}, geometry=[roof], crs="EPSG:32633").to_file(labels)
    options = ("--labels", labels, "--class-field", "kind", "--size", "8", "--split", "1,0,0")
    refused = eo_dl_cli("tile", spectrum, *options, "-o", tmp_path / "a")
    assert refused.code == 2 and "error: no chip has 50% valid pixels" in refused.lines[-1], refused.err
    assert "band_104 (100%)" in refused.lines[-1] and "--valid any" in refused.lines[-1]
    made = eo_dl_cli(
        "tile", spectrum, *options, "-o", tmp_path / "b", "--drop-dead-bands", "--valid", "200", "--json"
    )
    assert made.code == 0, made.err
    assert any("band_104 to band_109, band_150" in line and "left out" in line for line in made.lines)
    assert any("filled with the mean" in line and "band_7 (" in line for line in made.lines)


@pytest.fixture
def two_fields(tmp_path: Path) -> Path:
    """A layer with two fields that could be the class, one with numbers and one with 30 names."""
    path = tmp_path / "trees.gpkg"
    count = 60
    geopandas.GeoDataFrame(
        {
            "species": ["oak"] * 40 + ["fir"] * 19 + [None],
            "owner": ["city", "state"] * 30,
            "height": np.linspace(1, 20, count),
            "street": [f"road {number % 30}" for number in range(count)],
        },
        geometry=[shapely.box(col, 0, col + 1, 1) for col in range(count)],
        crs="EPSG:32633",
    ).to_file(path)
    return path


def test_fields_are_listed_with_their_values_where_the_class_is_not_clear(
    eo_dl_cli: Cli, two_fields: Path
) -> None:
    """It was refused, and so told nobody what to choose from."""
    said = eo_dl_cli("inspect", two_fields)
    assert said.code == 0, said.err
    assert any("several fields could be the class" in line for line in said.lines)
    assert "oak (40), fir (19); 1 without" in said.out and "city (30), state (30)" in said.out
    assert "and 22 more values" in said.out
    found = eo_dl_cli("inspect", two_fields, "--json").result
    assert found["kind"] == "layer" and found["features"] == 60
    street = next(field for field in found["fields"] if field["name"] == "street")
    assert street["different"] == 30 and len(street["values"]) == 8


def test_a_named_class_shows_classes_and_fields(eo_dl_cli: Cli, two_fields: Path) -> None:
    said = eo_dl_cli("inspect", two_fields, "--class-field", "owner", "--json")
    assert said.code == 0 and said.result["kind"] == "labels"
    assert said.result["classes"] == {"city": 30, "state": 30}
    assert {field["name"] for field in said.result["fields"]} == {"species", "owner", "height", "street"}
    wrong = eo_dl_cli("inspect", two_fields, "--class-field", "kind")
    assert wrong.code == 2 and len(wrong.lines) == 1
