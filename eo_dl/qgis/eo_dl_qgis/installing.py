"""The steps that make an environment with eo_dl: by uv where there is one, else by Python's own venv and pip.
No QGIS in here.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import environment

PACKAGE = "eo-dl"
# What is installed, and its text in the dialog.
PREDICT, TRAIN_CPU, TRAIN_GPU = "predict", "cpu", "gpu"
KINDS = (
    (TRAIN_GPU, "train and predict, with a graphics card of NVIDIA (about 7 GB)"),
    (TRAIN_CPU, "train and predict, without a graphics card"),
    (PREDICT, "predict and review only (about 1 GB)"),
)
# Which PyTorch uv takes; pip takes the one that the package index has for this system.
_TORCH_BACKENDS = {TRAIN_CPU: "cpu", TRAIN_GPU: "auto"}
# Versions of Python that eo_dl runs on; the first is the one that uv is asked for.
_VERSIONS = ("3.11", "3.12", "3.13")


class CannotInstall(Exception):
    """Why nothing was started, and what to do."""


@dataclass(frozen=True)
class Step:
    """One program to run."""

    # What the log says about it.
    title: str
    # Program and arguments.
    words: tuple


def default_folder():
    """The folder in which the plug-in looks first."""
    return Path.home() / "eo_dl_env"


def python_in(folder):
    """The Python of an environment in this folder."""
    return str(Path(folder) / environment.PYTHON)


def plan(folder, kind, source=PACKAGE, find=shutil.which, version_of=None):
    """The steps for an environment in a new folder.

    `kind`: PREDICT, TRAIN_CPU or TRAIN_GPU; `source`: name of the package, or a wheel or checkout of it;
    `find` and `version_of` look for programs and ask a Python for its version, e.g. "3.12".

    Raises `CannotInstall` if the folder has content, or there is neither uv nor a fitting Python.
    """
    target = Path(folder).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CannotInstall(f"{target} exists already. Choose another folder, or remove it.")
    wanted = source if kind == PREDICT else f"{source}[train]"
    python = python_in(target)
    uv = find("uv")
    if uv:
        backend = _TORCH_BACKENDS.get(kind)
        options = [f"--torch-backend={backend}"] if backend else []
        return (
            Step("Making the environment", (uv, "venv", "--python", _VERSIONS[0], str(target))),
            Step("Installing eo_dl", (uv, "pip", "install", "--python", python, *options, wanted)),
        )
    base = _fitting_python(find, version_of or _version_of)
    return (
        Step("Making the environment", (base, "-m", "venv", str(target))),
        Step("Installing eo_dl", (python, "-m", "pip", "install", "--no-input", wanted)),
    )


def _fitting_python(find, version_of):
    names = [f"python{version}" for version in _VERSIONS] + ["python3", "python"]
    for name in names:
        path = find(name)
        if path and version_of(path) in _VERSIONS:
            return path
    raise CannotInstall(
        f"Neither uv nor a Python {_VERSIONS[0]} to {_VERSIONS[-1]} was found. Install uv, or Python from "
        "python.org, and try again."
    )


def _version_of(python):
    """The version of a Python, e.g. "3.12"; "" if it does not run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [python, "-I", "-c", code],
            capture_output=True,
            text=True,
            timeout=30,
            env=environment.clean(os.environ),
            **environment.hidden_window(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
