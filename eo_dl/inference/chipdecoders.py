"""Network output decoded to finished rows of the scene (class maps) or to rows of chips (objects)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from ..core.arrays import Objects
from ..core.arraytypes import AnyArray, BoolArray, Float32Array, UInt8Array
from ..core.boxes import centre_pixels
from ..core.chipgrid import Cell, ChipGrid
from ..core.classes import IGNORE_ID
from ..io.aoi import Aoi
from ..mosaic.blendmosaic import BlendedRows, BlendMosaic
from ..mosaic.labelmosaic import LabelMosaic, RowStrip
from ..mosaic.suppress import Suppression
from ..tasks import ObjectCodec, RasterCodec
from ..uncertainty.temperature import UNCHANGED
from .backends.backend import CHANNELS
from .batches import CellBatch
from .dissimilarity import ChipDissimilarity
from .extraplanes import ExtraPlanes, PixelValues, planes_of

T_co = TypeVar("T_co", covariant=True)

_LEAST = np.float32(1e-12)  # probabilities below would be infinite as logits


class Decoder(Protocol, Generic[T_co]):
    """Takes batches in the order of the chip grid and returns what they complete."""

    def take(self, batch: CellBatch, raw: Mapping[str, AnyArray] | None) -> Iterator[T_co]:
        """Decode a batch. `raw` is None for a batch without active cells."""
        ...


def of_chip(raw: Mapping[str, AnyArray], index: int) -> dict[str, AnyArray]:
    """The raw arrays of one chip of a batch."""
    return {name: array[index] for name, array in raw.items()}


class LabelDecoder:
    """Decodes class maps, and the planes of rasters beside them.

    Pixels that are not valid, or outside the AOI, are 255 in both. Rows come in full width, or in pieces of
    at most `most_px`.
    """

    def __init__(
        self,
        codec: RasterCodec,
        grid: ChipGrid,
        extras: Sequence[ExtraPlanes] = (),
        aoi: Aoi | None = None,
        most_px: int | None = None,
        dissimilarity: ChipDissimilarity | None = None,
    ) -> None:
        self._codec, self._dissimilarity = codec, dissimilarity
        # A copy, with a spatial index of its own: other threads ask theirs.
        self._aoi = None if aoi is None else replace(aoi)
        self._extras = tuple(extras)
        planes = sum(len(extra.bands) for extra in extras)
        self._mosaic = LabelMosaic(grid, planes, most_px)

    def take(self, batch: CellBatch, raw: Mapping[str, AnyArray] | None) -> Iterator[RowStrip]:
        """See `Decoder`."""
        for index, cell in enumerate(batch.cells):
            if raw is None or batch.buffer is None or not batch.active[index]:
                strip = self._mosaic.skip(cell)
            else:
                strip = self._add(cell, of_chip(raw, index), batch.buffer.valid[index])
            if strip is not None:
                yield strip

    def _add(self, cell: Cell, raw: Mapping[str, AnyArray], valid: BoolArray) -> RowStrip | None:
        labels = self._labels(raw)
        planes = None
        if self._extras:
            values = PixelValues(self._codec.decode(raw), self._dissimilarity_of(raw, len(labels)))
            planes = planes_of(self._extras, values)
        if self._aoi is not None:
            valid = valid & self._aoi.mask(cell.read)
        if not valid.all():
            labels = np.where(valid, labels, np.uint8(IGNORE_ID))
            if planes is not None:
                planes[:, ~valid] = IGNORE_ID
        return self._mosaic.add(cell, labels, planes)

    def _dissimilarity_of(self, raw: Mapping[str, AnyArray], chip_px: int) -> Float32Array | None:
        return None if self._dissimilarity is None else self._dissimilarity.pixels(raw, chip_px)

    def _labels(self, raw: Mapping[str, AnyArray]) -> UInt8Array:
        if CHANNELS in raw:
            return np.asarray(self._codec.classes.id_of_channel[raw[CHANNELS]], np.uint8)
        return self._codec.answer(raw)


class BlendDecoder:
    """Decodes class maps in which every chip that sees a pixel counts.

    Pixels that are not valid, or outside the AOI, are 255. Rows come in full width, or in pieces of about
    `most_px`.
    """

    def __init__(
        self,
        codec: RasterCodec,
        grid: ChipGrid,
        extras: Sequence[ExtraPlanes] = (),
        aoi: Aoi | None = None,
        most_px: int | None = None,
        dissimilarity: ChipDissimilarity | None = None,
    ) -> None:
        self._codec, self._dissimilarity = codec, dissimilarity
        # Chips are blended as the network sees them and calibrated afterwards, so that calibration changes no
        # label.
        self._uncalibrated = codec.calibrated(UNCHANGED)
        self._aoi = None if aoi is None else replace(aoi)  # as in `LabelDecoder`
        self._extras = tuple(extras)
        # The dissimilarity is blended as one more plane.
        planes = len(codec.classes) + (dissimilarity is not None)
        self._mosaic = BlendMosaic(grid, planes, most_px)

    def take(self, batch: CellBatch, raw: Mapping[str, AnyArray] | None) -> Iterator[RowStrip]:
        """See `Decoder`."""
        for index, cell in enumerate(batch.cells):
            if raw is None or batch.buffer is None or not batch.active[index]:
                rows = self._mosaic.skip(cell)
            else:
                valid = batch.buffer.valid[index]
                if self._aoi is not None:
                    valid = valid & self._aoi.mask(cell.read)
                rows = self._mosaic.add(cell, self._planes(of_chip(raw, index), len(valid)), valid)
            if rows is not None and rows.valid.size:
                yield self._strip(rows)

    def _planes(self, raw: Mapping[str, AnyArray], chip_px: int) -> Float32Array:
        probabilities = self._uncalibrated.decode(raw)
        if self._dissimilarity is None:
            return probabilities
        return np.concatenate([probabilities, self._dissimilarity.pixels(raw, chip_px)[None]])

    def _strip(self, rows: BlendedRows) -> RowStrip:
        count = len(self._codec.classes)
        probabilities, further = rows.probabilities[:count], rows.probabilities[count:]
        # The largest logit and the largest probability have one channel.
        labels = self._codec.answer({"logits": probabilities})
        planes = None
        if self._extras:
            dissimilarity = further[0] if len(further) else None
            planes = planes_of(self._extras, PixelValues(self._calibrated(probabilities), dissimilarity))
        labels = np.where(rows.valid, labels, np.uint8(IGNORE_ID))
        if planes is not None:
            planes[:, ~rows.valid] = IGNORE_ID
        return RowStrip(rows.row0, labels, planes, rows.col0)

    def _calibrated(self, blended: Float32Array) -> Float32Array:
        """(K, rows, W) blended probabilities as the temperature of the model changes them."""
        if self._codec.temperature == UNCHANGED:
            return blended
        return self._codec.decode({"logits": np.log(np.maximum(blended, _LEAST))})


@dataclass(frozen=True)
class ChipObjects:
    """The objects that the chips of one row saw, in scene pixels."""

    grid_row: int
    """The row of chips."""
    columns: tuple[int, ...]
    """Columns of the chips that were predicted."""
    parts: tuple[Objects, ...]
    """Objects per chip."""
    on_invalid: int
    """Number of objects left out because their centre lies on nodata."""


class ObjectDecoder:
    """Decodes objects with at least `min_score` that remain after suppression, whose centre lies on a valid
    pixel.
    """

    def __init__(
        self, codec: ObjectCodec, grid: ChipGrid, min_score: float, suppression: Suppression | None
    ) -> None:
        self._codec, self._grid, self._min_score = codec, grid, min_score
        self._suppression = suppression
        self._parts: dict[int, Objects] = {}
        self._cells_done = 0
        self._on_invalid = 0

    def take(self, batch: CellBatch, raw: Mapping[str, AnyArray] | None) -> Iterator[ChipObjects]:
        """See `Decoder`."""
        if raw is not None and batch.buffer is not None:
            for index in np.flatnonzero(batch.active).tolist():
                objects = self._decoded(batch.cells[index], of_chip(raw, index), batch.buffer.valid[index])
                self._parts[self._cells_done + index] = objects
        self._cells_done += len(batch.cells)
        if self._cells_done == self._grid.shape[1]:
            yield ChipObjects(
                batch.grid_row, tuple(self._parts), tuple(self._parts.values()), self._on_invalid
            )
            self._parts, self._cells_done, self._on_invalid = {}, 0, 0

    def _decoded(self, cell: Cell, raw: Mapping[str, AnyArray], valid: BoolArray) -> Objects:
        objects = self._codec.decode(raw)
        objects = objects.take(objects.scores >= self._min_score)
        if self._suppression is not None:
            objects = self._suppression.apply(objects)
        on_valid = _centre_is_valid(valid, objects)
        shift = (cell.read.col, cell.read.row)
        # Boxes are shifted in float64: float32 loses fractions of a pixel in a large scene.
        boxes = objects.boxes.astype(np.float64) + np.tile(shift, 2)
        in_scene = replace(objects.shifted(*shift), boxes=boxes)
        self._on_invalid += int(self._grid.owned(cell, boxes[~on_valid]).sum())
        return in_scene.take(on_valid)


def _centre_is_valid(valid: BoolArray, objects: Objects) -> BoolArray:
    """(N,) True if the pixel at a box's centre is valid; centres beyond the chip count as its border."""
    rows, cols = centre_pixels(objects.boxes, *valid.shape)
    return np.asarray(valid[rows, cols], np.bool_)
