"""`MapLabels`: features in map coordinates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import shapely
from pyproj import CRS

from .classes import ClassSet
from .features import Features
from .imagenames import ImageNames
from .labelcard import label_card
from .labeloutlines import NOWHERE, MapOutlines, ground_on_grid
from .labelreport import NOTHING_READ, LabelReport
from .pixelgrid import PixelGrid
from .pixellabels import PixelLabels


@dataclass(frozen=True)
class MapLabels:
    """Features in map coordinates; a `LabelSet`."""

    classes: ClassSet
    """The classes, with their ids."""

    features: Features
    """The features, (x, y) of `crs`; `images` names the scene of each where they are bound to scenes."""

    crs: CRS
    """CRS of features and areas."""

    source: str
    """The file or folder that the labels come from, for messages."""

    areas: MapOutlines | None = None
    """Areas drawn around complete labels; None: none were drawn."""

    only_features: bool = False
    """True where ground without a feature is unknown and not background (`unlabelled="ignore"`)."""

    rejected: MapOutlines | None = None
    """Proposed objects that a reviewer rejected: background for sure (hard negatives); None: none."""

    image_names: tuple[str, ...] = ()
    """The scenes that features are bound to, as one place on several dates; empty: they are not bound."""

    file_names: tuple[str, ...] = ()
    """The label files where there are several, also those without features."""

    accept_shift_m: float | None = None
    """The accuracy of a change of datum that is good enough, metres; None: a pixel of the scene."""

    class_field: str | None = None
    """Attribute that the classes come from; None where there is none."""

    notes: tuple[str, ...] = ()
    """What was repaired, dropped or guessed, counted."""

    report: LabelReport = NOTHING_READ
    """What became of the objects of the files."""

    def __len__(self) -> int:
        return len(self.features)

    def _repr_html_(self) -> str:
        return label_card(
            self.source,
            [("features", len(self)), ("CRS", self.crs.name), ("class field", self.class_field or "none")],
            self.classes,
            self.class_counts(),
        )

    @cached_property
    def outlines(self) -> MapOutlines:
        """The features as outlines that can be placed on scenes."""
        return MapOutlines(self.features.geometries, self.crs, self.source, self.features.images)

    @cached_property
    def annotated(self) -> MapOutlines | None:
        """Areas in which labels are complete; None: everywhere.

        Rejected objects are part of them, since somebody looked there.
        """
        areas = self.outlines if self.only_features else self.areas
        if areas is None or self.rejected is None:
            return areas
        images = None
        if areas.images is not None:
            images = np.concatenate([areas.images, np.full(len(self.rejected.geometries), None)])
        geometries = np.concatenate([areas.geometries, self.rejected.geometries])
        return MapOutlines(geometries, self.crs, self.source, images)

    @property
    def states_extent(self) -> bool:
        """True where areas or the scenes of the labels are stated."""
        return self.annotated is not None or bool(self.image_names)

    def class_counts(self) -> dict[str, int]:
        """Number of features per class name."""
        return self.features.class_counts(self.classes)

    def with_notes(self, *notes: str) -> MapLabels:
        """The same labels with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    @cached_property
    def _bound_images(self) -> ImageNames:
        return ImageNames(self.image_names)

    def covers(self, image_name: str) -> bool:
        """Whether features may lie on an image: on any, unless they are bound to other images."""
        return not self.image_names or image_name in self._bound_images

    def for_grid(self, grid: PixelGrid, image_name: str, native: PixelGrid | None = None) -> PixelLabels:
        """The features that touch a scene, in its pixels. See `LabelSet.for_grid`."""
        index, in_pixels = self.outlines.on_grid(grid, image_name)
        annotated = self._annotated_ground(grid, image_name) if self.covers(image_name) else NOWHERE
        return PixelLabels.of_rows(self.classes, self.features, index, in_pixels, annotated)

    def _annotated_ground(self, grid: PixelGrid, image_name: str) -> shapely.Geometry | None:
        # Not from `annotated`: what it joins is placed, and so reprojected, on its own already.
        areas = self.outlines if self.only_features else self.areas
        ground = ground_on_grid(areas, grid, image_name)
        rejected_ground = ground_on_grid(self.rejected, grid, image_name)
        if ground is None or rejected_ground is None:
            return ground
        return shapely.union(ground, rejected_ground)

    def rejected_on(self, grid: PixelGrid, image_name: str) -> PixelLabels:
        """The rejected objects that touch a scene, in its pixels, as features of class 0."""
        if self.rejected is None:
            return PixelLabels.none(self.classes)
        index, in_pixels = self.rejected.on_grid(grid, image_name)
        zeros = np.zeros(len(index), np.int64)
        return PixelLabels(self.classes, in_pixels, zeros, zeros.astype(np.bool_), index)
