"""Outputs that are complete under their name, or do not exist.

Everything is written beside its target, synced to disk, then renamed. Remains of a killed run have a name
that says so (`.NAME.<random>.part.SUFFIX`, `NAME.part.d`) and are never read as a result.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from ..errors import InputError, OutputExistsError, WriteError
from .confined import open_to_write
from .discover import refuse_other_encodings
from .outputlock import writer_lock
from .workfolder import make_marked_folder, remove_marked_folder, unmark_folder

_SYNC_THREADS = 8
_RENAME_TRIES = 10
# Errors of the disk or of permissions. Any other OSError inside a writing block has another cause.
_DISK_ERRORS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
}
_ADVICE = {
    errno.ENOSPC: "free some space or write elsewhere",
    errno.EDQUOT: "free some of the quota or write elsewhere",
    errno.EFBIG: "the file system or a limit (ulimit -f) forbids files of this size; write elsewhere",
}


def write_failure(path: str | Path, error: OSError) -> WriteError:
    """The error that says which output could not be written, and why."""
    cause = error.strerror or str(error)
    advice = _ADVICE.get(error.errno or 0, "check the folder's permissions and the disk")
    failure = WriteError(f"{path}: could not be written ({cause}); {advice}")
    failure.errno = error.errno
    return failure


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """Check, before any work, that `path` can be written.

    Args:
        path: The output. An empty folder counts as not existing.
        overwrite: True to replace an existing output.

    Raises:
        OutputExistsError: The output exists and `overwrite` is False.
        InputError: The parent folder does not exist, or the name is not UTF-8.
        WriteError: The parent folder is not writable.
    """
    target = Path(path)
    refuse_other_encodings(target)
    if _is_occupied(target) and not overwrite:
        raise OutputExistsError(
            f"{target}: exists already; choose another name, or replace it with `overwrite=True`"
            f"{_unfinished_beside(target)}"
        )
    parent = target.parent
    if not parent.is_dir():
        raise InputError(f"{target}: the folder {parent} does not exist; make it first (mkdir -p)")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise WriteError(
            f"{target}: the folder {parent} is not writable; choose another one or change its permissions"
        )


@contextlib.contextmanager
def atomic_file(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path beside `path`, with the same suffix, to write to.

    It is renamed to `path` when the block ends normally and removed when it raises. Raises `WriteError` if
    the disk or permissions prevent writing or another process writes `path`, and as `refuse_existing` does.
    """
    target = Path(path)
    with writer_lock(target):
        refuse_existing(target, overwrite)
        temporary = part_name(target)
        try:
            with disk_errors(target):
                yield temporary
                publish(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | Path, *, overwrite: bool = False, marker: str | None = None) -> Iterator[Path]:
    """A folder `PATH.part.d` to write to.

    It is renamed to `path` when the block ends normally and removed when it raises.

    Args:
        path: The folder to be made.
        overwrite: Replace an existing folder.
        marker: Name of a file that an existing folder must hold to be replaced: overwriting a mistyped
            folder must not delete unrelated files.

    Raises:
        OutputExistsError: The folder exists and is not to be, or must not be, replaced.
        InputError: The parent folder does not exist.
        WriteError: The disk or permissions prevent writing, another process writes it, or `PATH.part.d` is
            not ours.
    """
    target = Path(path)
    with writer_lock(target):
        refuse_existing(target, overwrite)
        if marker is not None and _is_occupied(target) and not (target / marker).is_file():
            raise OutputExistsError(
                f"{target}: holds no {marker}, so it was not written by eo_dl and is not overwritten; choose "
                "another folder"
            )
        temporary = work_folder(target)
        made = False
        try:
            with disk_errors(target):
                make_marked_folder(temporary)
                made = True
                yield temporary
                try:
                    _replace_folder(temporary, target)
                finally:
                    # also after a failed sync, which comes when the folder has its name
                    unmark_folder(target)
        finally:
            if made:
                with contextlib.suppress(OSError):
                    remove_marked_folder(temporary)


def work_folder(target: Path) -> Path:
    """`NAME.part.d` beside the target, where unfinished work is kept."""
    return target.with_name(f"{target.name}.part.d")


def part_name(target: Path) -> Path:
    """A unique hidden name beside the target, with the same suffix (drivers depend on it).

    Random, because machines that share storage may run processes of the same number.
    """
    return target.with_name(f".{target.stem}.{secrets.token_hex(8)}.part{target.suffix}")


def publish(temporary: Path, target: Path) -> None:
    """Sync a finished file to disk and give it its name, so that a crash leaves the old or the new one."""
    sync(temporary)
    _replace(temporary, target)
    sync(target.parent)


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file and sync it, unless `durable` is False because `publish` is to sync it.

    Python reports a full disk, which GDAL hides when it closes a file.
    """
    with open_to_write(path) as file:
        write_all(file, memoryview(data))
        if durable:
            os.fsync(file.fileno())


def write_verified(path: Path, data: bytes | memoryview, target: Path) -> None:
    """Write a file, sync it, read it back and compare.

    Args:
        path: The file.
        data: Its content.
        target: The output that it becomes, for the message.

    Raises:
        WriteError: It cannot be written, or does not read back as it was written.
    """
    with disk_errors(target):
        with open_to_write(path) as file:
            write_all(file, memoryview(data))
            os.fsync(file.fileno())
        with path.open("rb") as written:
            is_same = hashlib.file_digest(written, "sha256").digest() == hashlib.sha256(data).digest()
    if not is_same:
        raise WriteError(
            f"{target}: does not read back as it was written; the disk is full or failing, write elsewhere"
        )


def write_all(file: IO[bytes], data: memoryview) -> None:
    """Write all of `data`; one unbuffered `write` may stop short."""
    done = 0
    while done < len(data):
        done += file.write(data[done:])


def sync(path: Path) -> None:
    """Flush a file, or the directory entries of a folder, to disk."""
    if path.is_dir() and sys.platform == "win32":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def disk_errors(target: str | Path) -> Iterator[None]:
    """Turn a full disk, missing permissions and the like into one `WriteError` that names `target`."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        if error.errno in _DISK_ERRORS:
            raise write_failure(target, error) from error
        raise


def _unfinished_beside(target: Path) -> str:
    """A remark on unfinished work beside an output, which nothing clears while the output stays."""
    folders = (work_folder(target), work_folder(target.with_name(f"{target.name}.pieces")))
    names = " and ".join(folder.name for folder in folders if folder.is_dir())
    if not names:
        return ""
    return f" ({names} beside it is left of a stopped run; delete it if you keep this output)"


def _is_occupied(target: Path) -> bool:
    if target.is_dir() and not target.is_symlink():
        return any(target.iterdir())
    return target.exists() or target.is_symlink()


def _replace(source: Path, target: Path) -> None:
    for attempt in range(_RENAME_TRIES):
        try:
            source.replace(target)
            return
        except PermissionError:
            # Windows refuses while a virus scanner or a viewer holds the file for a moment.
            if sys.platform != "win32" or attempt == _RENAME_TRIES - 1:
                raise
            time.sleep(0.05 * (attempt + 1))


def _sync_all(paths: Sequence[Path]) -> None:
    for path in paths:
        sync(path)


def _replace_folder(source: Path, target: Path) -> None:
    paths = sorted(source.rglob("*"))
    shares = [paths[first::_SYNC_THREADS] for first in range(_SYNC_THREADS)]
    # In several threads: thousands of chips one after the other would mostly wait for the disk.
    with ThreadPoolExecutor(_SYNC_THREADS) as pool:
        list(pool.map(_sync_all, shares))
    sync(source)
    old = target.with_name(f".{target.name}.{secrets.token_hex(8)}.old.d")
    if target.is_dir():
        target.replace(old)
    elif target.exists():
        target.unlink()
    try:
        _replace(source, target)
    except OSError:
        if old.is_dir():
            old.replace(target)
        raise
    sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)
