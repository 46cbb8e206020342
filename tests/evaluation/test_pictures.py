"""The picture of scene, truth and prediction: colours by the name of a class, and what is ignored told apart."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from eo_dl.core.classes import IGNORE_ID, ClassInfo, ClassSet
from eo_dl.core.labelset import PixelLabels
from eo_dl.evaluation.pictures import outlined, painted

OURS = ClassSet((ClassInfo(1, "tree", "#00ff00"), ClassInfo(2, "roof", "#ff0000")))
THEIRS = ClassSet((ClassInfo(1, "roof", "#0000ff"), ClassInfo(2, "tree", "#0000ff"), ClassInfo(3, "pool", "#0000ff")))


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
