"""Files that must stay as they are while they are read: a scene, the files of a VRT, a label raster."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import SceneChangedError, SceneError

_HEADER_BYTES = 65536


@dataclass(frozen=True)
class FileState:
    """What is compared of a file: a change of its content changes one of these."""

    path: str
    """The file."""
    size: int
    """Bytes."""
    mtime_ns: int
    """Time of the last change."""
    inode: int
    """Which file has the name: another one may have been moved there."""
    header_sha256: str
    """SHA-256 of the first 64 KiB."""

    @classmethod
    def of(cls, path: str | Path) -> FileState:
        """The present state of a file.

        Raises:
            SceneError: It cannot be read.
        """
        try:
            status = Path(path).stat()
            header = header_digest(path).hexdigest()
        except OSError as cause:
            raise SceneError(
                f"{path}: cannot be read any more ({cause.strerror}); put it back and run the same command "
                "again"
            ) from cause
        return cls(str(path), status.st_size, status.st_mtime_ns, status.st_ino, header)

    def refuse_if_changed(self) -> None:
        """Compare with the present state.

        Raises:
            SceneChangedError: The file has changed.
            SceneError: It cannot be read.
        """
        now = FileState.of(self.path)
        if now == self:
            return
        if now.size != self.size:
            what = f"{self.size} bytes became {now.size}"
        elif now.inode != self.inode:
            what = "another file has its name now"
        else:
            what = "it was written to"
        raise SceneChangedError(
            f"{self.path}: changed while it was in use ({what}), so the result would mix old and new and is "
            "not kept; run the same command again when the file is complete"
        )


def header_digest(path: str | Path) -> hashlib._Hash:
    """SHA-256 of the first 64 KiB of a file. Raises `OSError`."""
    with Path(path).open("rb") as file:
        return hashlib.sha256(file.read(_HEADER_BYTES))


def fingerprint_of(paths: Sequence[str]) -> dict[str, str | int]:
    """What changes with any of several files, see `Scene.fingerprint`. Raises `SceneError`."""
    states = states_of(paths)
    text = " ".join(f"{state.size} {state.header_sha256}" for state in states)
    return {
        "size": sum(state.size for state in states),
        "mtime_ns": max((state.mtime_ns for state in states), default=0),
        "header_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def states_of(paths: Sequence[str | Path]) -> tuple[FileState, ...]:
    """The present states of files. Raises `SceneError`."""
    return tuple(FileState.of(path) for path in paths)


def refuse_changed(states: Sequence[FileState]) -> None:
    """Compare files with their states. Raises `SceneChangedError` for the first that differs."""
    for state in states:
        state.refuse_if_changed()
