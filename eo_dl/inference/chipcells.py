"""What a scene's chips are as a whole: one cell a chip, as a grid of squares with attributes or as a raster
with a pixel a chip.

A scene is cut into squares (`SquareGrid`): as large as a chip, or with a margin m smaller by 2 m, each in the
middle of the chip that answers for it. At the right and the lower edge the square is what is left of the
scene, and the chip that answers for it is shifted back inside. In the raster such a square is a whole pixel
all the same, which sticks out of the scene there: its upper left corner is exactly the scene's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import shapely
from affine import Affine

from ..core.arraytypes import AnyArray, BoolArray, Float32Array, Int64Array
from ..core.chipgrid import Cell, SquareGrid
from ..core.classes import IGNORE_ID, ClassSet
from ..core.pixelgrid import PixelGrid
from ..errors import BundleError
from ..io.classmap import QUANTA
from ..io.qgisstyles import PROBABILITIES_TAG, classes_tag
from ..io.rasterwriter import RasterWriter
from ..io.vectorlayers import write_layer
from ..tasks import Codec
from .batches import CellBatch
from .spool import Spool

CHIPS_LAYER = "chips"
PROBABILITY_PREFIX = "p_"
NONE = "none"
"""The class name of a cell of several possible classes that has none of them."""
_YES = 0.5


@dataclass(frozen=True)
class CellRow:
    """One row of cells: `probabilities` (n, K), NaN where nothing was measured; `valid` (n,) the measured
    share of each square.
    """

    probabilities: Float32Array
    valid: Float32Array


class CellDecoder:
    """Probabilities of the classes of each chip, a row of chips at a time."""

    def __init__(self, codec: Codec, grid: SquareGrid) -> None:
        self._codec, self._columns = codec, grid.shape[1]
        self._found: list[Float32Array] = []
        self._valid: list[float] = []

    def take(self, batch: CellBatch, raw: Mapping[str, AnyArray] | None) -> Iterator[CellRow]:
        """See `decoders.Decoder`."""
        for place, cell in enumerate(batch.cells):
            answered = raw is not None and batch.buffer is not None and bool(batch.active[place])
            self._found.append(self._of_chip(raw, place) if raw is not None and answered else self._nothing())
            self._valid.append(
                _measured(cell, batch.buffer.valid[place]) if batch.buffer is not None and answered else 0.0
            )
        if len(self._found) == self._columns:
            yield CellRow(np.stack(self._found), np.array(self._valid, np.float32))
            self._found, self._valid = [], []

    def _of_chip(self, raw: Mapping[str, AnyArray], place: int) -> Float32Array:
        return decoded_values(self._codec, {name: array[place] for name, array in raw.items()})

    def _nothing(self) -> Float32Array:
        return np.full(len(self._codec.classes), np.nan, np.float32)


def decoded_values(codec: Codec, raw: Mapping[str, AnyArray]) -> Float32Array:
    """(K,) probabilities of one chip. Raises `BundleError` where the model gives something else."""
    found = codec.decode(raw)
    if not isinstance(found, np.ndarray) or found.shape != (len(codec.classes),):
        raise BundleError(
            "the model gives no probabilities of classes, although its task should; the model is damaged, train it again"
        )
    return np.asarray(found, np.float32)


def _measured(cell: Cell, valid: BoolArray) -> float:
    return float(valid[cell.keep.relative_to(cell.read).slices].mean())


class CellOutput:
    """The sink of cells: rows of chips, kept on disk until all are in."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.first_row = spool.count

    def take(self, row: CellRow) -> None:
        """See `engine.Sink`."""
        self._spool.store({"probabilities": row.probabilities, "valid": row.valid})

    def finish(self) -> CellRow:
        """All cells, row by row, as (N, K) and (N,)."""
        rows = [self._spool.load(number) for number in range(self._spool.count)]
        return CellRow(
            np.concatenate([row["probabilities"].astype(np.float32) for row in rows]),
            np.concatenate([row["valid"].astype(np.float32) for row in rows]),
        )


@dataclass(frozen=True)
class Cells:
    """The answered squares of one scene. `grid` lies on the pixels of `pixels`; `several`: a cell may have
    any number of classes.
    """

    row: CellRow
    grid: SquareGrid
    pixels: PixelGrid
    classes: ClassSet
    several: bool

    @property
    def answered(self) -> BoolArray:
        """(N,) True where the network said something."""
        return np.asarray(np.isfinite(self.row.probabilities).all(axis=1), np.bool_)

    def table(self) -> geopandas.GeoDataFrame:
        """One feature an answered square."""
        keep = np.array([cell.keep.box for cell in self.grid], np.float64)[self.answered]
        outlines = self.pixels.geometries_to_map(np.asarray(shapely.box(*keep.T), dtype=object).reshape(-1))
        columns = value_columns(self.row.probabilities[self.answered], self.classes, self.several)
        columns |= {
            "valid_share": self.row.valid[self.answered].astype(np.float64).round(4),
            "area_m2": self.pixels.areas_m2(outlines).round(3) if len(outlines) else np.empty(0),
            "reviewed": np.zeros(len(outlines), np.bool_),
        }
        return geopandas.GeoDataFrame(
            columns, geometry=outlines, crs=None if self.pixels.crs is None else self.pixels.crs.to_wkt()
        )

    def raster_grid(self) -> PixelGrid:
        """A pixel a square."""
        rows, cols = self.grid.shape
        side = Affine.scale(self.grid.stride_px)
        return PixelGrid(self.pixels.crs, Affine(*tuple(self.pixels.transform @ side)[:6]), rows, cols)

    def write_table(self, path: Path, tags: Mapping[str, str], overwrite: bool) -> int:
        """The vector output, styled by class; returns how many cells it has."""
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
        """Class ids with a pixel a chip; 255 where nothing was measured (of several classes: also where none
        of them is).
        """
        channels, scores = best_of(self.row.probabilities)
        there = self.answered & ((scores >= _YES) | (not self.several))
        ids = np.where(there, self.classes.id_of_channel[channels], np.uint8(IGNORE_ID)).reshape(
            self.grid.shape
        )
        with RasterWriter(
            path,
            self.raster_grid(),
            nodata=IGNORE_ID,
            descriptions=("class",),
            tags=tags,
            classes=self.classes,
            overwrite=overwrite,
        ) as writer:
            writer.write(0, ids.astype(np.uint8))

    def write_probabilities(self, path: Path, tags: Mapping[str, str], overwrite: bool) -> None:
        """A band a class, in 1/254; 255 where nothing was measured."""
        names, said = self.classes.names, {**tags, PROBABILITIES_TAG: classes_tag(self.classes)}
        planes = np.full((len(names), len(self.answered)), IGNORE_ID, np.uint8)
        planes[:, self.answered] = np.rint(self.row.probabilities[self.answered].T * QUANTA).astype(np.uint8)
        with RasterWriter(
            path,
            self.raster_grid(),
            count=len(names),
            nodata=255,
            descriptions=names,
            tags=said,
            scales=[1 / QUANTA] * len(names),
            overwrite=overwrite,
        ) as writer:
            writer.write(0, planes.reshape(len(names), *self.grid.shape))

    def edge_note(self) -> tuple[str, ...]:
        """What is said of squares that the scene's edge cuts."""
        over = [-length % self.grid.stride_px for length in (self.pixels.width, self.pixels.height)]
        if not any(over):
            return ()
        return (
            f"the last squares are cut by the scene's edge, and the chips that answer for them are shifted back inside; a raster sticks out by {over[0]} x {over[1]} px there",
        )


def best_of(probabilities: Float32Array) -> tuple[Int64Array, Float32Array]:
    """(N,) the likeliest channel (the first of equal ones) and its probability; 0 and 0 where nothing is
    known.
    """
    known = np.nan_to_num(probabilities, nan=0.0)
    channels = known.argmax(axis=1) if len(known) else np.empty(0, np.int64)
    return np.asarray(channels, np.int64), known[np.arange(len(known)), channels]


def value_columns(probabilities: Float32Array, classes: ClassSet, several: bool) -> dict[str, AnyArray]:
    """The attributes of answered cells or images: class, score, and a probability a class; of several classes
    all that are a yes.
    """
    channels, scores = best_of(probabilities)
    names = np.array(classes.names, dtype=object)
    ids = classes.id_of_channel.astype(np.int32)
    yes = scores >= _YES if several else np.ones(len(channels), np.bool_)
    found: dict[str, AnyArray] = {
        "class_name": np.where(yes, names[channels], NONE),
        "class_id": np.where(yes, ids[channels], -1).astype(np.int32),
        "score": scores.astype(np.float64).round(4),
    }
    if several:
        found["class_names"] = np.array(
            ["; ".join(names[row >= _YES]) for row in probabilities], dtype=object
        ).reshape(-1)
    columns = probability_columns(classes)
    return found | {
        name: probabilities[:, channel].astype(np.float64).round(4) for channel, name in enumerate(columns)
    }


def probability_columns(classes: ClassSet) -> tuple[str, ...]:
    """Field names: "p_" and the class name, with the id where two differ by case alone (GeoPackages do not
    tell them apart).
    """
    plain = [f"{PROBABILITY_PREFIX}{info.name}" for info in classes]
    folded = [name.casefold() for name in plain]
    return tuple(
        name if folded.count(name.casefold()) == 1 else f"{name}_{info.id}"
        for name, info in zip(plain, classes, strict=True)
    )
