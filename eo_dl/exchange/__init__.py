"""Labels to and from annotation tools: import, export and conversion between formats.

The public names are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .converting import convert_labels
    from .exporting import export_labels
    from .importing import import_labels

# Public name -> module that defines it.
_HOME = {
    "convert_labels": ".converting",
    "export_labels": ".exporting",
    "import_labels": ".importing",
}

__all__ = ["convert_labels", "export_labels", "import_labels"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'eo_dl.exchange' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
