"""Object scores against hand-made numbers and faster-coco-eval."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.core.arrays import Objects, boxes_to_polygons
from eo_dl.core.classes import ClassSet
from eo_dl.scores.objectscores import ObjectScorer
from eo_dl.scores.score import find_score

CLASSES = ClassSet.of_names(["tree", "car"])


def _objects(
    rows: list[tuple[float, ...]],
    scores: list[float] | None = None,
    ids: list[int] | None = None,
    ignore: list[bool] | None = None,
) -> Objects:
    count = len(rows)
    return Objects(
        np.array(rows, np.float64).reshape(-1, 4),
        np.array(ids or [1] * count, np.int64),
        np.array(scores or [1.0] * count, np.float32),
        ignore=None if ignore is None else np.array(ignore),
    )


def _random(rng: np.random.Generator, count: int, near: Objects | None = None) -> Objects:
    corner = rng.random((count, 2)) * 80
    boxes = np.column_stack([corner, corner + 4 + rng.random((count, 2)) * 20])
    ids = rng.integers(1, 3, count)
    if near is not None and len(near):
        picks = rng.integers(0, len(near), count)
        close = rng.random(count) < 0.7
        boxes[close] = near.boxes[picks[close]] + rng.normal(0, 1.5, (int(close.sum()), 4))
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 0.5)
        ids[close] = near.class_ids[picks[close]]
    return Objects(boxes, ids, (rng.integers(0, 40, count) / 40).astype(np.float32))


def _coco(images: list[tuple[Objects, Objects]]) -> dict[int, tuple[float, float]]:
    """(AP 50-95, AP 50) per class by faster-coco-eval; -1 where a class has no true object."""
    from faster_coco_eval import COCO, COCOeval_faster

    truth: list[dict[str, object]] = []
    found: list[dict[str, object]] = []
    for image, (predicted, true) in enumerate(images, start=1):
        ignore = np.zeros(len(true), bool) if true.ignore is None else true.ignore
        for box, class_id, crowd in zip(true.boxes, true.class_ids, ignore, strict=True):
            x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
            truth.append(
                {
                    "id": len(truth) + 1,
                    "image_id": image,
                    "category_id": int(class_id),
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": int(crowd),
                }
            )
        for box, class_id, score in zip(predicted.boxes, predicted.class_ids, predicted.scores, strict=True):
            found.append(
                {
                    "image_id": image,
                    "category_id": int(class_id),
                    "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                    "score": float(score),
                }
            )
    gt = COCO()
    gt.dataset = {
        "images": [{"id": i + 1, "width": 200, "height": 200} for i in range(len(images))],
        "annotations": truth,
        "categories": [{"id": 1, "name": "tree"}, {"id": 2, "name": "car"}],
    }
    gt.createIndex()
    evaluation = COCOeval_faster(gt, gt.loadRes(found), "bbox", print_function=lambda *_: None)
    evaluation.params.maxDets = [1, 10, 10_000]
    evaluation.evaluate()
    evaluation.accumulate()
    table = evaluation.eval["precision"]  # (T, R, K, A, M)
    return {
        class_id: (float(table[:, :, k, 0, -1].mean()), float(table[0, :, k, 0, -1].mean()))
        for k, class_id in enumerate((1, 2))
    }


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.booleans())
def test_average_precision_equals_faster_coco_eval(seed: int, images: int, with_ignored: bool) -> None:
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(images):
        truth = _random(rng, int(rng.integers(0, 12)))
        if with_ignored:
            truth = Objects(truth.boxes, truth.class_ids, truth.scores, ignore=rng.random(len(truth)) < 0.3)
        pairs.append((_random(rng, int(rng.integers(1, 25)), truth), truth))
    scorer = ObjectScorer(CLASSES)
    for predicted, truth in pairs:
        scorer.update(predicted, truth)
    scores, expected = scorer.scores(), _coco(pairs)
    for info in CLASSES:
        for name, value in zip(("ap50_95", "ap50"), expected[info.id], strict=True):
            ours = find_score(scores, name, info.name).value
            assert math.isnan(ours) if value < 0 else ours == pytest.approx(value, abs=1e-9)


def test_hand_computed() -> None:
    truth = _objects([(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)])
    #                        hit (IoU 1)     false                hit (IoU 0.8)
    found = _objects([(0, 0, 10, 10), (60, 0, 70, 10), (20, 0, 30, 8)], [0.9, 0.8, 0.7])
    scorer = ObjectScorer(CLASSES)
    scorer.update(found, truth)
    scores = scorer.scores()
    assert find_score(scores, "precision", "tree").value == pytest.approx(2 / 3)
    assert find_score(scores, "recall", "tree").value == pytest.approx(2 / 3)
    assert find_score(scores, "f1", "tree").value == pytest.approx(2 / 3)
    # recall 1/3 at precision 1 (34 of the 101 recalls), recall 2/3 at precision 2/3 (33 more)
    assert find_score(scores, "ap50", "tree").value == pytest.approx((34 + 33 * 2 / 3) / 101)
    assert scorer.counts()["tree"] == {"truth": 3, "predicted": 3, "found": 2, "missed": 1, "false": 1}
    assert find_score(scores, "ap50").value == find_score(scores, "ap50", "tree").value


def test_a_class_without_truth_is_not_defined_rather_than_zero() -> None:
    scorer = ObjectScorer(CLASSES)
    scorer.update(_objects([(0, 0, 5, 5)], ids=[2]), _objects([(0, 0, 5, 5)]))
    scores = scorer.scores()
    assert [math.isnan(find_score(scores, name, "car").value) for name in ("ap50", "recall", "f1")] == [
        True
    ] * 3
    assert find_score(scores, "precision", "car").value == 0
    assert find_score(scores, "ap50", "tree").value == 0


def test_no_objects_at_all_is_not_defined() -> None:
    scorer = ObjectScorer(CLASSES)
    scorer.update(Objects.none(), Objects.none())
    assert all(math.isnan(score.value) for score in scorer.scores())


def test_predictions_in_ignored_objects_count_neither_way() -> None:
    truth = _objects([(0, 0, 10, 10), (20, 0, 60, 40)], ignore=[False, True])
    scorer = ObjectScorer(CLASSES)
    scorer.update(_objects([(0, 0, 10, 10), (25, 5, 35, 15), (40, 20, 50, 30)], [0.9, 0.8, 0.7]), truth)
    assert scorer.counts()["tree"] == {"truth": 1, "predicted": 1, "found": 1, "missed": 0, "false": 0}


def test_an_ignored_object_without_class_excuses_any_class() -> None:
    truth = _objects([(0, 0, 10, 10), (20, 0, 60, 40)], ids=[1, 255], ignore=[False, True])
    scorer = ObjectScorer(CLASSES)
    scorer.update(
        _objects([(25, 5, 35, 15), (40, 20, 50, 30), (0, 0, 10, 10)], [0.9, 0.8, 0.7], ids=[1, 2, 2]), truth
    )
    assert scorer.counts()["tree"] == {"truth": 1, "predicted": 0, "found": 0, "missed": 1, "false": 0}
    assert scorer.counts()["car"] == {"truth": 0, "predicted": 1, "found": 0, "missed": 0, "false": 1}


def test_outlines_decide_where_they_are_known() -> None:
    """Two triangles that share a box but little ground."""
    box = np.array([[0.0, 0, 10, 10]])
    lower, upper = shapely.Polygon([(0, 0), (10, 0), (0, 10)]), shapely.Polygon([(10, 10), (10, 0), (0, 10)])
    truth = Objects(box, np.array([1]), np.ones(1, np.float32), np.array([lower], object))
    found = Objects(box, np.array([1]), np.ones(1, np.float32), np.array([upper], object))
    values = []
    for use_polygons in (False, True):
        scorer = ObjectScorer(CLASSES, use_polygons=use_polygons)
        scorer.update(found, truth)
        values.append(find_score(scorer.scores(), "f1", "tree").value)
    assert values == [1.0, 0.0]


def test_outlines_of_boxes_score_as_the_boxes() -> None:
    rng = np.random.default_rng(0)
    truth = _random(rng, 40)
    found = _random(rng, 60, truth)
    results = []
    for objects in (
        found,
        Objects(found.boxes, found.class_ids, found.scores, boxes_to_polygons(found.boxes)),
    ):
        scorer = ObjectScorer(CLASSES, use_polygons=len(objects.polygons) > 0)
        scorer.update(objects, truth)
        results.append([score.value for score in scorer.scores()])
    assert results[0] == pytest.approx(results[1], abs=1e-9)


def test_weak_predictions_count_for_average_precision_only() -> None:
    truth = _objects([(0, 0, 10, 10), (20, 0, 30, 10)])
    found = _objects([(0, 0, 10, 10), (20, 0, 30, 10), (50, 0, 60, 10)], [0.9, 0.3, 0.2])
    scorer = ObjectScorer(CLASSES, min_score=0.5)
    scorer.update(found, truth)
    scores = scorer.scores()
    assert (
        find_score(scores, "recall", "tree").value == 0.5
        and find_score(scores, "precision", "tree").value == 1.0
    )
    assert find_score(scores, "ap50", "tree").value == pytest.approx(1.0)


def test_intervals_hold_the_value_and_narrow_with_more_blocks() -> None:
    widths = []
    for blocks in (6, 60):
        rng = np.random.default_rng(5)
        scorer = ObjectScorer(CLASSES)
        for block in range(blocks):
            truth = _random(rng, 12)
            scorer.update(_random(rng, 14, truth), truth, str(block))
        for name in ("ap50", "f1", "precision", "recall"):
            score = find_score(scorer.scores(), name)
            assert score.low is not None and score.high is not None and score.low <= score.value <= score.high
        found = find_score(scorer.scores(), "f1")
        assert found.low is not None and found.high is not None
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 2


def test_blocks_of_single_objects_give_the_same_scores() -> None:
    rng = np.random.default_rng(2)
    truth = _random(rng, 30)
    found = _random(rng, 40, truth)
    one, many = ObjectScorer(CLASSES), ObjectScorer(CLASSES)
    one.update(found, truth)
    blocks = [str(int(x // 20)) for x in found.boxes[:, 0]], [str(int(x // 20)) for x in truth.boxes[:, 0]]
    many.update(found, truth, blocks=blocks)
    assert [s.value for s in one.scores()] == [s.value for s in many.scores()]
    assert find_score(many.scores(), "f1").low is not None


def test_the_curve_ends_at_precision_and_recall() -> None:
    rng = np.random.default_rng(2)
    truth = _random(rng, 30)
    scorer = ObjectScorer(CLASSES)
    scorer.update(_random(rng, 40, truth), truth)
    curve = scorer.curve(1)
    assert curve.recall[-1] == find_score(scorer.scores(), "recall", "tree").value
    assert curve.precision[-1] == find_score(scorer.scores(), "precision", "tree").value
    assert curve.f1[-1] == pytest.approx(find_score(scorer.scores(), "f1", "tree").value)
    assert (np.diff(curve.scores) <= 0).all() and (np.diff(curve.recall) >= 0).all()
