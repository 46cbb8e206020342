"""Shared by all tests: where the real scenes are, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Machines are shared and noisy, so no deadline; the same examples in every run, so that a failure is a
# change.
settings.register_profile("eo_dl", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("eo_dl")

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_DATA = ROOT / "sample_data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real labelled scenes; skips, saying so, where it is missing."""
    folder = Path(os.environ.get("EO_DL_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real scenes are missing: {folder} (set EO_DL_REAL_DATA)")
    return folder


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The generated scenes that come with the project."""
    return SAMPLE_DATA
