"""Finished pieces of a run, kept on disk until the output is written, so that a killed run continues.

For outputs that cannot be written row by row (vectors, rasters of whole chips). Each piece is a file in
`OUT.pieces.part.d`; the journal holds a number and SHA-256 per piece. A torn piece invalidates itself and all
later ones, as a torn line does.
"""

from __future__ import annotations

import hashlib
import io
import re
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
import shapely

from ..core.arrays import Objects
from ..core.arraytypes import AnyArray, GeometryArray, Int64Array, UInt8Array
from ..errors import SceneChangedError
from ..io import companions
from ..io.arrayfiles import load_arrays
from ..io.atomic import disk_errors, work_folder, write_bytes
from ..io.journal import Journal, is_of_job, mark_job, read_entries
from ..io.workfolder import claim_folder, clear_folder

_FILES = re.compile(rf"piece_\d+\.npz|journal|job\.json|{re.escape(companions.NOTE)}")


def pieces_folder(target: Path) -> Path:
    """`NAME.pieces.part.d` beside the target.

    Not `work_folder(target)`: a raster of whole chips is made from pieces by a `RasterWriter`, which keeps
    its rows there and deletes the folder when it is done.
    """
    return work_folder(target.with_name(f"{target.name}.pieces"))


class Pieces(Protocol):
    """Numbered pieces of an output: those of this run (`Spool`) or of many machines (`rowpieces`)."""

    @property
    def count(self) -> int:
        """Number of pieces."""
        ...

    def store(self, arrays: dict[str, AnyArray]) -> None:
        """Add a piece."""
        ...

    def load(self, number: int) -> dict[str, AnyArray]:
        """The arrays of a piece."""
        ...


class Spool:
    """Numbered pieces of an unfinished output. A context manager.

    Leaving the block normally removes the pieces; leaving it by an exception keeps them for the next run.

    Args:
        target: The output; pieces are kept in `pieces_folder(target)` beside it.
        job_key: Identifies the work. Pieces of an earlier run with the same key are reused. None: nothing is
            kept for a later run.
    """

    def __init__(self, target: Path, job_key: str | None) -> None:
        self._target = target
        self._folder = pieces_folder(target)
        self._job_key = job_key
        self._hashes: list[str] = []

    def __enter__(self) -> Spool:
        journal_path = self._folder / "journal"
        with disk_errors(self._target):
            claim_folder(self._folder, _FILES)
            if self._job_key is not None and is_of_job(self._folder, self._job_key):
                self._hashes = self._verified(journal_path)
            else:
                clear_folder(self._folder, _FILES)
                claim_folder(self._folder, _FILES)
                mark_job(self._folder, self._job_key or "")
            entries = [_entry(number, digest) for number, digest in enumerate(self._hashes)]
            self._journal = Journal(journal_path, entries)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, SceneChangedError):
            self._hashes = []  # of a scene that is gone
        if error is None or self._job_key is None or not self._hashes:
            clear_folder(self._folder, _FILES)

    @property
    def count(self) -> int:
        """Number of pieces on disk."""
        return len(self._hashes)

    def store(self, arrays: dict[str, AnyArray]) -> None:
        """Add a piece: arrays by name. Raises `WriteError` if the disk is full."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # stubs take names for options
        data = buffer.getvalue()
        digest = hashlib.sha256(data).hexdigest()
        with disk_errors(self._target):
            write_bytes(self._piece(self.count), data)
            self._journal.append(_entry(self.count, digest))
        self._hashes.append(digest)

    def load(self, number: int) -> dict[str, AnyArray]:
        """The arrays of a piece."""
        return load_arrays(self._piece(number))

    def _piece(self, number: int) -> Path:
        return self._folder / f"piece_{number:06d}.npz"

    def _verified(self, journal_path: Path) -> list[str]:
        """Hashes of the pieces, up to the first that differs from its journal entry."""
        hashes: list[str] = []
        for entry in read_entries(journal_path):
            piece = self._piece(len(hashes))
            if not piece.exists():
                break
            digest = hashlib.sha256(piece.read_bytes()).hexdigest()
            if entry != _entry(len(hashes), digest):
                break
            hashes.append(digest)
        return hashes


def _entry(number: int, digest: str) -> str:
    return f"{number} {digest}"


def pack_objects(objects: Objects) -> dict[str, AnyArray]:
    """Objects as plain arrays, outlines as WKB in one array of bytes."""
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
        polygons = _geometries(packed["wkb"].astype(np.uint8), packed["wkb_lengths"].astype(np.int64))
    return Objects(
        boxes=packed["boxes"].astype(np.float64),
        class_ids=packed["class_ids"].astype(np.int64),
        scores=packed["scores"].astype(np.float32),
        polygons=polygons,
    )


def _geometries(wkb: UInt8Array, lengths: Int64Array) -> GeometryArray:
    data = wkb.tobytes()
    edges = [0, *np.cumsum(lengths).tolist()]
    texts = [data[start:stop] for start, stop in pairwise(edges)]
    return np.asarray(shapely.from_wkb(np.array(texts, dtype=object)), dtype=object)
