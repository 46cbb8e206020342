"""Suppression gives what the textbook loop and torchvision give."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.arrays import Objects
from eo_dl.core.boxes import ious, overlapping_pairs
from eo_dl.mosaic.suppress import Suppression, suppress

Boxes = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float32]


def _naive(boxes: Boxes, scores: Scores, classes: npt.NDArray[np.int64], iou: float) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(classes[i] != classes[j] or ious(boxes[[i]], boxes[[j]])[0] <= iou for j in kept):
            kept.append(int(i))
    return sorted(kept)


def _scene(rng: np.random.Generator, count: int, giants: int = 0) -> Boxes:
    corner = rng.random((count, 2)) * 60
    size = 1 + rng.random((count, 2)) * 12
    size[:giants] *= 30
    return np.column_stack([corner, corner + size])


@given(
    st.integers(0, 120),
    st.integers(0, 4),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.3, 0.5, 0.9]),
    st.integers(0, 2**32 - 1),
)
def test_equals_the_naive_loop(count: int, giants: int, classes: int, iou: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = _scene(rng, count, giants)
    scores: Scores = rng.integers(0, 8, count).astype(np.float32) / np.float32(8)  # with many ties
    ids = rng.integers(0, classes, count)
    objects = Objects(boxes, ids, scores)
    assert suppress(objects, iou).tolist() == _naive(boxes, scores, ids, iou)


def test_equals_torchvision() -> None:
    torch = pytest.importorskip("torch")
    ops = pytest.importorskip("torchvision.ops")
    rng = np.random.default_rng(3)
    boxes, scores = _scene(rng, 800), rng.random(800).astype(np.float32)
    ours = suppress(Objects(boxes, np.zeros(800, np.int64), scores), 0.4)
    theirs = ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores.astype(np.float64)), 0.4)
    assert ours.tolist() == sorted(theirs.tolist())


def test_a_long_chain_is_decided_link_by_link() -> None:
    starts = np.arange(500) * 4.0
    boxes = np.column_stack([starts, np.zeros(500), starts + 10, np.full(500, 10.0)])
    scores = np.linspace(1, 0.1, 500).astype(np.float32)
    kept = suppress(Objects(boxes, np.ones(500, np.int64), scores), 0.3)
    assert kept.tolist() == list(range(0, 500, 2))


@given(st.integers(0, 60), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_pairs_are_all_pairs_that_overlap_each_once(count: int, giants: int, seed: int) -> None:
    boxes = _scene(np.random.default_rng(seed), count, giants)
    first, second = overlapping_pairs(boxes)
    found = sorted(tuple(sorted(pair)) for pair in zip(first.tolist(), second.tolist(), strict=True))
    expected = [
        (i, j) for i in range(count) for j in range(i + 1, count) if ious(boxes[[i]], boxes[[j]])[0] > 0
    ]
    assert found == expected


def _inside(a: Boxes, b: Boxes) -> float:
    """The share of the smaller of two boxes that lies in the other one."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return max(width, 0) * max(height, 0) / min(areas)


@given(
    st.integers(0, 60),
    st.sampled_from([0.2, 0.5]),
    st.sampled_from([None, 0.5, 0.75, 0.9]),
    st.integers(0, 2**32 - 1),
)
def test_boxes_inside_others_are_suppressed_as_by_the_plain_loop(
    count: int, iou: float, inside: float | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    boxes = _scene(rng, count)
    boxes[count // 2 :] = boxes[: count - count // 2] + np.array(
        [1, 1, -0.5, -0.5]
    )  # half of them lie inside others
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 0.1)
    objects = Objects(
        boxes, rng.integers(1, 3, count), rng.permutation(count).astype(np.float32) / np.float32(count + 1)
    )
    kept: list[int] = []
    for i in np.argsort(-objects.scores):
        rivals = [j for j in kept if objects.class_ids[i] == objects.class_ids[j]]
        overlaps = any(ious(boxes[[i]], boxes[[j]])[0] > iou for j in rivals)
        nested = inside is not None and any(_inside(boxes[i], boxes[j]) > inside for j in rivals)
        if not overlaps and not nested:
            kept.append(int(i))
    remaining = Suppression(iou, inside).apply(objects)
    np.testing.assert_array_equal(remaining.boxes, boxes[sorted(kept)])
