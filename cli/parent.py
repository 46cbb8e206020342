"""A command that another program started ends when that program has ended.

The parent holds the other end of our standard input. When it ends, for whatever reason, the pipe closes: this
process then asks itself to stop, and if that takes too long (deep in a library), the whole session that was
made for it is killed, workers included.
"""

from __future__ import annotations

import os
import signal
import threading
import time

GRACE_S = 5.0


def end_with_stdin() -> None:
    """Watch standard input from a thread; when it closes, send SIGTERM to this process."""
    threading.Thread(target=_watch, name="stdin", daemon=True).start()


def _watch() -> None:
    # os.read, not sys.stdin: a daemon thread inside the buffered reader makes the interpreter's end a fatal
    # error.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    if hasattr(os, "getsid") and os.getsid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(143)
