"""`LabelSet`: annotations with their classes, and the ground on which they are complete.

One contract for every format and any number of scenes. The kinds are `MapLabels` (features on the map),
`ImageLabels` (features in pixels of named images), `WholeImageLabels` (classes of named images) and
`RasterLabels` (label rasters). `for_grid` brings any of them into the pixels of one scene.
"""

from __future__ import annotations

from typing import Protocol, Self, runtime_checkable

from pyproj import CRS

from .classes import ClassSet
from .features import Features
from .labeloutlines import Outlines
from .labelreport import LabelReport
from .pixelgrid import PixelGrid
from .pixellabels import PixelLabels


@runtime_checkable
class LabelSet(Protocol):
    """What all label sets have in common."""

    @property
    def classes(self) -> ClassSet:
        """The classes, with their ids."""
        ...

    @property
    def source(self) -> str:
        """The file or folder that the labels come from, for messages."""
        ...

    @property
    def crs(self) -> CRS | None:
        """CRS of the labels; None where they are in pixels of images."""
        ...

    @property
    def class_field(self) -> str | None:
        """Attribute that the classes come from; None where there is none."""
        ...

    @property
    def annotated(self) -> Outlines | None:
        """Areas in which labels are complete; None: everywhere."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What was repaired, dropped or guessed, counted ("3 geometries repaired")."""
        ...

    @property
    def report(self) -> LabelReport:
        """What became of the objects of the files."""
        ...

    @property
    def states_extent(self) -> bool:
        """True where the labels state the ground that they cover: by areas, listed images or rasters.

        Otherwise only the features show where somebody labelled.
        """
        ...

    def __len__(self) -> int:
        """Number of labels; 0 for label rasters, which have no objects."""
        ...

    def class_counts(self) -> dict[str, int]:
        """Number of labels per class name."""
        ...

    def with_notes(self, *notes: str) -> Self:
        """The same labels with further notes."""
        ...

    def covers(self, image_name: str) -> bool:
        """Whether the labels refer to an image.

        Args:
            image_name: Path (forward slashes) or file name of the image.
        """
        ...

    def for_grid(self, grid: PixelGrid, image_name: str, native: PixelGrid | None = None) -> PixelLabels:
        """The labels of a scene, in its pixels.

        Args:
            grid: The working grid of the scene.
            image_name: Path (forward slashes) or file name of the scene, by which labels of images are found.
            native: The grid of the scene's file, if `grid` is a resampled one.

        Raises:
            LabelError: Labels are in map coordinates, and the scene has no CRS.
        """
        ...


@runtime_checkable
class FeatureLabels(LabelSet, Protocol):
    """Labels with outlines: `MapLabels` and `ImageLabels`."""

    @property
    def features(self) -> Features:
        """The labels with their outlines, in map coordinates of `crs` or in pixels of their images."""
        ...

    @property
    def outlines(self) -> Outlines:
        """The features as outlines that can be placed on scenes."""
        ...

    @property
    def areas(self) -> Outlines | None:
        """Areas drawn around complete labels; None: none were drawn."""
        ...


def features_of(labels: LabelSet) -> Features:
    """The features of a label set; none, where it has label rasters or labels of whole images."""
    return labels.features if isinstance(labels, FeatureLabels) else Features.none()
