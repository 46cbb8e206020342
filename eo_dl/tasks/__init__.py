"""The tasks: one folder a head, found by listing this folder."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path

from ..errors import ConfigError
from .task import ChipCodec, Codec, NetworkInputs, OneObjectCodec, RasterCodec, Task, TaskConfig

__all__ = [
    "ChipCodec",
    "Codec",
    "NetworkInputs",
    "OneObjectCodec",
    "RasterCodec",
    "Task",
    "TaskConfig",
    "available_tasks",
    "load_task",
]


def available_tasks() -> tuple[str, ...]:
    """Names of the tasks, sorted; nothing is imported for it."""
    return tuple(sorted(entry.parent.name for entry in Path(__file__).parent.glob("*/__init__.py")))


def load_task(name: str) -> Task:
    """The task of a name. Raises `ConfigError`, with the nearest right name, for one that is not there."""
    names = available_tasks()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise ConfigError(
            f"task {name!r} is not known; choose one of {', '.join(names)}{f' (did you mean {near[0]!r}?)' if near else ''}"
        )
    # Lazy: a task is imported when it is used, never for the list of choices. The name is one of our own
    # folders.
    task = importlib.import_module(f".{name}", __name__).TASK
    assert isinstance(task, Task)
    return task
