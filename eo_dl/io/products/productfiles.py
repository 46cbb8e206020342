"""`ProductFiles`: the files of a product in a folder or a zip archive; nothing outside it is read."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from ...errors import SceneError
from ..confined import leads_outside
from ..filestate import FileState
from ..gate import driver_of_bytes
from ..scenefile import SceneFile, describe, describe_in_archive
from .kinds import archive_names

_MOST_TEXT_BYTES = 32 * 2**20
_MOST_NAMES = 20_000
_HEAD_BYTES = 64


@dataclass(frozen=True)
class ProductFiles:
    """Files below a folder, or in an archive."""

    root: Path
    """The folder or the zip archive."""
    trust_links: bool
    """Follow links that lead out of the folder."""

    @property
    def zipped(self) -> bool:
        """True for an archive."""
        return self.root.is_file()

    def names(self) -> list[str]:
        """The names of all files, with forward slashes, sorted."""
        if self.zipped:
            return archive_names(self.root)
        names = []
        for path in self.root.rglob("*"):
            if path.is_file():
                names.append(path.relative_to(self.root).as_posix())
            if len(names) > _MOST_NAMES:
                raise SceneError(
                    f"{self.root}: holds more than {_MOST_NAMES} files, so it is no product; name its folder"
                )
        return sorted(names)

    def text(self, name: str) -> str:
        """The text of a file.

        Raises:
            SceneError: It is too large, or no text.
        """
        try:
            return self._bytes(name, _MOST_TEXT_BYTES).decode("utf-8")
        except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as cause:
            raise SceneError(
                f"{self.root}: its file {name} cannot be read ({cause}); copy or download the product again"
            ) from cause

    def xml(self, name: str) -> Element:
        """The root of an XML file, with tags without their namespaces.

        Raises:
            SceneError: It is no XML, or declares entities.
        """
        text = self.text(name)
        try:
            root: Element = ElementTree.fromstring(text, forbid_dtd=True)
        except (ElementTree.ParseError, DefusedXmlException, ValueError) as cause:
            raise SceneError(
                f"{self.root}: its file {name} is not well-formed XML ({cause}); copy or download the "
                "product again"
            ) from cause
        for element in root.iter():
            if isinstance(element.tag, str):
                element.tag = element.tag.rpartition("}")[2]
        return root

    def raster(self, name: str) -> SceneFile:
        """What a raster of the product says about itself. Its nodata value is for the product to say.

        Raises:
            SceneError: It is missing or damaged, or leads out of the product.
        """
        if not self.zipped:
            return describe(str(self._inside(name)), nodata="none", crs=None, trust_vrt=False)
        try:
            with zipfile.ZipFile(self.root) as archive, archive.open(name) as member:
                driver = driver_of_bytes(member.read(_HEAD_BYTES))
        except (OSError, zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError) as cause:
            raise SceneError(
                f"{self.root}: its file {name} cannot be read ({cause}); copy or download the archive again"
            ) from cause
        if driver is None:
            raise SceneError(f"{self.root}: its file {name} is no raster; copy or download the archive again")
        return describe_in_archive(self.root, name, driver)

    def states(self, *names: str) -> tuple[FileState, ...]:
        """The present state of files, by which changes are noticed; of an archive, its own."""
        if self.zipped:
            return (FileState.of(self.root),)
        return tuple(FileState.of(self._inside(name)) for name in names)

    def _inside(self, name: str) -> Path:
        path = self.root / name
        if leads_outside(name):
            raise SceneError(f"{self.root}: names the file {name[:80]!r}, which leads out of the product")
        if not self.trust_links and not path.resolve().is_relative_to(self.root.resolve()):
            raise SceneError(
                f"{self.root}: its file {name} is a link to another place; if you made it yourself, set "
                "`trust_vrt=True`"
            )
        return path

    def _bytes(self, name: str, most: int) -> bytes:
        if self.zipped:
            with zipfile.ZipFile(self.root) as archive, archive.open(name) as member:
                data = member.read(most + 1)
        else:
            with self._inside(name).open("rb") as file:
                data = file.read(most + 1)
        if len(data) > most:
            raise SceneError(
                f"{self.root}: its file {name} is larger than {most >> 20} MB, so it is no metadata"
            )
        return data


def product_files(path: Path, trust_links: bool) -> ProductFiles:
    """The files of a product that is named by its folder, its archive or its metadata file."""
    is_metadata = path.is_file() and path.suffix.lower() != ".zip"
    return ProductFiles(path.parent if is_metadata else path, trust_links)


def name_of(path: str) -> str:
    """The last part of a name in a product."""
    return PurePosixPath(path).name
