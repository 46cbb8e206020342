"""Folders that come with eo_dl beside its code: sample data, configuration files, documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def shipped_folder(name: Literal["sample_data", "configs", "docs"]) -> Path:
    """The folder `name`: inside the package as a wheel installs it, beside the package in the repository."""
    package = Path(__file__).resolve().parent
    installed = package / name
    return installed if installed.is_dir() else package.parent / name
