"""Whoever presses Ctrl-C while a library computes is told at once that it was heard.

Python runs the handler of a signal when the function of a library that the main thread is in returns, which
may take seconds. The number of the signal, though, is written into a socket at once, where a thread reads it.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable

_PATIENCE_S = 0.5


def tell_of_interrupts(say: Callable[[], None], patience_s: float = _PATIENCE_S) -> None:
    """Call `say` in a thread when the process still runs so long after Ctrl-C or a request to end.

    Args:
        say: Says what is being finished.
        patience_s: Seconds after the signal.
    """
    heard, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=_listen, args=(heard, told, say, patience_s), daemon=True)
    thread.start()


def _listen(heard: socket.socket, told: socket.socket, say: Callable[[], None], patience_s: float) -> None:
    """Wait for the first of the signals. Holds both ends, which would be closed without a reference."""
    asking = {int(getattr(signal, name)) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}
    with heard, told, contextlib.suppress(OSError):
        while asking.isdisjoint(heard.recv(64)):
            pass
        threading.Event().wait(patience_s)
        say()
