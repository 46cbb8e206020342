"""The rules by which the labels of a chip become its class or its one object.

A model learns by a rule, writes it into its outputs, and `evaluate` applies the same one to the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .arrays import BoxTarget
from .arraytypes import Float32Array, Float64Array
from .boxes import areas
from .classes import IGNORE_ID

Crowded = Literal["largest", "ignore"]
"""A chip with several objects: its object is the one with the largest visible box, or the chip is ignored."""

ONE_CLASS_COVER, _MULTI_LABEL_COVER = 0.5, 0.1
_SAME_COVER = 1e-6  # shares of the ground closer than this are equal


@dataclass(frozen=True)
class ChipClassRule:
    """Which classes a whole chip has, given how much of it each class covers."""

    multi_label: bool
    """True: a chip may have any number of classes; False: exactly one."""
    min_cover: float
    """The share of a chip's known ground that a class must cover to be a class of the chip."""

    @classmethod
    def of(cls, multi_label: bool, min_cover: float | None = None) -> ChipClassRule:
        """The rule with its default `min_cover`: 0.5, or 0.1 where a chip may have several classes."""
        default = _MULTI_LABEL_COVER if multi_label else ONE_CLASS_COVER
        return cls(multi_label, default if min_cover is None else min_cover)

    def values(self, covers: Float64Array) -> Float32Array:
        """(K,) 1 for the classes of a chip, 0 for the others, from the share that each class covers (K,).

        With one class per chip it is the class that covers most. Where none covers `min_cover`, or two cover
        the same, the class is unknown: all NaN.
        """
        enough = covers >= self.min_cover - _SAME_COVER
        if self.multi_label:
            return np.asarray(enough, np.float32)
        best = enough & (covers >= covers.max(initial=0.0) - _SAME_COVER)
        if best.sum() != 1:
            return np.full(len(covers), np.nan, np.float32)
        return np.asarray(best, np.float32)


@dataclass(frozen=True)
class OneObjectRule:
    """Which object stands for a chip, where a task finds at most one object per chip."""

    crowded: Crowded = "largest"
    """What a chip with several objects counts as."""
    min_visible: float = 0.5
    """An object with a smaller share of its box in the chip counts neither way."""

    def choose(self, objects: BoxTarget) -> BoxTarget:
        """At most one of the objects in a chip.

        No row: the chip shows nothing. A row of class 255: the chip shows something that counts neither way
        (only ignored objects, or several objects where `crowded` is "ignore").
        """
        real = np.flatnonzero(~objects.ignored)
        if not len(real):
            return objects.take(np.arange(min(len(objects), 1)))
        largest = real[np.argmax(areas(objects.boxes[real].astype(np.float64)))]
        chosen = objects.take(np.array([largest]))
        if len(real) > 1 and self.crowded == "ignore":
            return BoxTarget(chosen.boxes, np.array([IGNORE_ID], np.int64), chosen.instance_masks)
        return chosen
