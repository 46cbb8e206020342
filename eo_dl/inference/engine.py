"""The flow of a prediction: readers -> batches -> network -> decoder -> writer, each in a thread of its own.

    strips.StripReader   threads that decode blocks, a handle each
    batches.make_batches cut and normalise into buffers that go round       (thread, Ahead)
    backend.run          the network                                        (the calling thread)
    decoders             labels or objects, mosaic                          (thread, Behind)
    sink.take            output rows, or rows of chips                      (thread, Behind)

Every queue holds `_DEPTH` items, so memory depends on the width of the scene and not on its height. Progress
is reported, and Ctrl-C arrives, in the calling thread; what was computed by then is still decoded and
written, so that the next run finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from ..core.arraytypes import AnyArray
from ..core.bands import BandSet
from ..core.chipgrid import ChipGrid
from ..core.progress import OnProgress
from ..io.aoi import Aoi
from ..io.gdal import small_cache
from .backends import Backend, Scaling, check_raw
from .batches import BufferPool, CellBatch, Filler, make_batches
from .chipdecoders import Decoder
from .pipeline import Ahead, Behind
from .strips import RowReader, StripReader, strip_rows

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

_DEPTH = 2
_BUFFERS = 4
_BATCH_BYTES = 256 * 2**20
_AHEAD_BYTES = 64 * 2**20


class Sink(Protocol, Generic[T_contra]):
    """Where results go, from top to bottom. `first_row`: the row of chips to begin with (later than 0 when
    work was kept).
    """

    @property
    def first_row(self) -> int: ...

    def take(self, item: T_contra) -> None: ...


@dataclass(frozen=True)
class Source:
    """Where pixels come from: `open_reader` makes a handle for one thread; `block_rows` is the height of a
    block in its file.
    """

    open_reader: Callable[[], RowReader]
    bands: BandSet
    dtype: str
    block_rows: int
    threads: int


@dataclass(frozen=True)
class ChipJob:
    """What to run over which chips."""

    source: Source
    grid: ChipGrid
    scaling: Scaling
    batch_size: int
    aoi: Aoi | None = None
    name: str = "model"


@dataclass
class Tally:
    """Chips that the network saw (`run`) and that had nothing to answer for (`skipped`), of this run."""

    run: int = 0
    skipped: int = 0


def run_chips(
    job: ChipJob, backend: Backend, decoder: Decoder[T], sink: Sink[T], on_progress: OnProgress
) -> Tally:
    """Every chip from the sink's first row on, through the network and into the sink.

    Raises whatever any stage raised, after what was computed before it has reached the sink.
    """
    tally, total = Tally(), len(job.grid)
    done = sink.first_row * job.grid.shape[1]
    on_progress(done, total, "chips")
    if sink.first_row >= job.grid.shape[0]:
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
        strips = stack.enter_context(_strips(job, sink.first_row))
        batches = make_batches(
            strips,
            job.grid,
            _filler(job, backend),
            pool,
            batch_size=job.batch_size,
            first_row=sink.first_row,
            aoi=job.aoi,
        )
        writer: Behind[T] = stack.enter_context(Behind(sink.take, 1))
        decoding = stack.enter_context(Behind(decode, _DEPTH))
        ahead = stack.enter_context(Ahead(batches, _DEPTH, decoding.check))
        stack.callback(pool.close)
        for batch in ahead:
            decoding.give((batch, _answer(backend, batch, job)))
            tally.run += int(batch.active.sum())
            tally.skipped += int((~batch.active).sum())
            done += len(batch.cells)
            on_progress(done, total, "chips")
    return tally


def _answer(backend: Backend, batch: CellBatch, job: ChipJob) -> Mapping[str, AnyArray] | None:
    if batch.buffer is None:
        return None
    raw = backend.run(batch.pixels, batch.buffer.valid[: len(batch.cells)], job.scaling)
    check_raw(raw, len(batch.cells), job.name)
    return raw


def _strips(job: ChipJob, first_row: int) -> StripReader:
    first = max(job.grid.row_starts[first_row], 0)
    source, rows = job.source, strip_rows(job.source.block_rows)
    strip_bytes = rows * job.grid.width * len(source.bands) * np.dtype(source.dtype).itemsize
    ahead = int(np.clip(_AHEAD_BYTES // strip_bytes, 1, source.threads + 1))
    return StripReader(
        source.open_reader,
        job.grid.height,
        rows,
        first_row=first,
        threads=min(source.threads, ahead),
        ahead=ahead,
    )


def _filler(job: ChipJob, backend: Backend) -> Filler:
    return Filler(None, None) if backend.takes_stored else Filler(job.scaling.gain, job.scaling.shift)


def _buffers(job: ChipJob, backend: Backend) -> BufferPool:
    """One being filled, one waiting, one in the network, one being decoded; fewer for small scenes."""
    size, most = job.grid.size_px, min(job.batch_size, job.grid.shape[1])
    count = min(_BUFFERS, len(job.grid))
    dtype = job.source.dtype if backend.takes_stored else "float32"
    return BufferPool([backend.buffer(most, len(job.source.bands), size, dtype) for _ in range(count)])


def batch_size_for(backend: Backend, size_px: int, bands: int) -> int:
    """How many chips of `size_px` at once, where nobody said; fewer for very many bands."""
    return int(np.clip(min(backend.batch_px, _BATCH_BYTES // (4 * bands)) // size_px**2, 1, 64))
