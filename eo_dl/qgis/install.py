"""The plug-in into QGIS profiles, or into a zip."""

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


def install(
    python: str | Path, *, profile: str | None = None, profiles_path: str | Path | None = None
) -> tuple[Path, ...]:
    """Copy the plug-in into the QGIS profiles found (or the one named), enabled and told to use `python`;
    returns the folders made.

    Raises `InputError` where there is no profile, `WriteError` where one cannot be written.
    """
    said = json.dumps({"python": str(python), "eo_dl": __version__}, indent=1) + "\n"
    done = []
    for found in profile_folders(profile, profiles_path):
        target = found / "python" / "plugins" / PLUGIN
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(target, overwrite=True, marker="metadata.txt") as folder:
            for name, content in _files():
                place = folder / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
            (folder / ENVIRONMENT).write_text(said, encoding="utf-8")
        enable(found, PLUGIN)
        done.append(target)
    return tuple(done)


def package(out: str | Path, *, overwrite: bool = False) -> Path:
    """The plug-in as a zip for QGIS's "Install from ZIP"; the same content gives the same bytes. Raises
    `OutputExistsError`, `WriteError`.
    """
    target = Path(out)
    refuse_existing(target, overwrite)
    with (
        atomic_file(target, overwrite=overwrite) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, content in _files():
            archive.writestr(
                zipfile.ZipInfo(f"{PLUGIN}/{name}", (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED
            )
    return target


def _files() -> list[tuple[str, bytes]]:
    """Names and content of the plug-in, sorted; `metadata.txt` says the version of eo_dl that it came with."""
    found = []
    for path in sorted(SOURCE.rglob("*")):
        if path.is_dir() or "__pycache__" in path.parts or path.name == ENVIRONMENT:
            continue
        content = path.read_bytes()
        if path.name == "metadata.txt":
            content = content.replace(b"version=0.0.0", f"version={__version__}".encode())
        found.append((path.relative_to(SOURCE).as_posix(), content))
    return found
