"""Installs the plug-in into QGIS profiles, or writes it as a zip."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from ..io.atomic import atomic_file, atomic_folder, refuse_existing
from ..version import __version__
from .profiles import enable, profile_folders

PLUGIN = "eo_dl_qgis"
SOURCE = Path(__file__).resolve().parent / PLUGIN
ENVIRONMENT = "environment.json"
_METADATA = "metadata.txt"


def install(
    python: str | Path, *, profile: str | None = None, profiles_path: str | Path | None = None
) -> tuple[Path, ...]:
    """Copy the plug-in into QGIS profiles, enable it there, and let it use `python`.

    Args:
        python: The Python of the environment in which eo_dl is installed.
        profile: Name of one profile (default: all profiles found).
        profiles_path: Folder that contains the profiles (default: where QGIS keeps them).

    Returns:
        The folders of the plug-in.

    Raises:
        InputError: There is no such profile.
        WriteError: A profile cannot be written.
    """
    environment = json.dumps({"python": str(python), "eo_dl": __version__}, indent=1) + "\n"
    installed = []
    for profile_folder in profile_folders(profile, profiles_path):
        target = profile_folder / "python" / "plugins" / PLUGIN
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(target, overwrite=True, marker=_METADATA) as folder:
            for name, content in _files():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            (folder / ENVIRONMENT).write_text(environment, encoding="utf-8")
        enable(profile_folder, PLUGIN)
        installed.append(target)
    return tuple(installed)


def package(out: str | Path, *, overwrite: bool = False) -> Path:
    """Write the plug-in as a zip for QGIS's "Install from ZIP"; the same content gives the same bytes.

    Args:
        out: The zip file.
        overwrite: Replace an existing file.

    Returns:
        The path of the file.

    Raises:
        OutputExistsError: `out` exists.
        WriteError: `out` cannot be written.
    """
    target = Path(out)
    refuse_existing(target, overwrite)
    fixed_date = (1980, 1, 1, 0, 0, 0)
    with (
        atomic_file(target, overwrite=overwrite) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, content in _files():
            archive.writestr(zipfile.ZipInfo(f"{PLUGIN}/{name}", fixed_date), content, zipfile.ZIP_DEFLATED)
    return target


def _files() -> list[tuple[str, bytes]]:
    """Names and contents of the plug-in, sorted; `metadata.txt` gets the version of eo_dl."""
    files = []
    for path in sorted(SOURCE.rglob("*")):
        if path.is_dir() or "__pycache__" in path.parts or path.name == ENVIRONMENT:
            continue
        content = path.read_bytes()
        if path.name == _METADATA:
            content = content.replace(b"version=0.0.0", f"version={__version__}".encode())
        files.append((path.relative_to(SOURCE).as_posix(), content))
    return files
