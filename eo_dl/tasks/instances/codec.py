"""Labels to the masks of single objects, and masks to outlines."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import shapely

from ...core.arrays import BoxTarget, Objects
from ...core.classes import IGNORE_ID, ClassSet
from ...core.pixellabels import PixelLabels
from ...labels.visibleobjects import at_least_one_pixel, visible_objects
from ..codecs import RawArrays
from ..detection.codec import decoded_boxes, highest_first
from .outlines import object_masks, outlines_in_boxes, pixel_outlines


@dataclass(frozen=True)
class InstancesCodec:
    """Codec of outlines.

    Raw arrays: those of detection and "masks" (M, 28, 28), the probability that a cell of a box belongs to
    the object. Each labelled object has its own mask, so objects that touch or overlap stay apart.
    """

    classes: ClassSet
    """Classes in channel order."""
    min_visible: float = 0.3
    """An object with a smaller share of its area in the chip counts neither way."""
    simplify_px: float = 0.1
    """Largest distance between a simplified outline and the outline of the mask."""

    @property
    def one_object(self) -> None:
        """A chip may have any number of objects."""
        return

    def encode(self, labels: PixelLabels, height: int, width: int) -> BoxTarget:
        """Boxes around the visible part of each object, its class, and the pixels whose centre it holds."""
        # Which objects count is decided below, by the visible share of their area and not of their box.
        seen = visible_objects(labels, self.classes, 0.0, height, width)
        frame = shapely.box(0, 0, width, height)
        cut = shapely.intersection(shapely.make_valid(seen.geometries), frame)
        visible = np.asarray(cut, dtype=object).reshape(-1)
        shows = shapely.area(visible) > 0
        visible = visible[shows]
        share = shapely.area(visible) / shapely.area(seen.geometries[shows])
        bounds = shapely.bounds(visible).reshape(-1, 4)
        boxes = at_least_one_pixel(bounds, height, width).astype(np.float32)
        ids = np.where(share >= self.min_visible, seen.class_ids[shows], IGNORE_ID)
        return BoxTarget(boxes, ids, instance_masks=object_masks(visible, boxes, height, width))

    def decode(self, raw: RawArrays) -> Objects:
        """Objects in chip pixels, highest score first; outlines lie within the network's boxes."""
        rows = highest_first(np.asarray(raw["scores"], np.float32))
        objects = decoded_boxes(raw, self.classes)
        masks = np.asarray(raw["masks"], np.float32)[rows]
        return replace(objects, polygons=outlines_in_boxes(masks, objects.boxes, self.simplify_px))

    def answer(self, raw: RawArrays) -> Objects:
        """As `decode`."""
        return self.decode(raw)

    def truth(self, target: BoxTarget) -> Objects:
        """The target's masks as outlines of pixels, with score 1; those of class 255 are flagged `ignore`."""
        return replace(target.objects(), polygons=pixel_outlines(target.masks()))
