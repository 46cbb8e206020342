"""Labels to masks of single objects, and masks to outlines."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import shapely

from ...core.arrays import Objects, Target
from ...core.classes import IGNORE_ID, ClassSet
from ...core.labelset import PixelLabels
from ..detection.codec import DetectionCodec, at_least_one_pixel, best_first, seen_objects
from ..task import RawArrays
from .outlines import burnt, outlines_in_boxes, pixel_outlines


@dataclass(frozen=True)
class InstancesCodec:
    """Raw arrays: those of `DetectionCodec` and "masks" (M, 28, 28), how surely each cell of a box belongs to
    the object.

    Each labelled object has a mask of its own, so objects that touch or overlap stay apart. What counts
    neither way is as in `DetectionCodec`, the visible share being that of the object's own area.
    `simplify_px`: see `outlines.outlines_in_boxes`.
    """

    classes: ClassSet
    min_visible: float = 0.3
    simplify_px: float = 0.1

    def encode(self, labels: PixelLabels, height: int, width: int) -> Target:
        """`Target.boxes` around what shows of each object, `class_ids`, and `instance_masks` (N, height,
        width): the pixels whose centre it holds.

        Raster labels: each 4-connected patch of a class is an object.
        """
        seen = seen_objects(labels, self.classes, 0.0, height, width)
        visible = np.asarray(
            shapely.intersection(shapely.make_valid(seen.geometries), shapely.box(0, 0, width, height)),
            dtype=object,
        ).reshape(-1)
        shows = shapely.area(visible) > 0
        share = shapely.area(visible[shows]) / shapely.area(seen.geometries[shows])
        boxes = at_least_one_pixel(shapely.bounds(visible[shows]).reshape(-1, 4), height, width).astype(
            np.float32
        )
        ids = np.where(share >= self.min_visible, seen.class_ids[shows], IGNORE_ID)
        return Target(boxes=boxes, class_ids=ids, instance_masks=burnt(visible[shows], boxes, height, width))

    def decode(self, raw: RawArrays) -> Objects:
        """Objects with outlines in chip pixels, best score first; `boxes` are the network's, within which the
        outlines lie.
        """
        found = best_first(np.asarray(raw["scores"], np.float32))
        objects = DetectionCodec(self.classes).decode(raw)
        return replace(
            objects,
            polygons=outlines_in_boxes(
                np.asarray(raw["masks"], np.float32)[found], objects.boxes, self.simplify_px
            ),
        )

    def answer(self, raw: RawArrays) -> Objects:
        """As `decode`."""
        return self.decode(raw)

    def truth(self, target: Target) -> Objects:
        """The target's masks as outlines of pixels, with score 1; those of class 255 are flagged `ignore`."""
        assert target.instance_masks is not None
        return replace(
            DetectionCodec(self.classes).truth(target), polygons=pixel_outlines(target.instance_masks)
        )
