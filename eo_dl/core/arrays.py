"""Pixels, targets and objects: arrays that carry what they mean."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely

from .bands import BandSet
from .pixelgrid import PixelGrid
from .window import Window

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Chip:
    """The pixels of a window with their place.

    `pixels` (C, H, W) as stored or physical (see the reader), `valid` (H, W) True where every band was
    measured, `grid` of exactly these pixels, `window` in the scene's grid (may stick out of the scene:
    such pixels are not valid and hold 0).
    """

    pixels: npt.NDArray[np.generic]
    valid: npt.NDArray[np.bool_]
    grid: PixelGrid
    bands: BandSet
    window: Window

    def __post_init__(self) -> None:
        expected = (len(self.bands), self.grid.height, self.grid.width)
        if self.pixels.shape != expected or self.valid.shape != expected[1:]:
            raise ValueError(
                f"a chip of {expected} was announced, found pixels {self.pixels.shape} and valid {self.valid.shape}"
            )


@dataclass(frozen=True)
class Target:
    """A label set encoded as arrays for one chip; a task fills what it needs.

    `mask` (H, W) uint8 channel numbers, 255 = ignore. `boxes` (N, 4) float32 (col0, row0, col1, row1) in chip
    pixels with `class_ids` (N,) int64 (ids; 255 = ignore: neither an object nor background) and, for
    instances, `instance_masks` (N, H, W) bool. `values` (K,) float32 for whole chips. `soft` (K, H, W)
    float32: class probabilities in place of `mask`.
    """

    mask: npt.NDArray[np.uint8] | None = None
    boxes: npt.NDArray[np.float32] | None = None
    class_ids: npt.NDArray[np.int64] | None = None
    instance_masks: npt.NDArray[np.bool_] | None = None
    values: npt.NDArray[np.float32] | None = None
    soft: npt.NDArray[np.float32] | None = None


def _no_polygons() -> npt.NDArray[np.object_]:
    return np.empty(0, dtype=object)


@dataclass(frozen=True)
class Objects:
    """Found or true objects.

    `boxes` (N, 4) float64 (col0, row0, col1, row1), `class_ids` (N,) int64 (ids, not channels), `scores` (N,)
    float32 (1 for truth), `polygons` (N,) shapely geometries or empty where only boxes are known, `ignore`
    (N,) bool: counts neither for nor against, `cut` (N,) bool: touches a border at which it may have been
    cut. Coordinates are pixels of `grid` (None: of the chip at hand).
    """

    boxes: npt.NDArray[np.float64]
    class_ids: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    polygons: npt.NDArray[np.object_] = field(default_factory=_no_polygons)
    ignore: npt.NDArray[np.bool_] | None = None
    cut: npt.NDArray[np.bool_] | None = None
    grid: PixelGrid | None = None

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if (
            self.boxes.shape != (count, 4)
            or self.class_ids.shape != (count,)
            or self.scores.shape != (count,)
        ):
            raise ValueError(
                f"objects need boxes (N, 4), class_ids (N,), scores (N,); found {self.boxes.shape}, {self.class_ids.shape}, {self.scores.shape}"
            )
        for name in ("ignore", "cut"):
            value = getattr(self, name)
            if value is not None and value.shape != (count,):
                raise ValueError(f"objects need {name} ({count},), found {value.shape}")
        if len(self.polygons) not in (0, count):
            raise ValueError(f"objects need one polygon each or none, found {len(self.polygons)} for {count}")

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def none(cls, grid: PixelGrid | None = None) -> Objects:
        """No objects."""
        return cls(np.empty((0, 4)), np.empty(0, np.int64), np.empty(0, np.float32), grid=grid)

    def take(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.integer]) -> Objects:
        """The objects of a boolean or integer index, in its order."""
        return Objects(
            self.boxes[index],
            self.class_ids[index],
            self.scores[index],
            self.polygons[index] if len(self.polygons) else self.polygons,
            None if self.ignore is None else self.ignore[index],
            None if self.cut is None else self.cut[index],
            self.grid,
        )

    def shifted(self, cols: float, rows: float) -> Objects:
        """Moved by whole or fractional pixels, e.g. from a chip's frame to its scene's."""
        moved = (
            shapely.transform(self.polygons, lambda xy: np.add(xy, (cols, rows)))
            if len(self.polygons)
            else self.polygons
        )
        return Objects(
            self.boxes + np.array([cols, rows, cols, rows]),
            self.class_ids,
            self.scores,
            moved,
            self.ignore,
            self.cut,
            self.grid,
        )

    @classmethod
    def concatenate(cls, parts: list[Objects]) -> Objects:
        """All objects of all parts, in order. Parts either all have polygons or none (empty parts aside)."""
        filled = [part for part in parts if len(part)]
        if not filled:
            return parts[0] if parts else cls.none()
        return cls(
            np.concatenate([p.boxes for p in filled]),
            np.concatenate([p.class_ids for p in filled]),
            np.concatenate([p.scores for p in filled]),
            np.concatenate([p.polygons for p in filled]),
            _joined([p.ignore for p in filled], [len(p) for p in filled]),
            _joined([p.cut for p in filled], [len(p) for p in filled]),
            filled[0].grid,
        )

    @property
    def has_outlines(self) -> bool:
        """True where objects have polygons of their own."""
        return len(self.polygons) > 0

    def outlines(self) -> npt.NDArray[np.object_]:
        """(N,) polygons: the object's own, or its box."""
        return self.polygons if self.has_outlines else boxes_to_polygons(self.boxes)


def boxes_to_polygons(boxes: npt.NDArray[np.floating]) -> npt.NDArray[np.object_]:
    """(N,) rectangles of boxes (N, 4)."""
    return np.asarray(shapely.box(boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]), dtype=object).reshape(
        -1
    )


def _joined(flags: list[npt.NDArray[np.bool_] | None], lengths: list[int]) -> npt.NDArray[np.bool_] | None:
    if all(flag is None for flag in flags):
        return None
    return np.concatenate(
        [np.zeros(n, np.bool_) if flag is None else flag for flag, n in zip(flags, lengths, strict=True)]
    )
