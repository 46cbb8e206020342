"""Work folders (`NAME.part.d`): made by us, holding nothing but our files, and cleared of nothing else.

A folder of that name may have been put there by somebody else: with links, so that other files are written or
emptied, or with data sets that name other files, which GDAL would delete along with them. It is refused
before anything in it is touched.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
from pathlib import Path

from ..errors import WriteError

MARK = ".eo_dl_work"
"""The file in a work folder which says that all of its content is ours."""
_PROBE = re.compile(r"\.[0-9a-f]{16}\.probe")


def claim_folder(folder: Path, names: re.Pattern[str]) -> None:
    """Make a work folder, or take over that of an earlier run.

    Args:
        folder: The folder.
        names: What the names of our files in it look like.

    Raises:
        WriteError: It is a link, belongs to another user, or holds anything else.
        OSError: It cannot be made.
    """
    folder.mkdir(exist_ok=True)
    _check_owner(folder)
    for name in _entries(folder):
        if names.fullmatch(name) is None or not _is_file(folder / name):
            raise _foreign(folder, folder / name)


def clear_folder(folder: Path, names: re.Pattern[str]) -> None:
    """Delete our files in a work folder, and the folder if nothing else is in it. Never raises."""
    with contextlib.suppress(OSError):
        if not folder.is_symlink():
            for path in list(folder.iterdir()):
                if names.fullmatch(path.name) is not None or _PROBE.fullmatch(path.name) is not None:
                    path.unlink(missing_ok=True)
            folder.rmdir()


def make_marked_folder(folder: Path) -> None:
    """An empty work folder of which any content is ours; that of an earlier run is emptied.

    Raises:
        WriteError: There is such a folder that we did not make.
        OSError: It cannot be made.
    """
    if folder.exists() or folder.is_symlink():
        _check_owner(folder)
        if not (folder / MARK).is_file() and _entries(folder):
            raise _foreign(folder, folder)
        remove_marked_folder(folder)
    folder.mkdir()
    (folder / MARK).touch()


def remove_marked_folder(folder: Path) -> None:
    """Delete a work folder, its mark last: what is left when that is stopped half-way is still ours."""
    for path in list(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MARK:
            path.unlink()
    (folder / MARK).unlink(missing_ok=True)
    folder.rmdir()


def unmark_folder(folder: Path) -> None:
    """Remove the mark of a work folder that has become an output. Nothing happens to anything else."""
    if folder.is_dir() and not folder.is_symlink():
        (folder / MARK).unlink(missing_ok=True)


def refuse_links(folder: Path) -> None:
    """Refuse a folder that is a link or holds one: what is written or deleted there would lie elsewhere.

    Raises:
        WriteError: There is a link; names it.
    """
    below = folder.rglob("*") if folder.is_dir() else ()
    for path in (folder, *below):
        if path.is_symlink():
            raise WriteError(
                f"{path}: is a link, and nothing is written or deleted through one; put a real file or "
                "folder in its place, or choose another output"
            )


def _entries(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if _PROBE.fullmatch(path.name) is None]


def _is_file(path: Path) -> bool:
    """True for a regular file, and for one that another machine has just renamed."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return True


def _check_owner(folder: Path) -> None:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise WriteError(f"{folder}: is not a folder of eo_dl's; move it away")
    if hasattr(os, "geteuid") and status.st_uid not in (os.geteuid(), _owner_of_new_files(folder)):
        raise WriteError(f"{folder}: was made by another user; move it away, or choose another output")


def _owner_of_new_files(folder: Path) -> int:
    """Who owns a file made in a folder: not always the user, on a network drive."""
    probe = folder / f".{secrets.token_hex(8)}.probe"
    descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    try:
        return os.fstat(descriptor).st_uid
    finally:
        os.close(descriptor)
        probe.unlink()


def _foreign(folder: Path, what: Path) -> WriteError:
    return WriteError(
        f"{what}: was not written by eo_dl, which keeps unfinished work in {folder.name}; move it away"
    )
