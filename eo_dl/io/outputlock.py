"""One writer per output, whatever its kind: raster, layer, chip set, model, report, folder of maps or labels.

The lock is the file `.NAME.lock` beside the output, locked by the system: that of a dead process does not
block. Its text says who is writing. A run deletes it at its end, so one that is found was left by a killed
run, whose other leftovers are cleared then.

Why not the package filelock: it does not say who holds a lock, and leaves the file behind on Unix. Why
`lockf` and not `flock`: child processes (readers of chips) inherit a lock of `flock` and would keep it after
the run was killed.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import inspect
import logging
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

from ..errors import WriteError
from .confined import open_to_write
from .leftovers import clear_leftovers

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

_MARK = b"eo_dl lock\n"
_MOST_TEXT = 1000
_LOCKED_BYTE = 2**20  # Windows forbids others to read what is locked, so that is no byte of the text
_BUSY = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
_TRIES, _PAUSE_S = 20, 0.01
_MOST_NAME = 200  # characters; with the rest of its name, a lock stays below the limit of file systems


@dataclass
class _Held:
    """An output that this process is writing."""

    file: IO[bytes] | None
    """The lock; None on a file system without locks."""
    thread: int
    process: int
    runs: int = 0
    """Runs in this thread that hold the lock, one inside the other."""
    writing: bool = False
    """True while a writer holds it."""


_guard = threading.Lock()
_held: dict[Path, _Held] = {}


@contextlib.contextmanager
def run_lock(target: str | Path) -> Iterator[None]:
    """Inside the block, no other run writes `target`; a run within this one, in the same thread, may.

    Without a folder to write in there is no lock: the run is about to be refused.

    Raises:
        WriteError: Somebody else is writing it; the message says who.
    """
    path = _lock_path(target)
    if path is None:
        yield
        return
    with _guard:
        held = _held_here(path)
        if held is None:
            held = _acquire(path, Path(target))
        held.runs += 1
    try:
        yield
    finally:
        with _guard:
            held.runs -= 1
            _release_unused(path, held)


@contextlib.contextmanager
def writer_lock(target: str | Path) -> Iterator[None]:
    """Inside the block, nobody else writes `target`; the run that the writer belongs to may hold its lock.

    Raises:
        WriteError: Somebody else is writing it, or another writer of this run; the message says who.
    """
    path = _lock_path(target)
    if path is None:
        yield
        return
    with _guard:
        held = _held_here(path)
        if held is None or held.writing:
            held = _acquire(path, Path(target))
        held.writing = True
    try:
        yield
    finally:
        with _guard:
            held.writing = False
            _release_unused(path, held)


def locks_output(verb: Callable[P, R]) -> Callable[P, R]:
    """A function that holds the lock of its argument `out` (a path, or None for no output)."""
    signature = inspect.signature(verb)

    @functools.wraps(verb)
    def _locked(*args: P.args, **kwargs: P.kwargs) -> R:
        out = signature.bind_partial(*args, **kwargs).arguments.get("out")
        if not isinstance(out, str | Path):
            return verb(*args, **kwargs)
        with run_lock(out):
            return verb(*args, **kwargs)

    return _locked


def _lock_path(target: str | Path) -> Path | None:
    path = Path(target)
    if path.name in ("", ".."):
        path = path.resolve()
    parent = path.parent.resolve()
    if not path.name or not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        return None
    name = path.name
    if len(os.fsencode(name)) > _MOST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return parent / f".{name}.lock"


def _held_here(path: Path) -> _Held | None:
    """The lock if this thread holds it. A forked child does not hold the locks of its parent."""
    held = _held.get(path)
    if held is not None and held.process != os.getpid():
        del _held[path]
        return None
    return held if held is not None and held.thread == threading.get_ident() else None


def _acquire(path: Path, target: Path) -> _Held:
    if path in _held:
        raise _busy(target, "by this process already")
    try:
        held = _acquire_file(path, target)
    except OSError as error:
        if isinstance(error, WriteError):
            raise
        failure = WriteError(
            f"{path}: cannot be locked ({error.strerror or error}); remove it if nobody is writing {target}"
        )
        failure.errno = error.errno
        raise failure from error
    _held[path] = held
    return held


def _acquire_file(path: Path, target: Path) -> _Held:
    owner = ""
    for _ in range(_TRIES):
        is_stale = path.exists()
        file = open_to_write(path, keep=True)
        try:
            has_lock = _lock(file, path)
            if has_lock and _is_still(file, path):
                _note_owner(file, path)
                if is_stale:
                    clear_leftovers(target)
                return _Held(file, threading.get_ident(), os.getpid())
            if not has_lock:
                owner = _owner(file)
                if owner and not _is_dead(owner):
                    raise _busy(target, f"by {owner}")
        except BaseException:
            file.close()
            raise
        file.close()  # its owner has just ended, or has not noted its name yet
        time.sleep(_PAUSE_S)
    raise _busy(target, f"by {owner or 'another process'}")


def _release_unused(path: Path, held: _Held) -> None:
    if held.runs or held.writing or held.process != os.getpid():
        return
    _held.pop(path, None)
    if held.file is None:
        return
    if sys.platform != "win32":
        # Before the lock is lost, or it might be the file of the next run.
        path.unlink(missing_ok=True)
    held.file.close()
    if sys.platform == "win32":
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _lock(file: IO[bytes], path: Path) -> bool:
    """Lock an open file; False if another process holds it."""
    try:
        _lock_by_system(file)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        log.warning(
            "%s: this file system has no locks (%s), so a second run that writes the same is not noticed",
            path,
            error.strerror,
        )
    return True


def _lock_by_system(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt  # does not exist elsewhere

        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl  # does not exist on Windows

        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_still(file: IO[bytes], path: Path) -> bool:
    """False if the owner before us has deleted the file between our opening and locking it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _note_owner(file: IO[bytes], path: Path) -> None:
    text = _text(file)
    if text and not text.startswith(_MARK):
        raise WriteError(f"{path}: was not written by eo_dl, which keeps a lock there; move it away")
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    owner = f"{_command()} (process {os.getpid()} on {socket.gethostname()}, since {since})\n"
    file.seek(0)
    file.truncate()
    file.write(_MARK + owner.encode())


def _owner(file: IO[bytes]) -> str:
    """Who holds a lock, as noted in its file; empty if nothing readable is noted."""
    owner = _text(file).removeprefix(_MARK).decode(errors="replace").strip()
    return owner if owner.isprintable() else ""


def _is_dead(owner: str) -> bool:
    """True if the noted process is one of this machine that has ended."""
    process = re.search(rf"process (\d{{1,9}}) on {re.escape(socket.gethostname())},", owner)
    return process is not None and not _is_alive(int(process[1]))


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _text(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(_MOST_TEXT)


def _command() -> str:
    """The command of this process without its arguments, which may hold secrets."""
    words = []
    for word in sys.argv[1:]:
        if re.fullmatch(r"[a-z][a-z-]{0,20}", word) is None:
            break
        words.append(word)
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    if program in ("__main__.py", "eo-dl.exe"):  # python -m eo_dl_cli
        program = "eo-dl"
    return " ".join([program, *words[:2]])[:100]


def _busy(target: Path, who: str) -> WriteError:
    return WriteError(f"{target}: is being written {who}; wait for it, or choose another name")
