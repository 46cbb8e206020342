"""The same image twice: chips with the same pixels, or nearly so (compressed again, rotated, mirrored).

Every chip is read once and leaves a digest of its pixels and a thumbnail. Chips of two splits whose
thumbnails agree in one of the eight ways to lay a square onto itself are read again and compared by their
detail (each pixel minus its surroundings): two different places share no detail, however alike they look from
afar. Copies that were cut at another position or rescaled are not found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from ...chips.chiprecord import ChipRecord
from ...chips.chipset import ChipSet
from ...chips.chipsource import ChipSource
from ...core.arrays import Chip
from ...core.arraytypes import Float32Array
from ...core.chipviews import VIEWS, View
from ...core.normalization import to_physical
from ...core.progress import OnProgress, silent

_THUMBNAIL_PX = 16
_ALIKE = 0.95  # correlation of thumbnails from which chips are compared in detail
_SAME = 0.6  # correlation of detail: JPEG at quality 50 leaves 0.7 and more, different places 0.1 at most
_COMPARED = 3  # chips that one is compared with in detail
_DETAIL_PX = 5


@dataclass(frozen=True)
class Copy:
    """Two chips of one content."""

    first: int
    """Index of the one in the earlier split."""

    second: int
    """Index of the other."""

    similarity: float
    """1 if every pixel is the same, else the correlation of their detail."""


@dataclass(frozen=True)
class _Mark:
    """What a chip leaves when it is read."""

    digest: bytes
    thumbnail: Float32Array


@dataclass(frozen=True)
class _Marks:
    """The marks of the chips of a split."""

    chips: tuple[int, ...]
    digests: dict[bytes, int]  # the first chip of each digest
    thumbnails: Float32Array  # (N, pixels)

    @classmethod
    def of(cls, marks: dict[int, _Mark], records: Sequence[ChipRecord], split: str) -> _Marks:
        """The marks of one split."""
        chips = tuple(index for index in sorted(marks) if records[index].split == split)
        digests: dict[bytes, int] = {}
        for index in chips:
            digests.setdefault(marks[index].digest, index)
        thumbnails = np.empty((len(chips), _THUMBNAIL_PX**2), np.float32)
        for number, index in enumerate(chips):
            thumbnails[number] = marks[index].thumbnail.ravel()
        return cls(chips, digests, thumbnails)


def find_copies(
    chips: ChipSet, records: Sequence[ChipRecord], on_progress: OnProgress = silent
) -> list[Copy]:
    """Pairs of chips of two different splits that show the same. Memory: 1 KiB per chip.

    Args:
        chips: The chip set.
        records: The chips to compare.
        on_progress: Called with the number of chips read and their total.
    """

    def position(index: int) -> tuple[int, int, int]:
        """Chips are read in the order of the files."""
        window = records[index].window
        return records[index].scene_index, window.row, window.col

    marks: dict[int, _Mark] = {}
    with ChipSource(chips.path, chips.scenes) as source:
        for done, index in enumerate(sorted(range(len(records)), key=position)):
            on_progress(done, len(records), "chips")
            mark = _mark(source.read(records[index]))
            if mark is not None:
                marks[index] = mark
        on_progress(len(records), len(records), "chips")
        copies = []
        for split, later_splits in (("train", ("val", "test")), ("val", ("test",))):
            earlier = _Marks.of(marks, records, split)
            for index in sorted(marks):
                if records[index].split in later_splits:
                    copy = _copy_of(index, marks[index], earlier, records, source)
                    if copy is not None:
                        copies.append(copy)
        return copies


def _copy_of(
    index: int, mark: _Mark, earlier: _Marks, records: Sequence[ChipRecord], source: ChipSource
) -> Copy | None:
    """The chip of an earlier split that shows what a chip shows; None if none does."""
    if mark.digest in earlier.digests:
        return Copy(earlier.digests[mark.digest], index, 1.0)
    if not earlier.chips:
        return None
    views = np.stack([np.asarray(view.apply(mark.thumbnail), np.float32).ravel() for view in VIEWS], axis=1)
    likeness = earlier.thumbnails @ views  # (N, views)
    for candidate in np.argsort(-likeness, axis=None, kind="stable")[:_COMPARED]:
        number, view = (int(i) for i in np.unravel_index(int(candidate), likeness.shape))
        if likeness[number, view] < _ALIKE:
            return None
        other = earlier.chips[number]
        similarity = _similarity(source.read(records[other]), source.read(records[index]), VIEWS[view])
        if similarity >= _SAME:
            return Copy(other, index, similarity)
    return None


def _mark(chip: Chip) -> _Mark | None:
    """The mark of a chip; None for a chip of a single value, which could be anywhere."""
    if not chip.valid.any():
        return None
    gray = _gray(chip)
    if not gray.any():
        return None
    measured = np.ascontiguousarray(np.where(chip.valid, chip.pixels, 0))
    digest = hashlib.sha256(measured.tobytes() + chip.valid.tobytes()).digest()
    edges = np.linspace(0, gray.shape[0], _THUMBNAIL_PX + 1).round().astype(int)[:-1]
    thumbnail = np.add.reduceat(np.add.reduceat(gray, edges, axis=0), edges, axis=1)
    thumbnail -= thumbnail.mean()
    length = float(np.linalg.norm(thumbnail))
    if length > 0:
        thumbnail = thumbnail / length
    return _Mark(digest, thumbnail.astype(np.float32))


def _gray(chip: Chip) -> Float32Array:
    """(H, W) mean of the standard scores of the bands; 0 if not measured, and everywhere in a chip of a
    single value.
    """
    values = to_physical(chip.pixels, chip.bands)
    measured = values[:, chip.valid]
    spread = measured.std(axis=1)
    if not (spread > 0).any():
        return np.zeros(chip.valid.shape, np.float32)
    centred = values - measured.mean(axis=1)[:, None, None]
    scores = centred / np.where(spread > 0, spread, 1)[:, None, None]
    return np.asarray(np.where(chip.valid, scores.mean(axis=0), 0), np.float32)


def _similarity(chip: Chip, other: Chip, view: View) -> float:
    """The correlation of the detail of two chips, the second one seen in a view."""
    if chip.pixels.shape != other.pixels.shape:
        return 0.0
    gray, other_gray = _gray(chip), np.asarray(view.apply(_gray(other)), np.float32)
    both_valid = chip.valid & np.asarray(view.apply(other.valid), np.bool_)
    detail = (gray - uniform_filter(gray, _DETAIL_PX))[both_valid]
    other_detail = (other_gray - uniform_filter(other_gray, _DETAIL_PX))[both_valid]
    lengths = float(np.linalg.norm(detail)), float(np.linalg.norm(other_detail))
    if min(lengths) <= 0:
        return 0.0
    return float(detail @ other_detail) / (lengths[0] * lengths[1])
