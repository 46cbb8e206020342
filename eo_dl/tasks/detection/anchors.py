"""Anchor boxes from the sizes of the objects to detect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.arraytypes import Float64Array, FloatArray

_COARSEST_STRIDE = 32
_SMALLEST_PX = 2.0
_CELLS_PER_OBJECT = 4.0  # an object is detected best on the map where it is this many cells wide
_SMALL_PX = 8.0  # smaller objects need a map finer than stride 4
_SQUARE = 1.25  # sides with a smaller ratio count as equal
_LEAST_LENGTH = 1e-3  # for logarithms


def pyramid_strides(finest: int) -> tuple[int, ...]:
    """Strides of the feature pyramid, finest first."""
    return tuple(2**k for k in range(1, 6) if finest <= 2**k <= _COARSEST_STRIDE)


def fitting_stride(sizes_px: FloatArray | None) -> int:
    """The finest stride for objects of these sizes: 2 if a tenth of them are narrower than 8 px, else 4.

    Args:
        sizes_px: (N, 2) widths and heights; None where there are no objects to measure.
    """
    if sizes_px is None or len(sizes_px) == 0:
        return 4
    return 2 if np.quantile(_lengths(sizes_px), 0.1) < _SMALL_PX else 4


def fitting_sizes(sizes_px: FloatArray | None, strides: Sequence[int]) -> tuple[tuple[float, ...], ...]:
    """Two anchor sizes per feature map: the quartiles of the objects that the map detects best.

    A map without objects gets 4 and 5.7 times its stride, so that larger objects elsewhere stay within reach.

    Args:
        sizes_px: (N, 2) widths and heights; None where there are no objects to measure.
        strides: Strides of the feature maps, finest first.

    Returns:
        Square roots of the anchors' areas in pixels, per map.
    """
    lengths = np.empty(0) if sizes_px is None else _lengths(sizes_px)
    cells = np.maximum(lengths, _LEAST_LENGTH) / _CELLS_PER_OBJECT / strides[0]
    best_level = np.rint(np.log2(cells)).clip(0, len(strides) - 1)
    return tuple(_two_sizes(lengths[best_level == level], stride) for level, stride in enumerate(strides))


def fitting_ratios(sizes_px: FloatArray | None) -> tuple[float, ...]:
    """Height divided by width of the anchors: only 1 for roundish objects, otherwise also the upper quartile
    of their elongation, in both directions.

    Args:
        sizes_px: (N, 2) widths and heights; None where there are no objects to measure.
    """
    if sizes_px is None or len(sizes_px) == 0:
        return (0.5, 1.0, 2.0)
    sides = np.maximum(np.asarray(sizes_px, np.float64), 1.0)
    elongations = np.abs(np.log(sides[:, 1] / sides[:, 0]))
    elongation = float(np.exp(np.quantile(elongations, 0.75)))
    if elongation < _SQUARE:
        return (1.0,)
    ratio = round(min(elongation, 8.0), 3)
    return (round(1 / ratio, 3), 1.0, ratio)


def _lengths(sizes_px: FloatArray) -> Float64Array:
    """(N,) square roots of the areas."""
    sides = np.asarray(sizes_px, np.float64).reshape(-1, 2)
    return np.asarray(np.sqrt(np.prod(sides, axis=1)), np.float64)


def _two_sizes(lengths: Float64Array, stride: int) -> tuple[float, ...]:
    if len(lengths):
        sizes = np.quantile(lengths, (0.25, 0.75))
    else:
        sizes = np.array([1.0, 2**0.5]) * _CELLS_PER_OBJECT * stride
    return tuple(round(max(float(size), _SMALLEST_PX), 2) for size in sizes)
