"""Progress of long work: a callable that the caller passes down.

`on_progress(done, total, what)` is called between steps. Raising in it (e.g. `Cancelled`) stops the
work cleanly; the library draws no bars and prints nothing.
"""

from __future__ import annotations

from typing import Protocol


class OnProgress(Protocol):
    """`done` of `total` units of `what` ("chips", "steps", ...) are finished; `total` 0 = not known."""

    def __call__(self, done: int, total: int, what: str) -> None: ...


def silent(done: int, total: int, what: str) -> None:
    """Report nothing."""
