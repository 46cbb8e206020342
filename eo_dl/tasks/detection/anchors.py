"""Anchor boxes from the sizes of the objects that are looked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]

_COARSEST_STRIDE = 32
_SMALLEST_PX = 2.0
_CELLS_PER_OBJECT = 4.0  # an object is best seen on the map where it is this many cells wide
_SMALL_PX = 8.0  # objects below this need a map finer than stride 4
_ROUND = 1.25  # sides nearer to each other than this count as square


def pyramid_strides(finest: int) -> tuple[int, ...]:
    """Strides of the feature pyramid, finest first."""
    return tuple(2**k for k in range(1, 6) if finest <= 2**k <= _COARSEST_STRIDE)


def fitting_stride(sizes_px: FloatArray | None) -> int:
    """2 where a tenth of the objects is narrower than 8 px, else 4; `sizes_px` (N, 2) widths and heights."""
    if sizes_px is None or len(sizes_px) == 0:
        return 4
    return 2 if np.quantile(_lengths(sizes_px), 0.1) < _SMALL_PX else 4


def fitting_sizes(sizes_px: FloatArray | None, strides: Sequence[int]) -> tuple[tuple[float, ...], ...]:
    """Two anchor sizes (square root of the area) for each map: the quartiles of the objects that it sees
    best.

    A map without objects keeps 4 and 5.7 times its stride, so that larger objects elsewhere are not out of
    reach.
    """
    lengths = np.empty(0) if sizes_px is None else _lengths(sizes_px)
    best = np.rint(np.log2(np.maximum(lengths, 1e-3) / _CELLS_PER_OBJECT / strides[0])).clip(
        0, len(strides) - 1
    )
    return tuple(_two_sizes(lengths[best == level], stride) for level, stride in enumerate(strides))


def fitting_ratios(sizes_px: FloatArray | None) -> tuple[float, ...]:
    """Heights over widths: only 1 for roundish objects, else also the upper quartile of their elongation,
    both ways.
    """
    if sizes_px is None or len(sizes_px) == 0:
        return (0.5, 1.0, 2.0)
    sides = np.maximum(np.asarray(sizes_px, np.float64), 1.0)
    elongation = float(np.exp(np.quantile(np.abs(np.log(sides[:, 1] / sides[:, 0])), 0.75)))
    if elongation < _ROUND:
        return (1.0,)
    ratio = round(min(elongation, 8.0), 3)
    return (round(1 / ratio, 3), 1.0, ratio)


def _lengths(sizes_px: FloatArray) -> npt.NDArray[np.float64]:
    return np.asarray(np.sqrt(np.prod(np.asarray(sizes_px, np.float64).reshape(-1, 2), axis=1)), np.float64)


def _two_sizes(lengths: npt.NDArray[np.float64], stride: int) -> tuple[float, ...]:
    natural = (_CELLS_PER_OBJECT * stride, _CELLS_PER_OBJECT * stride * 2**0.5)
    found = np.quantile(lengths, (0.25, 0.75)) if len(lengths) else np.array(natural)
    return tuple(round(max(float(size), _SMALLEST_PX), 2) for size in found)
