from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.arrays import Objects
from eo_dl.mosaic.suppress import Suppression
from eo_dl.training.judging.thresholds import best_suppression, best_threshold


def objects(
    boxes: Sequence[tuple[float, ...]],
    scores: list[float] | None = None,
    ids: list[int] | None = None,
    ignore: list[bool] | None = None,
) -> Objects:
    return Objects(
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(ids if ids is not None else [1] * len(boxes), np.int64),
        np.array(scores if scores is not None else [1.0] * len(boxes), np.float32),
        ignore=None if ignore is None else np.array(ignore, np.bool_),
    )


def test_it_parts_hits_from_false_finds() -> None:
    true = objects([(0, 0, 10, 10), (20, 0, 30, 10)])
    found = objects([(0, 0, 10, 10), (20, 0, 30, 10), (50, 50, 60, 60)], [0.9, 0.8, 0.3])
    threshold, f1 = best_threshold([(found, true)])
    assert f1 == 1
    assert 0.3 < threshold < 0.8


def test_an_object_found_twice_is_one_hit_and_one_false_find() -> None:
    true = objects([(0, 0, 10, 10)])
    found = objects([(0, 0, 10, 10), (0, 0, 10, 9)], [0.9, 0.8])
    assert best_threshold([(found, true)])[1] == 1
    assert best_threshold([(found.take(np.array([1, 0])), true)])[1] == 1


def test_nested_boxes_are_one_object_where_the_validation_objects_say_so() -> None:
    trees = [(40.0 * number, 0.0, 40.0 * number + 20, 20.0) for number in range(10)]
    crowns = [(left + 2, 2.0, left + 14, 14.0) for left, *_ in trees]
    found = objects(trees + crowns, [0.9 - 0.01 * number for number in range(20)])
    suppression, threshold = best_suppression([(found, objects(trees + crowns))])
    assert suppression == Suppression(), "both are labelled"
    assert threshold < 0.71
    # With scores that mix, no threshold parts trees from crowns.
    mixed = objects([box for pair in zip(trees, crowns, strict=True) for box in pair], found.scores.tolist())
    suppression, threshold = best_suppression([(mixed, objects(trees))])
    assert suppression.iou <= 0.3 or suppression.inside is not None
    remaining = suppression.apply(mixed)
    np.testing.assert_array_equal(remaining.boxes, np.array(trees))
    assert threshold < float(remaining.scores.min())


def test_ignored_objects_count_neither_way() -> None:
    true = objects([(0, 0, 10, 10), (20, 0, 30, 10)], ignore=[False, True])
    found = objects([(20, 0, 30, 10), (0, 0, 10, 10)], [0.9, 0.5])
    assert best_threshold([(found, true)])[1] == 1


def test_nothing_to_choose_from() -> None:
    assert math.isnan(best_threshold([])[1])
    assert math.isnan(best_threshold([(Objects.none(), objects([(0, 0, 1, 1)]))])[1])
    assert best_threshold([(objects([(0, 0, 1, 1)]), Objects.none())])[0] == 0.5


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from([0.1, 0.2, 0.4, 0.7, 0.9])), min_size=1, max_size=12
    )
)
def test_no_other_threshold_gives_a_better_f1(found: list[tuple[int, float]]) -> None:
    true = objects([(20.0 * i, 0.0, 20.0 * i + 10, 10.0) for i in range(4)])
    predicted = objects(
        [(20.0 * i, 0.0, 20.0 * i + 10, 10.0) for i, _ in found], [score for _, score in found]
    )
    threshold, f1 = best_threshold([(predicted, true)])

    def f1_at(limit: float) -> float:
        kept = [i for i, score in found if np.float32(score) >= limit]
        hits = len({i for i in kept if i < 4})
        return 2 * hits / (len(kept) + 4)

    assert math.isclose(f1_at(threshold), f1)
    assert f1 >= max(f1_at(limit) for limit in (0.05, 0.15, 0.3, 0.5, 0.8)) - 1e-12
