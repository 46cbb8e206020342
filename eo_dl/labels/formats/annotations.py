"""What every format reads from and writes to: objects of images, in pixels, and what a format could not
carry, counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely

from ...core.classes import IGNORE_ID, ClassSet
from ...core.imagenames import stem_of
from ...core.pixelgrid import PixelGrid
from ...io.rasterize import burn

NO_SPLIT = "none"


@dataclass(frozen=True)
class LabelledObject:
    """One annotation: `outline` in pixels of its image, `class_name` ("": no class, so it counts neither
    way).
    """

    outline: shapely.Geometry
    class_name: str
    feature_id: str
    score: float | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)
    ignore: bool = False


@dataclass(frozen=True)
class LabelledImage:
    """An image and what is in it.

    `name`: its file name. `grid`: its place on the ground, in whose pixels the objects are. `annotated`:
    where the objects are complete, in pixels (None: everywhere). `mask`: gives its (H, W) class ids where
    labels are rasters.
    """

    name: str
    width: int
    height: int
    objects: tuple[LabelledObject, ...]
    bands: int = 3
    split: str = NO_SPLIT
    grid: PixelGrid | None = None
    annotated: shapely.Geometry | None = None
    mask: Callable[[], npt.NDArray[np.uint8]] | None = field(default=None, repr=False, compare=False)

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return stem_of(self.name)

    def class_mask(self, classes: ClassSet) -> npt.NDArray[np.uint8]:
        """(H, W) class ids: 0 where nothing is labelled, 255 where nothing is known; where objects overlap
        the later one wins, ignored ones over all.
        """
        if self.mask is not None:
            return self.mask()
        ids = {info.name: info.id for info in classes}
        ordered = sorted(self.objects, key=lambda found: found.ignore)
        values = [IGNORE_ID if found.ignore else ids.get(found.class_name, IGNORE_ID) for found in ordered]
        out = np.asarray(
            burn([found.outline for found in ordered], values, self.height, self.width), np.uint8
        )
        if self.annotated is not None:
            known = burn([self.annotated], [1], self.height, self.width)
            out[known == 0] = IGNORE_ID
        return out


@dataclass(frozen=True)
class Annotations:
    """All images with their objects; `classes` in order. `whole_images`: objects stand for the whole of their
    image. `source` is named in messages.
    """

    classes: ClassSet
    images: tuple[LabelledImage, ...]
    source: str
    whole_images: bool = False

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that occur, train, val and test first."""
        found = {image.split for image in self.images}
        return tuple(name for name in ("train", "val", "test") if name in found) + tuple(
            sorted(found - {"train", "val", "test"})
        )

    def of_split(self, split: str) -> tuple[LabelledImage, ...]:
        """The images of a split."""
        return tuple(image for image in self.images if image.split == split)


class Losses:
    """Counts of what a format could not carry, as they are told."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, what: str, number: int = 1) -> None:
        """Note something that happened to `number` objects or images, worded so that "12 " may stand before
        it.
        """
        if number:
            self._counts[what] += number

    @property
    def notes(self) -> tuple[str, ...]:
        """One remark for each kind of loss."""
        return tuple(f"{number} {what}" for what, number in self._counts.items())


def usable(image: LabelledImage, losses: Losses) -> list[LabelledObject]:
    """The objects that have a class and count; for formats that cannot say "ignore", which leave the others
    out.
    """
    kept = [found for found in image.objects if found.class_name and not found.ignore]
    losses.count(
        "ignored objects left out: the format cannot say that they count neither way",
        len(image.objects) - len(kept),
    )
    return kept


def classed(image: LabelledImage, losses: Losses) -> list[LabelledObject]:
    """The objects that have a class; for formats that can say "ignore"."""
    kept = [found for found in image.objects if found.class_name]
    losses.count("ignored objects without a class left out", len(image.objects) - len(kept))
    return kept


def without_extras(
    objects: list[LabelledObject], losses: Losses, *, scores: bool = False, attributes: bool = False
) -> list[LabelledObject]:
    """The same objects; what of their scores and attributes the format does not hold is counted."""
    if not scores:
        losses.count(
            "scores left out: the format has no place for them",
            sum(found.score is not None for found in objects),
        )
    if not attributes:
        losses.count(
            "objects without their attributes: the format has no place for them",
            sum(any(v is not None for v in f.attributes.values()) for f in objects),
        )
    return objects
