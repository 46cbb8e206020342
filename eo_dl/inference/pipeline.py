"""Two small pieces that let reading, computing and writing happen at the same time, with bounded memory.

`Ahead` runs an iterator in a thread of its own, a few items ahead of who asks. `Behind` works items off in a
thread of its own, in order, a few items behind who gives. An error in such a thread is raised in the thread
that asks or gives, never lost; leaving a `Behind` works off what was given (so nothing that was computed is
thrown away), leaving an `Ahead` drops what was not asked for. Threads, not processes: arrays are handed on
without a copy.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")

# How long a waiting thread sleeps before it looks whether it should give up; never in the way of an item.
_LOOK_S = 0.1


class Stopped(Exception):
    """Inside a thread: the work is being given up."""


class _End:
    pass


class Ahead(Generic[T]):
    """The items of `source`, made in a thread, at most `depth` ahead. A context manager and an iterator.

    `check` is called while waiting: it raises where somebody else has failed, so that nobody waits for ever.
    """

    def __init__(self, source: Iterator[T], depth: int, check: Callable[[], None]) -> None:
        self._source, self._check = source, check
        self._queue: queue.Queue[T | _End] = queue.Queue(depth)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="eo_dl-ahead", daemon=True)

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
                item = self._queue.get(timeout=_LOOK_S)
            except queue.Empty:
                self._check()
                continue
            if isinstance(item, _End):
                if self._error is not None:
                    raise self._error
                return
            yield item

    def _work(self) -> None:
        try:
            for item in self._source:
                self._put(item)
        except Stopped:
            return
        except BaseException as error:  # raised again where the items are asked for
            self._error = error
        try:
            self._put(_End())
        except Stopped:
            return

    def _put(self, item: T | _End) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_LOOK_S)
                return
            except queue.Full:
                continue
        raise Stopped


class Behind(Generic[T]):
    """Calls `work(item)` for each item given, in order, in a thread, at most `depth` behind. A context
    manager.

    After an error further items are dropped, and the error is raised by the next `give`, by `check`, or on
    leaving.
    """

    def __init__(self, work: Callable[[T], None], depth: int) -> None:
        self._work_off = work
        self._queue: queue.Queue[T | _End] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="eo_dl-behind", daemon=True)

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
        """Hand over an item; waits while `depth` are in work. Raises what the work raised."""
        self.check()
        self._queue.put(item)

    def check(self) -> None:
        """Raise what the work raised, if it did."""
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while True:
            item = self._queue.get()
            if isinstance(item, _End):
                return
            if self._error is None:
                try:
                    self._work_off(item)
                except BaseException as error:  # raised again where items are given
                    self._error = error
