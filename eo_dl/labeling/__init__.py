"""Annotations: reading them, drawing them, checking them. The public names below are loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .checks.check import check_labels
    from .checks.repair import fix_labels
    from .converting import convert_labels
    from .importing import import_labels
    from .project.start import start_labels
    from .project.status import labels_status
    from .read import read_labels
    from .weak.run import weak_labels

# Public name -> module that defines it.
_HOME = {
    "check_labels": ".checks.check",
    "convert_labels": ".converting",
    "fix_labels": ".checks.repair",
    "import_labels": ".importing",
    "labels_status": ".project.status",
    "read_labels": ".read",
    "start_labels": ".project.start",
    "weak_labels": ".weak.run",
}

__all__ = ["check_labels", "convert_labels", "fix_labels", "import_labels", "labels_status", "read_labels", "start_labels", "weak_labels"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'eo_dl.labeling' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
