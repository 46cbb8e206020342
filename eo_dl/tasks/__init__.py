"""The tasks: one folder per head, found by listing this folder."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path

from ..errors import ConfigError
from .codecs import ChipCodec, Codec, ObjectCodec, RasterCodec, ValueCodec
from .outputkind import CHIPS, OBJECTS, RASTER, VALUES, OutputKind
from .task import USUAL_LR, NetworkInputs, Task, TaskConfig, codec_for

__all__ = [
    "CHIPS",
    "OBJECTS",
    "RASTER",
    "USUAL_LR",
    "VALUES",
    "ChipCodec",
    "Codec",
    "NetworkInputs",
    "ObjectCodec",
    "OutputKind",
    "RasterCodec",
    "Task",
    "TaskConfig",
    "ValueCodec",
    "available_tasks",
    "codec_for",
    "load_task",
]


def available_tasks() -> tuple[str, ...]:
    """Names of the tasks, sorted. Imports none of them."""
    return tuple(sorted(entry.parent.name for entry in Path(__file__).parent.glob("*/__init__.py")))


def load_task(name: str) -> Task:
    """The task of a name.

    Raises:
        ConfigError: There is no such task; the message suggests the closest name.
    """
    names = available_tasks()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        suggestion = f" (did you mean {close[0]!r}?)" if close else ""
        raise ConfigError(f"unknown task {name!r}; choose one of {', '.join(names)}{suggestion}")
    # Lazy: a task is imported when it is used, never to list the choices. The name is one of our folders.
    task: Task = importlib.import_module(f".{name}", __name__).TASK
    return task
