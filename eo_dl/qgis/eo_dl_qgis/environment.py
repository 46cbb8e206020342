"""Which Python has eo_dl, and an environment in which it finds its own libraries. No QGIS in here."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
INTERFACE = 1  # of the command line that this plug-in was written against
_DROPPED = ("PYTHON", "CONDA", "QT_", "GDAL_", "PROJ_", "DYLD_")
_DROPPED_NAMES = {"__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PROJ_LIB", "OSGEO4W_ROOT"}
# within a virtual environment
_PYTHON = Path("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
_MAKE, _BIN = (
    ("py -m venv %USERPROFILE%\\eo_dl_env", "%USERPROFILE%\\eo_dl_env\\Scripts\\")
    if sys.platform == "win32"
    else ("python3 -m venv ~/eo_dl_env", "~/eo_dl_env/bin/")
)
INSTALL = f"{_MAKE} && {_BIN}pip install FOLDER && {_BIN}eo-dl qgis install (FOLDER: where eo_dl lies, a checkout or a wheel)"
SET = "Set the Python of another environment under Settings > Options > eo_dl."


class NoEnvironment(Exception):
    """No Python with a fitting eo_dl; the message says what to do."""


def clean(environment):
    """`environment` without what points at QGIS's own Python, GDAL, PROJ and libraries; proxies and the rest
    stay.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name not in _DROPPED_NAMES and not name.startswith(_DROPPED)
    }
    root = environment.get("OSGEO4W_ROOT")
    if root and "PATH" in kept:
        kept["PATH"] = os.pathsep.join(
            part for part in kept["PATH"].split(os.pathsep) if not part.lower().startswith(root.lower())
        )
    return kept


def arguments(python, words, watched=True):
    """The command line of a child: isolated from the user's Python, unbuffered; `watched` ones end when the
    pipe to their input closes.
    """
    return [
        str(python),
        "-I",
        "-u",
        "-X",
        "utf8",
        "-m",
        "eo_dl_cli",
        *(["--end-with-stdin"] if watched else []),
        *words,
    ]


def hidden_window():
    """How Windows is told not to open a console."""
    return {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}


def python_of(path):
    """The Python that a person means by `path`: itself, that of an environment's folder, or that of an
    `eo-dl` (also a link to one, as uv and pipx make them).
    """
    asked = Path(path.strip().strip("\"'")).expanduser()
    if asked.is_dir():
        # the second: conda on Windows, or the folder of the programs
        inside = [asked / _PYTHON, asked / _PYTHON.name]
        return str(next((found for found in inside if found.is_file()), inside[0]))
    if asked.stem == "eo-dl" and asked.is_file():
        return str(asked.resolve().with_name(_PYTHON.name))
    return str(asked)


def candidates():
    """Pythons that may have eo_dl, likeliest first: named by the user's environment, by the installer, then
    the usual places.
    """
    found = [os.environ.get("EO_DL_PYTHON"), _installed()]
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    roots = [
        home / "eo_dl_env",
        data / "eo_dl" / "env",
        data / "uv" / "tools" / "eo-dl",
        data / "pipx" / "venvs" / "eo-dl",
        home / ".local" / "pipx" / "venvs" / "eo-dl",
    ]
    found += [str(root / _PYTHON) for root in roots]
    for base in ("miniconda3", "mambaforge", "miniforge3", "anaconda3"):
        for folder in sorted((home / base / "envs").glob("*")):
            found.append(str(folder / ("python.exe" if sys.platform == "win32" else _PYTHON)))
    return [
        path
        for place, path in enumerate(found)
        if path and Path(path).is_file() and path not in found[:place]
    ]


def _installed():
    path = HERE / "environment.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))["python"]
    except (OSError, ValueError, KeyError):
        return None


def ask(python, words, timeout_s=120):
    """What a short command answers as JSON. Raises `NoEnvironment` with the reason."""
    try:
        command = arguments(python, words, watched=False)
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=clean(os.environ),
            cwd=Path.home(),
            timeout=timeout_s,
            **hidden_window(),
        )
    except FileNotFoundError:
        raise NoEnvironment(
            f"{python} is not there; choose the Python of the environment in which eo_dl is installed"
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoEnvironment(f"{python} does not run: {error}") from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no answer"])[-1]
    raise NoEnvironment(f"{python} has no working eo_dl: {last}")


def check(python):
    """The capabilities of the eo_dl of a Python. Raises `NoEnvironment` where it is missing or too old for
    this plug-in.
    """
    found = ask(python, ["capabilities"])
    interface = found.get("interface")
    if interface != INTERFACE:
        newer = isinstance(interface, int) and interface > INTERFACE
        what = (
            "newer than this plug-in; run 'eo-dl qgis install' in it"
            if newer
            else "too old for this plug-in; update it (pip install -U eo-dl)"
        )
        raise NoEnvironment(f"eo_dl {found.get('eo_dl')} of {python} is {what}")
    return found


def find():
    """The first of the candidates with a fitting eo_dl. Raises `NoEnvironment` that says what was tried."""
    tried = []
    for python in candidates():
        try:
            check(python)
            return python
        except NoEnvironment as error:
            tried.append(str(error))
    reasons = "; ".join(tried) or "none of the usual places has one"
    raise NoEnvironment(
        f"no eo_dl was found ({reasons}). Install it and let it tell QGIS where it is: {INSTALL}"
    )
