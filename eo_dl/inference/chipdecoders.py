"""What the network said about a batch, as finished rows of the scene (class maps) or rows of chips (objects)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from ..core.arrays import Objects
from ..core.arraytypes import AnyArray, BoolArray, UInt8Array
from ..core.chipgrid import Cell, ChipGrid
from ..core.classes import IGNORE_ID
from ..errors import BundleError
from ..io.aoi import Aoi
from ..io.classmap import QUANTA
from ..mosaic.labelmosaic import LabelMosaic, RowStrip
from ..tasks import Codec, RasterCodec
from .backends import CHANNELS
from .batches import CellBatch

T_co = TypeVar("T_co", covariant=True)


class Decoder(Protocol, Generic[T_co]):
    """Takes batches in the order of the chip grid and gives back what they complete."""

    def take(self, batch: CellBatch, raw: Mapping[str, AnyArray] | None) -> Iterator[T_co]:
        """`raw` is None for a batch without active cells."""
        ...


class LabelDecoder:
    """Class maps, and with `probabilities` also planes of them. Pixels that are not valid, or not in the AOI,
    are 255 in both.
    """

    def __init__(
        self, codec: RasterCodec, grid: ChipGrid, probabilities: bool, aoi: Aoi | None = None
    ) -> None:
        self._codec = codec
        # an index of one's own: others ask theirs in another thread
        self._aoi = None if aoi is None else replace(aoi)
        self._planes = len(codec.classes) if probabilities else 0
        self._mosaic = LabelMosaic(grid, self._planes)

    def take(self, batch: CellBatch, raw: Mapping[str, AnyArray] | None) -> Iterator[RowStrip]:
        """See `Decoder`."""
        for place, cell in enumerate(batch.cells):
            if raw is None or batch.buffer is None or not batch.active[place]:
                strip = self._mosaic.skip(cell)
            else:
                strip = self._add(
                    cell, {name: array[place] for name, array in raw.items()}, batch.buffer.valid[place]
                )
            if strip is not None:
                yield strip

    def _add(self, cell: Cell, raw: Mapping[str, AnyArray], valid: BoolArray) -> RowStrip | None:
        labels = self._labels(raw)
        planes = _quantised(self._codec.decode(raw)) if self._planes else None
        if self._aoi is not None:
            valid = valid & self._aoi.mask(cell.read)
        if not valid.all():
            labels = np.where(valid, labels, np.uint8(IGNORE_ID))
            if planes is not None:
                planes[:, ~valid] = IGNORE_ID
        return self._mosaic.add(cell, labels, planes)

    def _labels(self, raw: Mapping[str, AnyArray]) -> UInt8Array:
        if CHANNELS in raw:
            return np.asarray(self._codec.classes.id_of_channel[raw[CHANNELS]], np.uint8)
        return self._codec.labels(raw)


def _quantised(probabilities: object) -> UInt8Array:
    if not isinstance(probabilities, np.ndarray):
        raise BundleError("the model gives objects, not probabilities of pixels; leave --probabilities out")
    scaled = np.clip(probabilities, 0.0, 1.0) * np.float32(QUANTA)
    return np.asarray(np.rint(scaled), np.uint8)


@dataclass(frozen=True)
class ChipObjects:
    """What the chips of one row saw, in scene pixels: `parts[i]` of cell number `columns[i]`. `on_invalid`:
    dropped.
    """

    grid_row: int
    columns: tuple[int, ...]
    parts: tuple[Objects, ...]
    on_invalid: int


class ObjectDecoder:
    """Objects of at least `min_score` whose centre lies on valid ground."""

    def __init__(self, codec: Codec, grid: ChipGrid, min_score: float) -> None:
        self._codec, self._grid, self._min_score = codec, grid, min_score
        self._parts: dict[int, Objects] = {}
        self._seen = 0
        self._on_invalid = 0

    def take(self, batch: CellBatch, raw: Mapping[str, AnyArray] | None) -> Iterator[ChipObjects]:
        """See `Decoder`."""
        if raw is not None and batch.buffer is not None:
            for place in np.flatnonzero(batch.active).tolist():
                one = {name: array[place] for name, array in raw.items()}
                self._parts[self._seen + place] = self._of_chip(
                    batch.cells[place], one, batch.buffer.valid[place]
                )
        self._seen += len(batch.cells)
        if self._seen == self._grid.shape[1]:
            yield ChipObjects(
                batch.grid_row, tuple(self._parts), tuple(self._parts.values()), self._on_invalid
            )
            self._parts, self._seen, self._on_invalid = {}, 0, 0

    def _of_chip(self, cell: Cell, raw: Mapping[str, AnyArray], valid: BoolArray) -> Objects:
        found = self._codec.decode(raw)
        if not isinstance(found, Objects):
            raise BundleError(
                "the model gives no objects, although its task should; the model is damaged, train it again"
            )
        found = found.take(found.scores >= self._min_score)
        on_ground = _centre_is(valid, found)
        moved = replace(
            found.shifted(cell.read.col, cell.read.row),
            boxes=found.boxes.astype(np.float64) + np.tile((cell.read.col, cell.read.row), 2),
        )
        self._on_invalid += int(self._grid.owned(cell, moved.boxes[~on_ground]).sum())
        return moved.take(on_ground)


def _centre_is(valid: BoolArray, objects: Objects) -> BoolArray:
    """(N,) True where the pixel under a box's centre is valid; centres beyond the chip count as its border."""
    size = valid.shape[0]
    cols, rows = ((objects.boxes[:, i] + objects.boxes[:, i + 2]) / 2 for i in (0, 1))
    inside = [np.clip(np.floor(v), 0, size - 1).astype(np.int64) for v in (rows, cols)]
    return np.asarray(valid[inside[0], inside[1]], np.bool_)
