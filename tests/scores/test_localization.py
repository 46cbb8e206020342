"""One object a chip or none: hand-computed scores, and a naive count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.arrays import Objects
from eo_dl.core.classes import ClassSet
from eo_dl.scores.localizationscores import LocalizationScorer
from eo_dl.scores.score import find_score

CLASSES = ClassSet.of_names(["ship", "buoy"])
NOTHING = Objects.none()


def one(
    box: tuple[float, float, float, float], class_id: int = 1, score: float = 1.0, ignore: bool = False
) -> Objects:
    return Objects(
        np.array([box], np.float64),
        np.array([class_id], np.int64),
        np.array([score], np.float32),
        ignore=np.array([ignore]),
    )


def values(scorer: LocalizationScorer) -> dict[str, float]:
    return {score.name: score.value for score in scorer.scores() if score.class_name is None}


def test_hand_computed() -> None:
    scorer = LocalizationScorer(CLASSES)
    scorer.update(one((0, 0, 10, 10)), one((0, 0, 10, 10)))  # found: IoU 1
    scorer.update(one((0, 0, 10, 10)), one((0, 5, 10, 15)))  # IoU 1/3
    scorer.update(one((0, 0, 10, 10), class_id=2), one((0, 0, 10, 10)))  # the right box of the wrong class
    scorer.update(NOTHING, one((0, 0, 10, 10)))  # missed
    scorer.update(NOTHING, NOTHING)  # rightly nothing
    scorer.update(one((0, 0, 1, 1)), NOTHING)  # wrongly something
    scorer.update(NOTHING, one((0, 0, 10, 10), ignore=True))  # does not count
    assert values(scorer) == pytest.approx(
        {"corloc": 1 / 4, "mean_box_iou": (1 + 1 / 3 + 1) / 4, "accuracy": 3 / 6}
    )
    assert find_score(scorer.scores(), "corloc", "ship").count == 4
    assert not find_score(scorer.scores(), "corloc", "buoy").defined


def test_nothing_to_find_is_not_defined_rather_than_zero() -> None:
    scorer = LocalizationScorer(CLASSES)
    scorer.update(NOTHING, NOTHING)
    assert not find_score(scorer.scores(), "corloc").defined
    assert values(scorer)["accuracy"] == 1


def test_weak_predictions_are_none() -> None:
    scorer = LocalizationScorer(CLASSES, min_score=0.5)
    scorer.update(one((0, 0, 10, 10), score=0.4), one((0, 0, 10, 10)))
    scorer.update(one((0, 0, 10, 10), score=0.4), NOTHING)
    assert values(scorer) == {"corloc": 0, "mean_box_iou": 0, "accuracy": 0.5}


BOX = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 5), st.integers(1, 5)).map(
    lambda t: (t[0], t[1], t[0] + t[2], t[1] + t[3])
)
Found = tuple[tuple[int, int, int, int], int]
CHIP = st.one_of(st.none(), st.tuples(BOX, st.sampled_from([1, 2])))


@given(st.lists(st.tuples(CHIP, CHIP), min_size=1, max_size=12))
def test_agrees_with_counting_pixels(
    chips: list[tuple[Found | None, Found | None]],
) -> None:
    """Boxes of whole pixels, painted and counted."""
    scorer, hits, overlaps, right = LocalizationScorer(CLASSES), [], [], []
    for place, (found, true) in enumerate(chips):
        scorer.update(
            NOTHING if found is None else one(*found), NOTHING if true is None else one(*true), str(place)
        )
        right.append((None if found is None else found[1]) == (None if true is None else true[1]))
        if true is not None:
            painted = [np.zeros((12, 12), bool), np.zeros((12, 12), bool)]
            for image, chip in zip(painted, (found, true), strict=True):
                if chip is not None:
                    col0, row0, col1, row1 = chip[0]
                    image[row0:row1, col0:col1] = True
            overlaps.append((painted[0] & painted[1]).sum() / (painted[0] | painted[1]).sum())
            hits.append(overlaps[-1] >= 0.5 and right[-1])
    got = values(scorer)
    assert got["accuracy"] == pytest.approx(np.mean(right))
    if hits:
        assert got["corloc"] == pytest.approx(np.mean(hits))
        assert got["mean_box_iou"] == pytest.approx(np.mean(overlaps))
    assert (scorer.draws() == {}) == (len(chips) < 3)
