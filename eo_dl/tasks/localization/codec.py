"""Labels to the one box of a chip, and what a network says to one object or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...core.arrays import Objects, Target
from ...core.classes import IGNORE_ID, ClassSet
from ...core.labelset import PixelLabels
from ..detection.codec import DetectionCodec
from ..task import RawArrays


@dataclass(frozen=True)
class LocalizationCodec:
    """Raw arrays as those of detection with one place: "boxes" (1, 4), "scores" (1,), "channels" (1,); score
    0: nothing there.

    `Target.boxes` has at most one row. None: the chip holds nothing. A row of class id 255: the chip holds
    something, but nothing can be learned or scored from it (cut to less than `min_visible`, ignored, not
    annotated, or several objects where `several` is "ignore").
    """

    classes: ClassSet
    several: Literal["largest", "ignore"] = "largest"
    min_visible: float = 0.5

    def encode(self, labels: PixelLabels, height: int, width: int) -> Target:
        """The largest visible box of the chip, its class, or none; see the class."""
        seen = DetectionCodec(self.classes, self.min_visible).encode(labels, height, width)
        assert seen.boxes is not None and seen.class_ids is not None
        real = np.flatnonzero(seen.class_ids != IGNORE_ID)
        if not len(real):
            # nothing, or something that is ignored
            return Target(boxes=seen.boxes[:1], class_ids=seen.class_ids[:1])
        best = real[np.argmax(_areas(seen.boxes[real]))]
        left_open = len(real) > 1 and self.several == "ignore"
        ids = np.array([IGNORE_ID if left_open else seen.class_ids[best]], np.int64)
        return Target(boxes=seen.boxes[best : best + 1], class_ids=ids)

    def decode(self, raw: RawArrays) -> Objects:
        """One object in chip pixels, or none."""
        return DetectionCodec(self.classes).decode(raw)

    def answer(self, raw: RawArrays) -> Objects:
        """As `decode`."""
        return self.decode(raw)

    def truth(self, target: Target) -> Objects:
        """The target's box with score 1, flagged `ignore` where its class id is 255."""
        return DetectionCodec(self.classes).truth(target)


def _areas(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), np.float32)
