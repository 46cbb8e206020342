"""Labels to boxes and boxes to objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from ...core.arrays import Objects, Target
from ...core.classes import IGNORE_ID, ClassSet
from ...core.labelset import PixelLabels
from ...io.rasterize import polygonize
from ..task import RawArrays

_LEAST_SIDE_PX = 1.0


@dataclass(frozen=True)
class DetectionCodec:
    """Raw arrays: "boxes" (M, 4), "scores" (M,), "channels" (M,); places without an object have score 0.

    An object of which less than `min_visible` of its box lies in the chip, or less than half on annotated
    ground, is neither an object nor background: its class id in the target is 255, as for objects that the
    labels call ignored.
    """

    classes: ClassSet
    min_visible: float = 0.3

    def encode(self, labels: PixelLabels, height: int, width: int) -> Target:
        """`Target.boxes` cut at the chip's border, at least 1 px a side, and `class_ids`.

        Raster labels: each 4-connected patch of a class is an object.
        """
        seen = seen_objects(labels, self.classes, self.min_visible, height, width)
        return Target(boxes=seen.boxes, class_ids=seen.class_ids)

    def decode(self, raw: RawArrays) -> Objects:
        """Objects in chip pixels, best score first; `cut` is left to the mosaic, which knows the borders."""
        scores = np.asarray(raw["scores"], np.float32)
        found = best_first(scores)
        channels = np.asarray(raw["channels"], np.int64)[found]
        return Objects(
            np.asarray(raw["boxes"], np.float64)[found].reshape(-1, 4),
            self.classes.id_of_channel[channels].astype(np.int64),
            scores[found],
        )

    def answer(self, raw: RawArrays) -> Objects:
        """As `decode`."""
        return self.decode(raw)

    def truth(self, target: Target) -> Objects:
        """The target's boxes with score 1; those of class 255 are flagged `ignore`."""
        assert target.boxes is not None and target.class_ids is not None
        ids = target.class_ids
        return Objects(
            target.boxes.astype(np.float64).reshape(-1, 4),
            ids,
            np.ones(len(ids), np.float32),
            ignore=ids == IGNORE_ID,
        )


def best_first(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Places of scores above 0, best first; equal ones in the order given."""
    found = np.flatnonzero(scores > 0)
    return found[np.argsort(-scores[found], kind="stable")]


@dataclass(frozen=True)
class SeenObjects:
    """The objects that show in a chip: whole `geometries` (N,), `boxes` (N, 4) float32 cut at its border,
    `class_ids` (N,) with 255 for those that count neither way.
    """

    geometries: npt.NDArray[np.object_]
    boxes: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]


def seen_objects(
    labels: PixelLabels, classes: ClassSet, min_visible: float, height: int, width: int
) -> SeenObjects:
    """The objects of a chip's labels, as `DetectionCodec` says."""
    geometries, class_ids, ignore = _features(labels, classes)
    whole = shapely.bounds(geometries).reshape(-1, 4)
    cut = np.clip(whole, 0, [width, height, width, height])
    inside = (cut[:, 2] >= cut[:, 0]) & (cut[:, 3] >= cut[:, 1]) & _touching(whole, height, width)
    visible = _areas(cut) / np.maximum(_areas(whole), 1e-12)
    known = _share_within(geometries, labels.annotated)
    wanted = np.isin(class_ids, classes.ids) & ~ignore & (visible >= min_visible) & (known >= 0.5)
    ids = np.where(wanted, class_ids, IGNORE_ID)
    boxes = at_least_one_pixel(cut[inside], height, width).astype(np.float32)
    return SeenObjects(geometries[inside], boxes, ids[inside].astype(np.int64))


def _features(
    labels: PixelLabels, classes: ClassSet
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    if labels.mask is None:
        return labels.geometries, labels.class_ids, labels.ignore
    geometries, values = polygonize(labels.mask, np.isin(labels.mask, [*classes.ids, IGNORE_ID]))
    return geometries, values, np.zeros(len(values), np.bool_)


def _areas(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1), np.float64)


def _touching(boxes: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.bool_]:
    return np.asarray(
        (boxes[:, 0] < width) & (boxes[:, 1] < height) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0), np.bool_
    )


def _share_within(
    geometries: npt.NDArray[np.object_], annotated: shapely.Geometry | None
) -> npt.NDArray[np.float64]:
    if annotated is None:
        return np.ones(len(geometries))
    shapely.prepare(annotated)
    share = np.asarray(shapely.covers(annotated, geometries), np.float64)
    partly = np.flatnonzero(share == 0)
    areas = np.maximum(shapely.area(geometries[partly]), 1e-12)
    share[partly] = shapely.area(shapely.intersection(geometries[partly], annotated)) / areas
    return share


def at_least_one_pixel(boxes: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.float64]:
    """Boxes (N, 4) of which those narrower than a pixel are grown to one, within the chip."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    side = np.maximum(boxes[:, 2:] - boxes[:, :2], _LEAST_SIDE_PX)
    low = np.clip(centre - side / 2, 0, np.maximum(np.array([width, height]) - side, 0))
    grown = np.concatenate([low, low + side], axis=1)
    small = ((boxes[:, 2:] - boxes[:, :2]) < _LEAST_SIDE_PX).any(axis=1, keepdims=True)
    return np.where(small, grown, boxes)
