"""The process ends as soon as its work is done.

Python's own end takes every module apart, which with torch loaded costs half a second and gives nothing: the
memory goes back to the system anyway. Threads are waited for, and what libraries have registered for the end
is done.
"""

from __future__ import annotations

import atexit
import os
import sys


class QuickExit:
    """Ends the process with `code` after everything else that is registered for its end.

    Make it before anything else is registered: Python calls the first one last. While `code` is None, as
    after an error that nobody caught, Python ends the process as usual.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        atexit.register(self._end)

    def _end(self) -> None:
        if self.code is None:
            return
        try:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:  # as in a process without a console
                    stream.flush()
        except OSError:  # Python says that the reader has gone
            return
        os._exit(self.code)
