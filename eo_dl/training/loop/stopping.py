"""Ctrl-C, SIGTERM and SIGHUP as a request that training answers between two steps."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED, TERMINATED, HUNG_UP = "interrupted", "terminated", "the terminal was closed"
EXIT_CODES = {INTERRUPTED: 130, TERMINATED: 143, HUNG_UP: 129}
"""Exit code of a run that stopped for a reason: 128 + the number of the signal, as shells count."""
_REASONS = {"SIGINT": INTERRUPTED, "SIGTERM": TERMINATED, "SIGHUP": HUNG_UP}
_PATIENCE_S = 0.5
"""A run that takes longer than this to stop says what it is finishing."""

log = logging.getLogger(__name__)


class StopRequest:
    """True once a signal arrived; `reason` is a key of `EXIT_CODES`."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def __bool__(self) -> bool:
        return self.reason is not None


def _say_what_is_finished() -> None:
    log.info("stopping once this step or validation is done, with a checkpoint; again: at once, without one")


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Inside the block, the first SIGINT, SIGTERM or SIGHUP sets the request; a second one ends the process
    as usual. A signal that is ignored, as SIGHUP under nohup, stays ignored.

    Outside the main thread, where Python allows no handlers, the request is never set.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    handlers_before = {}
    for name in _REASONS:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            handlers_before[number] = signal.getsignal(number)

    patience = threading.Timer(_PATIENCE_S, _say_what_is_finished)
    patience.daemon = True

    def handle(number: int, frame: FrameType | None) -> None:
        if request.reason is None:
            request.reason = _REASONS[signal.Signals(number).name]
            patience.start()  # a handler itself must not write: it may have interrupted a writing
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
        patience.cancel()
        for number, handler in handlers_before.items():
            signal.signal(number, handler)
