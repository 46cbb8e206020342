"""Where QGIS keeps its user profiles, and how a plug-in is switched on in one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..errors import InputError
from ..io.atomic import atomic_file

_SECTION = "[PythonPlugins]"


def profile_folders(profile: str | None = None, profiles_path: str | Path | None = None) -> tuple[Path, ...]:
    """The profile folders of this computer, or the one named `profile`, sorted.

    Raises `InputError` where there is none: QGIS makes its profile when it is started for the first time.
    """
    roots = (
        [_within(Path(profiles_path))]
        if profiles_path is not None
        else [root for root in _roots() if root.is_dir()]
    )
    found = sorted(
        {
            folder
            for root in roots
            if root.is_dir()
            for folder in root.iterdir()
            if folder.is_dir() and not folder.name.startswith(".")
        }
    )
    if profile is not None:
        named = [folder for folder in found if folder.name == profile]
        if not named:
            raise InputError(
                f"QGIS profile {profile!r} was not found; there is {', '.join(f.name for f in found) or 'none'}; choose one with `profile`"
            )
        return tuple(named)
    if not found:
        where = ", ".join(str(root) for root in roots) or "the usual places"
        raise InputError(
            f"no QGIS profile in {where}; start QGIS once, or name the folder of its profiles with `profiles_path`"
        )
    return tuple(found)


def _within(folder: Path) -> Path:
    """`--profiles-path` of QGIS holds a folder `profiles`; that one may be named as well."""
    return folder / "profiles" if (folder / "profiles").is_dir() else folder


def _roots() -> list[Path]:
    home = Path.home()
    custom = os.environ.get("QGIS_CUSTOM_CONFIG_PATH")
    if custom:
        return [Path(custom) / "profiles"]
    if sys.platform == "win32":
        bases = [Path(os.environ.get("APPDATA", home / "AppData" / "Roaming")) / "QGIS"]
    elif sys.platform == "darwin":
        bases = [home / "Library" / "Application Support" / "QGIS"]
    else:
        share = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
        bases = [share / "QGIS", home / ".var" / "app" / "org.qgis.qgis" / "data" / "QGIS"]
    return [base / version / "profiles" for base in bases for version in ("QGIS3", "QGIS4")]


def settings_file(profile: Path) -> Path:
    """The settings of a profile: `QGIS/QGIS3.ini` in it, or what is there of a later version."""
    folder = profile / "QGIS"
    later = sorted(folder.glob("QGIS[4-9]*.ini"))
    return later[-1] if later else folder / "QGIS3.ini"


def enable(profile: Path, plugin: str) -> None:
    """Switch a plug-in on in a profile. The settings are edited as text: no parser of ours knows all that Qt
    writes there.
    """
    path = settings_file(profile)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if _SECTION not in lines:
        lines += ["", _SECTION] if lines else [_SECTION]
    start = lines.index(_SECTION) + 1
    end = next((i for i in range(start, len(lines)) if lines[i].startswith("[")), len(lines))
    kept = [line for line in lines[start:end] if not line.startswith(f"{plugin}=")]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, overwrite=True) as partial:
        partial.write_text(
            "\n".join([*lines[:start], f"{plugin}=true", *kept, *lines[end:]]) + "\n", encoding="utf-8"
        )
