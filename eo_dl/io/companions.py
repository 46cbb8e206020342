"""Companions of an output that get their names before it does: the probabilities beside a map.

A run that is killed between the two leaves a finished companion and an unfinished output. The work folder of
the output notes the companion, so that the same command takes it over and does not refuse it as somebody's
file.
"""

from __future__ import annotations

import json
from pathlib import Path

from .atomic import write_bytes

NOTE = "companion.json"
"""The file of a work folder that notes a companion."""


def note_companion(folder: Path, companion: Path, finished: Path) -> None:
    """Note a companion that is about to get its name. Raises `OSError`.

    Args:
        folder: The work folder of the output; nothing is noted where there is none, as nothing is continued.
        companion: The name that it gets.
        finished: The file that gets it; a renamed file keeps its size and time.
    """
    if folder.is_dir():
        noted = {**_noted(folder), companion.name: _state(finished)}
        write_bytes(folder / NOTE, json.dumps(noted).encode())


def is_companion(folder: Path, companion: Path) -> bool:
    """Whether a file is the companion that a work folder notes, as it was finished."""
    known = _noted(folder).get(companion.name)
    try:
        return known is not None and known == _state(companion)
    except OSError:
        return False


def _noted(folder: Path) -> dict[str, object]:
    """What a work folder notes, by the name of the companion; nothing where that cannot be read."""
    try:
        noted = json.loads((folder / NOTE).read_bytes())
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _state(file: Path) -> list[int]:
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]
