"""`ObjectScorer`: precision, recall and F1 of predicted objects at an IoU, and average precision.

Average precision is COCO's: precision made monotone, read at 101 recalls, for the IoU thresholds 0.50, 0.55
... 0.95 (`ap50_95`) and for 0.50 alone (`ap50`), without COCO's limit of 100 predictions per image, since
scenes contain thousands. Why not faster-coco-eval: polygons are compared exactly instead of as pixel masks,
and intervals need weighted predictions; a test holds it equal to faster-coco-eval on boxes. A class without
reference objects has no recall, F1 or AP (NaN, not 0).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.arrays import Objects
from ..core.arraytypes import BoolArray, Float64Array, Int64Array, ObjectArray
from ..core.classes import ClassSet
from .intervals import FEWEST_BLOCKS, interval_bounds, resampled_counts
from .matching import match
from .pixelscores import mean_of_known, ratio
from .score import Score

BlockNames = Sequence[str] | ObjectArray

COCO_IOUS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
_RECALLS = np.linspace(0, 1, 101)
# Floats held at once while resampling.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Curve:
    """Precision and recall of a class for N falling score thresholds."""

    scores: Float64Array
    """(N,)"""
    precision: Float64Array
    """(N,)"""
    recall: Float64Array
    """(N,)"""

    @property
    def f1(self) -> Float64Array:
        """(N,) harmonic means."""
        total = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)


@dataclass(frozen=True)
class _Update:
    """One image: N predictions and M reference objects that are not ignored."""

    scores: Float64Array
    class_ids: Int64Array
    blocks: ObjectArray
    hit: BoolArray
    """(T, N) found a reference object, at T IoUs."""
    excused: BoolArray
    """(T, N) counts neither way."""
    truth_ids: Int64Array
    truth_blocks: ObjectArray


class ObjectScorer:
    """Collects predictions and reference objects image by image, or scene by scene.

    Args:
        classes: Classes in channel order.
        iou: From this IoU on an object counts as found.
        use_polygons: Compare outlines instead of boxes.
        min_score: Predictions with a lower score do not count for precision, recall and F1; average precision
            uses all.
        seed: Of the resampling.
    """

    def __init__(
        self,
        classes: ClassSet,
        iou: float = 0.5,
        use_polygons: bool = False,
        *,
        min_score: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.classes = classes
        self.iou = iou
        self.use_polygons = use_polygons
        self.min_score = min_score
        self._seed = seed
        self._thresholds = COCO_IOUS if iou in COCO_IOUS else (*COCO_IOUS, iou)
        self._updates: list[_Update] = []
        self._places: set[str] = set()

    def update(
        self,
        predicted: Objects,
        truth: Objects,
        place: str = "",
        *,
        blocks: tuple[BlockNames, BlockNames] | None = None,
    ) -> None:
        """Add the objects of one image.

        Args:
            predicted: Predicted objects.
            truth: Reference objects.
            place: The image's block of ground, over which intervals are taken.
            blocks: A block per prediction and per reference object instead, where an image covers several.
        """
        matches = match(predicted, truth, self._thresholds, self.use_polygons)
        if blocks is None:
            blocks = [place] * len(predicted), [place] * len(truth)
            self._places.add(place)
        predicted_blocks = np.array(blocks[0], dtype=object)
        truth_blocks = np.array(blocks[1], dtype=object)
        self._places |= {*predicted_blocks.tolist(), *truth_blocks.tolist()}
        if not len(predicted) and not len(truth):
            self._places.add(place)  # ground without objects counts for the interval too
        self._updates.append(
            _Update(
                scores=predicted.scores.astype(np.float64),
                class_ids=predicted.class_ids,
                blocks=predicted_blocks,
                hit=matches.found >= 0,
                excused=matches.excused,
                truth_ids=truth.class_ids[truth.counted],
                truth_blocks=truth_blocks[truth.counted],
            )
        )

    @property
    def places(self) -> frozenset[str]:
        """The blocks of ground that are resampled."""
        return frozenset(self._places)

    def add_places(self, places: Iterable[str]) -> None:
        """Resample further blocks of ground, e.g. those where only another predictor found something."""
        self._places |= set(places)

    def merge(self, other: ObjectScorer) -> None:
        """Add what another scorer of the same classes and thresholds collected, after what is here."""
        self._updates += other._updates
        self._places |= other._places

    def scores(self) -> list[Score]:
        """Overall scores (counts pooled over classes, AP as the mean over classes), then those per class."""
        tables = [self._table(info.id) for info in self.classes]
        scores = self._overall(tables)
        for info, table in zip(self.classes, tables, strict=True):
            precision, recall, f1 = _precision_recall_f1(self._counts(table, None))
            values = {
                "precision": float(precision[0]),
                "recall": float(recall[0]),
                "f1": float(f1[0]),
                "ap50": self._ap(table, 0.5),
                "ap50_95": self._mean_ap(table),
            }
            scores += [
                Score(name, value, info.name, table.total, self._threshold_of(name))
                for name, value in values.items()
            ]
        return scores

    def curve(self, class_id: int) -> Curve:
        """Precision and recall of a class at `iou` for each score threshold, falling."""
        table = self._table(class_id)
        hit, counted = table.at(self.iou)
        hits, predictions = np.cumsum(hit & counted), np.cumsum(counted)
        precision = np.divide(hits, predictions, out=np.ones(len(hits)), where=predictions > 0)
        recall = hits / table.total if table.total else np.full(len(hits), np.nan)
        return Curve(table.scores, precision, recall)

    def counts(self) -> dict[str, dict[str, int]]:
        """Per class at `iou`: reference objects, predictions that count, found, missed, false positives."""
        result = {}
        for info in self.classes:
            counts = self._counts(self._table(info.id), None)
            hits, predictions, total = int(counts.hits[0]), int(counts.predictions[0]), int(counts.truth[0])
            result[info.name] = {
                "truth": total,
                "predicted": predictions,
                "found": hits,
                "missed": total - hits,
                "false": predictions - hits,
            }
        return result

    def _threshold_of(self, name: str) -> float | None:
        return {"ap50": 0.5, "ap50_95": None}.get(name, self.iou)

    def _overall(self, tables: list[_Table]) -> list[Score]:
        total = sum(table.total for table in tables)
        values = {name: float(value[0]) for name, value in self._pooled(tables, None).items()}
        values["ap50_95"] = float(mean_of_known(np.array([self._mean_ap(table) for table in tables])))
        drawn = self._draws(tables)
        scores = []
        for name, value in values.items():
            low, high = interval_bounds(drawn.get(name))
            scores.append(
                Score(name, value, None, total, threshold=self._threshold_of(name), low=low, high=high)
            )
        return scores

    def _pooled(self, tables: list[_Table], weights: Float64Array | None) -> dict[str, Float64Array]:
        """(R,) overall scores for R draws (`weights` (R, B)); without weights those of all blocks, (1,)."""
        counts = [self._counts(table, weights) for table in tables]
        pooled = _Counts(
            hits=np.sum([one.hits for one in counts], axis=0),
            predictions=np.sum([one.predictions for one in counts], axis=0),
            truth=np.sum([one.truth for one in counts], axis=0),
        )
        precision, recall, f1 = _precision_recall_f1(pooled)
        per_class = np.stack([self._aps(table, 0.5, weights) for table in tables], axis=1)
        return {"ap50": mean_of_known(per_class), "f1": f1, "precision": precision, "recall": recall}

    def draws(self) -> dict[str, Float64Array]:
        """(R,) overall scores in each of R resamplings of the blocks, the same ones for every scorer of these
        blocks; {} with too few blocks.
        """
        return self._draws([self._table(info.id) for info in self.classes])

    def _draws(self, tables: list[_Table]) -> dict[str, Float64Array]:
        blocks = len(self._places)
        if blocks < FEWEST_BLOCKS:
            return {}
        draws = resampled_counts(blocks, seed=self._seed).astype(np.float64)
        longest = max((len(table.scores) for table in tables), default=1)
        step = max(1, _CHUNK // max(1, longest))
        parts = [self._pooled(tables, draws[start : start + step]) for start in range(0, len(draws), step)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _counts(self, table: _Table, weights: Float64Array | None) -> _Counts:
        """The counts of a class in R draws; without weights those of all blocks, R = 1."""
        hit, counted = table.at(self.iou)
        counted = counted & (table.scores >= self.min_score)
        hit = hit & counted
        if weights is None:
            return _Counts(
                hits=np.array([float(hit.sum())]),
                predictions=np.array([float(counted.sum())]),
                truth=np.array([float(table.total)]),
            )
        blocks = weights.shape[1]
        return _Counts(
            hits=weights @ np.bincount(table.blocks[hit], minlength=blocks),
            predictions=weights @ np.bincount(table.blocks[counted], minlength=blocks),
            truth=weights @ np.bincount(table.truth_blocks, minlength=blocks),
        )

    def _ap(self, table: _Table, iou: float) -> float:
        return float(self._aps(table, iou, None)[0])

    def _mean_ap(self, table: _Table) -> float:
        return float(np.mean([self._ap(table, iou) for iou in COCO_IOUS]))

    def _aps(self, table: _Table, iou: float, weights: Float64Array | None) -> Float64Array:
        hit, counted = table.at(iou)
        hit, blocks = hit[counted], table.blocks[counted]
        if weights is None:
            total = np.array([float(table.total)])
            return average_precision(hit[None].astype(np.float64), np.ones((1, len(hit))), total)
        drawn = weights[:, blocks]
        totals = weights @ np.bincount(table.truth_blocks, minlength=weights.shape[1])
        return average_precision(drawn * hit, drawn, totals)

    def _table(self, class_id: int) -> _Table:
        """All predictions and reference objects of a class."""
        index_of = {block: index for index, block in enumerate(sorted(self._places))}
        none = np.empty((len(self._thresholds), 0), np.bool_)
        scores, hits, excused = [np.empty(0)], [none], [none]
        blocks: list[int] = []
        truth_blocks: list[int] = []
        for update in self._updates:
            of_class = update.class_ids == class_id
            scores.append(update.scores[of_class])
            hits.append(update.hit[:, of_class])
            excused.append(update.excused[:, of_class])
            blocks += [index_of[block] for block in update.blocks[of_class]]
            truth_blocks += [index_of[block] for block in update.truth_blocks[update.truth_ids == class_id]]
        all_scores = np.concatenate(scores)
        order = np.argsort(-all_scores, kind="stable")
        return _Table(
            thresholds=self._thresholds,
            scores=all_scores[order],
            hit=np.concatenate(hits, axis=1)[:, order],
            counted=~np.concatenate(excused, axis=1)[:, order],
            blocks=np.array(blocks, np.int64)[order],
            truth_blocks=np.array(truth_blocks, np.int64),
        )


@dataclass(frozen=True)
class _Table:
    """All N predictions of one class, highest score first, and the blocks of its reference objects."""

    thresholds: tuple[float, ...]
    scores: Float64Array
    hit: BoolArray
    """(T, N) found a reference object."""
    counted: BoolArray
    """(T, N) counts at all."""
    blocks: Int64Array
    """(N,) index of the block."""
    truth_blocks: Int64Array
    """(M,) index of the block of each reference object."""

    @property
    def total(self) -> int:
        """Number of reference objects."""
        return len(self.truth_blocks)

    def at(self, iou: float) -> tuple[BoolArray, BoolArray]:
        """(N,) `hit` and `counted` at one of the thresholds."""
        index = self.thresholds.index(iou)
        return self.hit[index], self.counted[index]


@dataclass(frozen=True)
class _Counts:
    """Predictions and reference objects in R draws."""

    hits: Float64Array
    predictions: Float64Array
    truth: Float64Array


def average_precision(hits: Float64Array, weights: Float64Array, total: Float64Array) -> Float64Array:
    """Average precision by COCO's rule: the mean of the precision envelope at the recalls 0, 0.01 ... 1.

    Args:
        hits: (R, N) weights of the predictions that found an object, in R draws, highest score first.
        weights: (R, N) weights of all predictions.
        total: (R,) weights of the reference objects.

    Returns:
        (R,) NaN where there is no reference object.
    """
    if not hits.shape[1]:
        return np.where(total > 0, 0.0, np.nan)
    found, counted = np.cumsum(hits, axis=1), np.cumsum(weights, axis=1)
    precision = np.divide(found, counted, out=np.zeros_like(found), where=counted > 0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    result = np.full(len(hits), np.nan)
    for row in np.flatnonzero(total > 0):
        # The first prediction with which each recall is reached.
        first = np.searchsorted(found[row] / total[row], _RECALLS, side="left")
        reached = first < hits.shape[1]
        result[row] = envelope[row, first[reached]].sum() / len(_RECALLS)
    return result


def _precision_recall_f1(counts: _Counts) -> tuple[Float64Array, Float64Array, Float64Array]:
    """(R,) each; NaN where undefined. A class without reference objects has no F1."""
    predicted_and_true = np.where(counts.truth > 0, counts.predictions + counts.truth, 0)
    return (
        ratio(counts.hits, counts.predictions),
        ratio(counts.hits, counts.truth),
        ratio(2 * counts.hits, predicted_and_true),
    )
