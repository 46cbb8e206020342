"""`SceneTruth`: the labels of one scene in its working pixels, cut to chips."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import shapely

from ..core.classes import IGNORE_ID, ClassSet
from ..core.gridwindow import require_grid
from ..core.labelset import GeometryArray, LabelSet, MaskLabels, PixelLabels
from ..core.window import Window
from ..io.rasterize import burn
from ..io.scene import Scene
from ..labels.raster.masks import has_mask, mask_of, read_mask, read_soft_mask

_EQUAL = 1e-6  # shares of ground


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
        parts = None if found.annotated is None else _parts(found.annotated)
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
        return shapely.transform(cut, lambda xy: xy - (window.col, window.row))


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


def class_mask(
    labels: PixelLabels, height: int, width: int, valid: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.uint8]:
    """(H, W) class ids of a chip: 0 where nothing is labelled, 255 where nothing is known (ignored, outside
    `annotated`, not `valid`).

    Where features overlap the later one wins, as in GIS drawing order; ignored ones win over all.
    """
    if labels.mask is not None:
        mask = labels.mask.copy()
    else:
        order = np.argsort(labels.ignore, kind="stable")
        values = np.where(labels.ignore, IGNORE_ID, labels.class_ids)
        mask = burn(labels.geometries[order], values[order], height, width).astype(np.uint8, copy=False)
    known = annotated_mask(labels, height, width)
    if known is not None:
        mask[~known] = IGNORE_ID
    if valid is not None:
        mask[~valid] = IGNORE_ID
    return mask


def annotated_mask(labels: PixelLabels, height: int, width: int) -> npt.NDArray[np.bool_] | None:
    """(H, W) True where labels are complete; None: everywhere."""
    if labels.annotated is None:
        return None
    parts = _parts(labels.annotated)
    return np.asarray(burn(parts, np.ones(len(parts), np.uint8), height, width) == 1, np.bool_)


def class_covers(
    labels: PixelLabels, classes: ClassSet, height: int, width: int
) -> tuple[npt.NDArray[np.float64], float]:
    """(K,) the share of a chip's known ground that each of `classes` covers, and the share of the chip that
    is known.

    Known is what is annotated, measured (`labels.valid`) and not ignored. Where features of two classes
    overlap both cover the ground, so the shares may sum to more than 1; the background (id 0) covers what no
    feature does. All 0 where nothing is known.
    """
    whole = _whole_chip(labels, height, width)
    if whole is not None:
        return np.isin(classes.ids, whole).astype(np.float64), 1.0
    known = class_mask(labels, height, width, labels.valid) != IGNORE_ID
    count = int(known.sum())
    covers = (
        [float((_ground_of(labels, info.id, height, width) & known).sum()) for info in classes]
        if count
        else [0.0] * len(classes)
    )
    return np.array(covers) / max(count, 1), count / (height * width)


def chip_values(
    covers: npt.NDArray[np.float64], *, several: bool, min_cover: float
) -> npt.NDArray[np.float32]:
    """(K,) 1 for the classes of a chip, 0 for the others, of `class_covers`.

    With `several` every class that covers `min_cover` of the known ground. Else the one that covers most,
    where that is at least `min_cover`; where none does, or two cover the same, the class is not known: all
    NaN.
    """
    enough = covers >= min_cover - _EQUAL
    if several:
        return np.asarray(enough, np.float32)
    best = enough & (covers >= covers.max(initial=0.0) - _EQUAL)
    return np.asarray(best, np.float32) if best.sum() == 1 else np.full(len(covers), np.nan, np.float32)


def _whole_chip(labels: PixelLabels, height: int, width: int) -> npt.NDArray[np.int64] | None:
    """The class ids of a chip of which every feature covers all, as for whole images; None where there is
    something to count.
    """
    if (
        labels.mask is not None
        or labels.annotated is not None
        or labels.valid is not None
        or not len(labels)
        or labels.ignore.any()
    ):
        return None
    frame = shapely.box(0, 0, width, height)
    return labels.class_ids if bool(shapely.covers(labels.geometries, frame).all()) else None


def _ground_of(labels: PixelLabels, class_id: int, height: int, width: int) -> npt.NDArray[np.bool_]:
    """(H, W) where a class is; of the background where nothing is labelled."""
    if labels.mask is not None:
        return np.asarray(labels.mask == class_id, np.bool_)
    own = labels.geometries[(labels.class_ids != 0) if class_id == 0 else labels.class_ids == class_id]
    inside = np.asarray(burn(own, np.ones(len(own), np.uint8), height, width) == 1, np.bool_)
    return ~inside if class_id == 0 else inside


def _parts(geometry: shapely.Geometry) -> GeometryArray:
    parts = np.asarray(shapely.get_parts(geometry), dtype=object).reshape(-1)
    return np.asarray(parts[(~shapely.is_empty(parts)) & (shapely.get_dimensions(parts) == 2)], dtype=object)
