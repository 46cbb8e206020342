"""Labels to the one box of a chip, and the output of a network to one object or none."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...core.arrays import BoxTarget, Objects
from ...core.chiprules import OneObjectRule
from ...core.classes import ClassSet
from ...core.pixellabels import PixelLabels
from ...labels.visibleobjects import visible_objects
from ..codecs import RawArrays
from ..detection.codec import decoded_boxes


@dataclass(frozen=True)
class LocalizationCodec:
    """Codec of at most one box per chip.

    Raw arrays: those of detection with one row, "boxes" (1, 4), "scores" (1,), "channels" (1,); score 0 where
    there is nothing.
    """

    classes: ClassSet
    """Classes in channel order."""
    one_object: OneObjectRule = field(default_factory=OneObjectRule)
    """How the object of a chip is chosen."""

    def encode(self, labels: PixelLabels, height: int, width: int) -> BoxTarget:
        """The object of the chip, as `OneObjectRule.choose` gives it."""
        seen = visible_objects(labels, self.classes, self.one_object.min_visible, height, width)
        return self.one_object.choose(seen.target())

    def decode(self, raw: RawArrays) -> Objects:
        """One object in chip pixels, or none."""
        return decoded_boxes(raw, self.classes)

    def answer(self, raw: RawArrays) -> Objects:
        """As `decode`."""
        return self.decode(raw)

    def truth(self, target: BoxTarget) -> Objects:
        """The target's box with score 1, flagged `ignore` where its class is 255."""
        return target.objects()
