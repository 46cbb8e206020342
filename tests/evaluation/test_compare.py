"""`compare`: a map is not ahead of itself, a planted improvement is found, and each pixel is on one side."""

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
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.errors import ConfigError, InputError
from eo_dl.evaluation.evaluate import evaluate
from eo_dl.evaluation.versus.comparemaps import compare
from eo_dl.io.classmap import open_class_map
from eo_dl.io.outputtags import GRID_TAG, grid_tag
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.vectorlayers import write_layer
from eo_dl.scores.score import Score
from eo_dl_cli.main import run
from tests.making import CRS as UTM
from tests.making import NORTH_UP, write_polygons

Ids = npt.NDArray[np.uint8]

CLASSES = ClassSet.of_names(["forest", "water"], background=True)
SIDE = 160
GRID = PixelGrid(CRS(UTM), NORTH_UP, SIDE, SIDE)


def _write_map(path: Path, ids: Ids, grid: PixelGrid = GRID, classes: ClassSet = CLASSES) -> Path:
    with RasterWriter(path, grid, nodata=255, classes=classes) as writer:
        writer.write(0, ids)
    return path


def _truth() -> Ids:
    ids = np.zeros((SIDE, SIDE), np.uint8)
    ids[20:90, 10:100] = 1
    ids[100:150, 60:150] = 2
    return ids


def _wrong(share: float, seed: int) -> Ids:
    """The truth with errors in a share of the pixels."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 3, (SIDE, SIDE)).astype(np.uint8)
    return np.where(rng.random((SIDE, SIDE)) < share, noise, _truth())


@pytest.fixture(name="truth", scope="module")
def truth_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shapes = [
        shapely.box(*NORTH_UP @ (10, 90), *NORTH_UP @ (100, 20)),
        shapely.box(*NORTH_UP @ (60, 150), *NORTH_UP @ (150, 100)),
    ]
    folder = tmp_path_factory.mktemp("compare")
    return write_polygons(folder / "truth.gpkg", shapes, class_name=["forest", "water"])


@pytest.fixture(name="maps", scope="module")
def two_maps(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A map that errs in a fifth of the pixels, and one that errs in a tenth."""
    folder = tmp_path_factory.mktemp("maps")
    return _write_map(folder / "old.tif", _wrong(0.2, 1)), _write_map(folder / "new.tif", _wrong(0.1, 2))


def _bounds(score: Score) -> list[float]:
    assert score.low is not None and score.high is not None
    return [score.low, score.high]


def test_a_map_is_not_ahead_of_itself(maps: tuple[Path, Path], truth: Path) -> None:
    report = compare(maps[0], maps[0], truth=truth)
    assert len(report.contrasts) > 10
    for one in report.contrasts:
        assert one.difference.value == 0
        assert (one.difference.low, one.difference.high) == (0, 0)
    assert report.counts["only the first is right"] == report.counts["only the second is right"] == 0
    assert "no difference at all" in report.verdict()


def test_a_planted_improvement_is_found(maps: tuple[Path, Path], truth: Path) -> None:
    report = compare(*maps, truth=truth)
    difference = report.difference("mean_iou")
    assert _bounds(difference)[0] > 0
    assert "the second is ahead" in report.verdict()
    turned = compare(maps[1], maps[0], truth=truth).difference("mean_iou")
    assert turned.value == pytest.approx(-difference.value)
    assert _bounds(turned) == pytest.approx([-bound for bound in reversed(_bounds(difference))])
    assert "the first is ahead" in compare(maps[1], maps[0], truth=truth).verdict()


def test_scores_are_those_of_evaluate(maps: tuple[Path, Path], truth: Path) -> None:
    report = compare(*maps, truth=truth)
    for index, path in enumerate(maps):
        scores = evaluate(path, truth).scores
        for score in scores:
            found = next(
                one
                for one in report.contrasts
                if (one.name, one.class_name) == (score.name, score.class_name)
            )
            side = (found.first, found.second)[index]
            assert side.value == pytest.approx(score.value)
            assert (side.low, side.high) == (score.low, score.high), "the same blocks"


def test_paired_intervals_are_narrower_than_two_apart(maps: tuple[Path, Path], truth: Path) -> None:
    """Both maps have the same additional errors on a part of the ground."""
    shared = _wrong(0.8, 3)
    first, second = _wrong(0.2, 1), _wrong(0.15, 1)
    first[:, :40] = second[:, :40] = shared[:, :40]
    folder = maps[0].parent
    report = compare(_write_map(folder / "a.tif", first), _write_map(folder / "b.tif", second), truth=truth)
    one = next(one for one in report.contrasts if one.name == "overall_accuracy")
    widths = [float(np.diff(_bounds(score))[0]) for score in (one.first, one.second, one.difference)]
    assert widths[2] < 0.4 * (widths[0] + widths[1])
    assert one.settled


def test_every_pixel_is_on_one_side_of_the_map_of_differences(
    maps: tuple[Path, Path], truth: Path, tmp_path: Path
) -> None:
    report = compare(*maps, truth=truth, out=tmp_path / "out")
    old, new, true = _wrong(0.2, 1), _wrong(0.1, 2), _truth()
    found = np.concatenate(
        [rows for _, rows in open_class_map(tmp_path / "out/differences.tif").row_strips()]
    )
    assert ((found == 1) == ((old == true) & (new == true))).all()
    assert ((found == 2) == ((old == true) & (new != true))).all()
    assert ((found == 3) == ((old != true) & (new == true))).all()
    assert ((found == 4) == ((old != true) & (new != true))).all()
    assert report.counts["only the second is right"] == int((found == 3).sum())
    written = json.loads((tmp_path / "out/compare.json").read_text())
    assert written == json.loads(json.dumps(report.values()))
    page = (tmp_path / "out/compare.html").read_text()
    assert "mean IoU" in page and "Where they differ" in page
    assert (tmp_path / "out/differences.qml").is_file()


def test_only_ground_of_both_maps_counts(truth: Path, tmp_path: Path) -> None:
    """The first map is perfect where it has values; the second one has none in a part of that."""
    first, second = _truth(), _wrong(0.3, 5)
    first[:, 80:] = 255
    second[:40] = 255
    report = compare(
        _write_map(tmp_path / "a.tif", first), _write_map(tmp_path / "b.tif", second), truth=truth
    )
    one = next(one for one in report.contrasts if one.name == "overall_accuracy")
    assert one.first.count == one.second.count == 80 * 120
    assert one.first.value == 1
    assert any(f"{SIDE * SIDE - 80 * 120} pixels without a class" in note for note in report.notes)


def test_maps_of_other_pixels_are_compared_at_those_of_the_first(truth: Path, tmp_path: Path) -> None:
    coarse = PixelGrid(CRS(UTM), NORTH_UP @ Affine.scale(2), SIDE // 2, SIDE // 2)
    first = _write_map(tmp_path / "a.tif", _truth())
    second = _write_map(tmp_path / "b.tif", _truth()[::2, ::2], coarse)
    report = compare(first, second, truth=truth)
    assert report.difference("mean_iou").value == 0, "all borders lie on even pixels"
    turned = PixelGrid(CRS(UTM), NORTH_UP @ Affine.rotation(5), SIDE, SIDE)
    with pytest.raises(InputError, match="turned against it; bring both to one grid"):
        compare(first, _write_map(tmp_path / "c.tif", _truth(), turned), truth=truth)


def _layer(path: Path, boxes: list[tuple[int, int]], scores: list[float]) -> Path:
    shapes = [shapely.box(col, row, col + 10, row + 10) for col, row in boxes]
    frame = gpd.GeoDataFrame(
        {"class_name": ["roof"] * len(shapes), "score": scores},
        geometry=GRID.geometries_to_map(np.array(shapes, dtype=object)),
        crs=UTM,
    )
    write_layer(path, frame, metadata={GRID_TAG: grid_tag(GRID), "scene": "scene.tif"})
    return path


def test_objects_are_found_by_both_or_by_one(tmp_path: Path) -> None:
    places = [(col, row) for col in range(5, 150, 25) for row in range(5, 150, 25)]
    truth = write_polygons(
        tmp_path / "truth.gpkg",
        [shapely.box(*NORTH_UP @ (col, row + 10), *NORTH_UP @ (col + 10, row)) for col, row in places],
        class_name=["roof"] * len(places),
    )
    false = [(20, 20), (45, 45)]
    first = _layer(tmp_path / "a.gpkg", [*places[:20], *false], [0.9] * 22)
    second = _layer(tmp_path / "b.gpkg", [*places[:15], *places[20:34], false[0]], [0.8] * 30)
    report = compare(first, second, truth=truth, out=tmp_path / "out")
    assert report.counts == {
        "found by both": 15,
        "found by the first only": 5,
        "found by the second only": 14,
        "missed by both": 2,
        "false in both": 1,
        "false in the first only": 1,
        "false in the second only": 0,
    }
    assert report.difference("recall").value == pytest.approx(29 / 36 - 20 / 36)
    assert report.difference("recall").low is not None
    layer = gpd.read_file(tmp_path / "out/differences.gpkg", layer="differences")
    assert layer["status"].value_counts()["found by the second only"] == 14
    same = compare(first, first, truth=truth)
    for one in same.contrasts:
        assert one.difference.value == 0
        assert one.difference.low in (0, None)


def test_what_cannot_be_compared_is_refused(maps: tuple[Path, Path], truth: Path, tmp_path: Path) -> None:
    layer = _layer(tmp_path / "a.gpkg", [(1, 1)], [0.5])
    with pytest.raises(InputError, match="one is a class map and one is not"):
        compare(maps[0], layer, truth=truth)
    with pytest.raises(ConfigError, match="is a model, so it needs a `scene`"):
        compare(tmp_path / "no.eodl", maps[0], truth=truth)
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.tif", "b.tif"):
        _write_map(folder / name, _truth())
    with pytest.raises(InputError, match="holds 2 maps; compare two files"):
        compare(folder, maps[0], truth=truth)
    with pytest.raises(ConfigError, match="`iou` must lie in"):
        compare(maps[0], maps[1], truth=truth, iou=0)


def test_the_command_says_which_is_ahead(
    maps: tuple[Path, Path], truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", str(maps[0]), str(maps[1]), str(truth)]
    assert run(words) == 0
    text = capsys.readouterr().out
    assert text.startswith("mean IoU: the second is ahead (+0.")
    assert "only the second is right: " in text
    assert run([*words, "--json", "-o", str(tmp_path / "out")]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["scores"][0]["name"] == "mean_iou"
    assert values["scores"][0]["difference"]["low"] > 0
    assert run([*words, "-o", str(tmp_path / "out")]) == 2, "is not overwritten"
