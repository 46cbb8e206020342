"""Two small pieces that let reading, computing and writing overlap in time, with bounded memory.

`Ahead` runs an iterator in a thread of its own, a few items ahead of its consumer. `Behind` processes items
in a thread of its own, in order, a few items behind their producer. An error in such a thread is raised in
the consuming or producing thread, never lost. Leaving a `Behind` processes all items it was given, so that no
computed result is thrown away; leaving an `Ahead` drops the items not yet consumed. Threads, not processes:
arrays are passed on without a copy.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")

# How long a waiting thread sleeps before it checks whether to give up. Items are never delayed by it.
_POLL_S = 0.1


class Stopped(Exception):
    """Raised inside a thread: its work is no longer needed."""


class _End:
    """Marks the end of a queue."""


def _no_other_stage() -> None:
    """Nobody else can fail."""


class Ahead(Generic[T]):
    """The items of `source`, produced in a thread, a few ahead. A context manager and an iterator.

    Args:
        source: The items. An error in it is raised by the iteration.
        depth: Items in the queue, besides the one that is being made or waits for a place.
        check: Called while waiting; raises if another stage has failed, so that nobody waits forever; by
            default there is no other stage.
    """

    def __init__(self, source: Iterator[T], depth: int, check: Callable[[], None] = _no_other_stage) -> None:
        self._source, self._check = source, check
        self._queue: queue.Queue[T | _End] = queue.Queue(depth)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._produce, name="eo_dl-ahead", daemon=True)

    def __enter__(self) -> Ahead[T]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                item = self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                self._check()
                continue
            if isinstance(item, _End):
                if self._error is not None:
                    raise self._error
                return
            yield item

    def _produce(self) -> None:
        try:
            for item in self._source:
                self._put(item)
        except Stopped:
            return
        except BaseException as error:  # raised again by the iteration
            self._error = error
        try:
            self._put(_End())
        except Stopped:
            return

    def _put(self, item: T | _End) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
                return
            except queue.Full:
                continue
        raise Stopped


class Behind(Generic[T]):
    """Calls `process(item)` for each item, in order, in a thread, at most `depth` behind. A context manager.

    After an error, further items are dropped; the error is raised by the next `give`, by `check`, or on
    leaving the block.
    """

    def __init__(self, process: Callable[[T], None], depth: int) -> None:
        self._process = process
        self._queue: queue.Queue[T | _End] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._consume, name="eo_dl-behind", daemon=True)

    def __enter__(self) -> Behind[T]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(_End())
        self._thread.join()
        if error is None:
            self.check()

    def give(self, item: T) -> None:
        """Hand over an item; waits while `depth` items are queued. Raises what processing raised."""
        self.check()
        self._queue.put(item)

    def check(self) -> None:
        """Raise what processing raised, if it did."""
        if self._error is not None:
            raise self._error

    def _consume(self) -> None:
        while True:
            item = self._queue.get()
            if isinstance(item, _End):
                return
            if self._error is None:
                try:
                    self._process(item)
                except BaseException as error:  # raised again in the thread that gives items
                    self._error = error
