"""Finished pieces of a run, kept on disk beside the output until all are in, so that a killed run can go on.

For outputs that cannot be written row by row (vectors). Each piece is a file of its own in `OUT.part.d`,
synced before its line in the journal; a line carries the piece's SHA-256 and its own CRC, so a torn piece or
a torn line ends what is believed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import zlib
from pathlib import Path
from types import TracebackType

import numpy as np
import shapely

from ..core.arrays import Objects
from ..core.arraytypes import AnyArray, GeometryArray
from ..io.atomic import disk_errors, work_folder, write_bytes


class Spool:
    """Pieces in order. A context manager: leaving it well removes the folder, leaving it by an error keeps
    it.

    `count`: pieces of an earlier run with the same `job_key`, already here. Without a `job_key` nothing is
    kept for later.
    """

    def __init__(self, target: Path, job_key: str | None) -> None:
        self._target, self._folder, self._job_key = target, work_folder(target), job_key
        self._hashes: list[str] = []

    def __enter__(self) -> Spool:
        with disk_errors(self._target):
            if self._job_key is not None and self._is_ours():
                self._hashes = self._believed()
            else:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder.mkdir()
                write_bytes(self._folder / "job.json", json.dumps({"job_key": self._job_key or ""}).encode())
            self._write_journal()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or self._job_key is None or not self._hashes:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def count(self) -> int:
        """Pieces that are in."""
        return len(self._hashes)

    def store(self, arrays: dict[str, AnyArray]) -> None:
        """Add a piece. Raises `WriteError` where the disk is full."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stubs take the names for options
        data = buffer.getvalue()
        with disk_errors(self._target):
            write_bytes(self._piece(self.count), data)
            self._hashes.append(hashlib.sha256(data).hexdigest())
            with self._journal.open("a", encoding="ascii") as file:
                file.write(_line(self.count - 1, self._hashes[-1]))
                file.flush()
                os.fsync(file.fileno())

    def load(self, number: int) -> dict[str, AnyArray]:
        """A piece that is in."""
        with np.load(self._piece(number), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}

    @property
    def _journal(self) -> Path:
        return self._folder / "journal"

    def _piece(self, number: int) -> Path:
        return self._folder / f"piece_{number:06d}.npz"

    def _is_ours(self) -> bool:
        try:
            return bool(json.loads((self._folder / "job.json").read_text())["job_key"] == self._job_key)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _believed(self) -> list[str]:
        """Hashes of the pieces up to the first that is not as the journal says."""
        hashes: list[str] = []
        for line in (
            self._journal.read_text(encoding="ascii", errors="replace").splitlines(keepends=True)
            if self._journal.exists()
            else []
        ):
            number, digest = len(hashes), line.split(" ")[1] if line.count(" ") == 2 else ""
            piece = self._piece(number)
            if (
                line != _line(number, digest)
                or not piece.exists()
                or hashlib.sha256(piece.read_bytes()).hexdigest() != digest
            ):
                break
            hashes.append(digest)
        return hashes

    def _write_journal(self) -> None:
        """Anew, without what is not believed, so that later lines follow whole ones."""
        part = self._journal.with_suffix(".new")
        write_bytes(part, "".join(_line(i, digest) for i, digest in enumerate(self._hashes)).encode())
        part.replace(self._journal)


def _line(number: int, digest: str) -> str:
    text = f"{number} {digest}"
    return f"{text} {zlib.crc32(text.encode()):08x}\n"


def pack_objects(objects: Objects) -> dict[str, AnyArray]:
    """Objects as plain arrays (outlines as WKB in one run of bytes)."""
    packed: dict[str, AnyArray] = {
        "boxes": objects.boxes,
        "class_ids": objects.class_ids,
        "scores": objects.scores,
    }
    if len(objects.polygons):
        texts = [bytes(text) for text in shapely.to_wkb(objects.polygons)]
        packed["wkb"] = np.frombuffer(b"".join(texts), np.uint8)
        packed["wkb_lengths"] = np.array([len(text) for text in texts], np.int64)
    return packed


def unpack_objects(packed: dict[str, AnyArray]) -> Objects:
    """The objects of `pack_objects`, bit for bit."""
    polygons: GeometryArray = np.empty(0, dtype=object)
    if "wkb" in packed:
        stops = np.cumsum(packed["wkb_lengths"].astype(np.int64))
        data = packed["wkb"].tobytes()
        texts = [
            data[stop - length : stop]
            for stop, length in zip(stops.tolist(), packed["wkb_lengths"].tolist(), strict=True)
        ]
        polygons = np.asarray(shapely.from_wkb(np.array(texts, dtype=object)), dtype=object)
    return Objects(
        packed["boxes"].astype(np.float64),
        packed["class_ids"].astype(np.int64),
        packed["scores"].astype(np.float32),
        polygons,
    )
