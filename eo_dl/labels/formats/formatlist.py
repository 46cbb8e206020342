"""All label formats, loaded: by the name for reading, and by the name for writing."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from ...errors import ConfigError, LabelError
from . import FORMAT_NAMES
from .labelformat import LabelFormat, WrittenFormat


@cache
def label_formats() -> tuple[LabelFormat, ...]:
    """All formats, in the order of `FORMAT_NAMES`."""
    modules = [import_module(f".{names.module}", __package__) for names in FORMAT_NAMES]
    return tuple(module.FORMAT for module in modules)


def label_format(name: str) -> LabelFormat:
    """The format that is read under a name.

    Raises:
        LabelError: No format is read under this name.
    """
    for known in label_formats():
        if known.name == name:
            return known
    names = ", ".join(known.name for known in label_formats())
    raise LabelError(f"labels: unknown format {name!r}; set `format` to one of {names}")


@cache
def written_formats() -> dict[str, WrittenFormat]:
    """All formats that are written, by name."""
    by_name: dict[str, WrittenFormat] = {}
    for known in label_formats():
        by_name |= {written.name: written for written in known.written}
    return by_name


def written_format(name: str) -> WrittenFormat:
    """The format that is written under a name.

    Raises:
        ConfigError: No format is written under this name.
    """
    if name not in written_formats():
        raise ConfigError(
            f"unknown output format {name!r}; set `out_format` to one of {', '.join(written_formats())}"
        )
    return written_formats()[name]


def format_of_written(name: str) -> LabelFormat:
    """The format by which labels are read that were written under a name."""
    written = written_format(name)
    return next(known for known in label_formats() if written in known.written)
