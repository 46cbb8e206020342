"""`Move`: how augmentation moves a chip. Pixels, labels and boxes go to the same places."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from types import ModuleType
from typing import TypeVar, cast

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray, Float32Array, Float64Array
from ..core.extras import needs_extra
from ..core.normalization import missing_values

PlanesT = TypeVar("PlanesT", bound=AnyArray)

_COARSEST = 0.5
"""Smaller factors skip pixels: bilinear interpolation reads two per direction."""
_FLIPS = {(True, False): 0, (False, True): 1, (True, True): -1}
"""(upside down, mirrored) -> OpenCV's number of the flip."""


@dataclass(frozen=True)
class Move:
    """One of the eight ways to lay a square onto itself, then a change of scale about its centre."""

    transposed: bool = False
    """Rows become columns; applied first, and only to square chips."""
    upside_down: bool = False
    """The first row becomes the last."""
    mirrored: bool = False
    """The first column becomes the last."""
    factor: float = 1.0
    """Pixels after the move per pixel before it, rounded per side to `scaled_px`."""

    @property
    def stays(self) -> bool:
        """True if nothing moves."""
        return self == Move()

    def scaled_px(self, side: int) -> int:
        """The length that a side of a chip is scaled to.

        It differs from the side by an even number, so that the chip is cut out, or put in, at whole pixels.
        """
        return max(2 - side % 2, side + 2 * round((self.factor - 1) * side / 2))

    def area_factor(self, height: int, width: int) -> float:
        """Area after the move per area before it, for a chip of `height` x `width` px."""
        return self.scaled_px(height) * self.scaled_px(width) / (height * width)

    def matrix(self, height: int, width: int) -> Float64Array:
        """(2, 3) from (col, row, 1) before to (col, row) after, for a chip of `height` x `width` px.

        Whole numbers are borders of pixels, as in boxes.
        """
        turn = np.array([[0.0, 1.0], [1.0, 0.0]]) if self.transposed else np.eye(2)
        signs = np.array([-1.0 if self.mirrored else 1.0, -1.0 if self.upside_down else 1.0])
        factors = np.array([self.scaled_px(width) / width, self.scaled_px(height) / height])
        linear = (factors * signs)[:, None] * turn
        centre = np.array([width / 2, height / 2])
        return np.column_stack([linear, centre - linear @ centre])

    def boxes(self, boxes: Float32Array, height: int, width: int) -> Float32Array:
        """Boxes (N, 4) after the move, cut at the border of the chip; empty ones lie on the border."""
        matrix = self.matrix(height, width)
        corners = boxes.reshape(-1, 2, 2).astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
        moved = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        limits = np.array([width, height, width, height], np.float64)
        inside: Float32Array = np.clip(moved, 0, limits).astype(np.float32)
        return inside

    def labels(self, planes: PlanesT, fill: float = 0) -> PlanesT:
        """Planes (N, H, W) of labels or flags after the move: every pixel takes the value of the nearest one.

        Args:
            planes: Planes of one type; the result has it, too.
            fill: The value of pixels that come from outside of the chip.
        """
        return self._moved(planes, opencv().INTER_NEAREST_EXACT, fill)

    def image(self, image: Float32Array, valid: BoolArray) -> tuple[Float32Array, BoolArray]:
        """An image (C, H, W) and its valid pixels (H, W) after the move.

        Values are interpolated between valid pixels alone: bilinear, or the mean of the area where the chip
        shrinks to less than half, because bilinear interpolation would skip pixels there. Pixels that come
        from outside of the chip are not valid; pixels that are not valid hold 0. What a band lacks (NaN) has
        no weight either, and stays NaN.
        """
        missing = missing_values(image)
        if missing is not None:
            return self._image_with_gaps(image, valid, missing)
        cv2 = opencv()
        moved_valid: BoolArray = self.labels(valid[None])[0]
        interpolation = cv2.INTER_AREA if self.factor < _COARSEST else cv2.INTER_LINEAR
        moved = self._moved(image, interpolation)
        if self.factor == 1.0 or valid.all():
            return moved, moved_valid
        # Invalid pixels hold 0, so this share of the weights is all that `moved` is made of.
        share = self._moved(valid[None].astype(np.float32), interpolation)
        moved /= np.maximum(share, np.finfo(np.float32).eps)
        np.copyto(moved, 0, where=~moved_valid)
        return moved, moved_valid

    def _image_with_gaps(
        self, image: Float32Array, valid: BoolArray, missing: BoolArray
    ) -> tuple[Float32Array, BoolArray]:
        """`image` for an image whose bands lack pixels of their own: each band is moved with its own."""
        moved_valid: BoolArray = self.labels(valid[None])[0]
        moved = np.empty_like(image)
        for band, (plane, gaps) in enumerate(zip(image, missing, strict=True)):
            there = valid & ~gaps
            clean = np.where(there, plane, np.float32(0))
            (moved[band],), found = self.image(clean[None], there)
            np.copyto(moved[band], np.float32(np.nan), where=~found & moved_valid)
        return moved, moved_valid

    def _moved(self, planes: PlanesT, interpolation: int, fill: float = 0) -> PlanesT:
        """Planes (N, H, W) turned and scaled about their centre.

        By flips and a resize, plane by plane: half the time of a warp by a matrix, and a tenth of the time of
        copying numpy's turned views.
        """
        cv2 = opencv()
        height, width = planes.shape[1:]
        size = (self.scaled_px(height), self.scaled_px(width))
        from_rows, to_rows = _overlap(size[0], height)
        from_cols, to_cols = _overlap(size[1], width)
        as_stored = _bytes_of_flags(planes)
        out = np.empty_like(as_stored)
        if self.factor < 1:
            out[:] = fill
        for before, after in zip(as_stored, out, strict=True):
            moved = self._turned(before)
            if self.factor != 1.0:
                moved = cv2.resize(moved, size[::-1], interpolation=interpolation)
            after[to_rows, to_cols] = moved[from_rows, from_cols]
        return cast(PlanesT, out.view(planes.dtype))

    def _turned(self, plane: AnyArray) -> AnyArray:
        """A plane (H, W) laid onto itself."""
        cv2 = opencv()
        turned = cv2.transpose(plane) if self.transposed else plane
        flip = _FLIPS.get((self.upside_down, self.mirrored))
        flipped: AnyArray = turned if flip is None else cv2.flip(turned, flip)
        return flipped


def _overlap(scaled: int, side: int) -> tuple[slice, slice]:
    """Where two lengths with a common centre overlap: in the scaled one, and in the chip's side."""
    border = (scaled - side) // 2  # exact, since the difference is even
    if border >= 0:
        return slice(border, border + side), slice(0, side)
    return slice(0, scaled), slice(-border, side + border)


EIGHT_WAYS = tuple(Move(*flags) for flags in product((False, True), repeat=3))
"""The ways to lay a square onto itself."""


def _bytes_of_flags(planes: AnyArray) -> AnyArray:
    """The planes themselves, flags as bytes: OpenCV does not know them."""
    return planes.view(np.uint8) if planes.dtype == np.bool_ else planes


def opencv() -> ModuleType:
    """OpenCV, loaded on first use: only training needs it.

    Raises:
        MissingExtraError: It is not installed.
    """
    with needs_extra("augmentation"):
        import cv2  # lazy: see above

    module: ModuleType = cv2
    return module
