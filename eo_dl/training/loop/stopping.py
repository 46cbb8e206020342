"""Ctrl-C and SIGTERM as a request that training answers between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED, TERMINATED = "interrupted", "terminated"


class StopRequest:
    """True once somebody asked to stop; `what` says who."""

    def __init__(self) -> None:
        self.what: str | None = None

    def __bool__(self) -> bool:
        return self.what is not None


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Within it the first SIGINT or SIGTERM sets the request, and a second one ends the process as usual.

    Outside the main thread (where Python allows no handlers) the request is never set.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        if request.what is None:
            request.what = INTERRUPTED if number == signal.SIGINT else TERMINATED
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
