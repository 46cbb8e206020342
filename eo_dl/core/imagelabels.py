"""Labels of named images: `ImageLabels`, features in their pixels, and `WholeImageLabels`, their classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .arraytypes import ObjectArray
from .classes import ClassSet
from .features import Features, LabelRows
from .imagenames import ImageNames
from .labelcard import label_card
from .labeloutlines import NOWHERE, ImageOutlines, RowsByImage, frame_of, ground_on_grid
from .labelreport import NOTHING_READ, LabelReport
from .pixelgrid import PixelGrid
from .pixellabels import PixelLabels

_FRAME = "none: pixels of images"


@dataclass(frozen=True)
class CoveredImage:
    """An image that labels refer to, with or without objects."""

    name: str
    """File name, or the end of the path ("dog/001.png") where folders hold several files of one name."""

    size_px: tuple[int, int] | None = None
    """Width and height as the labels state them; None where they do not."""


@dataclass(frozen=True)
class ImageLabels:
    """Features in pixels of named images; a `LabelSet`. Raises `ValueError` for features without images."""

    classes: ClassSet
    """The classes, with their ids."""

    features: Features
    """The features, in pixels (col, row) of the files that `features.images` names."""

    source: str
    """The file or folder that the labels come from, for messages."""

    covered: tuple[CoveredImage, ...] = ()
    """The images that the labels refer to; nothing is known of others. Empty: every image is covered."""

    areas: ImageOutlines | None = None
    """Areas drawn around complete labels; None: none were drawn."""

    only_features: bool = False
    """True where ground without a feature is unknown and not background (`unlabelled="ignore"`)."""

    class_field: str | None = None
    """Attribute that the classes come from; None where there is none."""

    notes: tuple[str, ...] = ()
    """What was repaired, dropped or guessed, counted."""

    report: LabelReport = NOTHING_READ
    """What became of the objects of the files."""

    def __post_init__(self) -> None:
        if self.features.images is None:
            raise ValueError("labels in pixels need the image of each feature")

    def __len__(self) -> int:
        return len(self.features)

    def _repr_html_(self) -> str:
        return label_card(
            self.source,
            [("features", len(self)), ("CRS", _FRAME), ("class field", self.class_field or "none")],
            self.classes,
            self.class_counts(),
        )

    @property
    def crs(self) -> None:
        """None: the labels are in pixels."""
        return

    @cached_property
    def outlines(self) -> ImageOutlines:
        """The features as outlines that can be placed on scenes."""
        return ImageOutlines(self.features.geometries, self.images)

    @property
    def images(self) -> ObjectArray:
        """(N,) the image of each feature."""
        return _images_of(self.features)

    @property
    def annotated(self) -> ImageOutlines | None:
        """Areas in which labels are complete; None: everywhere on the covered images."""
        return self.outlines if self.only_features else self.areas

    @property
    def states_extent(self) -> bool:
        """True where areas or the images of the labels are stated."""
        return self.annotated is not None or bool(self.covered)

    @property
    def image_names(self) -> tuple[str, ...]:
        """Names of the covered images."""
        return tuple(image.name for image in self.covered)

    @cached_property
    def covered_names(self) -> ImageNames:
        """`image_names`, to look them up."""
        return ImageNames(self.image_names)

    def class_counts(self) -> dict[str, int]:
        """Number of features per class name."""
        return self.features.class_counts(self.classes)

    def with_notes(self, *notes: str) -> ImageLabels:
        """The same labels with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def covers(self, image_name: str) -> bool:
        """Whether the labels refer to an image; to all, where they list none."""
        return not self.covered or image_name in self.covered_names

    def for_grid(self, grid: PixelGrid, image_name: str, native: PixelGrid | None = None) -> PixelLabels:
        """The features of an image that touch it, in its pixels. See `LabelSet.for_grid`."""
        index, in_pixels = self.outlines.on_grid(grid, image_name, native)
        annotated = ground_on_grid(self.annotated, grid, image_name, native)
        if not self.covers(image_name):
            annotated = NOWHERE
        return PixelLabels.of_rows(self.classes, self.features, index, in_pixels, annotated)


@dataclass(frozen=True)
class WholeImageLabels:
    """Classes of named images as a whole, whatever their size; a `LabelSet`.

    An image with several classes has several labels. Raises `ValueError` for labels without images.
    """

    classes: ClassSet
    """The classes, with their ids."""

    rows: LabelRows
    """The labels; `rows.images` names the image of each."""

    source: str
    """The file or folder that the labels come from, for messages."""

    covered: tuple[CoveredImage, ...] = ()
    """The images that the labels refer to; one without a label has none of the classes."""

    areas: ImageOutlines | None = None
    """Areas drawn around the ground that counts, in pixels of the images; None: none were drawn."""

    class_field: str | None = None
    """Attribute that the classes come from; None where there is none."""

    notes: tuple[str, ...] = ()
    """What was repaired, dropped or guessed, counted."""

    report: LabelReport = NOTHING_READ
    """What became of the objects of the files."""

    def __post_init__(self) -> None:
        if self.rows.images is None:
            raise ValueError("labels of whole images need the image of each label")

    def __len__(self) -> int:
        return len(self.rows)

    def _repr_html_(self) -> str:
        return label_card(
            self.source,
            [("labels", len(self)), ("images", len(self.covered)), ("class field", self.class_field)],
            self.classes,
            self.class_counts(),
        )

    @property
    def crs(self) -> None:
        """None: the labels belong to images."""
        return

    @property
    def images(self) -> ObjectArray:
        """(N,) the image of each label."""
        return _images_of(self.rows)

    @property
    def annotated(self) -> ImageOutlines | None:
        """Areas that count; None: all of the covered images."""
        return self.areas

    @property
    def states_extent(self) -> bool:
        """True: the images are stated."""
        return True

    @cached_property
    def covered_names(self) -> ImageNames:
        """Names of the covered images, to look them up."""
        return ImageNames(image.name for image in self.covered)

    @cached_property
    def _rows_by_image(self) -> RowsByImage:
        return RowsByImage(self.images)

    def class_counts(self) -> dict[str, int]:
        """Number of images per class name."""
        return self.rows.class_counts(self.classes)

    def with_notes(self, *notes: str) -> WholeImageLabels:
        """The same labels with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def covers(self, image_name: str) -> bool:
        """Whether the labels refer to an image."""
        return image_name in self.covered_names

    def for_grid(self, grid: PixelGrid, image_name: str, native: PixelGrid | None = None) -> PixelLabels:
        """The frame of an image once per class of it. See `LabelSet.for_grid`."""
        index = self._rows_by_image.of(image_name)
        frames = np.full(len(index), frame_of(grid), dtype=object)
        annotated = ground_on_grid(self.areas, grid, image_name, native)
        if not self.covers(image_name):
            annotated = NOWHERE
        return PixelLabels.of_rows(self.classes, self.rows, index, frames, annotated)

    def framed(self, grids: Mapping[str, PixelGrid]) -> ImageLabels:
        """The labels of some images as features: the frame of an image once per class of it.

        Args:
            grids: The grid of each image's file by its path (forward slashes) or file name.
        """
        frames = np.empty(len(self), dtype=object)
        known = np.zeros(len(self), np.bool_)
        for image_name, grid in grids.items():
            index = self._rows_by_image.of(image_name)
            frames[index], known[index] = frame_of(grid), True
        features = Features.of_rows(self.rows, frames).take(known)
        return ImageLabels(
            self.classes,
            features,
            self.source,
            covered=self.covered,
            areas=self.areas,
            class_field=self.class_field,
            notes=self.notes,
            report=self.report,
        )


def _images_of(rows: LabelRows) -> ObjectArray:
    if rows.images is None:
        raise ValueError("labels of images need the image of each label")
    return rows.images
