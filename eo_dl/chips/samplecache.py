"""`SampleCache`: chips with their targets, kept in memory or in one file, so that they are read only once.

What is kept is as stored, before normalization and augmentation, so samples vary from epoch to epoch as
without a cache, and are equal to those bit for bit.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
import tempfile
import threading
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from ..core.arrays import Target
from ..core.arraytypes import AnyArray, BoolArray, UInt8Array

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RawSample:
    """A chip as read, with its target."""

    pixels: AnyArray
    """(C, H, W) stored values."""
    valid: BoolArray
    """(H, W) pixels that were measured, and may be seen."""
    target: Target
    """What the network should answer."""


class Storage(Protocol):
    """Where the bytes of a cache lie."""

    def keep(self, data: UInt8Array) -> Any:
        """Keep a copy of bytes (N,); returns their place. Called by one thread at a time.

        Raises:
            OSError: There is no room.
        """
        ...

    def get(self, place: Any) -> UInt8Array:
        """The bytes (N,) of a place, not to be written to."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class MemoryStorage:
    """Bytes in memory."""

    def keep(self, data: UInt8Array) -> UInt8Array:
        """Keep a copy of bytes."""
        return data.copy()

    def get(self, place: UInt8Array) -> UInt8Array:
        """The bytes of a place."""
        return place

    def close(self) -> None:
        """Nothing to do: the memory is free when the cache is."""


class FileStorage:
    """Bytes in one file without a name, which the system removes with the process, however it ends.

    Args:
        folder: Folder on the disk where the file is made.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  # closed by `close`
        self._size = 0
        self._map: mmap.mmap | None = None

    def keep(self, data: UInt8Array) -> tuple[int, int]:
        """Append bytes."""
        self._file.seek(self._size)
        written = 0
        while written < len(data):  # a disk that is nearly full takes a part
            written += self._file.write(data[written:].data)
        place = (self._size, len(data))
        self._size += len(data)
        return place

    def get(self, place: tuple[int, int]) -> UInt8Array:
        """The bytes of a place, mapped."""
        start, length = place
        if not length:
            return np.empty(0, np.uint8)
        mapped = self._map
        if mapped is None or len(mapped) < start + length:
            mapped = self._map = mmap.mmap(self._file.fileno(), self._size, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, np.uint8, length, start)

    def close(self) -> None:
        """Close the file, which removes it."""
        self._map = None
        self._file.close()


@dataclass(frozen=True)
class _Array:
    """An array that is kept, flags as bits."""

    place: Any
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


@dataclass(frozen=True)
class _Entry:
    pixels: _Array
    valid: _Array | None  # None: all
    target: type[Target]
    parts: tuple[_Array | None, ...]  # the fields of the target


class _LimitReachedError(Exception):
    """The cache may not take more bytes."""


class SampleCache:
    """Samples by the id of their chip, until a number of bytes is reached; the others are read as before.

    May be shared between threads. A forked process reads what was kept before the fork and adds nothing; one
    that receives a pickled cache starts with an empty one in its own memory. A context manager: leaving it
    closes the cache.

    Args:
        storage: Where they are kept.
        most_bytes: What they may take.
    """

    def __init__(self, storage: Storage, most_bytes: int) -> None:
        self._storage, self._most_bytes = storage, most_bytes
        self._begin()

    def _begin(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._full = False
        self.bytes = 0
        """What the samples take."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, chip_id: str) -> RawSample | None:
        """A copy of a sample; None: it is not kept."""
        entry = self._entries.get(chip_id)
        if entry is None:
            return None
        pixels = self._array(entry.pixels)
        valid = np.ones(pixels.shape[1:], np.bool_) if entry.valid is None else self._array(entry.valid)
        parts = [None if part is None else self._array(part) for part in entry.parts]
        return RawSample(pixels, valid, entry.target(*parts))  # type: ignore[arg-type]  # as it was taken apart

    def put(self, chip_id: str, sample: RawSample) -> None:
        """Keep a sample, if there is room and the process is the one that made the cache."""
        if self._full or os.getpid() != self._process:
            return
        with self._lock:
            if self._full or chip_id in self._entries:
                return
            try:
                self._entries[chip_id] = self._entry(sample)
            except _LimitReachedError as error:
                self._stop(str(error))
            except OSError as error:
                reason = "the disk is full" if error.errno == errno.ENOSPC else str(error.strerror)
                self._stop(reason)

    def close(self) -> None:
        """Forget everything, and remove the file."""
        with self._lock:
            self._entries.clear()
            self._full = True
            self._storage.close()

    def __enter__(self) -> SampleCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> int:
        return self._most_bytes

    def __setstate__(self, most_bytes: int) -> None:
        self._storage, self._most_bytes = MemoryStorage(), most_bytes
        self._begin()

    def _entry(self, sample: RawSample) -> _Entry:
        parts = [getattr(sample.target, field.name) for field in fields(sample.target)]
        return _Entry(
            pixels=self._kept(sample.pixels),
            valid=None if sample.valid.all() else self._kept(sample.valid),
            target=type(sample.target),
            parts=tuple(None if part is None else self._kept(part) for part in parts),
        )

    def _kept(self, array: AnyArray) -> _Array:
        flat = (
            np.packbits(array.view(np.uint8)) if array.dtype == np.bool_ else array.reshape(-1).view(np.uint8)
        )
        if self.bytes + len(flat) > self._most_bytes:
            raise _LimitReachedError(f"its limit of {self._most_bytes / 2**20:.0f} MB is reached")
        place = self._storage.keep(flat)
        self.bytes += len(flat)
        return _Array(place, array.shape, array.dtype)

    def _array(self, kept: _Array) -> AnyArray:
        data = self._storage.get(kept.place)  # without the lock, which a fork may have caught closed
        if kept.dtype == np.bool_:
            bits = np.unpackbits(data, count=int(np.prod(kept.shape)))
            return bits.view(np.bool_).reshape(kept.shape)
        return data.copy().view(kept.dtype).reshape(kept.shape)

    def _stop(self, reason: str) -> None:
        self._full = True
        log.warning("cache: %s; %d chips are kept, and the others read as before", reason, len(self))
