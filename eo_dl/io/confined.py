"""Where files may be written: under safe names, inside one folder, and never through a link.

Names and ids that come out of a file (a chip set, an index, a label file, a journal) may be anything,
`../../x` included; and what lies under the name that is about to be written may be a link to another file.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path, PurePosixPath
from typing import IO

from ..errors import InputError, WriteError

_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_LINK_ERRORS = {errno.ELOOP, errno.EMLINK, errno.ENXIO}
_NO_FOLLOWING: int = getattr(os, "O_NOFOLLOW", 0)
# A pipe must not stop us before we have seen that it is one.
_FLAGS: int = (
    os.O_RDWR | os.O_CREAT | _NO_FOLLOWING | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
)


def is_safe_id(text: object) -> bool:
    """True for an id of which a file name can be made: letters, digits, "_" and "-"."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def leads_outside(name: str) -> bool:
    """True if a relative path may lead out of its folder, on any system."""
    path = PurePosixPath(name.replace("\\", "/"))
    has_drive = re.match(r"[A-Za-z]:", name) is not None
    has_control = any(ord(sign) < 32 for sign in name)
    return not path.parts or path.is_absolute() or ".." in path.parts or has_drive or has_control


def inside(folder: Path, name: str) -> Path:
    """The path of a file below a folder.

    Args:
        folder: The folder.
        name: Path below it, with forward slashes.

    Raises:
        InputError: The name leads out of the folder.
    """
    if leads_outside(name):
        raise InputError(
            f"{folder}: the name {name[:80]!r} leads out of this folder, so no such file is used; correct it"
        )
    return folder / name


def open_to_write(path: Path, *, keep: bool = False) -> IO[bytes]:
    """A file opened for reading and writing, created if missing; never another file by a link.

    Unbuffered: a full disk fails in the write that met it, not in a later `close`.

    Args:
        path: The file.
        keep: Keep what it holds; the position is its start.

    Raises:
        WriteError: It is a link, has a second name, or is no regular file.
        OSError: It cannot be opened.
    """
    if not _NO_FOLLOWING and path.is_symlink():
        raise _not_a_file(path)
    try:
        handle = os.open(path, _FLAGS, 0o666)
    except OSError as error:
        if error.errno in _LINK_ERRORS:
            raise _not_a_file(path) from error
        raise
    if not _is_own_file(os.fstat(handle)):
        os.close(handle)
        raise _not_a_file(path)
    if not keep:
        os.ftruncate(handle, 0)
    return os.fdopen(handle, "r+b", buffering=0)


def _is_own_file(status: os.stat_result) -> bool:
    """True for a regular file with one name: writing into it changes no other."""
    return stat.S_ISREG(status.st_mode) and status.st_nlink <= 1


def _not_a_file(path: Path) -> WriteError:
    return WriteError(
        f"{path}: is a link, or no regular file, so nothing is written to it; remove it if it is not yours"
    )
