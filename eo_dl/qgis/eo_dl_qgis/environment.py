"""Which Python has eo_dl, and the environment variables under which it finds its own libraries. No QGIS in
here.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Version of the interface of the command line for which this plug-in was written.
INTERFACE = 1
# Variables that point at QGIS's own Python, GDAL, PROJ and libraries, by prefix and by name.
_DROPPED_PREFIXES = ("PYTHON", "CONDA", "QT_", "GDAL_", "PROJ_", "DYLD_")
_DROPPED_NAMES = {"__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PROJ_LIB", "OSGEO4W_ROOT"}
_WINDOWS = sys.platform == "win32"
# The Python of a virtual environment, relative to its folder.
PYTHON = Path("Scripts/python.exe" if _WINDOWS else "bin/python")
if _WINDOWS:
    _MAKE, _BIN = "py -m venv %USERPROFILE%\\eo_dl_env", "%USERPROFILE%\\eo_dl_env\\Scripts\\"
else:
    _MAKE, _BIN = "python3 -m venv ~/eo_dl_env", "~/eo_dl_env/bin/"
INSTALL = f'{_MAKE} && {_BIN}pip install "eo-dl[train]" && {_BIN}eo-dl qgis install'
SET = "Choose the Python of another environment under Settings > Options > eo_dl."


class NoEnvironment(Exception):
    """There is no Python with a fitting eo_dl; the message says what to do."""


def clean(variables):
    """Environment variables without those that point at QGIS's own libraries; proxies and all others stay."""
    kept = {
        name: value
        for name, value in variables.items()
        if name not in _DROPPED_NAMES and not name.startswith(_DROPPED_PREFIXES)
    }
    root = variables.get("OSGEO4W_ROOT")
    if root and "PATH" in kept:
        folders = kept["PATH"].split(os.pathsep)
        kept["PATH"] = os.pathsep.join(path for path in folders if not path.lower().startswith(root.lower()))
    return kept


def arguments(python, words, end_with_stdin=True):
    """The command line of a child: isolated from the user's Python packages, unbuffered, UTF-8.

    With `end_with_stdin` the child ends when the pipe to its standard input closes.
    """
    options = ["--end-with-stdin"] if end_with_stdin else []
    return [str(python), "-I", "-u", "-X", "utf8", "-m", "eo_dl_cli", *options, *words]


def hidden_window():
    """Options of `subprocess` that keep Windows from opening a console."""
    return {"creationflags": subprocess.CREATE_NO_WINDOW} if _WINDOWS else {}


def python_of(path):
    """The Python that a user means by `path`: itself, that of an environment's folder, or that of an `eo-dl`
    (also a link to one, as uv and pipx make it).
    """
    chosen = Path(path.strip().strip("\"'")).expanduser()
    if chosen.is_dir():
        # The second one is for conda on Windows, and for the folder of the programs.
        inside = [chosen / PYTHON, chosen / PYTHON.name]
        return str(next((python for python in inside if python.is_file()), inside[0]))
    if chosen.stem == "eo-dl" and chosen.is_file():
        return str(chosen.resolve().with_name(PYTHON.name))
    return str(chosen)


def candidates():
    """Pythons that may have eo_dl, the likeliest first: named by EO_DL_PYTHON, by the installer, then the
    usual places.
    """
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    environments = [
        home / "eo_dl_env",
        data / "eo_dl" / "env",
        data / "uv" / "tools" / "eo-dl",
        data / "pipx" / "venvs" / "eo-dl",
        home / ".local" / "pipx" / "venvs" / "eo-dl",
    ]
    pythons = [os.environ.get("EO_DL_PYTHON"), _installed()]
    pythons += [str(folder / PYTHON) for folder in environments]
    conda_python = "python.exe" if _WINDOWS else PYTHON
    for base in ("miniconda3", "mambaforge", "miniforge3", "anaconda3"):
        folders = sorted((home / base / "envs").glob("*"))
        pythons += [str(folder / conda_python) for folder in folders]
    existing = [path for path in pythons if path and Path(path).is_file()]
    return list(dict.fromkeys(existing))


def _installed():
    """The Python that `eo-dl qgis install` has written beside the plug-in."""
    path = HERE / "environment.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))["python"]
    except (OSError, ValueError, KeyError):
        return None


def ask(python, words, timeout_s=120):
    """What a short command answers as JSON. Raises `NoEnvironment` with the reason."""
    try:
        done = subprocess.run(
            arguments(python, words, end_with_stdin=False),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=clean(os.environ),
            cwd=Path.home(),
            timeout=timeout_s,
            **hidden_window(),
        )
    except FileNotFoundError:
        raise NoEnvironment(
            f"{python} does not exist; choose the Python of the environment in which eo_dl is installed"
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoEnvironment(f"{python} does not run: {error}") from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    raise NoEnvironment(f"{python} has no working eo_dl: {lines[-1] if lines else 'no answer'}")


def check(python):
    """The capabilities of the eo_dl of a Python. Raises `NoEnvironment` if it is missing, or too old or too
    new for this plug-in.
    """
    capabilities = ask(python, ["capabilities"])
    interface = capabilities.get("interface")
    if interface == INTERFACE:
        return capabilities
    if isinstance(interface, int) and interface > INTERFACE:
        problem = "newer than this plug-in; run 'eo-dl qgis install' in it"
    else:
        problem = "too old for this plug-in; update it (pip install -U eo-dl)"
    raise NoEnvironment(f"eo_dl {capabilities.get('eo_dl')} of {python} is {problem}")


def find():
    """The first candidate with a fitting eo_dl. Raises `NoEnvironment`, which says what was tried."""
    reasons = []
    for python in candidates():
        try:
            check(python)
            return python
        except NoEnvironment as error:
            reasons.append(str(error))
    tried = "; ".join(reasons) or "none of the usual places has one"
    raise NoEnvironment(f"eo_dl was not found ({tried}). To install it and connect it to QGIS: {INSTALL}")
