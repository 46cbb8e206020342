"""Ctrl-C is answered while the main thread is in a function of a library."""

from __future__ import annotations

import signal
import threading

import pytest

from eo_dl_cli.interrupts import tell_of_interrupts


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no further signals")
def test_the_first_signal_that_asks_to_stop_is_told_once() -> None:
    said: list[int] = []
    told = threading.Event()

    def say() -> None:
        said.append(1)
        told.set()

    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGUSR1)}
    descriptor = signal.set_wakeup_fd(-1)
    try:
        tell_of_interrupts(say, patience_s=0.0)
        signal.raise_signal(signal.SIGUSR1)  # does not ask to stop
        assert not told.is_set()
        signal.raise_signal(signal.SIGINT)
        assert told.wait(30) and said == [1]
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
