"""`ObjectScorer`: what found objects are worth: precision, recall and F1 at an IoU, and average precision.

Average precision is COCO's: precision made monotone, read at 101 recalls, for the IoU thresholds 0.50, 0.55
... 0.95 (`ap50_95`) and for 0.50 alone (`ap50`), without COCO's limit of 100 predictions an image, since
scenes hold thousands. Computed here and not by faster-coco-eval, because polygons are compared exactly
instead of as pixel masks and the interval needs weights; a test holds it equal to faster-coco-eval on boxes.
A class without true objects has no recall, F1 or AP (NaN, not 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.arrays import Objects
from ..core.classes import ClassSet
from .intervals import FEWEST_BLOCKS, Interval, percentile_interval, resampled_counts
from .matching import match
from .score import Score

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Places = Sequence[str] | npt.NDArray[np.object_]

COCO_IOUS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
_RECALLS = np.linspace(0, 1, 101)
# Floats held at once while resampling.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Curve:
    """Precision, recall and F1 of a class for falling score thresholds (N,)."""

    scores: Floats
    precision: Floats
    recall: Floats

    @property
    def f1(self) -> Floats:
        """(N,) harmonic means."""
        total = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)


@dataclass
class _Part:
    """One update: per prediction its score, class, block and hits (T, N); per true object its class and block
    (without ignored ones).
    """

    scores: Floats
    class_ids: Index
    blocks: npt.NDArray[np.object_]
    hit: Flags
    excused: Flags
    truth_ids: Index
    truth_blocks: npt.NDArray[np.object_]


class ObjectScorer:
    """Collects predictions and true objects image by image (or scene by scene).

    `iou`: from where on an object counts as found. `use_polygons`: compare outlines, not boxes. `min_score`:
    predictions below it do not count for precision, recall and F1 (average precision uses all).
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
        self._parts: list[_Part] = []
        self._places: set[str] = set()

    def update(
        self,
        predicted: Objects,
        truth: Objects,
        place: str = "",
        *,
        blocks: tuple[Places, Places] | None = None,
    ) -> None:
        """Add the objects of one image. `place` is its block of ground for the interval; `blocks`: one for
        each prediction and true object instead.
        """
        matches = match(predicted, truth, self._thresholds, self.use_polygons)
        real = ~truth.ignore if truth.ignore is not None else np.ones(len(truth), np.bool_)
        blocks = blocks if blocks is not None else ([place] * len(predicted), [place] * len(truth))
        ours, theirs = np.array(blocks[0], dtype=object), np.array(blocks[1], dtype=object)
        self._places |= {place} if blocks is None else {*ours.tolist(), *theirs.tolist()}
        if not len(predicted) and not len(truth):
            self._places.add(place)
        self._parts.append(
            _Part(
                predicted.scores.astype(np.float64),
                predicted.class_ids,
                ours,
                matches.found >= 0,
                matches.excused,
                truth.class_ids[real],
                theirs[real],
            )
        )

    def scores(self) -> list[Score]:
        """Overall scores (counts pooled over classes, AP as the mean over classes), then those of each class."""
        tables = [self._table(info.id) for info in self.classes]
        found = self._overall(tables)
        for info, table in zip(self.classes, tables, strict=True):
            precision, recall, f1 = _precision_recall_f1(*self._counts(table, None))
            values = {
                "precision": float(precision[0]),
                "recall": float(recall[0]),
                "f1": float(f1[0]),
                "ap50": self._ap(table, 0.5),
                "ap50_95": self._ap_mean(table),
            }
            found += [
                Score(name, value, info.name, table.total, self._threshold_of(name))
                for name, value in values.items()
            ]
        return found

    def curve(self, class_id: int) -> Curve:
        """Precision and recall of a class at `iou` for each score threshold, falling."""
        table = self._table(class_id)
        hit, counted = table.at(self.iou)
        hits, predictions = np.cumsum(hit & counted), np.cumsum(counted)
        precision = np.divide(hits, predictions, out=np.ones(len(hits)), where=predictions > 0)
        return Curve(
            table.scores, precision, hits / table.total if table.total else np.full(len(hits), np.nan)
        )

    def counts(self) -> dict[str, dict[str, int]]:
        """Per class at `iou`: true objects, predictions that count, found, missed, false."""
        result = {}
        for info in self.classes:
            table = self._table(info.id)
            hits, predictions, total = (int(np.ravel(value)[0]) for value in self._counts(table, None))
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
        values = self._pooled(tables, None) | {
            "ap50_95": np.array([_nan_mean([self._ap_mean(table) for table in tables])])
        }
        bounds = self._intervals(tables)
        return [
            Score(
                name,
                float(value[0]),
                None,
                total,
                self._threshold_of(name),
                *(bounds.get(name) or (None, None)),
            )
            for name, value in values.items()
        ]

    def _pooled(self, tables: list[_Table], weights: Floats | None) -> dict[str, Floats]:
        """(R,) overall scores for R draws (`weights` (R, B)), or as they are."""
        hits, predictions, total = (
            np.sum(column, axis=0)
            for column in zip(*(self._counts(table, weights) for table in tables), strict=True)
        )
        precision, recall, f1 = _precision_recall_f1(hits, predictions, total)
        aps = np.stack([self._aps(table, 0.5, weights) for table in tables])
        known = np.isfinite(aps)
        mean = np.divide(
            np.where(known, aps, 0).sum(axis=0),
            known.sum(axis=0),
            out=np.full(aps.shape[1], np.nan),
            where=known.any(axis=0),
        )
        return {"ap50": mean, "f1": f1, "precision": precision, "recall": recall}

    def draws(self) -> dict[str, Floats]:
        """(R,) overall scores of R resamplings of the blocks, the same ones for every scorer of these blocks;
        {} with too few blocks.
        """
        return self._draws([self._table(info.id) for info in self.classes])

    def _intervals(self, tables: list[_Table]) -> dict[str, Interval]:
        return {name: percentile_interval(values) for name, values in self._draws(tables).items()}

    def _draws(self, tables: list[_Table]) -> dict[str, Floats]:
        blocks = len(self._places)
        if blocks < FEWEST_BLOCKS:
            return {}
        draws = resampled_counts(blocks, seed=self._seed).astype(np.float64)
        step = max(1, _CHUNK // max(1, max((len(table.scores) for table in tables), default=1)))
        parts = [self._pooled(tables, draws[start : start + step]) for start in range(0, len(draws), step)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _counts(self, table: _Table, weights: Floats | None) -> tuple[Floats, Floats, Floats]:
        """(R,) hits, predictions that count, true objects."""
        hit, counted = table.at(self.iou)
        counted = counted & (table.scores >= self.min_score)
        if weights is None:
            return (
                np.array([float((hit & counted).sum())]),
                np.array([float(counted.sum())]),
                np.array([float(table.total)]),
            )
        blocks = weights.shape[1]
        per_block = [np.bincount(table.blocks[mask], minlength=blocks) for mask in (hit & counted, counted)]
        return (
            weights @ per_block[0],
            weights @ per_block[1],
            weights @ np.bincount(table.truth_blocks, minlength=blocks),
        )

    def _ap(self, table: _Table, iou: float) -> float:
        return float(self._aps(table, iou, None)[0])

    def _ap_mean(self, table: _Table) -> float:
        return float(np.mean([self._ap(table, iou) for iou in COCO_IOUS]))

    def _aps(self, table: _Table, iou: float, weights: Floats | None) -> Floats:
        hit, counted = table.at(iou)
        hit, blocks = hit[counted], table.blocks[counted]
        if weights is None:
            return average_precision(
                hit[None].astype(np.float64), np.ones((1, len(hit))), np.array([float(table.total)])
            )
        drawn = weights[:, blocks]
        return average_precision(
            drawn * hit, drawn, weights @ np.bincount(table.truth_blocks, minlength=weights.shape[1])
        )

    def _table(self, class_id: int) -> _Table:
        number = {name: place for place, name in enumerate(sorted(self._places))}
        parts = [(part, part.class_ids == class_id, part.truth_ids == class_id) for part in self._parts]
        scores = np.concatenate([part.scores[ours] for part, ours, _ in parts] or [np.empty(0)])
        order = np.argsort(-scores, kind="stable")
        depth = len(self._thresholds)
        hit = np.concatenate(
            [part.hit[:, ours] for part, ours, _ in parts] or [np.empty((depth, 0), np.bool_)], axis=1
        )[:, order]
        excused = np.concatenate(
            [part.excused[:, ours] for part, ours, _ in parts] or [np.empty((depth, 0), np.bool_)], axis=1
        )[:, order]
        blocks = np.array([number[name] for part, ours, _ in parts for name in part.blocks[ours]], np.int64)[
            order
        ]
        truth_blocks = np.array(
            [number[name] for part, _, theirs in parts for name in part.truth_blocks[theirs]], np.int64
        )
        return _Table(self._thresholds, scores[order], hit, ~excused, blocks, truth_blocks)


@dataclass(frozen=True)
class _Table:
    """All predictions of one class, strongest first, and the blocks of its true objects."""

    thresholds: tuple[float, ...]
    scores: Floats
    hit: Flags
    counted: Flags
    blocks: Index
    truth_blocks: Index

    @property
    def total(self) -> int:
        """Number of true objects."""
        return len(self.truth_blocks)

    def at(self, iou: float) -> tuple[Flags, Flags]:
        """(N,) found one, and counts at all, at one of the thresholds."""
        place = self.thresholds.index(iou)
        return self.hit[place], self.counted[place]


def average_precision(hits: Floats, weights: Floats, total: Floats) -> Floats:
    """(R,) average precision of R weightings of N predictions, strongest first; NaN where there is no true
    object.

    `hits` and `weights` (R, N), `total` (R,). COCO's rule: mean of the precision envelope at the recalls 0,
    0.01 ... 1.
    """
    if not hits.shape[1]:
        return np.where(total > 0, 0.0, np.nan)
    found, counted = np.cumsum(hits, axis=1), np.cumsum(weights, axis=1)
    precision = np.divide(found, counted, out=np.zeros_like(found), where=counted > 0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    result = np.full(len(hits), np.nan)
    for row in np.flatnonzero(total > 0):
        places = np.searchsorted(found[row] / total[row], _RECALLS, side="left")
        reached = places < hits.shape[1]
        result[row] = envelope[row, places[reached]].sum() / len(_RECALLS)
    return result


def _precision_recall_f1(hits: Floats, predictions: Floats, total: Floats) -> tuple[Floats, Floats, Floats]:
    precision, recall, f1 = (
        np.divide(part, whole, out=np.full(len(hits), np.nan), where=(whole > 0) & defined)
        for part, whole, defined in (
            (hits, predictions, True),
            (hits, total, True),
            (2 * hits, predictions + total, total > 0),
        )
    )
    return precision, recall, f1


def _nan_mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
