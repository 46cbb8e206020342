"""The picture of scene, truth and prediction.

Colours go by the name of a class, and ignored ground is shown as such.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS

from eo_dl.core.classes import IGNORE_ID, ClassInfo, ClassSet
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.core.pixellabels import PixelLabels
from eo_dl.evaluation import pictures
from eo_dl.evaluation.pictures import outlined, painted, side_by_side
from eo_dl.io.scene import open_scene
from eo_dl.labels.reading import read_labels
from tests.making import write_geotiff

OURS = ClassSet((ClassInfo(1, "tree", "#00ff00"), ClassInfo(2, "roof", "#ff0000")))
THEIRS = ClassSet(
    (ClassInfo(1, "roof", "#0000ff"), ClassInfo(2, "tree", "#0000ff"), ClassInfo(3, "pool", "#0000ff"))
)


def labels(*features: tuple[int, tuple[int, int, int, int]]) -> PixelLabels:
    geometries = np.array([shapely.box(*box) for _, box in features], dtype=object)
    ids = np.array([class_id for class_id, _ in features], np.int64)
    return PixelLabels(THEIRS, geometries, ids, ids == IGNORE_ID, np.arange(len(ids)))


@pytest.mark.parametrize("draw", [outlined, painted])
def test_a_class_has_the_colour_of_its_name_however_the_truth_numbers_it(draw: object) -> None:
    base = np.zeros((40, 40, 3), np.uint8)
    picture = draw(base, labels((1, (2, 2, 10, 10)), (2, (20, 20, 30, 30))), OURS)  # type: ignore[operator]
    assert picture[5, 2].tolist() == [255, 0, 0]  # roof
    assert picture[25, 20].tolist() == [0, 255, 0]  # tree


def test_ignored_and_unknown_objects_are_grey() -> None:
    """An ignored object has no class; a class that the model does not know has no colour of its own."""
    base = np.zeros((40, 40, 3), np.uint8)
    picture = outlined(base, labels((IGNORE_ID, (2, 2, 10, 10)), (3, (20, 20, 30, 30))), OURS)
    assert picture[5, 2].tolist() == picture[25, 20].tolist() == [158, 158, 158]


def test_truth_in_rasters_is_painted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a picture that is coarser than the scene; what is not labelled shows the scene."""
    grid = PixelGrid(
        CRS.from_epsg(32633), Affine.translation(500_000, 5_000_000) @ Affine.scale(2, -2), 80, 120
    )
    ids = np.full((80, 120), 255, np.uint8)
    ids[:40, :60], ids[40:, 60:] = 1, 2
    write_geotiff(tmp_path / "scene.tif", np.full((3, 80, 120), 90, np.uint8), grid)
    (tmp_path / "truth").mkdir()
    write_geotiff(tmp_path / "truth" / "scene.tif", ids[None], grid, nodata=255)
    write_geotiff(tmp_path / "map.tif", ids[None], grid, nodata=255)
    panels: dict[str, np.ndarray] = {}
    monkeypatch.setattr(pictures, "_figure", lambda found, classes: panels.update(found) or b"PNG")
    truth = read_labels(tmp_path / "truth" / "scene.tif", classes="roof=1,tree=2")
    side_by_side(
        open_scene(tmp_path / "scene.tif"),
        tmp_path / "map.tif",
        OURS,
        out=tmp_path / "p.png",
        truth=truth,
        longest_px=60,
    )
    seen = panels["truth"]
    assert seen.shape == (40, 60, 3)
    assert seen[5, 5].tolist() == [255, 0, 0] and seen[30, 50].tolist() == [0, 255, 0]
    assert np.array_equal(seen[5, 50], panels["scene"][5, 50])
