"""Predictions of one object a chip at most, chip by chip: is the chip's object found (CorLoc), and is rightly
nothing said where there is none.

A prediction says in its own tags that its model gives one object a chip, and by which rule a chip's object is
chosen where there are several; so the scores here are those of training's validation. A map of a scene was
put together from chips of another grid than those that are scored: what counts in a chip is the strongest
object with its centre in it.
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
from ..core.labelset import PixelLabels
from ..core.window import Window
from ..io.outputtags import layer_metadata, read_one_object_rule
from ..labels.visibleobjects import visible_objects
from ..scores.localizationscores import LocalizationScorer
from ..scores.score import Score
from .classmatch import ClassMatch
from .limits import Limits
from .objectwise import Compared, Found

_KNOWN = 0.5


@dataclass
class OneBoxCounts:
    """Chips that are scored, those of which too little is annotated or that lie outside the AOI, and those
    with several objects.
    """

    scored: int = 0
    left_out: int = 0
    crowded: int = 0


class OneBoxes:
    """Adds up the chips of a split, file by file."""

    def __init__(self, match: ClassMatch, limits: Limits, rule: OneObjectRule, iou: float, seed: int) -> None:
        self.match, self.limits, self.rule = match, limits, rule
        self.scorer = LocalizationScorer(match.classes, iou, seed=seed)
        self.tally = OneBoxCounts()

    @classmethod
    def of(
        cls, found: Sequence[Found], match: ClassMatch, limits: Limits, iou: float, seed: int
    ) -> OneBoxes | None:
        """None where there are no chips to score, or one of the files does not say that its model gives one
        object a chip.
        """
        rules = {read_one_object_rule(layer_metadata(one.part.path)) for one in found}
        rule = rules.pop() if len(rules) == 1 else None
        if rule is None or limits.chips is None:
            return None
        return cls(match, limits, rule, iou, seed)

    def add(self, compared: Compared) -> None:
        """Score the chips on one file."""
        labels = compared.labels
        ids = self.match.truth_ids[labels.class_ids].astype(np.int64)
        truth = replace(
            labels, classes=self.match.classes, class_ids=ids, ignore=labels.ignore | (ids == IGNORE_ID)
        )
        for window, block in self.limits.windows(compared.grid, compared.made_of):
            self._add_chip(compared.predicted, truth.within(window), window, block)

    def _add_chip(self, predicted: Objects, truth: PixelLabels, window: Window, block: str) -> None:
        frame = shapely.box(0, 0, window.width, window.height)
        if (
            truth.annotated is not None
            and shapely.area(shapely.intersection(truth.annotated, frame)) < _KNOWN * window.area_px
        ):
            self.tally.left_out += 1
            return
        classes, min_visible = self.match.classes, self.rule.min_visible
        seen = visible_objects(truth, classes, min_visible, window.height, window.width)
        target = self.rule.choose(seen.target())
        self.tally.scored += 1
        self.tally.crowded += len(truth) > 1
        self.scorer.update(_within(predicted, window), target.objects(), block)

    def scores(self) -> list[Score]:
        """CorLoc, mean IoU of boxes, accuracy; then by class."""
        return self.scorer.scores() if self.tally.scored else []

    def notes(self) -> list[str]:
        """What was counted."""
        rule = {"largest": "the one of which most is seen is their object", "ignore": "they do not count"}[
            self.rule.crowded
        ]
        return [
            f"{self.tally.scored} {self.limits.split} chips are scored as wholes: one object or none",
            *(
                [f"{self.tally.left_out} chips that are mostly not annotated are left out of that"]
                if self.tally.left_out
                else []
            ),
            *(
                [f"{self.tally.crowded} of these chips show several objects: {rule}"]
                if self.tally.crowded
                else []
            ),
        ]


def chips_wanted(found: Sequence[Found], limits: Limits) -> list[str]:
    """A note where the model gives one object a chip, and nobody said which chips."""
    if limits.chips is not None or any(
        read_one_object_rule(layer_metadata(one.part.path)) is None for one in found
    ):
        return []
    return ["the model gives one object a chip at most; with `chips` it is also scored chip by chip (CorLoc)"]


def _within(objects: Objects, window: Window) -> Objects:
    """Those with their centre in a window, as boxes in its pixels, cut at its border."""
    kept = centre_in(objects.boxes, window.box)
    boxes = objects.boxes[kept] - np.tile((window.col, window.row), 2)
    limits = [window.width, window.height, window.width, window.height]
    return Objects(np.clip(boxes, 0, limits), objects.class_ids[kept], objects.scores[kept])
