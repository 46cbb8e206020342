"""The same image twice: chips with the same pixels, or nearly so (compressed anew, turned, mirrored).

Every chip is read once and leaves a digest of its pixels and a thumbnail. Chips of two splits whose
thumbnails agree in one of the eight ways to lay a square on itself are read again and compared by their
detail (what is left of each pixel without its surroundings): two different places agree in none of it,
however alike they look from far. Not found: copies that were cut at another place or rescaled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter

from ...chips.chiprecord import ChipRecord
from ...chips.chipset import ChipSet
from ...chips.chipsource import ChipSource
from ...core.arrays import Chip
from ...core.normalization import to_physical
from ...core.progress import OnProgress, silent
from ..queue.chipviews import VIEWS, View

FloatArray = npt.NDArray[np.float32]

_SIDE = 16  # px of a thumbnail
_ALIKE = 0.95  # correlation of thumbnails, above which a closer look is taken
_SAME = 0.6  # correlation of detail: JPEG at quality 50 leaves 0.7 and more, different places 0.1 at most
_CLOSER = 3  # thumbnails that are looked at more closely, for each chip
_DETAIL_PX = 5


@dataclass(frozen=True)
class Copy:
    """Two chips (places in the records) of one content; `similarity`: 1 where every pixel is the same."""

    first: int
    second: int
    similarity: float


@dataclass(frozen=True)
class _Mark:
    """What a chip leaves: None of a chip that has one value only and could be anywhere."""

    digest: bytes
    thumbnail: FloatArray


def find_copies(
    chips: ChipSet, records: Sequence[ChipRecord], on_progress: OnProgress = silent
) -> list[Copy]:
    """Pairs of chips of two different splits that show the same. Memory: 1 KiB a chip."""
    order = sorted(
        range(len(records)),
        key=lambda i: (records[i].scene_index, records[i].window.row, records[i].window.col),
    )
    marks: dict[int, _Mark] = {}
    with ChipSource(chips.path, chips.scenes) as source:
        for done, place in enumerate(order):
            on_progress(done, len(order), "chips")
            mark = _mark(source.read(records[place]))
            if mark is not None:
                marks[place] = mark
        on_progress(len(order), len(order), "chips")
        return _pairs(marks, records, source)


def _pairs(marks: dict[int, _Mark], records: Sequence[ChipRecord], source: ChipSource) -> list[Copy]:
    """Chips of later splits against those of earlier ones."""
    places = sorted(marks)
    thumbnails = (
        np.stack([marks[i].thumbnail for i in places]) if places else np.empty((0, _SIDE, _SIDE), np.float32)
    )
    splits = np.array([records[i].split for i in places], dtype=object)
    found = []
    for one, others in (("train", ("val", "test")), ("val", ("test",))):
        mine, against = np.flatnonzero(splits == one), np.flatnonzero(np.isin(splits, others))
        for second in against:
            twin = _twin(marks, [places[i] for i in mine], thumbnails[mine], places[second], records, source)
            if twin is not None:
                found.append(twin)
    return found


def _twin(
    marks: dict[int, _Mark],
    mine: Sequence[int],
    thumbnails: FloatArray,
    place: int,
    records: Sequence[ChipRecord],
    source: ChipSource,
) -> Copy | None:
    """The chip among `mine` that shows what the chip at `place` shows, if one does."""
    same = next((i for i in mine if marks[i].digest == marks[place].digest), None)
    if same is not None:
        return Copy(same, place, 1.0)
    flat = thumbnails.reshape(len(thumbnails), -1)
    turned = [np.asarray(view.apply(marks[place].thumbnail), np.float32).ravel() for view in VIEWS]
    alike = (
        np.stack([flat @ one for one in turned], axis=1)
        if len(flat)
        else np.empty((0, len(VIEWS)), np.float32)
    )
    for candidate in np.argsort(-alike, axis=None, kind="stable")[:_CLOSER]:
        row, number = np.unravel_index(int(candidate), alike.shape)
        if alike[row, number] < _ALIKE:
            return None
        similarity = _similarity(
            source.read(records[mine[int(row)]]), source.read(records[place]), VIEWS[int(number)]
        )
        if similarity >= _SAME:
            return Copy(mine[int(row)], place, similarity)
    return None


def _mark(chip: Chip) -> _Mark | None:
    if not chip.valid.any():
        return None
    gray = _gray(chip)
    if not gray.any():
        return None
    digest = hashlib.sha256(
        np.ascontiguousarray(np.where(chip.valid, chip.pixels, 0)).tobytes() + chip.valid.tobytes()
    ).digest()
    edges = np.linspace(0, gray.shape[0], _SIDE + 1).round().astype(int)[:-1]
    small = np.add.reduceat(np.add.reduceat(gray, edges, axis=0), edges, axis=1)
    small -= small.mean()
    length = float(np.linalg.norm(small))
    return _Mark(digest, (small / length if length > 0 else small).astype(np.float32))


def _gray(chip: Chip) -> FloatArray:
    """(H, W) mean of the bands' standard scores; 0 where not measured, and everywhere in a chip of one value."""
    values = to_physical(chip.pixels, chip.bands)
    known = values[:, chip.valid]
    spread = known.std(axis=1)
    scaled = (values - known.mean(axis=1)[:, None, None]) / np.where(spread > 0, spread, 1)[:, None, None]
    return np.asarray(np.where(chip.valid, scaled.mean(axis=0), 0) * bool((spread > 0).any()), np.float32)


def _similarity(one: Chip, other: Chip, view: View) -> float:
    """Correlation of the detail of two chips, the second one seen by `view`."""
    if one.pixels.shape != other.pixels.shape:
        return 0.0
    first, second = _gray(one), np.asarray(view.apply(_gray(other)), np.float32)
    both = one.valid & np.asarray(view.apply(other.valid), np.bool_)
    details = [(gray - uniform_filter(gray, _DETAIL_PX))[both] for gray in (first, second)]
    lengths = [float(np.linalg.norm(detail)) for detail in details]
    return float(details[0] @ details[1]) / (lengths[0] * lengths[1]) if min(lengths) > 0 else 0.0
