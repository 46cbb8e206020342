"""COCO run-length masks to polygons: column-major runs, starting with zeros, as numbers or as COCO's
compressed text.

Decoded here and not by a library, because a hostile file may announce runs beyond its mask: every length is
checked before memory is taken. The text form (cocoapi, maskApi.c `rleFrString`): five bits a character from
the lowest on, offset 48, bit 32 = more follow, bit 16 of the last = sign; from the fourth run on, the
difference to the run two before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely

from ...io.rasterize import polygonize

_MAX_PIXELS = 2**28
_MAX_CHARS_A_RUN = 7


def rle_outline(counts: object, size: object) -> shapely.Geometry:
    """The mask as a polygon or multipolygon in pixels (empty for an empty mask). Raises ValueError saying
    what is wrong.
    """
    if (
        not isinstance(size, Sequence)
        or len(size) != 2
        or not all(isinstance(side, int) and side > 0 for side in size)
    ):
        raise ValueError(f"its size {str(size)[:60]} is not [height, width]")
    height, width = size
    if height * width > _MAX_PIXELS:
        raise ValueError(
            f"its mask of {width}x{height} px is too large (at most {_MAX_PIXELS >> 20} million pixels)"
        )
    runs = _runs(counts)
    if int(runs.sum()) != height * width:
        raise ValueError(f"its runs add up to {int(runs.sum())} px, the mask has {height * width}")
    ends = np.cumsum(runs)
    starts, stops = (ends - runs)[1::2], ends[1::2]
    filled = stops > starts
    if not filled.any():
        return shapely.Polygon()
    return _outline(starts[filled], stops[filled], height)


def rle_runs(mask: npt.NDArray[np.bool_]) -> list[int]:
    """The runs of an (H, W) mask by columns as plain numbers, zeros first."""
    return run_lengths(mask.ravel(order="F"))


def run_lengths(flat: npt.NDArray[np.bool_]) -> list[int]:
    """Lengths of runs of equal values in (N,), N > 0, the first one of False (0 long where there is none)."""
    padded = np.concatenate([[False], flat, [not flat[-1]]])
    ends = np.flatnonzero(padded[1:] != padded[:-1])
    return [int(run) for run in np.diff(np.concatenate([[0], ends]))]


def _outline(starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64], height: int) -> shapely.Geometry:
    """Only the columns that hold something are unrolled."""
    col0, col1 = int(starts[0]) // height, (int(stops[-1]) - 1) // height + 1
    change = np.zeros((col1 - col0) * height + 1, np.int8)
    change[starts - col0 * height] += 1
    change[stops - col0 * height] -= 1
    mask = np.cumsum(change[:-1], dtype=np.int8).reshape(col1 - col0, height).T
    rows = np.flatnonzero(mask.any(axis=1))
    row0 = int(rows[0])
    cut = np.ascontiguousarray(mask[row0 : int(rows[-1]) + 1]).astype(np.uint8)
    polygons, _ = polygonize(cut, cut == 1)
    joined = polygons[0] if len(polygons) == 1 else shapely.multipolygons(polygons)
    return shapely.transform(joined, lambda xy: np.add(xy, (col0, row0)))


def _runs(counts: object) -> npt.NDArray[np.int64]:
    if isinstance(counts, str):
        return _decompressed(counts)
    if isinstance(counts, list) and all(isinstance(run, int) and 0 <= run <= _MAX_PIXELS for run in counts):
        return np.array(counts, np.int64)
    raise ValueError("its counts are neither whole numbers from 0 nor compressed text")


def _decompressed(text: str) -> npt.NDArray[np.int64]:
    codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    if not len(codes):
        return np.zeros(0, np.int64)
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError("its compressed counts hold signs that the format does not have, or end too early")
    last = (codes & 32) == 0
    first = np.concatenate([[0], np.flatnonzero(last)[:-1] + 1])
    lengths = np.flatnonzero(last) + 1 - first
    if int(lengths.max()) > _MAX_CHARS_A_RUN:
        raise ValueError("its compressed counts hold a run longer than any image")
    place = np.arange(len(codes)) - np.repeat(first, lengths)
    values = np.add.reduceat((codes & 31) << (5 * place), first)
    values -= np.where(codes[last] & 16, np.int64(1) << (5 * lengths), 0)
    runs = values.copy()
    # From the fourth on a run is stored as the difference to the one two before: two running sums, of even
    # and odd places.
    runs[1::2] = np.cumsum(values[1::2])
    if len(values) > 2:
        runs[2::2] = np.cumsum(values[2::2])
    if runs.min() < 0 or runs.max() > _MAX_PIXELS:
        raise ValueError("its compressed counts hold a run below 0 or longer than any image")
    return runs
