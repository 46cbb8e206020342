"""Label files opened with care: size first, XML without entities, JSON as a whole, and text written in one
go.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ...errors import LabelError
from ...io.atomic import write_bytes
from ...io.xmltree import xml_attribute, xml_text

MAX_JSON_BYTES = 1 << 30
MAX_RECORDS = 5_000_000
_MAX_TEXT_BYTES = 64 << 20

__all__ = [
    "MAX_RECORDS",
    "checked_list",
    "put",
    "read_bytes",
    "read_json",
    "read_text",
    "read_xml",
    "xml_attribute",
    "xml_text",
]


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a file of at most `most` bytes. Raises `LabelError`."""
    try:
        if path.stat().st_size > most:
            raise LabelError(
                f"{path}: is larger than {most >> 20} MB, too large for a label file of this kind; split it"
            )
        return path.read_bytes()
    except OSError as cause:
        raise LabelError(f"{path}: cannot be read ({cause.strerror}); check the path") from cause


def read_text(path: Path) -> str:
    """A text file. Raises `LabelError` where it is none."""
    try:
        return read_bytes(path, _MAX_TEXT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise LabelError(f"{path}: is not UTF-8 text; save it as UTF-8") from cause


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises `LabelError`."""
    try:
        return json.loads(read_bytes(path, MAX_JSON_BYTES))
    except (ValueError, RecursionError) as cause:
        raise LabelError(
            f"{path}: is no readable JSON ({' '.join(str(cause).split())[:100]}); write it again"
        ) from cause


def read_xml(path: Path, most: int = _MAX_TEXT_BYTES) -> Element:
    """The root of an XML file without document type and entities. Raises `LabelError`."""
    try:
        root: Element = fromstring(read_bytes(path, most), forbid_dtd=True)
    except DefusedXmlException as cause:
        raise LabelError(
            f"{path}: declares XML entities or a document type, which label files do not need; remove the declaration"
        ) from cause
    except (ParseError, ValueError, LookupError) as cause:
        raise LabelError(
            f"{path}: is no well-formed XML ({' '.join(str(cause).split())[:100]}); write it again"
        ) from cause
    return root


def checked_list(value: object, what: str, path: Path) -> list[dict[str, Any]]:
    """A list of objects of a JSON file. Raises `LabelError` where it is none or absurdly long."""
    if not isinstance(value, list):
        raise LabelError(
            f"{path}: has no list of {what}, which files of this kind have; write it again, or say another --format"
        )
    if len(value) > MAX_RECORDS:
        raise LabelError(f"{path}: lists {len(value)} {what}, at most {MAX_RECORDS} are read; split it")
    wrong = next((place for place, item in enumerate(value) if not isinstance(item, dict)), None)
    if wrong is not None:
        raise LabelError(
            f"{path}: item {wrong} of {what} is no object: {str(value[wrong])[:60]}; correct or delete it"
        )
    return value


def put(folder: Path, name: str, data: str | bytes) -> None:
    """Write a file of a folder that is being made, with the folders that its name has."""
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, data.encode() if isinstance(data, str) else data)
