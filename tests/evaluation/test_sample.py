"""`sample`: every unit has the inclusion probability that the file states, whatever the map."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pytest
import shapely
from affine import Affine
from pyproj import CRS, Geod

from eo_dl.core.classes import ClassSet
from eo_dl.core.pixelareas import PixelAreas
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.core.window import Window
from eo_dl.errors import ConfigError, InputError, LabelError, OutputExistsError
from eo_dl.evaluation.design.population import MapPopulation, most_frequent
from eo_dl.evaluation.design.sample import sample
from eo_dl.evaluation.design.sampledesign import SampleDesign
from eo_dl.evaluation.design.samplefile import read_sample
from eo_dl.evaluation.design.unitdraw import count_population, draw_random, draw_systematic
from eo_dl.io import classmap
from eo_dl.io.classmap import open_class_map
from eo_dl.io.outputtags import GRID_TAG, grid_tag
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.vectorlayers import read_metadata, read_styles, write_layer
from eo_dl_cli.main import run
from tests.making import CRS as UTM
from tests.making import NORTH_UP, rectangle, write_polygons

Ids = npt.NDArray[np.uint8]

CLASSES = ClassSet.of_names(["forest", "loss"], background=True)
HEIGHT, WIDTH = 90, 120


def _ids() -> Ids:
    """Half background, a third of forest, a little loss, some nodata."""
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[:30] = 1
    ids[30:33, :40] = 2
    ids[80:, :20] = 255
    return ids


def _write_map(
    path: Path, ids: Ids, crs: str | None = UTM, transform: Affine = NORTH_UP, classes: ClassSet = CLASSES
) -> Path:
    grid = PixelGrid(None if crs is None else CRS(crs), transform, *ids.shape)
    with RasterWriter(path, grid, nodata=255, classes=classes) as writer:
        writer.write(0, ids)
    return path


@pytest.fixture(name="map_file")
def map_of_three_classes(tmp_path: Path) -> Path:
    return _write_map(tmp_path / "map.tif", _ids())


def test_strata_sizes_classes_and_probabilities_are_those_of_the_map(map_file: Path, tmp_path: Path) -> None:
    drawn = sample(map_file, out=tmp_path / "s.gpkg", design=SampleDesign(count=60, at_least=10))
    found, ids = read_sample(tmp_path / "s.gpkg"), _ids()
    strata = drawn.design.strata
    assert [(one.name, one.units) for one in strata] == [
        ("background", int((ids == 0).sum())),
        ("forest", int((ids == 1).sum())),
        ("loss", 120),
    ]
    assert drawn.count == len(found.unit) == 60
    assert strata[2].drawn == 10
    of_units = ids[found.row, found.col]
    assert (of_units == np.array([strata[index].id for index in found.stratum])).all()
    assert len({*zip(found.row.tolist(), found.col.tolist(), strict=True)}) == 60, "without replacement"
    details = gpd.read_file(tmp_path / "s.gpkg", layer="design")
    expected = [strata[index].drawn / strata[index].units for index in found.stratum]
    assert details["inclusion_probability"].tolist() == pytest.approx(expected)
    assert any("200 units" in note for note in drawn.notes), "nodata is not part of the population"


def test_the_form_is_blind_and_offers_the_classes(map_file: Path, tmp_path: Path) -> None:
    sample(map_file, out=tmp_path / "s.gpkg", design=SampleDesign(count=40))
    units = gpd.read_file(tmp_path / "s.gpkg", layer="sample")
    assert list(units.columns) == ["unit", "reference", "reference_2", "agreed", "note", "geometry"]
    assert units["unit"].tolist() == list(range(1, 41))
    assert units["reference"].isna().all()
    form = read_styles(tmp_path / "s.gpkg")["sample"]
    for choice in ("background", "forest", "loss", "not interpretable"):
        assert f'value="{choice}"' in form
    strata = read_sample(tmp_path / "s.gpkg").stratum
    assert np.abs(np.diff(strata)).sum() > 10, "the order of the units does not tell the stratum"


def test_the_same_seed_draws_the_same_bytes_and_another_one_does_not(map_file: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        sample(map_file, out=tmp_path / f"{name}.gpkg", design=SampleDesign(count=40), seed=seed)
    places = [read_sample(tmp_path / f"{name}.gpkg").col.tolist() for name in "abc"]
    assert places[0] == places[1] != places[2]
    with pytest.raises(OutputExistsError):
        sample(map_file, out=tmp_path / "a.gpkg")


def test_every_unit_of_a_stratum_is_drawn_equally_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classmap, "_STRIP_PIXELS", 40)  # several strips
    ids = np.array([[0, 1, 1, 0, 2, 255], [1, 1, 0, 0, 0, 2], [0, 0, 1, 255, 2, 2]], np.uint8)
    population = MapPopulation(open_class_map(_write_map(tmp_path / "m.tif", ids)))
    counts = count_population(population, lambda *_: None)
    wanted = {0: 3, 1: 2, 2: 1}
    times = np.zeros(ids.shape)
    draws = 400
    for seed in range(draws):
        units = draw_random(population, counts, wanted, seed=seed, on_progress=lambda *_: None)
        times[units.row, units.col] += 1
    for stratum, number in wanted.items():
        expected = number / (ids == stratum).sum()
        assert times[ids == stratum] / draws == pytest.approx(expected, abs=0.09)
    assert times[ids == 255].sum() == 0


def test_a_lattice_covers_the_map_evenly(map_file: Path) -> None:
    population = MapPopulation(open_class_map(map_file), whole=True)
    counts = count_population(population, lambda *_: None)
    sizes = []
    for seed in range(20):
        units = draw_systematic(population, counts, 100, seed=seed, on_progress=lambda *_: None)
        sizes.append(len(units))
        steps = np.diff(np.unique(units.row))
        assert set(steps.tolist()) <= {10, 11}, "rows of the lattice are sqrt(units / 100) apart"
    assert 95 <= np.mean(sizes) <= 105
    assert len(set(sizes)) > 1, "the start is random"


def test_memory_does_not_grow_with_the_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.tile(np.arange(3, dtype=np.uint8), (3000, 500))
    path = _write_map(tmp_path / "large.tif", ids)
    monkeypatch.setattr(classmap, "_STRIP_PIXELS", 50_000)
    population = MapPopulation(open_class_map(path))
    tracemalloc.start()
    counts = count_population(population, lambda *_: None)
    draw_random(population, counts, {0: 50, 1: 50, 2: 50}, seed=0, on_progress=lambda *_: None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # a strip is 512 rows of blocks; its areas and ids are 9 bytes a pixel, and their counting copies some
    assert counts.units.sum() == ids.size
    assert peak < 512 * 1500 * 60 < ids.size * 20


def test_strata_may_be_polygons(map_file: Path, tmp_path: Path) -> None:
    zones = write_polygons(
        tmp_path / "zones.gpkg", [rectangle(0, 0, 60, 90), rectangle(60, 0, 90, 90)], zone=["west", "middle"]
    )
    drawn = sample(map_file, out=tmp_path / "s.gpkg", strata=zones, design=SampleDesign(count=30))
    assert [(one.name, one.units) for one in drawn.design.strata] == [
        ("elsewhere", 30 * 90),
        ("middle", 30 * 90),
        ("west", 60 * 90 - 200),
    ]
    assert drawn.design.strata_from == "zones.gpkg"


def test_an_aoi_limits_the_population(map_file: Path, tmp_path: Path) -> None:
    area = write_polygons(tmp_path / "aoi.gpkg", [rectangle(10, 10, 50, 40)])
    drawn = sample(map_file, out=tmp_path / "s.gpkg", aoi=area, design=SampleDesign(count=60))
    found = read_sample(tmp_path / "s.gpkg")
    assert sum(one.units for one in drawn.design.strata) == 40 * 30
    assert found.col.min() >= 10 and found.col.max() < 50 and found.row.max() < 40


def test_chips_have_the_class_that_covers_most() -> None:
    ids = np.array([[1, 1, 2, 2, 9], [1, 2, 255, 255, 255], [255, 255, 3, 3, 3]], np.uint8)
    assert most_frequent(ids, 2).tolist() == [[1, 2, 9], [255, 3, 3]]
    assert (most_frequent(ids, 1) == ids).all()


def test_chips_at_the_edge_have_the_area_that_they_have(map_file: Path, tmp_path: Path) -> None:
    drawn = sample(map_file, out=tmp_path / "s.gpkg", chip_px=32, design=SampleDesign(count=12, at_least=2))
    total = sum(one.area for one in drawn.design.strata)
    pixel = PixelAreas(open_class_map(map_file).grid).mean
    assert total == pytest.approx((HEIGHT * WIDTH - 200) * pixel)
    chips = gpd.read_file(tmp_path / "s.gpkg", layer="sample")
    assert set(chips.geom_type) == {"Polygon"}


def test_areas_of_a_grid_in_degrees_are_those_on_the_ground() -> None:
    grid = PixelGrid(CRS("EPSG:4326"), Affine(0.1, 0, 10, 0, -0.1, 70), 600, 50)
    areas = PixelAreas(grid)
    assert not areas.equal
    found = areas.of(Window(7, 100, 20, 400))
    geod = Geod(ellps="WGS84")
    for row in (0, 57, 399):
        north = 70 - 0.1 * (100 + row)
        exact = abs(geod.geometry_area_perimeter(shapely.box(10.7, north - 0.1, 10.8, north))[0])
        assert found[row] == pytest.approx(exact, rel=5e-4)
    assert PixelAreas(PixelGrid(CRS(UTM), NORTH_UP, 500, 500)).equal


def test_an_area_is_wanted_with_a_standard_error(map_file: Path, tmp_path: Path) -> None:
    design = SampleDesign(
        allocation="area",
        accuracies={"background": 0.95, "forest": 0.9, "loss": 0.7},
        area_of="loss",
        area_error=0.004,
    )
    drawn = sample(map_file, out=tmp_path / "s.gpkg", design=design)
    shares = np.array([0.025, 0.05, 0.7])
    weights = np.array([one.area / drawn.design.area for one in drawn.design.strata])
    error = np.sqrt(
        (weights**2 * shares * (1 - shares) / np.array([one.drawn for one in drawn.design.strata])).sum()
    )
    assert error * drawn.design.area / 1e4 == pytest.approx(0.004, rel=0.03)


def _objects(path: Path, grid: PixelGrid, centres: list[tuple[float, float]]) -> Path:
    boxes = [shapely.box(col - 2, row - 2, col + 2, row + 2) for col, row in centres]
    frame = gpd.GeoDataFrame(
        {"class_name": ["tree"] * len(boxes), "score": [0.9] * len(boxes)},
        geometry=grid.geometries_to_map(np.array(boxes, dtype=object)),
        crs=UTM,
    )
    write_layer(path, frame, metadata={GRID_TAG: grid_tag(grid), "scene": "scene.tif"})
    return path


def test_objects_are_sampled_in_chips_with_and_without_them(tmp_path: Path) -> None:
    grid = PixelGrid(CRS(UTM), NORTH_UP, 100, 150)
    trees = _objects(tmp_path / "trees.gpkg", grid, [(10, 10), (12, 30), (60, 60), (149, 99)])
    drawn = sample(trees, out=tmp_path / "s.gpkg", chip_px=25, design=SampleDesign(count=12, at_least=3))
    assert [(one.name, one.units) for one in drawn.design.strata] == [
        ("chips without objects", 20),
        ("chips with objects", 4),
    ]
    assert drawn.design.objects == 4
    assert drawn.design.kind == "objects"
    with pytest.raises(ConfigError, match="counted in chips; give their side with `chip_px`"):
        sample(trees, out=tmp_path / "t.gpkg")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "at least 1 unit"),
        ({"allocation": "neyman"}, "needs `accuracies`"),
        ({"allocation": "area", "accuracies": {"a": 0.5}}, "needs `area_of` and `area_error`"),
        ({"area_of": "forest"}, "belong to the allocation 'area'"),
        ({"method": "simple", "allocation": "equal"}, "a simple sample has no strata"),
        ({"at_least": 1}, "needs 2 units for a standard error"),
        ({"accuracies": {"a": 1.5}}, "a must lie in 0 to 1"),
        ({"method": "random"}, "expected stratified or simple or systematic"),
    ],
)
def test_designs_without_a_sample_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SampleDesign(**options)  # type: ignore[arg-type]


def test_what_does_not_fit_the_map_is_refused(map_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.gpkg"
    with pytest.raises(ConfigError, match="20000 units are more than the 10600"):
        sample(map_file, out=out, design=SampleDesign(count=20_000))
    with pytest.raises(ConfigError, match="'wood' is no stratum; they are background, forest, loss"):
        sample(map_file, out=out, design=SampleDesign(allocation="neyman", accuracies={"wood": 0.9}))
    with pytest.raises(ConfigError, match="forest, loss has none"):
        sample(map_file, out=out, design=SampleDesign(allocation="neyman", accuracies={"background": 0.9}))
    with pytest.raises(ConfigError, match="name it NAME"):
        sample(map_file, out=tmp_path / "s.geojson")
    with pytest.raises(InputError, match="does not exist"):
        sample(tmp_path / "no.tif", out=out)
    assert not out.exists()


def test_other_files_are_no_samples(map_file: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="expected a sample that `sample` drew"):
        read_sample(map_file)
    sample(map_file, out=tmp_path / "s.gpkg", design=SampleDesign(count=40))
    assert '"seed":0' in read_metadata(tmp_path / "s.gpkg", "sample")["eo_dl_sample"]


def test_the_command_lists_the_strata(
    map_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "s.gpkg"
    expected = "background=0.9,forest=0.9,loss=0.5"
    words = [
        "sample",
        str(map_file),
        "-o",
        str(out),
        "-n",
        "50",
        "--allocation",
        "neyman",
        "--expect",
        expected,
    ]
    assert run(words) == 0
    text = capsys.readouterr().out
    assert "forest" in text and "share of area" in text
    assert f"then `eo-dl assess {out}`" in text
    assert run([*words[:6], "--expect", "forest", "--overwrite"]) == 2
    assert "is not NAME=NUMBER" in capsys.readouterr().err
