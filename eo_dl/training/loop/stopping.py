"""Ctrl-C and SIGTERM as a request that training answers between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED, TERMINATED = "interrupted", "terminated"


class StopRequest:
    """True once a signal arrived; `reason` is `INTERRUPTED` or `TERMINATED`."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def __bool__(self) -> bool:
        return self.reason is not None


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Inside the block, the first SIGINT or SIGTERM sets the request; a second one ends the process as usual.

    Outside the main thread, where Python allows no handlers, the request is never set.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    handlers_before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: FrameType | None) -> None:
        if request.reason is None:
            request.reason = INTERRUPTED if number == signal.SIGINT else TERMINATED
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in handlers_before:
        signal.signal(number, handle)
    try:
        yield request
    finally:
        for number, handler in handlers_before.items():
            signal.signal(number, handler)
