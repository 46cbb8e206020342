"""Run-length masks of COCO: runs by columns, zeros first, as numbers or as COCO's compressed text.

They are decoded here and not by a library because a hostile file may announce runs beyond its mask: every
length is checked before memory is taken. The text (cocoapi, maskApi.c `rleFrString`) has five bits per
character from the lowest on, with offset 48; bit 32 means that more follow, bit 16 of the last character is
the sign; from the fourth run on, the number is the difference to the run two before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from ...core.arraytypes import BoolArray, Int64Array
from ...core.geometries import shifted
from ...core.pixelpolygons import polygonize

_MAX_PIXELS = 2**28
_MAX_CHARACTERS_PER_RUN = 7
_FIRST_CHARACTER = 48


def rle_outline(counts: object, size: object) -> shapely.Geometry:
    """A mask as a polygon or multipolygon in pixels; empty for an empty mask.

    Args:
        counts: The runs, a list of numbers or compressed text.
        size: [height, width] of the mask.

    Raises:
        ValueError: The runs do not fill a mask of this size.
    """
    height, width = _checked_size(size)
    runs = _runs(counts)
    if int(runs.sum()) != height * width:
        raise ValueError(f"the runs add up to {int(runs.sum())} px, but the mask has {height * width}")
    ends = np.cumsum(runs)
    starts, stops = (ends - runs)[1::2], ends[1::2]
    filled = stops > starts
    if not filled.any():
        return shapely.Polygon()
    return _outline(starts[filled], stops[filled], height)


def _checked_size(size: object) -> tuple[int, int]:
    if not isinstance(size, Sequence) or len(size) != 2:
        raise ValueError(f"the size {str(size)[:60]} is not [height, width]")
    if not all(isinstance(side, int) and side > 0 for side in size):
        raise ValueError(f"the size {str(size)[:60]} is not [height, width]")
    height, width = size
    if height * width > _MAX_PIXELS:
        raise ValueError(
            f"the mask of {width}x{height} px is too large (at most {_MAX_PIXELS >> 20} million pixels)"
        )
    return height, width


def rle_runs(mask: BoolArray) -> list[int]:
    """The runs of an (H, W) mask by columns, zeros first."""
    return run_lengths(mask.ravel(order="F"))


def run_lengths(flat: BoolArray) -> list[int]:
    """Lengths of runs of equal values in (N,), N > 0; the first run is of False, and may be 0 long."""
    padded = np.concatenate([[False], flat, [not flat[-1]]])
    ends = np.flatnonzero(padded[1:] != padded[:-1])
    return [int(run) for run in np.diff(np.concatenate([[0], ends]))]


def _outline(starts: Int64Array, stops: Int64Array, height: int) -> shapely.Geometry:
    """The outline of runs of pixels, counted by columns. Only columns that hold something are unrolled."""
    col0, col1 = int(starts[0]) // height, (int(stops[-1]) - 1) // height + 1
    change = np.zeros((col1 - col0) * height + 1, np.int8)
    change[starts - col0 * height] += 1
    change[stops - col0 * height] -= 1
    mask = np.cumsum(change[:-1], dtype=np.int8).reshape(col1 - col0, height).T
    rows = np.flatnonzero(mask.any(axis=1))
    row0 = int(rows[0])
    cut = np.ascontiguousarray(mask[row0 : int(rows[-1]) + 1]).astype(np.uint8)
    polygons, _ = polygonize(cut, cut == 1)
    outline = polygons[0] if len(polygons) == 1 else shapely.multipolygons(polygons)
    return shifted(outline, col0, row0)


def _runs(counts: object) -> Int64Array:
    if isinstance(counts, str):
        return _decompressed(counts)
    if isinstance(counts, list) and all(isinstance(run, int) and 0 <= run <= _MAX_PIXELS for run in counts):
        return np.array(counts, np.int64)
    raise ValueError("the counts are neither whole numbers from 0 nor compressed text")


def _decompressed(text: str) -> Int64Array:
    codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int64) - _FIRST_CHARACTER
    if not len(codes):
        return np.zeros(0, np.int64)
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError(
            "the compressed counts contain characters that the format does not have, or end early"
        )
    is_last = (codes & 32) == 0
    first = np.concatenate([[0], np.flatnonzero(is_last)[:-1] + 1])
    lengths = np.flatnonzero(is_last) + 1 - first
    if int(lengths.max()) > _MAX_CHARACTERS_PER_RUN:
        raise ValueError("the compressed counts contain a run longer than any image")
    position = np.arange(len(codes)) - np.repeat(first, lengths)
    values = np.add.reduceat((codes & 31) << (5 * position), first)
    values -= np.where(codes[is_last] & 16, np.int64(1) << (5 * lengths), 0)
    runs = values.copy()
    # Differences to the run two before are undone by two running sums, of the even and of the odd runs; the
    # first run stays as it is.
    runs[1::2] = np.cumsum(values[1::2])
    if len(values) > 2:
        runs[2::2] = np.cumsum(values[2::2])
    if runs.min() < 0 or runs.max() > _MAX_PIXELS:
        raise ValueError("the compressed counts contain a run below 0 or longer than any image")
    return runs
