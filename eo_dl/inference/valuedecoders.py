"""Network output decoded to finished rows of a map of values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray, UInt8Array
from ..core.chipgrid import ChipGrid
from ..core.classes import IGNORE_ID
from ..io.aoi import Aoi
from ..mosaic.blendmosaic import BlendMosaic
from ..mosaic.labelmosaic import LabelMosaic, RowStrip
from ..tasks import ValueCodec
from .batches import CellBatch
from .chipdecoders import of_chip


class ValueDecoder:
    """Decodes maps of values: each pixel from the chip in which it lies deepest.

    The planes of a strip are the values, and the ends of their intervals where the model gives them. Pixels
    that are not valid, or outside the AOI, are NaN, and 255 in the labels of the strip, which are 0
    elsewhere. Rows come in full width, or in pieces of at most `most_px`.
    """

    def __init__(
        self, codec: ValueCodec, grid: ChipGrid, aoi: Aoi | None = None, most_px: int | None = None
    ) -> None:
        self._codec = codec
        # A copy, with a spatial index of its own: other threads ask theirs.
        self._aoi = None if aoi is None else replace(aoi)
        self._mosaic = LabelMosaic(grid, len(codec.band_names), most_px, plane_dtype="float32")

    def take(self, batch: CellBatch, raw: Mapping[str, AnyArray] | None) -> Iterator[RowStrip]:
        """See `Decoder`."""
        for index, cell in enumerate(batch.cells):
            if raw is None or batch.buffer is None or not batch.active[index]:
                strip = self._mosaic.skip(cell)
            else:
                planes = self._codec.decode(of_chip(raw, index))
                valid = batch.buffer.valid[index]
                if self._aoi is not None:
                    valid = valid & self._aoi.mask(cell.read)
                if not valid.all():
                    planes = np.where(valid, planes, np.float32(np.nan))
                strip = self._mosaic.add(cell, _labels(valid), planes)
            if strip is not None:
                yield strip


class ValueBlendDecoder:
    """Decodes maps of values as the mean of all chips that see a pixel, weighted by a Hann window.

    Otherwise as `ValueDecoder`.
    """

    def __init__(
        self, codec: ValueCodec, grid: ChipGrid, aoi: Aoi | None = None, most_px: int | None = None
    ) -> None:
        self._codec = codec
        self._aoi = None if aoi is None else replace(aoi)  # as in `ValueDecoder`
        self._mosaic = BlendMosaic(grid, len(codec.band_names), most_px)

    def take(self, batch: CellBatch, raw: Mapping[str, AnyArray] | None) -> Iterator[RowStrip]:
        """See `Decoder`."""
        for index, cell in enumerate(batch.cells):
            if raw is None or batch.buffer is None or not batch.active[index]:
                rows = self._mosaic.skip(cell)
            else:
                valid = batch.buffer.valid[index]
                if self._aoi is not None:
                    valid = valid & self._aoi.mask(cell.read)
                rows = self._mosaic.add(cell, self._codec.decode(of_chip(raw, index)), valid)
            if rows is not None and rows.valid.size:
                planes = np.where(rows.valid, rows.probabilities, np.float32(np.nan))
                yield RowStrip(rows.row0, _labels(rows.valid), planes, rows.col0)


def _labels(valid: BoolArray) -> UInt8Array:
    """(H, W) 0 where there is a value, 255 elsewhere."""
    return np.where(valid, np.uint8(0), np.uint8(IGNORE_ID))
