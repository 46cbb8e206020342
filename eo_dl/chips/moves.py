"""`Move`: how augmentation moves a chip. Pixels, labels and boxes all follow one matrix."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from types import ModuleType
from typing import TypeVar, cast

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray, Float32Array, Float64Array
from ..core.extras import needs_extra

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
    """Pixels after the move per pixel before it."""

    @property
    def stays(self) -> bool:
        """True if nothing moves."""
        return self == Move()

    def matrix(self, height: int, width: int) -> Float64Array:
        """(2, 3) from (col, row, 1) before to (col, row) after, for a chip of `height` x `width` px.

        Whole numbers are borders of pixels, as in boxes.
        """
        turn = np.array([[0.0, 1.0], [1.0, 0.0]]) if self.transposed else np.eye(2)
        signs = np.array([-1.0 if self.mirrored else 1.0, -1.0 if self.upside_down else 1.0])
        linear = self.factor * signs[:, None] * turn
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

    def labels(self, planes: PlanesT, fill: int = 0) -> PlanesT:
        """Planes (N, H, W) of labels or flags after the move: every pixel takes the value of the nearest one.

        Args:
            planes: Planes of one type; the result has it, too.
            fill: The value of pixels that come from outside of the chip.
        """
        if self.factor == 1.0:
            return self._turned(planes)
        cv2 = _opencv()
        return self._warped(planes, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT, fill)

    def image(self, image: Float32Array, valid: BoolArray) -> tuple[Float32Array, BoolArray]:
        """An image (C, H, W) and its valid pixels (H, W) after the move.

        Values are interpolated between valid pixels alone (bilinear). Where the chip shrinks to less than
        half they are smoothed before, because pixels would be skipped. Pixels that come from outside of the
        chip are not valid; pixels that are not valid hold 0.
        """
        moved_valid: BoolArray = self.labels(valid[None])[0]
        if self.factor == 1.0:
            return self._turned(image), moved_valid
        moved = self._smooth(image)
        if not valid.all():
            # Invalid pixels hold 0, so this share of the weights is all that `moved` is made of.
            share = self._smooth(valid[None].astype(np.float32))
            moved /= np.maximum(share, np.finfo(np.float32).eps)
        moved[:, ~moved_valid] = 0
        return moved, moved_valid

    def _turned(self, planes: PlanesT) -> PlanesT:
        """Planes (N, H, W) laid onto themselves; up to ten times faster than copies of numpy's views."""
        cv2 = _opencv()
        flip = _FLIPS.get((self.upside_down, self.mirrored))
        as_stored = _bytes_of_flags(planes)
        out = np.empty_like(as_stored)
        for before, after in zip(as_stored, out, strict=True):
            turned = cv2.transpose(before) if self.transposed else before
            after[:] = turned if flip is None else cv2.flip(turned, flip)
        return cast(PlanesT, out.view(planes.dtype))

    def _smooth(self, planes: Float32Array) -> Float32Array:
        """Planes (N, H, W) scaled by interpolation."""
        cv2 = _opencv()
        if self.factor < _COARSEST:
            sigma = (1 / self.factor - 1) / 2
            out = np.empty_like(planes)
            for before, after in zip(planes, out, strict=True):
                after[:] = cv2.GaussianBlur(before, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
            planes = out
        return self._warped(planes, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE, 0)

    def _warped(self, planes: PlanesT, interpolation: int, border: int, fill: int) -> PlanesT:
        """Planes (N, H, W) turned and scaled in one step."""
        cv2 = _opencv()
        height, width = planes.shape[1:]
        back = _inverse(self.matrix(height, width))
        back[:, 2] += back[:, :2].sum(axis=1) / 2 - 0.5  # OpenCV counts from the centre of the first pixel
        as_stored = _bytes_of_flags(planes)
        out = np.empty_like(as_stored)
        flags = interpolation | cv2.WARP_INVERSE_MAP
        for before, after in zip(as_stored, out, strict=True):
            cv2.warpAffine(
                before, back, (width, height), dst=after, flags=flags, borderMode=border, borderValue=fill
            )
        return cast(PlanesT, out.view(planes.dtype))


EIGHT_WAYS = tuple(Move(*flags) for flags in product((False, True), repeat=3))
"""The ways to lay a square onto itself."""


def _inverse(matrix: Float64Array) -> Float64Array:
    """(2, 3) the way back of a matrix (2, 3)."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _bytes_of_flags(planes: AnyArray) -> AnyArray:
    """The planes themselves, flags as bytes: OpenCV does not know them."""
    return planes.view(np.uint8) if planes.dtype == np.bool_ else planes


def _opencv() -> ModuleType:
    """OpenCV, loaded on first use: only training needs it.

    Raises:
        MissingExtraError: It is not installed.
    """
    with needs_extra("augmentation"):
        import cv2  # lazy: see above

    module: ModuleType = cv2
    return module
