"""The command line that is running, which models and chip sets record as their origin."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_running: ContextVar[str] = ContextVar("command_line", default="")


def command_line() -> str:
    """The command line that is running; "" in a script or a notebook."""
    return _running.get()


@contextlib.contextmanager
def running_command(line: str) -> Iterator[None]:
    """Within the block, `command_line()` is this line.

    Args:
        line: The whole command line, as a shell takes it.
    """
    token = _running.set(line)
    try:
        yield
    finally:
        _running.reset(token)
