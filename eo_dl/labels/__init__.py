"""Annotations as values: any format read into one label set, and what tiling, training and evaluation need of
it.

The public names are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .reading import read_labels

# Public name -> module that defines it.
_HOME = {
    "read_labels": ".reading",
}

__all__ = ["read_labels"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'eo_dl.labels' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
