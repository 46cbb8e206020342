"""Predictions of whole chips: one cell per chip, as polygons with attributes or as a raster of chip-sized
pixels.

A scene is cut into squares (`SquareGrid`): as large as a chip or, with a margin m, smaller by 2 m and in the
middle of the chip that is predicted for it. At the right and lower edge, the square is the remainder of the
scene, and its chip is shifted back inside. In the raster such a square is a whole pixel all the same, so the
raster extends beyond the scene there; its upper left corner is exactly the scene's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from affine import Affine

from ..core.arraytypes import AnyArray, BoolArray, Float32Array
from ..core.chipgrid import Cell, ChipGrid
from ..core.classes import IGNORE_ID, ClassSet
from ..core.pixelgrid import PixelGrid
from ..errors import BundleError
from ..io.chiptables import CHIPS_LAYER, YES, best_of, value_columns
from ..io.rasterwriter import RasterWriter
from ..tasks import ChipCodec
from .batches import CellBatch
from .chipdecoders import of_chip
from .dissimilarity import ChipDissimilarity
from .extraplanes import ExtraPlanes, PixelValues
from .spool import Pieces

if TYPE_CHECKING:
    import geopandas


@dataclass(frozen=True)
class CellRow:
    """Predictions of n cells."""

    probabilities: Float32Array
    """(n, K) probabilities of the classes, NaN for cells without valid pixels."""
    valid: Float32Array
    """(n,) share of valid pixels of each square."""
    dissimilarity: Float32Array
    """(n,) to the training, above 1 outside; 0 where it is not wanted."""


class CellDecoder:
    """Decodes the class probabilities of chips, one row of chips at a time."""

    def __init__(
        self, codec: ChipCodec, grid: ChipGrid, dissimilarity: ChipDissimilarity | None = None
    ) -> None:
        self._codec, self._dissimilarity = codec, dissimilarity
        self._unlike: list[float] = []
        self._columns = grid.shape[1]
        self._probabilities: list[Float32Array] = []
        self._valid: list[float] = []

    def take(self, batch: CellBatch, raw: Mapping[str, AnyArray] | None) -> Iterator[CellRow]:
        """See `chipdecoders.Decoder`."""
        for index, cell in enumerate(batch.cells):
            if raw is None or batch.buffer is None or not batch.active[index]:
                self._probabilities.append(np.full(len(self._codec.classes), np.nan, np.float32))
                self._valid.append(0.0)
                self._unlike.append(0.0)
            else:
                self._probabilities.append(chip_probabilities(self._codec, of_chip(raw, index)))
                self._valid.append(_valid_share(cell, batch.buffer.valid[index]))
                self._unlike.append(self._dissimilarity_of(of_chip(raw, index), cell))
        if len(self._probabilities) == self._columns:
            yield CellRow(
                np.stack(self._probabilities),
                np.array(self._valid, np.float32),
                np.array(self._unlike, np.float32),
            )
            self._probabilities, self._valid, self._unlike = [], [], []

    def _dissimilarity_of(self, raw: Mapping[str, AnyArray], cell: Cell) -> float:
        return 0.0 if self._dissimilarity is None else self._dissimilarity.chip(raw, cell.read.width)


def chip_probabilities(codec: ChipCodec, raw: Mapping[str, AnyArray]) -> Float32Array:
    """(K,) class probabilities of one chip. Raises `BundleError` if the model returns something else."""
    decoded = codec.decode(raw)
    if decoded.shape != (len(codec.classes),):
        raise BundleError(
            "the model returns no class probabilities although its task predicts classes of chips; it is "
            "damaged, train it again"
        )
    return decoded


def _valid_share(cell: Cell, valid: BoolArray) -> float:
    return float(valid[cell.keep.relative_to(cell.read).slices].mean())


def pack_cells(row: CellRow) -> dict[str, AnyArray]:
    """A row of cells as plain arrays."""
    return {"probabilities": row.probabilities, "valid": row.valid, "unlike": row.dissimilarity}


class CellOutput:
    """The sink of cells: keeps rows of chips on disk until all are there."""

    def __init__(self, spool: Pieces) -> None:
        self._spool = spool
        self.first_row = spool.count

    def take(self, row: CellRow) -> None:
        """See `engine.Sink`."""
        self._spool.store(pack_cells(row))

    def finish(self) -> CellRow:
        """All cells of the scene, row by row."""
        rows = [self._spool.load(number) for number in range(self._spool.count)]
        return CellRow(
            np.concatenate([row["probabilities"].astype(np.float32) for row in rows]),
            np.concatenate([row["valid"].astype(np.float32) for row in rows]),
            np.concatenate([row["unlike"].astype(np.float32) for row in rows]),
        )


@dataclass(frozen=True)
class Cells:
    """All cells of one scene."""

    predictions: CellRow
    """Predictions of the N cells of `grid`, row by row."""
    grid: ChipGrid
    """The squares, in pixels of `pixel_grid`."""
    pixel_grid: PixelGrid
    """The working grid of the scene."""
    classes: ClassSet
    """The classes."""
    multi_label: bool
    """True if a cell may have any number of classes."""

    @property
    def predicted(self) -> BoolArray:
        """(N,) True if the network saw the cell."""
        return np.asarray(np.isfinite(self.predictions.probabilities).all(axis=1), np.bool_)

    def table(self) -> geopandas.GeoDataFrame:
        """One feature per predicted square."""
        import geopandas  # lazy: loads pandas, which rasters do not need

        predicted = self.predicted
        boxes = np.array([cell.keep.box for cell in self.grid], np.float64)[predicted]
        squares = np.asarray(shapely.box(*boxes.T), dtype=object).reshape(-1)
        outlines = self.pixel_grid.geometries_to_map(squares)
        columns = value_columns(self.predictions.probabilities[predicted], self.classes, self.multi_label)
        columns |= {
            "valid_share": self.predictions.valid[predicted].astype(np.float64).round(4),
            "area_m2": self.pixel_grid.areas_m2(outlines).round(3) if len(outlines) else np.empty(0),
            "reviewed": np.zeros(len(outlines), np.bool_),
        }
        crs = None if self.pixel_grid.crs is None else self.pixel_grid.crs.to_wkt()
        return geopandas.GeoDataFrame(columns, geometry=outlines, crs=crs)

    def raster_grid(self) -> PixelGrid:
        """The grid of the raster outputs: one pixel per square."""
        rows, cols = self.grid.shape
        transform = self.pixel_grid.transform @ Affine.scale(self.grid.stride_px)
        return PixelGrid(self.pixel_grid.crs, Affine(*tuple(transform)[:6]), rows, cols)

    def write_table(self, path: Path, tags: Mapping[str, str], overwrite: bool) -> int:
        """Write the vector output, styled by class. Returns the number of cells."""
        from ..io.vectorlayers import write_layer  # lazy: loads pandas, which rasters do not need

        table = self.table()
        write_layer(
            path,
            table,
            layer=CHIPS_LAYER,
            classes=self.classes,
            style_field="class_name",
            metadata=dict(tags),
            overwrite=overwrite,
        )
        return len(table)

    def write_raster(self, path: Path, tags: Mapping[str, str], overwrite: bool) -> None:
        """Write class ids with one pixel per chip.

        Cells without valid pixels are 255, in multi-label maps also those that have none of the classes.
        """
        channels, scores = best_of(self.predictions.probabilities)
        has_class = self.predicted
        if self.multi_label:
            has_class &= scores >= YES
        ids = np.where(has_class, self.classes.id_of_channel[channels], np.uint8(IGNORE_ID))
        with RasterWriter(
            path,
            self.raster_grid(),
            nodata=IGNORE_ID,
            descriptions=("class",),
            tags=tags,
            classes=self.classes,
            overwrite=overwrite,
        ) as writer:
            writer.write(0, ids.reshape(self.grid.shape).astype(np.uint8))

    def write_extra(
        self,
        path: Path,
        extra: ExtraPlanes,
        tags: Mapping[str, str],
        overwrite: bool,
        companion_of: Path,
    ) -> None:
        """Write a raster beside the map, with one pixel per chip; 255 for cells without valid pixels. The
        work folder `companion_of` notes it.
        """
        predicted, count = self.predicted, len(extra.bands)
        planes = np.full((count, len(predicted)), IGNORE_ID, np.uint8)
        values = PixelValues(
            np.ascontiguousarray(self.predictions.probabilities[predicted].T),
            self.predictions.dissimilarity[predicted],
        )
        planes[:, predicted] = extra.make(values)
        with RasterWriter(
            path,
            self.raster_grid(),
            count=count,
            nodata=IGNORE_ID,
            descriptions=extra.bands,
            tags={**tags, **extra.tags},
            scales=extra.scales,
            style=extra.style,
            overwrite=overwrite,
            companion_of=companion_of,
        ) as writer:
            writer.write(0, planes.reshape(count, *self.grid.shape))

    def edge_notes(self) -> tuple[str, ...]:
        """A note if the scene's edge cuts squares."""
        beyond_right = -self.pixel_grid.width % self.grid.stride_px
        beyond_bottom = -self.pixel_grid.height % self.grid.stride_px
        if not beyond_right and not beyond_bottom:
            return ()
        return (
            "the last squares are cut by the scene's edge, and their chips are shifted back inside; a raster "
            f"output extends {beyond_right} x {beyond_bottom} px beyond the scene",
        )
