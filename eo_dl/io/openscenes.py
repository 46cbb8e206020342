"""`OpenScenes`: the one cache of open scenes. Opening a file costs as much as reading a chip from it.

GDAL handles must not be shared between threads, nor used on both sides of a fork, and an operating system
allows a process a limited number of them. So every thread and every process has handles of its own, and few.
"""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType

from .readable import Readable
from .reader import SceneReader

MOST_OPEN = 8
"""Scenes that a thread keeps open, unless stated otherwise."""


class OpenScenes:
    """Readers of scenes for whichever thread asks, the least recently used one closed when a thread has many.

    May be shared between threads, sent to another process (which opens its own handles) and taken over a
    fork. A context manager: leaving it closes the readers of all threads, which must have stopped reading.

    Args:
        most: Scenes that each thread keeps open.
    """

    def __init__(self, most: int = MOST_OPEN) -> None:
        self._most = most
        self._begin()

    def reader(self, scene: Readable) -> SceneReader:
        """This thread's reader of a scene. Valid until the thread has asked for `most` other scenes."""
        readers = self._of_this_thread().readers
        reader = readers.pop(id(scene), None)
        if reader is None:
            if len(readers) >= self._most:
                oldest = next(iter(readers))
                readers.pop(oldest).close()
            reader = SceneReader(scene)
        readers[id(scene)] = reader  # at the end: the order of the dictionary is that of use
        return reader

    def close(self) -> None:
        """Close the readers of all threads of this process."""
        if self._process == os.getpid():
            with self._lock:
                for thread in self._threads:
                    thread.close()

    def __enter__(self) -> OpenScenes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> int:
        return self._most

    def __setstate__(self, most: int) -> None:
        self._most = most
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._local = threading.local()
        # Weak, so that a thread that ends takes its readers along, which closes their files.
        self._threads: weakref.WeakSet[_ThreadReaders] = weakref.WeakSet()
        self._inherited: list[threading.local] = []

    def _of_this_thread(self) -> _ThreadReaders:
        if self._process != os.getpid():
            # The handles of the parent are neither ours to use nor ours to close, so they are kept untouched.
            inherited = [*self._inherited, self._local]
            self._begin()
            self._inherited = inherited
        thread: _ThreadReaders | None = getattr(self._local, "thread", None)
        if thread is None:
            thread = self._local.thread = _ThreadReaders()
            with self._lock:
                self._threads.add(thread)
        return thread


class _ThreadReaders:
    """The open readers of one thread, the most recently used one last.

    By the identity of the scene, which its reader keeps alive: comparing two scenes compares two CRS.
    """

    def __init__(self) -> None:
        self.readers: dict[int, SceneReader] = {}

    def close(self) -> None:
        for reader in self.readers.values():
            reader.close()
        self.readers.clear()
