"""Scores of models that predict at most one object per chip: is it found (CorLoc), or correctly absent?

A prediction states in its tags that its model predicts one object per chip, and how a chip's object is chosen
if there are several, so these scores are those of validation in training. The map of a scene was assembled
from other chips than the scored ones: what counts in a chip is the strongest object with its centre in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely

from ..core.arrays import Objects
from ..core.boxes import centre_in
from ..core.chiprules import OneObjectRule
from ..core.classes import IGNORE_ID
from ..core.pixellabels import PixelLabels
from ..core.window import Window
from ..io.outputtags import layer_metadata, read_one_object_rule
from ..labels.visibleobjects import visible_objects
from ..scores.localizationscores import LocalizationScorer
from ..scores.score import Score
from .classmatch import ClassMatch
from .eachfile import total
from .limits import Limits
from .objectwise import Compared, Found

_MIN_ANNOTATED = 0.5


@dataclass
class OneBoxCounts:
    """Counts of chips."""

    scored: int = 0
    """Scored chips."""
    left_out: int = 0
    """Chips of which less than half is annotated."""
    crowded: int = 0
    """Scored chips with several objects."""


class OneBoxes:
    """Scores the chips of a split, file by file."""

    def __init__(self, match: ClassMatch, limits: Limits, rule: OneObjectRule, iou: float, seed: int) -> None:
        self.match, self.limits, self.rule = match, limits, rule
        self.scorer = LocalizationScorer(match.classes, iou, seed=seed)
        self.counts = OneBoxCounts()

    @classmethod
    def of(
        cls, files: Sequence[Found], match: ClassMatch, limits: Limits, iou: float, seed: int
    ) -> OneBoxes | None:
        """None if there are no chips to score, or a file is not of a model with one object per chip."""
        rules = {read_one_object_rule(layer_metadata(file.part.path)) for file in files}
        rule = rules.pop() if len(rules) == 1 else None
        if rule is None or limits.chips is None:
            return None
        return cls(match, limits, rule, iou, seed)

    def merge(self, other: OneBoxes) -> None:
        """Add what another one scored, after what is here."""
        self.scorer.merge(other.scorer)
        self.counts = total([self.counts, other.counts], OneBoxCounts())

    def add(self, compared: Compared) -> None:
        """Score the chips on one file."""
        labels = compared.labels
        ids = self.match.truth_ids[labels.class_ids].astype(np.int64)
        ignore = labels.ignore | (ids == IGNORE_ID)
        truth = replace(labels, classes=self.match.classes, class_ids=ids, ignore=ignore)
        for window, block in self.limits.windows(compared.grid, compared.made_of):
            self._add_chip(compared.predicted, truth.within(window), window, block)

    def _add_chip(self, predicted: Objects, truth: PixelLabels, window: Window, block: str) -> None:
        if _annotated_share(truth, window) < _MIN_ANNOTATED:
            self.counts.left_out += 1
            return
        classes, min_visible = self.match.classes, self.rule.min_visible
        visible = visible_objects(truth, classes, min_visible, window.height, window.width)
        target = self.rule.choose(visible.target())
        self.counts.scored += 1
        self.counts.crowded += len(truth) > 1
        self.scorer.update(_within(predicted, window), target.objects(), block)

    def scores(self) -> list[Score]:
        """CorLoc, mean box IoU and accuracy, overall and per class."""
        return self.scorer.scores() if self.counts.scored else []

    def notes(self) -> list[str]:
        """Notes on the counts."""
        counts = self.counts
        notes = [f"{counts.scored} {self.limits.split} chips are scored as a whole: one object or none"]
        if counts.left_out:
            notes.append(f"{counts.left_out} chips are left out of that: they are mostly not annotated")
        if counts.crowded:
            rule = "are ignored" if self.rule.crowded == "ignore" else "count with their most visible object"
            notes.append(f"{counts.crowded} of the scored chips show several objects and {rule}")
        return notes


def chips_wanted(files: Sequence[Found], limits: Limits) -> list[str]:
    """A note if the model predicts one object per chip but no chips were named."""
    rules = [read_one_object_rule(layer_metadata(file.part.path)) for file in files]
    if limits.chips is not None or None in rules:
        return []
    return [
        "the model predicts at most one object per chip; with `chips` it is also scored per chip (CorLoc)"
    ]


def _annotated_share(truth: PixelLabels, window: Window) -> float:
    if truth.annotated is None:
        return 1.0
    frame = shapely.box(0, 0, window.width, window.height)
    return float(shapely.area(shapely.intersection(truth.annotated, frame))) / window.area_px


def _within(objects: Objects, window: Window) -> Objects:
    """The objects with their centre in a window, as boxes in its pixels, clipped to it."""
    kept = centre_in(objects.boxes, window.box)
    boxes = objects.boxes[kept] - np.tile((window.col, window.row), 2)
    limits = [window.width, window.height, window.width, window.height]
    return Objects(np.clip(boxes, 0, limits), objects.class_ids[kept], objects.scores[kept])
