"""Scorers of parts, merged in order, give the very numbers of one scorer of everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from eo_dl.core.arrays import Objects
from eo_dl.core.classes import ClassSet
from eo_dl.scores.chipscores import ChipScorer
from eo_dl.scores.localizationscores import LocalizationScorer
from eo_dl.scores.objectscores import ObjectScorer
from eo_dl.scores.pixelscores import PixelScorer

CLASSES = ClassSet.of_names(["wood", "water"])
Update = Callable[[Any, np.random.Generator, str], None]


def boxes(rng: np.random.Generator, count: int) -> Objects:
    corners = rng.uniform(0, 30, (count, 2))
    sizes = rng.uniform(5, 20, (count, 2))
    return Objects(
        np.hstack([corners, corners + sizes]), rng.integers(1, 3, count), rng.random(count).astype(np.float32)
    )


def pixels(scorer: PixelScorer, rng: np.random.Generator, place: str) -> None:
    ids = np.array([1, 2, 255], np.uint8)
    scorer.update(rng.choice(ids, (9, 9)), rng.choice(ids, (9, 9)), place)


def objects(scorer: ObjectScorer, rng: np.random.Generator, place: str) -> None:
    scorer.update(boxes(rng, 6), boxes(rng, 5), place)


def chips(scorer: ChipScorer, rng: np.random.Generator, place: str) -> None:
    scorer.update(rng.random(2), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, np.nan]])[rng.integers(3)], place)


def one_box(scorer: LocalizationScorer, rng: np.random.Generator, place: str) -> None:
    scorer.update(boxes(rng, int(rng.integers(3))), boxes(rng, int(rng.integers(2))), place)


@pytest.mark.parametrize(
    ("make", "update"),
    [
        (lambda: PixelScorer(CLASSES), pixels),
        (lambda: ObjectScorer(CLASSES), objects),
        (lambda: ChipScorer(CLASSES), chips),
        (lambda: ChipScorer(CLASSES, multi_label=True), chips),
        (lambda: LocalizationScorer(CLASSES, 0.1), one_box),
    ],
    ids=["pixels", "objects", "chips", "chips with several classes", "one box"],
)
def test_merged_parts_score_as_the_whole_to_the_last_bit(make: Callable[[], Any], update: Update) -> None:
    # Blocks that lie in several parts, too: sums of sums of fractions would differ in the last bits.
    places = [str(number % 7) for number in range(60)]
    rng = np.random.default_rng(5)
    whole = make()
    for place in places:
        update(whole, rng, place)
    rng = np.random.default_rng(5)
    merged = make()
    for start in range(0, 60, 13):
        part = make()
        for place in places[start : start + 13]:
            update(part, rng, place)
        merged.merge(part)
    assert repr(merged.scores()) == repr(whole.scores())
    assert {name: drawn.tobytes() for name, drawn in merged.draws().items()} == {
        name: drawn.tobytes() for name, drawn in whole.draws().items()
    }
