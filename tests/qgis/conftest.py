"""The plug-in without QGIS: its package on the path, and a child that plays `eo-dl`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "eo_dl" / "qgis"))


@pytest.fixture
def stub(tmp_path: Path) -> Callable[[str], str]:
    """Makes a "Python" that runs a script of the test in place of eo_dl; the script finds the command line in
    sys.argv.
    """

    def make(script: str) -> str:
        (tmp_path / "stub.py").write_text(script)
        program = tmp_path / "python"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path / "stub.py"}" "$@"\n')
        program.chmod(0o755)
        return str(program)

    return make


@pytest.fixture(scope="session")
def qgis_python() -> str:
    """Debian's Python with PyQGIS; skips, saying so, where there is none."""
    python = "/usr/bin/python3"
    found = (
        Path(python).exists()
        and subprocess.run(
            [python, "-c", "import qgis.core"], env=_clean(), capture_output=True, check=False
        ).returncode
        == 0
    )
    if not found:
        pytest.skip("QGIS is not installed: apt-get install qgis python3-qgis qgis-providers xvfb")
    return python


@pytest.fixture
def qgis_environment(qgis_python: str, tmp_path: Path) -> dict[str, str]:
    """An environment for QGIS without a screen, with a profile of its own."""
    runtime = tmp_path / "xdg"
    runtime.mkdir(mode=0o700)
    (tmp_path / "config" / "profiles" / "default").mkdir(parents=True)
    own = {
        "QT_QPA_PLATFORM": "offscreen",
        "XDG_RUNTIME_DIR": str(runtime),
        "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path / "config"),
        "PYTHONWARNINGS": "ignore",
    }
    return _clean() | own


@pytest.fixture
def sample(sample_data: Path, tmp_path: Path) -> Path:
    """A copy: QGIS writes beside rasters and into GeoPackages that it only opens."""
    copy = tmp_path / "sample"
    copy.mkdir()
    for name in ("train.tif", "test.tif", "train_labels.gpkg", "test_labels.gpkg"):
        shutil.copy(sample_data / name, copy / name)
    return copy


@pytest.fixture
def inside(qgis_python: str, qgis_environment: dict[str, str]) -> Callable[..., Any]:
    """Calls a function of inside.py, or one of a module beside it ("inside_options.pressed"), in QGIS's
    Python.
    """

    def call(name: str, *arguments: object) -> Any:
        command = [
            qgis_python,
            str(HERE / "inside.py"),
            str(ROOT / "eo_dl" / "qgis"),
            name,
            *map(str, arguments),
        ]
        done = subprocess.run(
            command, env=qgis_environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    return call


def _clean() -> dict[str, str]:
    """Without our virtual environment, whose packages are for another Python; an active one, which is first
    on PATH, makes QGIS load the wrong Python.
    """
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") and name != "VIRTUAL_ENV"
    }
    folders = variables.get("PATH", "").split(os.pathsep)
    own = str(Path(sys.executable).parent)
    return variables | {"PATH": os.pathsep.join(folder for folder in folders if folder != own)}
