"""`Annotations`, the objects of images that formats write, and `Losses`, what a format cannot hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import shapely

from ...core.arraytypes import UInt8Array
from ...core.classes import IGNORE_ID, ClassSet
from ...core.imagenames import stem_of
from ...core.pixelgrid import PixelGrid
from ...io.rasterize import burn

NO_SPLIT = "none"
_USUAL_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class LabelledObject:
    """One annotation of an image."""

    outline: shapely.Geometry
    """Polygon or multipolygon in pixels of the image."""

    class_name: str
    """Its class; "" if it has none, so that it is ignored."""

    feature_id: str
    """The name of the object in its source."""

    score: float | None = None
    """How sure a model is of the object."""

    attributes: Mapping[str, object] = field(default_factory=dict)
    """Further attributes by name."""

    ignore: bool = False
    """The object counts neither for nor against."""


@dataclass(frozen=True)
class LabelledImage:
    """An image with its objects."""

    name: str
    """File name."""

    width: int
    """Number of columns."""

    height: int
    """Number of rows."""

    objects: tuple[LabelledObject, ...]
    """Its annotations."""

    bands: int = 3
    """Number of bands."""

    split: str = NO_SPLIT
    """The split it belongs to."""

    grid: PixelGrid | None = None
    """Its pixels on the ground; None if unknown."""

    annotated: shapely.Geometry | None = None
    """Where the objects are complete, in pixels; None: everywhere."""

    mask: Callable[[], UInt8Array] | None = field(default=None, repr=False, compare=False)
    """Reads the (H, W) class ids of labels that are rasters; None for labels that are objects."""

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return stem_of(self.name)

    @property
    def has_scores(self) -> bool:
        """Whether any object has a score."""
        return any(labelled.score is not None for labelled in self.objects)

    def class_mask(self, classes: ClassSet) -> UInt8Array:
        """The image as (H, W) class ids: 0 where nothing is labelled, 255 where nothing is known.

        Where objects overlap, the later one wins; ignored objects win over all others.
        """
        if self.mask is not None:
            return self.mask()
        id_of = {info.name: info.id for info in classes}
        ordered = sorted(self.objects, key=lambda labelled: labelled.ignore)
        outlines = [labelled.outline for labelled in ordered]
        values = [
            IGNORE_ID if labelled.ignore else id_of.get(labelled.class_name, IGNORE_ID)
            for labelled in ordered
        ]
        mask = np.asarray(burn(outlines, values, self.height, self.width), np.uint8)
        if self.annotated is not None:
            known = burn([self.annotated], [1], self.height, self.width)
            mask[known == 0] = IGNORE_ID
        return mask


@dataclass(frozen=True)
class Annotations:
    """All images of a label set with their objects."""

    classes: ClassSet
    """The classes in order."""

    images: tuple[LabelledImage, ...]
    """The images, with and without objects."""

    source: str
    """What the labels are called in messages."""

    whole_images: bool = False
    """Every object stands for the whole of its image."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that occur; train, val and test first."""
        occurring = {image.split for image in self.images}
        usual = tuple(name for name in _USUAL_SPLITS if name in occurring)
        return usual + tuple(sorted(occurring.difference(usual)))

    def of_split(self, split: str) -> tuple[LabelledImage, ...]:
        """The images of one split."""
        return tuple(image for image in self.images if image.split == split)

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """The names of all attributes that any object has, sorted."""
        names: set[str] = set()
        for image in self.images:
            for labelled in image.objects:
                names.update(labelled.attributes)
        return tuple(sorted(names))

    @property
    def has_scores(self) -> bool:
        """Whether any object has a score."""
        return any(image.has_scores for image in self.images)


class Losses:
    """Counts of what a format could not hold."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, what: str, number: int = 1) -> None:
        """Add `number` objects or images to the count of `what`, which reads on after the number."""
        if number:
            self._counts[what] += number

    @property
    def notes(self) -> tuple[str, ...]:
        """One line per kind of loss, such as "12 scores left out"."""
        return tuple(f"{number} {what}" for what, number in self._counts.items())


def objects_that_count(image: LabelledImage, losses: Losses) -> list[LabelledObject]:
    """The objects that have a class and are not ignored, for formats that cannot mark ignored ones."""
    kept = [labelled for labelled in image.objects if labelled.class_name and not labelled.ignore]
    losses.count("ignored objects left out: the format cannot mark them", len(image.objects) - len(kept))
    return kept


def objects_with_class(image: LabelledImage, losses: Losses) -> list[LabelledObject]:
    """The objects that have a class, for formats that can mark ignored ones."""
    kept = [labelled for labelled in image.objects if labelled.class_name]
    losses.count("ignored objects without a class left out", len(image.objects) - len(kept))
    return kept


def without_extras(
    objects: list[LabelledObject], losses: Losses, *, scores: bool = False, attributes: bool = False
) -> list[LabelledObject]:
    """The same objects; counts the scores and attributes that are lost unless the format holds them."""
    if not scores:
        scored = sum(labelled.score is not None for labelled in objects)
        losses.count("scores left out: the format has no place for them", scored)
    if not attributes:
        described = sum(_has_attributes(labelled) for labelled in objects)
        losses.count("objects without their attributes: the format has no place for them", described)
    return objects


def _has_attributes(labelled: LabelledObject) -> bool:
    return any(value is not None for value in labelled.attributes.values())
