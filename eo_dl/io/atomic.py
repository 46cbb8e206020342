"""Outputs that are either whole under their name or not there at all.

Everything is written beside its target, synced to disk, then renamed. What a killed run leaves has a
name that says so (`.NAME.<pid>.part.SUFFIX`, `NAME.part.d`) and is never read as a result.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import InputError, OutputExistsError, WriteError

_COUNTER = itertools.count()
_SYNC_THREADS = 8
_RENAME_TRIES = 10
# What the disk or the rights say; any other OSError inside a writing block is somebody else's.
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
    """The one line that says which output could not be written, and why."""
    cause = error.strerror or str(error)
    advice = _ADVICE.get(error.errno or 0, "check the folder's rights and the disk")
    failure = WriteError(f"{path}: could not be written ({cause}); {advice}")
    failure.errno = error.errno
    return failure


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """Check, before any work, that `path` may be written.

    An empty folder counts as not existing. Raises `OutputExistsError` where something is there and
    `overwrite` is False, `InputError` where the parent folder is missing, `WriteError` where it cannot be
    written to.
    """
    target = Path(path)
    if _is_occupied(target) and not overwrite:
        raise OutputExistsError(f"{target}: exists already; choose another name or give --overwrite")
    parent = target.parent
    if not parent.is_dir():
        raise InputError(f"{target}: the folder {parent} does not exist; make it first (mkdir -p)")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise WriteError(
            f"{target}: the folder {parent} cannot be written to; choose another or change its rights"
        )


@contextlib.contextmanager
def atomic_file(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary name of the same suffix beside `path`; renamed to `path` when the block ends well, removed
    when not.

    Raises `WriteError` where the disk or the rights stop it.
    """
    target = Path(path)
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
    """A folder `PATH.part.d`; renamed to `path` when the block ends well, removed when not.

    With `marker`, an existing folder is replaced only if it holds a file of that name: `--overwrite` on a
    mistyped folder must not delete somebody's pictures. Raises as `refuse_existing` does.
    """
    target = Path(path)
    refuse_existing(target, overwrite)
    if marker is not None and _is_occupied(target) and not (target / marker).is_file():
        raise OutputExistsError(
            f"{target}: holds no {marker}, so it is not one of ours and is not overwritten; choose another folder"
        )
    temporary = work_folder(target)
    try:
        with disk_errors(target):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            yield temporary
            _replace_folder(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def work_folder(target: Path) -> Path:
    """`NAME.part.d` beside the target, where unfinished work is kept."""
    return target.with_name(f"{target.name}.part.d")


def part_name(target: Path) -> Path:
    """A hidden name beside the target, of the same suffix (drivers go by it), used by nobody else."""
    return target.with_name(f".{target.stem}.{os.getpid()}.{next(_COUNTER)}.part{target.suffix}")


def publish(temporary: Path, target: Path) -> None:
    """Sync a finished file to disk and give it its name, so that a crash leaves the old one or the new one."""
    sync(temporary)
    _replace(temporary, target)
    sync(target.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file anew and sync it. Python reports what GDAL's close hides: a full disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Ask the system to bring a file, or the names in a folder, to the disk."""
    if path.is_dir() and sys.platform == "win32":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def disk_errors(target: str | Path) -> Iterator[None]:
    """Turn a full disk, a missing right and the like into one `WriteError` that names `target`."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        if error.errno in _DISK_ERRORS:
            raise write_failure(target, error) from error
        raise


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
    inside = sorted(source.rglob("*"))
    # thousands of chips one after the other would wait for the disk most of the time
    with ThreadPoolExecutor(_SYNC_THREADS) as pool:
        for _ in pool.map(_sync_all, (inside[first::_SYNC_THREADS] for first in range(_SYNC_THREADS))):
            pass
    sync(source)
    old = target.with_name(f".{target.name}.{os.getpid()}.old.d")
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
