"""Arrays in `.npz` files that may lie about their size."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np

from ..core.arraytypes import AnyArray

MOST_BYTES = 8 * 2**30
"""The largest content of a file."""


def load_arrays(path: Path, most_bytes: int = MOST_BYTES) -> dict[str, AnyArray]:
    """The arrays of an `.npz` file, checked before memory is taken for them; nothing is unpickled.

    Args:
        path: The file.
        most_bytes: The largest content, unpacked.

    Raises:
        ValueError: The content is larger, or an array has another size than its header says.
        zipfile.BadZipFile: The file is damaged, or none.
    """
    with zipfile.ZipFile(path) as archive:
        total = sum(entry.file_size for entry in archive.infolist())
        if total > most_bytes:
            raise ValueError(f"unpacks to {total} bytes, more than {most_bytes}")
        for entry in archive.infolist():
            _check_member(archive, entry)
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _check_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    with archive.open(entry) as member:
        version = np.lib.format.read_magic(member)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(member)
        stated = member.tell() + math.prod(shape) * dtype.itemsize
    if stated != entry.file_size or dtype.hasobject:
        raise ValueError(f"{entry.filename} is to hold {stated} bytes and has {entry.file_size}")
