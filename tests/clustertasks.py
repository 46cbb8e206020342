"""Tasks that worker processes import: what happens to workers while they run."""

from __future__ import annotations

import os
import signal
import uuid
from pathlib import Path

from eo_dl.core.progress import OnProgress


def add(common: int, number: int, on_progress: OnProgress) -> int:
    return common + number


def always_die(common: None, number: int, on_progress: OnProgress) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def note_run(folder: Path, number: int, on_progress: OnProgress) -> tuple[int, int]:
    """Leave a file per run; returns the number and the process that ran it."""
    folder.joinpath(f"{number}.{uuid.uuid4().hex}").touch()
    return number, os.getpid()


def late_if_zero(folder: Path, number: int, on_progress: OnProgress) -> tuple[int, int]:
    """As `note_run`; number 0 ends only after the event "gate" is set."""
    from distributed import Event

    if number == 0:
        assert Event("gate").wait(timeout=300)
    return note_run(folder, number, on_progress)


def die_if_one(folder: Path, number: int, on_progress: OnProgress) -> tuple[int, int]:
    """As `note_run`; the first worker that gets number 1 dies after the event "gate" is set."""
    from distributed import Event

    if number == 1 and claimed(folder / "died"):
        assert Event("gate").wait(timeout=300)
        os.kill(os.getpid(), signal.SIGKILL)
    return note_run(folder, number, on_progress)


def claimed(mark: Path) -> bool:
    """True for the first one to ask, on all workers together."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
