"""The address of a scene: a path or URL, or several with "+" between that lie on one ground.

ortho.tif+dsm.tif+s1.tif        three rasters; the first one gives the grid
ortho.tif+height=dsm26.tif      the bands of the second are called after `height`, not after its file
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .discover import RASTER_SUFFIXES, is_remote, own_path, relative_path

_NAMED = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_]*)=(?P<path>.+)")
_PRODUCT_SUFFIXES = (".safe", ".zip", ".json", ".geojson")


@dataclass(frozen=True)
class AddressPart:
    """One raster or product of an address."""

    path: str
    """Path or URL."""
    name: str = ""
    """What its bands are called after; "": after its file."""

    @property
    def text(self) -> str:
        """As it is typed."""
        return f"{self.name}={self.path}" if self.name else self.path


def address_parts(address: str) -> tuple[AddressPart, ...]:
    """The parts of an address; one for a plain path, in whose name "+" may be a letter like any other."""
    pieces = address.split("+")
    if len(pieces) == 1 or Path(address).exists():
        return (AddressPart(address),)
    parts = tuple(_part(piece) for piece in pieces)
    if not all(_may_be_raster(part.path) for part in parts):
        return (AddressPart(address),)
    return parts


def is_several(address: str) -> bool:
    """True if an address names several rasters."""
    return len(address_parts(address)) > 1


def exists(address: str) -> bool:
    """True if all local files of an address are there; of remote ones that is not known, so they count."""
    parts = [part.path for part in address_parts(address)]
    return all(is_remote(path) or Path(file_of(path)).exists() for path in parts)


def own_address(address: str) -> str:
    """The address with absolute paths, which do not depend on the folder in which a process runs."""
    return _changed(address, lambda path: str(own_path(path)))


def relative_address(address: str, folder: Path) -> str:
    """The address with paths relative to `folder`, see `relative_path`."""
    return _changed(address, lambda path: relative_path(path, folder))


def address_below(address: str, folder: Path) -> str:
    """The address that `relative_address` made, with absolute paths again."""
    return _changed(address, lambda path: os.path.normpath(folder.resolve() / path))


def _changed(address: str, change: Callable[[str], str]) -> str:
    parts = address_parts(address)
    changed = [AddressPart(_local_changed(part.path, change), part.name) for part in parts]
    return "+".join(part.text for part in changed)


def _local_changed(path: str, change: Callable[[str], str]) -> str:
    return path if is_remote(path) else change(path)


def _part(text: str) -> AddressPart:
    named = _NAMED.fullmatch(text)
    if named is None or Path(text).exists():
        return AddressPart(text)
    return AddressPart(named["path"], named["name"])


def file_of(path: str) -> str:
    """The file of a path that may name an item in it: "items.json#ID"."""
    file, _, _ = path.partition("#")
    return file if file.lower().endswith((".json", ".geojson")) else path


def _may_be_raster(path: str) -> bool:
    suffix = Path(file_of(path.split("?")[0])).suffix.lower()
    return suffix in RASTER_SUFFIXES or suffix in _PRODUCT_SUFFIXES or Path(path).is_dir()
