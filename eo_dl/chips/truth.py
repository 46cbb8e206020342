"""`SceneTruth`: the labels of one scene in its working pixels, cut to chips."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import shapely

from ..core.arraytypes import Float32Array, GeometryArray, UInt8Array
from ..core.classes import IGNORE_ID, ClassSet
from ..core.geometries import polygons_in, shifted
from ..core.gridwindow import require_grid
from ..core.labelset import LabelSet
from ..core.pixellabels import PixelLabels
from ..core.rasterlabels import LabelRaster
from ..core.window import Window
from ..errors import LabelError
from ..io.scene import Scene
from ..labels.placement import PlacedLabels
from ..labels.raster.masks import read_mask, read_soft_mask
from ..labels.raster.valuerasters import read_values


@dataclass(frozen=True)
class SceneTruth:
    """The labels of one scene, ready to be cut into chips; safe to share between threads."""

    placed: PlacedLabels
    """The labels in pixels of the scene's working grid."""

    def __post_init__(self) -> None:
        # Search trees are built once, before threads share them.
        self.labels.within(Window(0, 0, 1, 1))
        self._annotated_tree  # noqa: B018

    @classmethod
    def of(cls, labels: LabelSet, scene: Scene) -> SceneTruth:
        """The labels of a scene. Raises `LabelError` where they cannot be placed on it."""
        return cls(PlacedLabels.of(labels, scene))

    @property
    def scene(self) -> Scene:
        """The scene."""
        return self.placed.scene

    @property
    def raster(self) -> LabelRaster | None:
        """The label raster of the scene; None: labels are features, or the scene has no raster."""
        return self.placed.raster

    @property
    def rejected(self) -> PixelLabels | None:
        """Proposed objects that a reviewer rejected; None: none."""
        return self.placed.rejected

    @cached_property
    def labels(self) -> PixelLabels:
        """The features of the scene; where they are complete is in `annotated_parts`."""
        if self.placed.labels.annotated is None:
            return self.placed.labels  # with its search tree
        return replace(self.placed.labels, annotated=None)

    @cached_property
    def annotated_parts(self) -> GeometryArray | None:
        """Polygons in which labels are complete; None: everywhere.

        In parts, because an area of many polygons is cut much faster so.
        """
        annotated = self.placed.labels.annotated
        return None if annotated is None else polygons_in(annotated)

    @cached_property
    def _annotated_tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.annotated_parts if self.annotated_parts is not None else [])

    @cached_property
    def region(self) -> shapely.Geometry | None:
        """The ground on which labels are complete, as one geometry; None: everywhere."""
        return None if self.annotated_parts is None else shapely.union_all(self.annotated_parts)

    def chip(self, window: Window) -> PixelLabels:
        """The labels of a chip, in its pixels, with its annotated ground and its part of the label raster.

        Raises:
            GridError: The window counts the pixels of another grid.
        """
        require_grid(window, self.scene.grid, self.scene.path)
        labels = replace(self.labels.within(window), annotated=self._annotated_in(window))
        if self.raster is None:
            return labels
        if self.raster.holds_values:
            values = read_values(self.raster, self.scene, window, labels.classes)
            return replace(labels, values=values, mask=_labelled(values, labels.classes))
        if self.raster.band_ids:
            soft, mask = read_soft_mask(self.raster, self.scene, window, labels.classes)
            return replace(labels, soft=soft, mask=mask)
        return replace(labels, mask=read_mask(self.raster, self.scene, window))

    def mask(self, window: Window) -> UInt8Array:
        """(H, W) class ids of a window, where the labels of the scene are a raster.

        Raises:
            GridError: The window counts the pixels of another grid.
            LabelError: The scene has no label raster.
        """
        mask = self.chip(window).mask
        if mask is None:
            raise LabelError(f"{self.scene.path}: expected a label raster for this scene, found none")
        return mask

    def _annotated_in(self, window: Window) -> shapely.Geometry | None:
        if self.annotated_parts is None:
            return None
        frame = shapely.box(*window.box)
        near = np.sort(self._annotated_tree.query(frame, predicate="intersects"))
        ground = shapely.union_all(shapely.intersection(self.annotated_parts[near], frame))
        return shifted(ground, -window.col, -window.row)


def _labelled(values: Float32Array, classes: ClassSet) -> UInt8Array:
    """(H, W) the id of the first value where any number (K, H, W) is known, 255 elsewhere: where labels are
    values, a mask tells labelled ground from other ground.
    """
    known = np.isfinite(values).any(axis=0)
    return np.where(known, np.uint8(classes.ids[0]), np.uint8(IGNORE_ID))
