"""`assess`: answers give back the truth of a map, and what is missing is said."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pytest
import shapely
from affine import Affine
from pyproj import CRS

from eo_dl.core.classes import ClassSet
from eo_dl.core.pixelareas import PixelAreas
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.errors import InputError, LabelError
from eo_dl.evaluation.design.assess import assess
from eo_dl.evaluation.design.assessment import number_text
from eo_dl.evaluation.design.sample import sample
from eo_dl.evaluation.design.sampledesign import SampleDesign
from eo_dl.evaluation.design.samplefile import read_sample
from eo_dl.io.outputtags import GRID_TAG, grid_tag
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.vectorlayers import write_layer
from eo_dl_cli.main import run
from tests.making import CRS as UTM
from tests.making import NORTH_UP, answer

Ids = npt.NDArray[np.uint8]

CLASSES = ClassSet.of_names(["forest", "loss"], background=True)
NAMES = np.array(["background", "forest", "loss"], dtype=object)


def _write_map(path: Path, ids: Ids, crs: str = UTM, transform: Affine = NORTH_UP) -> Path:
    grid = PixelGrid(CRS(crs), transform, *ids.shape)
    with RasterWriter(path, grid, nodata=255, classes=CLASSES) as writer:
        writer.write(0, ids)
    return path


def _truth_and_map(height: int = 120, width: int = 150) -> tuple[Ids, Ids]:
    """What is there, and a map of it that errs in a tenth of the pixels."""
    rng = np.random.default_rng(4)
    truth = np.zeros((height, width), np.uint8)
    truth[: height // 2] = 1
    truth[height // 2 : height // 2 + 10] = 2
    wrong = rng.random(truth.shape) < 0.1
    mapped = np.where(wrong, rng.integers(0, 3, truth.shape), truth).astype(np.uint8)
    return truth, mapped


def _answer_truly(path: Path, truth: Ids) -> npt.NDArray[np.object_]:
    found = read_sample(path)
    answers = NAMES[truth[found.row, found.col]]
    answer(path, reference=answers)
    return answers


@pytest.fixture(name="answered")
def answered_sample(tmp_path: Path) -> tuple[Path, Path]:
    """A map and its sample of 240 units, all answered."""
    truth, mapped = _truth_and_map()
    map_file = _write_map(tmp_path / "map.tif", mapped)
    sample(map_file, out=tmp_path / "s.gpkg", design=SampleDesign(count=240))
    _answer_truly(tmp_path / "s.gpkg", truth)
    return map_file, tmp_path / "s.gpkg"


@pytest.mark.parametrize("method", ["stratified", "simple", "systematic"])
def test_answers_give_back_the_truth(tmp_path: Path, method: str) -> None:
    truth, mapped = _truth_and_map()
    map_file = _write_map(tmp_path / "map.tif", mapped)
    sample(map_file, out=tmp_path / "s.gpkg", design=SampleDesign(count=900, method=method))  # type: ignore[arg-type]
    _answer_truly(tmp_path / "s.gpkg", truth)
    result = assess(tmp_path / "s.gpkg")
    assert result.complete
    estimates = result.estimates
    assert estimates.overall.value == pytest.approx((truth == mapped).mean(), abs=0.03)
    assert estimates.overall.half_width == pytest.approx(1.96 * np.sqrt(0.07 * 0.93 / 900), rel=0.3)
    for index, area in enumerate(result.areas):
        assert abs(area.value - (truth == index).sum()) <= 2 * area.half_width
        assert result.mapped_areas[index] == pytest.approx((mapped == index).sum(), rel=0.01)
    shares = estimates.shares
    assert shares.sum() == pytest.approx(1)
    assert shares.sum(axis=1) == pytest.approx([(mapped == k).mean() for k in range(3)], abs=1e-9)
    afterwards = any("poststratification" in note for note in result.notes)
    assert afterwards == (method != "stratified")


def test_a_map_in_degrees_is_estimated_on_the_ground(tmp_path: Path) -> None:
    """Half the rows of a grid from the equator to 80 degrees north are forest, on a quarter of the ground."""
    ids = np.zeros((160, 40), np.uint8)
    ids[:80] = 1
    transform = Affine(0.5, 0, 0, 0, -0.5, 80)
    map_file = _write_map(tmp_path / "map.tif", ids, "EPSG:4326", transform)
    ground = PixelAreas(PixelGrid(CRS("EPSG:4326"), transform, 160, 40)).of(
        PixelGrid(None, Affine.identity(), 160, 40).window
    )
    # the map knows nothing: the stratum is the whole map, and forest is what the interpreter sees
    flat = _write_map(tmp_path / "flat.tif", np.zeros_like(ids), "EPSG:4326", transform)
    expected = ground[:80].sum() / ground.sum()
    inside, values = [], []
    for seed in range(16):
        out = tmp_path / f"s{seed}.gpkg"
        sample(flat, out=out, design=SampleDesign(count=80, method="simple"), seed=seed)
        _answer_truly(out, ids)
        share = assess(out, map_file).estimates.area_shares[1]
        values.append(share.value)
        inside.append(abs(share.value - expected) <= share.half_width)
    assert expected == pytest.approx(0.36, abs=0.05)
    assert np.mean(values) == pytest.approx(expected, abs=0.03)
    assert np.mean(inside) >= 0.8


def test_another_map_is_assessed_with_the_same_answers(answered: tuple[Path, Path], tmp_path: Path) -> None:
    truth, _ = _truth_and_map()
    perfect = _write_map(tmp_path / "perfect.tif", truth)
    result = assess(answered[1], perfect)
    assert result.estimates.overall.value == pytest.approx(1)
    assert result.mapped_areas == ()
    assert any("was drawn of map.tif as it was then" in note for note in result.notes)
    assert any("no error was found in the sample" in note for note in result.notes)
    shifted = _write_map(
        tmp_path / "shifted.tif", truth[:, 20:], transform=NORTH_UP @ Affine.translation(20, 0)
    )
    partial = assess(answered[1], shifted)
    assert "(no class on the map)" in partial.classes.names, "units beside the other map"
    assert partial.estimates.overall.value == pytest.approx(1 - 20 / 150, abs=0.06)


def test_a_partly_done_sample_says_what_is_missing(answered: tuple[Path, Path]) -> None:
    path = answered[1]
    found = read_sample(path)
    texts = found.answers["reference"].copy()
    texts[100:] = None
    texts[:5] = "not interpretable"
    answer(path, reference=texts)
    result = assess(path)
    assert not result.complete
    assert result.answered == 95
    assert sum(one.open for one in result.progress) == 140
    assert any(note.startswith("140 of 240 units are still open") for note in result.notes)
    assert any("5 units (2.1%) could not be interpreted" in note for note in result.notes)
    loss = found.stratum == 2
    texts[loss] = None
    answer(path, reference=texts)
    result = assess(path)
    assert result.estimates is None
    assert any("no estimates yet: loss has no answered unit" in note for note in result.notes)
    answer(path, reference=[None] * 240)
    with pytest.raises(InputError, match="none of its 240 units has an answer yet"):
        assess(path)


def test_two_interpreters_are_compared_and_what_they_agreed_on_counts(answered: tuple[Path, Path]) -> None:
    path = answered[1]
    first = read_sample(path).answers["reference"]
    second, agreed = first.copy(), np.full(len(first), None, dtype=object)
    second[60:] = None
    second[:10] = np.where(first[:10] == "forest", "loss", "forest")
    before = assess(path).estimates.overall.value
    answer(path, reference_2=second, agreed=agreed)
    result = assess(path)
    assert result.agreement.units == 60
    assert result.agreement.raw == pytest.approx(50 / 60)
    assert result.estimates.overall.value == before, "the first interpreter counts"
    assert any("10 units with two answers that differ" in note for note in result.notes)
    agreed[:10] = second[:10]
    answer(path, reference_2=second, agreed=agreed)
    settled = assess(path)
    assert settled.estimates.overall.value < before
    assert not any("two answers that differ" in note for note in settled.notes)


def test_answers_that_are_no_choice_are_named(answered: tuple[Path, Path]) -> None:
    path = answered[1]
    texts = read_sample(path).answers["reference"].copy()
    texts[3] = "Forrest"
    answer(path, reference=texts)
    with pytest.raises(LabelError, match="unit 4 has the answer 'Forrest' in 'reference', which is none of"):
        assess(path)


def test_units_that_were_added_or_deleted(answered: tuple[Path, Path]) -> None:
    path = answered[1]
    units = gpd.read_file(path, layer="sample")
    units.iloc[:230].to_file(path, layer="sample")
    result = assess(path)
    assert any("10 of 240 units were deleted" in note for note in result.notes)
    assert sum(one.open for one in result.progress) == 10
    more = units.copy()
    more.loc[0, "unit"] = 999
    more.to_file(path, layer="sample")
    with pytest.raises(LabelError, match="1 units were added by hand"):
        assess(path)


def test_the_report_holds_the_same_numbers(
    answered: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    assert run(["assess", str(answered[1]), "--map", str(answered[0]), "-o", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    written = json.loads((out / "assessment.json").read_text())
    assert printed == written
    assert written["classes"][1]["area"]["value"] > 0
    assert sum(map(sum, written["error_matrix"]["area_shares"])) == pytest.approx(1)
    page = (out / "assessment.html").read_text()
    assert "overall accuracy" in page and "forest" in page and (out / "areas.png").stat().st_size > 5000
    assert run(["assess", str(answered[1])]) == 0
    text = capsys.readouterr().out
    assert "map \\ reference" in text and "producer's accuracy" in text
    assert run(["assess", str(answered[1]), "-o", str(out)]) == 2, "is not overwritten"


def test_the_number_of_objects_covers_the_truth(tmp_path: Path) -> None:
    """Maps that miss a fifth of the trees and invent some: the interval holds the true number."""
    rng = np.random.default_rng(7)
    grid = PixelGrid(CRS(UTM), NORTH_UP, 400, 500)
    side = 25
    trees = rng.random((600, 2)) * [500, 400]
    found = np.concatenate([trees[rng.random(600) < 0.8], rng.random((40, 2)) * [500, 400]])
    boxes = shapely.box(found[:, 0] - 1, found[:, 1] - 1, found[:, 0] + 1, found[:, 1] + 1)
    frame = gpd.GeoDataFrame(
        {"class_name": ["tree"] * len(found), "score": [0.9] * len(found)},
        geometry=grid.geometries_to_map(np.asarray(boxes, dtype=object)),
        crs=UTM,
    )
    write_layer(tmp_path / "trees.gpkg", frame, metadata={GRID_TAG: grid_tag(grid), "scene": "scene.tif"})
    chips = np.zeros((16, 20), np.int64)
    np.add.at(chips, ((trees[:, 1] // side).astype(int), (trees[:, 0] // side).astype(int)), 1)
    inside = []
    for seed in range(12):
        out = tmp_path / f"s{seed}.gpkg"
        sample(tmp_path / "trees.gpkg", out=out, chip_px=side, design=SampleDesign(count=60), seed=seed)
        chosen = read_sample(out)
        counted = chips[chosen.row, chosen.col]
        answer(out, reference=counted)
        result = assess(out)
        inside.append(abs(result.number.value - 600) <= result.number.half_width)
        assert result.number.value == pytest.approx(600, rel=0.2)
        assert result.number.half_width < 120
    assert np.mean(inside) >= 0.85
    answer(out, reference=[-1, *counted[1:]])
    assert sum(one.not_interpretable for one in assess(out).progress) == 1
    (tmp_path / "trees.gpkg").rename(tmp_path / "moved.gpkg")
    with pytest.raises(InputError, match="is not there any more"):
        assess(out)
    answer(out, reference=[-5, *counted[1:]])
    with pytest.raises(LabelError, match="chip 1 has the answer '-5"):
        assess(out)


def test_numbers_have_the_digits_that_they_deserve() -> None:
    assert [number_text(value) for value in (21158.2, 3.14159, 0.01234, 0, 27.04)] == [
        "21 158",
        "3.14",
        "0.0123",
        "0",
        "27.0",
    ]
