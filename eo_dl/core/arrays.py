"""Chips, targets and objects: arrays that carry their meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import shapely
from typing_extensions import TypeVar

from .arraytypes import (
    AnyArray,
    BoolArray,
    Float32Array,
    Float64Array,
    FloatArray,
    GeometryArray,
    Int64Array,
    IntArray,
    UInt8Array,
)
from .bands import BandSet
from .classes import IGNORE_ID
from .pixelgrid import PixelGrid
from .window import Window


@dataclass(frozen=True)
class Chip:
    """The pixels of a window, georeferenced."""

    pixels: AnyArray
    """(C, H, W), as stored or in physical units (see the reader); NaN where a valid pixel lacks a band."""
    valid: BoolArray
    """(H, W), True where as many bands were measured as the scene's rule wants; it wants all by default."""
    grid: PixelGrid
    """The grid of exactly these pixels."""
    bands: BandSet
    """The C bands, in order."""
    window: Window
    """Position in the scene's grid. Pixels outside the scene are not valid and hold 0."""

    def __post_init__(self) -> None:
        expected = (len(self.bands), self.grid.height, self.grid.width)
        if self.pixels.shape != expected or self.valid.shape != expected[1:]:
            raise ValueError(
                f"a chip of {expected[0]} bands on a grid of {expected[1]} x {expected[2]} px needs pixels "
                f"{expected} and valid {expected[1:]}; found {self.pixels.shape} and {self.valid.shape}"
            )


@dataclass(frozen=True)
class MaskTarget:
    """The ground truth of a chip for class maps."""

    mask: UInt8Array
    """(H, W) channel numbers, 255 = ignore."""
    soft: Float32Array | None = None
    """(K, H, W) class probabilities, all 0 where `mask` is 255: what the network learns where labels are
    probabilities. `mask` then holds the most likely class, which is what scores compare with."""

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype != np.uint8:
            raise ValueError(
                f"a mask target needs a mask (H, W) of uint8, found {self.mask.shape} of {self.mask.dtype}"
            )
        if self.soft is not None and (self.soft.ndim != 3 or self.soft.shape[1:] != self.mask.shape):
            raise ValueError(
                f"a mask target needs soft (K, {self.mask.shape[0]}, {self.mask.shape[1]}), "
                f"found {self.soft.shape}"
            )


@dataclass(frozen=True)
class BoxTarget:
    """The ground truth of a chip for objects, N of them."""

    boxes: Float32Array
    """(N, 4) float32 (col0, row0, col1, row1) in chip pixels."""
    class_ids: Int64Array
    """(N,) class ids; 255 = ignore: neither an object nor background."""
    instance_masks: BoolArray | None = None
    """(N, H, W), True on the pixels of each object; None where a task needs boxes only."""

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if self.boxes.shape != (count, 4) or self.class_ids.shape != (count,):
            raise ValueError(
                "a box target needs boxes (N, 4) and class_ids (N,), "
                f"found {self.boxes.shape} and {self.class_ids.shape}"
            )
        masks = self.instance_masks
        if masks is not None and (masks.ndim != 3 or len(masks) != count):
            raise ValueError(f"a box target needs instance_masks ({count}, H, W), found {masks.shape}")

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def ignored(self) -> BoolArray:
        """(N,) True for objects that count neither for nor against."""
        return np.asarray(self.class_ids == IGNORE_ID, np.bool_)

    def masks(self) -> BoolArray:
        """(N, H, W) the instance masks. Raises `ValueError` for a target that has none."""
        if self.instance_masks is None:
            raise ValueError("a target with instance_masks is needed, found one with boxes only")
        return self.instance_masks

    def objects(self) -> Objects:
        """The boxes as reference objects with score 1; those of class 255 are flagged `ignore`."""
        return Objects(
            boxes=self.boxes.astype(np.float64),
            class_ids=self.class_ids,
            scores=np.ones(len(self), np.float32),
            ignore=self.ignored,
        )

    def take(self, index: BoolArray | IntArray) -> BoxTarget:
        """The objects of a boolean or integer index, in its order."""
        masks = None if self.instance_masks is None else self.instance_masks[index]
        return BoxTarget(self.boxes[index], self.class_ids[index], masks)


@dataclass(frozen=True)
class ChipTarget:
    """The ground truth of a whole chip."""

    values: Float32Array
    """(K,) per class 1 (the chip has it) or 0 (it does not); NaN where that is unknown."""

    def __post_init__(self) -> None:
        if self.values.ndim != 1:
            raise ValueError(f"a chip target needs values (K,), found {self.values.shape}")


@dataclass(frozen=True)
class ValueTarget:
    """The ground truth of a chip for maps of values."""

    values: Float32Array
    """(K, H, W) the value of each pixel; NaN where it is not known, which is ignored."""

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.values.dtype != np.float32:
            raise ValueError(
                "a value target needs values (K, H, W) of float32, "
                f"found {self.values.shape} of {self.values.dtype}"
            )


Target = MaskTarget | BoxTarget | ChipTarget | ValueTarget
"""The labels of one chip encoded as arrays."""
TargetT = TypeVar("TargetT", bound=Target, default=Any)
"""The kind of target that a value or function is about; left out where any kind will do."""


def _no_polygons() -> GeometryArray:
    return np.empty(0, dtype=object)


@dataclass(frozen=True)
class Objects:
    """N predicted or reference objects. Coordinates are pixels of `grid`, or of the chip where it is None."""

    boxes: Float64Array
    """(N, 4) (col0, row0, col1, row1)."""
    class_ids: Int64Array
    """(N,) class ids, not channel numbers."""
    scores: Float32Array
    """(N,) from 0 to 1; 1 for reference objects."""
    polygons: GeometryArray = field(default_factory=_no_polygons)
    """(N,) outlines, or (0,) where only boxes are known."""
    ignore: BoolArray | None = None
    """(N,) True for objects that count neither for nor against; None: all count."""
    cut: BoolArray | None = None
    """(N,) True for objects that touch a border at which they may be cut off; None: not known."""
    grid: PixelGrid | None = None
    """The grid of the coordinates; None: the pixels of the chip."""

    def __post_init__(self) -> None:
        count = len(self.boxes)
        shapes = self.boxes.shape, self.class_ids.shape, self.scores.shape
        if shapes != ((count, 4), (count,), (count,)):
            raise ValueError(
                "objects need boxes (N, 4), class_ids (N,) and scores (N,), "
                f"found {shapes[0]}, {shapes[1]} and {shapes[2]}"
            )
        for name, flags in (("ignore", self.ignore), ("cut", self.cut)):
            if flags is not None and flags.shape != (count,):
                raise ValueError(f"objects need {name} ({count},), found {flags.shape}")
        if len(self.polygons) not in (0, count):
            raise ValueError(
                f"objects need one polygon each or none, found {len(self.polygons)} for {count} objects"
            )

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def none(cls, grid: PixelGrid | None = None) -> Objects:
        """No objects."""
        return cls(np.empty((0, 4)), np.empty(0, np.int64), np.empty(0, np.float32), grid=grid)

    def take(self, index: BoolArray | IntArray) -> Objects:
        """The objects of a boolean or integer index, in its order."""
        return replace(
            self,
            boxes=self.boxes[index],
            class_ids=self.class_ids[index],
            scores=self.scores[index],
            polygons=self.polygons[index] if self.has_outlines else self.polygons,
            ignore=None if self.ignore is None else self.ignore[index],
            cut=None if self.cut is None else self.cut[index],
        )

    def shifted(self, cols: float, rows: float) -> Objects:
        """Moved by whole or fractional pixels, e.g. from a chip's frame to its scene's."""
        polygons = self.polygons
        if self.has_outlines:
            polygons = shapely.transform(polygons, lambda corners: np.add(corners, (cols, rows)))
        return replace(self, boxes=self.boxes + np.array([cols, rows, cols, rows]), polygons=polygons)

    @classmethod
    def concatenate(cls, parts: Sequence[Objects]) -> Objects:
        """All objects of all parts, in order. Parts with objects either all have polygons or none has."""
        filled = [part for part in parts if len(part)]
        if not filled:
            return parts[0] if parts else cls.none()
        lengths = [len(part) for part in filled]
        return cls(
            boxes=np.concatenate([part.boxes for part in filled]),
            class_ids=np.concatenate([part.class_ids for part in filled]),
            scores=np.concatenate([part.scores for part in filled]),
            polygons=np.concatenate([part.polygons for part in filled]),
            ignore=_joined_flags([part.ignore for part in filled], lengths),
            cut=_joined_flags([part.cut for part in filled], lengths),
            grid=filled[0].grid,
        )

    @property
    def has_outlines(self) -> bool:
        """True where the objects have polygons, not boxes alone."""
        return len(self.polygons) > 0

    def outlines(self) -> GeometryArray:
        """(N,) polygons: the outline of each object, or its box where outlines are not known."""
        return self.polygons if self.has_outlines else boxes_to_polygons(self.boxes)

    @property
    def counted(self) -> BoolArray:
        """(N,) True for the objects that are not ignored."""
        return np.ones(len(self), np.bool_) if self.ignore is None else ~self.ignore


def boxes_to_polygons(boxes: FloatArray) -> GeometryArray:
    """(N,) rectangles of boxes (N, 4)."""
    rectangles = shapely.box(boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3])
    return np.asarray(rectangles, dtype=object).reshape(-1)


def _joined_flags(flags: Sequence[BoolArray | None], lengths: Sequence[int]) -> BoolArray | None:
    """Flags of several parts as one array; a part without flags has none set."""
    if all(part is None for part in flags):
        return None
    filled = [
        np.zeros(length, np.bool_) if part is None else part
        for part, length in zip(flags, lengths, strict=True)
    ]
    return np.concatenate(filled)
