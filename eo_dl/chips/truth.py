"""`SceneTruth`: the labels of one scene in its working pixels, cut to chips."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import shapely

from ..core.arraytypes import GeometryArray
from ..core.geometries import polygons_in, shifted
from ..core.gridwindow import require_grid
from ..core.labelset import LabelSet, MaskLabels, PixelLabels
from ..core.window import Window
from ..io.scene import Scene
from ..labels.raster.masks import has_mask, mask_of, read_mask, read_soft_mask


@dataclass(frozen=True)
class SceneTruth:
    """Labels that touch one scene, ready to be cut; safe to share between threads.

    `labels` lie in the scene's working grid and say nothing of `annotated`, which is kept in parts
    (`annotated_parts`, None: everywhere), because an area of many polygons is cut much faster so. `mask` is
    the scene's label raster, where labels are rasters.
    """

    scene: Scene
    labels: PixelLabels
    annotated_parts: GeometryArray | None
    mask: MaskLabels | None = field(default=None, repr=False)
    negatives: PixelLabels | None = field(default=None, repr=False)

    @classmethod
    def of(cls, labels: LabelSet, scene: Scene) -> SceneTruth:
        """The labels of a scene. Raises `LabelError` where they cannot be placed on it."""
        found = labels.for_grid(scene.grid, scene.place, scene.native)
        parts = None if found.annotated is None else polygons_in(found.annotated)
        mask = mask_of(labels, scene)
        if mask is not None and not has_mask(mask):
            parts = np.empty(0, dtype=object)  # labels are rasters, and none is this scene's
        truth = cls(scene, replace(found, annotated=None), parts, mask, _negatives(labels, scene))
        truth.labels.within(Window(0, 0, 1, 1))  # builds the search tree before threads share it
        return truth

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.annotated_parts if self.annotated_parts is not None else [])

    @cached_property
    def region(self) -> shapely.Geometry | None:
        """The ground on which labels are complete, as one geometry; None: everywhere."""
        return None if self.annotated_parts is None else shapely.union_all(self.annotated_parts)

    def chip(self, window: Window) -> PixelLabels:
        """The labels of a chip, in its pixels, with its part of `annotated` and its label raster.

        Raises:
            GridError: The window counts the pixels of another grid.
        """
        require_grid(window, self.scene.grid, self.scene.path)
        part = replace(
            self.labels.within(window),
            annotated=None if self.annotated_parts is None else self._annotated_in(window),
        )
        if self.mask is None:
            return part
        if self.mask.band_ids:
            soft, mask = read_soft_mask(self.mask, self.scene, window, part.classes)
            return replace(part, soft=soft, mask=mask)
        return replace(part, mask=read_mask(self.mask, self.scene, window))

    def _annotated_in(self, window: Window) -> shapely.Geometry:
        assert self.annotated_parts is not None
        frame = shapely.box(*window.box)
        hits = np.sort(self._tree.query(frame, predicate="intersects"))
        cut = shapely.union_all(shapely.intersection(self.annotated_parts[hits], frame))
        return shifted(cut, -window.col, -window.row)


def _negatives(labels: LabelSet, scene: Scene) -> PixelLabels | None:
    """The rejected areas of a scene, in its pixels; None where there are none."""
    if labels.negatives is None or labels.crs is None:
        return None
    count = len(labels.negatives)
    areas = LabelSet(
        labels.classes,
        labels.negatives,
        np.zeros(count, np.int64),
        labels.crs,
        labels.source,
        np.full(count, "", dtype=object),
    )
    found = areas.for_grid(scene.grid, scene.place, scene.native)
    return found if len(found) else None
