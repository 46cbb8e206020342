"""Where QGIS keeps its user profiles, and how a plug-in is enabled in one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..errors import InputError
from ..io.atomic import atomic_file

_SECTION = "[PythonPlugins]"


def profile_folders(profile: str | None = None, profiles_path: str | Path | None = None) -> tuple[Path, ...]:
    """The profile folders of this computer, or the one named `profile`, sorted.

    Raises `InputError` if there is none: QGIS creates its profile when it is started for the first time.
    """
    roots = _default_roots() if profiles_path is None else [_profiles_in(Path(profiles_path))]
    folders: set[Path] = set()
    for root in roots:
        if root.is_dir():
            folders.update(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = sorted(folders)
    if profile is not None:
        named = tuple(folder for folder in found if folder.name == profile)
        if not named:
            names = ", ".join(folder.name for folder in found) or "none"
            raise InputError(
                f"QGIS profile {profile!r} was not found; available: {names}; choose one with `profile`"
            )
        return named
    if not found:
        searched = ", ".join(str(root) for root in roots)
        raise InputError(
            f"no QGIS profile in {searched}; start QGIS once, or name the folder of its profiles "
            "with `profiles_path`"
        )
    return tuple(found)


def _profiles_in(folder: Path) -> Path:
    """QGIS's `--profiles-path` contains a folder `profiles`; either may be named."""
    return folder / "profiles" if (folder / "profiles").is_dir() else folder


def _default_roots() -> list[Path]:
    """The folders in which QGIS keeps profiles on this system, whether they exist or not."""
    home = Path.home()
    custom = os.environ.get("QGIS_CUSTOM_CONFIG_PATH")
    if custom:
        return [Path(custom) / "profiles"]
    if sys.platform == "win32":
        bases = [Path(os.environ.get("APPDATA", home / "AppData" / "Roaming")) / "QGIS"]
    elif sys.platform == "darwin":
        bases = [home / "Library" / "Application Support" / "QGIS"]
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
        bases = [data / "QGIS", home / ".var" / "app" / "org.qgis.qgis" / "data" / "QGIS"]
    roots = []
    for base in bases:
        roots += [base / "QGIS3" / "profiles", base / "QGIS4" / "profiles"]
    return roots


def settings_file(profile: Path) -> Path:
    """The settings of a profile: `QGIS/QGIS3.ini` in it, or the file of a later version."""
    folder = profile / "QGIS"
    later = sorted(folder.glob("QGIS[4-9]*.ini"))
    return later[-1] if later else folder / "QGIS3.ini"


def enable(profile: Path, plugin: str) -> None:
    """Enable a plug-in in a profile.

    The settings are edited as text, since Qt writes values there that Python's parser does not understand.
    """
    path = settings_file(profile)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if _SECTION not in lines:
        lines += ["", _SECTION] if lines else [_SECTION]
    start = lines.index(_SECTION) + 1
    section_ends = (number for number in range(start, len(lines)) if lines[number].startswith("["))
    end = next(section_ends, len(lines))
    others = [line for line in lines[start:end] if not line.startswith(f"{plugin}=")]
    edited = [*lines[:start], f"{plugin}=true", *others, *lines[end:]]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, overwrite=True) as partial:
        partial.write_text("\n".join(edited) + "\n", encoding="utf-8")
