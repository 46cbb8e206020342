"""The flow of a prediction: readers -> batches -> network -> decoder -> writer, each in a thread of its own.

    strips.StripReader    threads that decode blocks, one file handle each
    batches.make_batches  cuts and normalizes chips into circulating buffers   (thread, Ahead)
    backend.run           the network                                          (the calling thread)
    chipdecoders          labels or objects, mosaic                            (thread, Behind)
    sink.take             output rows, or rows of chips                        (thread, Behind)

Every queue holds `_DEPTH` items, so memory depends on the width of the scene, not on its height. Progress is
reported, and Ctrl-C arrives, in the calling thread; what was computed by then is still decoded and written,
so that the next run finds it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np

from ..core.arraytypes import AnyArray
from ..core.bands import BandSet
from ..core.chipgrid import ChipGrid
from ..core.pipeline import Ahead, Behind
from ..core.progress import OnProgress
from ..io.aoi import Aoi
from ..io.gdal import small_cache
from .backends.backend import Backend, EngineFacts, Scaling, check_raw
from .batches import BufferPool, CellBatch, Filler, make_batches
from .chipdecoders import Decoder
from .strips import PixelSource, RowReader, StripReader, strip_rows
from .superblocks import PixelLayout, SuperBlockReader, SuperBlocks

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

_DEPTH = 2
_BUFFERS = 4
_BATCH_BYTES = 256 * 2**20
_AHEAD_BYTES = 64 * 2**20
_HELD_BYTES = 48 * 2**20
"""Rows of blocks that take more memory than this wait in a file."""


class Sink(Protocol, Generic[T_contra]):
    """Takes results from top to bottom."""

    @property
    def first_row(self) -> int:
        """The row of chips to begin with; above 0 if results of a stopped run are kept."""
        ...

    def take(self, item: T_contra) -> None:
        """Store a result."""
        ...


@dataclass(frozen=True)
class Source:
    """Where pixels come from."""

    open_reader: Callable[[], RowReader]
    """Opens a file handle for one thread."""
    bands: BandSet
    """Bands, in the order of the pixels."""
    dtype: str
    """Data type of the stored pixels."""
    block_rows: int
    """Rows of a block in the file, in working pixels."""
    threads: int
    """Number of threads that may read at once."""
    block_cols: int = 512
    """Columns of a block in the file, in working pixels."""
    fills: bool = False
    """True if bands may be missing in valid pixels, where they hold NaN."""


@dataclass(frozen=True)
class ChipJob:
    """What to run over which chips."""

    source: Source
    """Where pixels come from."""
    grid: ChipGrid
    """The chips."""
    scaling: Scaling
    """Normalization of stored pixels."""
    batch_size: int
    """Largest number of chips per batch."""
    aoi: Aoi | None = None
    """The AOI in working pixels."""
    name: str = "model"
    """Name of the model, for messages."""
    scratch: Path = Path(tempfile.gettempdir())
    """Folder for the temporary file that a wide scene needs (`superblocks`)."""
    stop_row: int | None = None
    """The row of chips before which the run ends (None: the last one is run, too)."""

    @property
    def end_row(self) -> int:
        """The row of chips before which the run ends."""
        return self.grid.shape[0] if self.stop_row is None else self.stop_row


@dataclass
class Tally:
    """Counts of chips of one run."""

    run: int = 0
    """Chips that the network saw."""
    skipped: int = 0
    """Chips without a valid pixel (in the AOI)."""


class ChipRunner(Protocol):
    """Takes every chip of a job through a network, a decoder and into a sink."""

    def run(self, job: ChipJob, decoder: Decoder[T], sink: Sink[T], on_progress: OnProgress) -> Tally:
        """Run every chip from the sink's first row on."""
        ...


def run_chips(
    job: ChipJob, backend: Backend, decoder: Decoder[T], sink: Sink[T], on_progress: OnProgress
) -> Tally:
    """Run every chip from the sink's first row on through the network and into the sink.

    Raises whatever any stage raised, after everything computed before it has reached the sink.
    """
    tally, total = Tally(), job.end_row * job.grid.shape[1]
    done = sink.first_row * job.grid.shape[1]
    on_progress(done, total, "chips")
    if sink.first_row >= job.end_row:
        return tally
    pool = _buffers(job, backend)

    def decode(item: tuple[CellBatch, Mapping[str, AnyArray] | None]) -> None:
        batch, raw = item
        try:
            for finished in decoder.take(batch, raw):
                writer.give(finished)
        finally:
            if batch.buffer is not None:
                pool.give_back(batch.buffer)

    with ExitStack() as stack:
        stack.enter_context(small_cache())  # every block is read once, in order
        pixels = stack.enter_context(_pixels(job, sink.first_row))
        batches = make_batches(
            pixels,
            job.grid,
            filler_for(job, backend),
            pool,
            batch_size=job.batch_size,
            rows=range(sink.first_row, job.end_row),
            aoi=job.aoi,
        )
        writer: Behind[T] = stack.enter_context(Behind(sink.take, 1))
        decoding = stack.enter_context(Behind(decode, _DEPTH))
        ahead = stack.enter_context(Ahead(batches, _DEPTH, decoding.check))
        stack.callback(pool.close)
        for batch in ahead:
            decoding.give((batch, _raw_output(backend, batch, job)))
            tally.run += int(batch.active.sum())
            tally.skipped += int((~batch.active).sum())
            done += len(batch.cells)
            on_progress(done, total, "chips")
    return tally


def _raw_output(backend: Backend, batch: CellBatch, job: ChipJob) -> Mapping[str, AnyArray] | None:
    if batch.buffer is None:
        return None
    count = len(batch.cells)
    raw = backend.run(batch.buffer.pixels[:count], batch.buffer.valid[:count], job.scaling)
    check_raw(raw, count, job.name)
    return raw


def _pixels(job: ChipJob, first_row: int) -> AbstractContextManager[PixelSource]:
    """The reader of a job: whole rows, unless those of a row of chips would take too much memory."""
    strip_height = strip_rows(job.source.block_rows)
    held_rows = -(-(job.grid.size_px - 1) // strip_height) * strip_height + strip_height
    if held_rows * _row_bytes(job) <= _HELD_BYTES:
        return _strips(job, first_row)
    return _super_blocks(job, first_row)


def _row_bytes(job: ChipJob) -> int:
    """Bytes of a row of stored pixels."""
    return job.grid.width * len(job.source.bands) * np.dtype(job.source.dtype).itemsize


def _super_blocks(job: ChipJob, first_row: int) -> SuperBlockReader:
    source, grid = job.source, job.grid
    layout = PixelLayout(
        height=grid.height,
        width=grid.width,
        bands=len(source.bands),
        dtype=np.dtype(source.dtype),
        block_rows=source.block_rows,
        block_cols=source.block_cols,
    )
    blocks = SuperBlocks.of(layout)
    blocks = SuperBlocks.of(replace(layout, height=_end_of_reading(job, blocks.rows)))
    return SuperBlockReader(
        source.open_reader,
        blocks,
        chip_px=grid.size_px,
        first_row=max(grid.row_starts[first_row], 0),
        threads=source.threads,
        folder=job.scratch,
    )


def _strips(job: ChipJob, first_row: int) -> StripReader:
    source, rows = job.source, strip_rows(job.source.block_rows)
    strip_bytes = rows * _row_bytes(job)
    ahead = int(np.clip(_AHEAD_BYTES // strip_bytes, 1, source.threads + 1))
    return StripReader(
        source.open_reader,
        _end_of_reading(job, rows),
        rows,
        first_row=max(job.grid.row_starts[first_row], 0),
        threads=min(source.threads, ahead),
        ahead=ahead,
    )


def _end_of_reading(job: ChipJob, strip_height: int) -> int:
    """The scene row at which reading ends: behind the last chip, at the end of a strip."""
    last_px = job.grid.row_starts[job.end_row - 1] + job.grid.size_px
    return min(-(-last_px // strip_height) * strip_height, job.grid.height)


def filler_for(job: ChipJob, backend: Backend) -> Filler:
    """What turns stored pixels into what the engine takes."""
    if backend.takes_stored:
        return Filler(None, None)
    return Filler(job.scaling.gain, job.scaling.shift, job.source.fills)


def _buffers(job: ChipJob, backend: Backend) -> BufferPool:
    """One buffer being filled, one waiting, one in the network, one being decoded; fewer for small scenes."""
    size, chips = job.grid.size_px, min(job.batch_size, job.grid.shape[1])
    count = min(_BUFFERS, len(job.grid))
    dtype = job.source.dtype if backend.takes_stored else "float32"
    return BufferPool([backend.buffer(chips, len(job.source.bands), size, dtype) for _ in range(count)])


def batch_size_for(backend: EngineFacts, size_px: int, bands: int) -> int:
    """Default batch size for chips of `size_px`: smaller for many bands."""
    pixels = min(backend.batch_px, _BATCH_BYTES // (4 * bands))
    return int(np.clip(pixels // size_px**2, 1, 64))
