"""Labels to boxes, and boxes to objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.arrays import BoxTarget, Objects
from ...core.arraytypes import Float32Array, Int64Array
from ...core.classes import ClassSet
from ...core.pixellabels import PixelLabels
from ...labels.visibleobjects import visible_objects
from ..codecs import RawArrays


@dataclass(frozen=True)
class DetectionCodec:
    """Codec of boxes.

    Raw arrays: "boxes" (M, 4), "scores" (M,), "channels" (M,). Rows without an object have score 0.
    """

    classes: ClassSet
    """Classes in channel order."""
    min_visible: float = 0.3
    """An object with a smaller share of its box in the chip is neither an object nor background; see
    `labels.visibleobjects` for the other objects that count neither way."""

    @property
    def one_object(self) -> None:
        """A chip may have any number of objects."""
        return

    def encode(self, labels: PixelLabels, height: int, width: int) -> BoxTarget:
        """Boxes cut at the border of the chip, at least 1 px wide and high, with their classes."""
        return visible_objects(labels, self.classes, self.min_visible, height, width).target()

    def decode(self, raw: RawArrays) -> Objects:
        """Objects in chip pixels, highest score first. The mosaic, which knows the borders, sets `cut`."""
        return decoded_boxes(raw, self.classes)

    def answer(self, raw: RawArrays) -> Objects:
        """As `decode`."""
        return self.decode(raw)

    def truth(self, target: BoxTarget) -> Objects:
        """The target's boxes with score 1; those of class 255 are flagged `ignore`."""
        return target.objects()


def decoded_boxes(raw: RawArrays, classes: ClassSet) -> Objects:
    """The rows of raw boxes with a score above 0 as objects in chip pixels, highest score first."""
    scores = np.asarray(raw["scores"], np.float32)
    rows = highest_first(scores)
    channels = np.asarray(raw["channels"], np.int64)[rows]
    return Objects(
        boxes=np.asarray(raw["boxes"], np.float64)[rows].reshape(-1, 4),
        class_ids=classes.id_of_channel[channels].astype(np.int64),
        scores=scores[rows],
    )


def highest_first(scores: Float32Array) -> Int64Array:
    """Indices of the scores above 0, highest first; equal scores in their order."""
    positive = np.flatnonzero(scores > 0)
    return positive[np.argsort(-scores[positive], kind="stable")]
