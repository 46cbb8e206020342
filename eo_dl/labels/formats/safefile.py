"""Label files opened with care: size limits, XML without entities, values checked."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ...errors import LabelError
from ...io.atomic import write_bytes
from ...io.confined import inside

MAX_JSON_BYTES = 1 << 30
MAX_RECORDS = 5_000_000
_MAX_TEXT_BYTES = 64 << 20


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a file.

    Raises:
        LabelError: The file cannot be read or has more than `most` bytes.
    """
    try:
        if path.stat().st_size > most:
            raise LabelError(
                f"{path}: is larger than {most >> 20} MB, the most for such a label file; split it"
            )
        return path.read_bytes()
    except OSError as cause:
        raise LabelError(f"{path}: cannot be read ({cause.strerror}); check the path") from cause


def read_text(path: Path) -> str:
    """The text of a file in UTF-8.

    Raises:
        LabelError: The file cannot be read, is too large, or is not UTF-8.
    """
    try:
        return read_bytes(path, _MAX_TEXT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise LabelError(f"{path}: is not UTF-8 text; save it as UTF-8") from cause


def read_json(path: Path) -> Any:
    """The document in a JSON file.

    Raises:
        LabelError: The file cannot be read, is too large, or is not JSON.
    """
    try:
        return json.loads(read_bytes(path, MAX_JSON_BYTES))
    except (ValueError, RecursionError) as cause:
        raise LabelError(f"{path}: is not valid JSON ({one_line(cause)}); export it again") from cause


def read_xml(path: Path, most: int = _MAX_TEXT_BYTES) -> Element:
    """The root element of an XML file without document type and entities.

    Raises:
        LabelError: The file cannot be read, has more than `most` bytes, is not XML, or declares entities.
    """
    try:
        root: Element = fromstring(read_bytes(path, most), forbid_dtd=True)
    except DefusedXmlException as cause:
        raise LabelError(
            f"{path}: declares XML entities or a document type, which label files do not need; "
            "remove the declaration"
        ) from cause
    except (ParseError, ValueError, LookupError) as cause:
        raise LabelError(f"{path}: is not well-formed XML ({one_line(cause)}); export it again") from cause
    return root


def one_line(cause: BaseException) -> str:
    """The message of an error on one line of at most 120 characters."""
    return " ".join(str(cause).split())[:120]


def checked_list(value: object, what: str, path: Path) -> list[dict[str, Any]]:
    """A list of objects in a JSON file.

    Raises:
        LabelError: `value` is not a list of objects, or has more than `MAX_RECORDS`.
    """
    if not isinstance(value, list):
        raise LabelError(f"{path}: has no list of {what}; export it again, or set another `format`")
    if len(value) > MAX_RECORDS:
        raise LabelError(f"{path}: lists {len(value)} {what}, at most {MAX_RECORDS} are read; split it")
    for number, item in enumerate(value):
        if not isinstance(item, dict):
            raise LabelError(
                f"{path}: item {number} of {what} is not an object: {str(item)[:60]}; correct or delete it"
            )
    return value


def checked_score(value: object) -> float | None:
    """The score of an object in a JSON file, None if there is none.

    Raises:
        ValueError: `value` is not a finite number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"the score {str(value)[:40]!r} is not a number")
    return float(value)


def image_size(width: object, height: object) -> tuple[int, int] | None:
    """The (width, height) of an image as a JSON file says; None if it does not."""
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        return width, height
    return None


def put(folder: Path, name: str, data: str | bytes) -> None:
    """Write a file into a folder that is being made; `name` may contain subfolders.

    Raises:
        InputError: The name leads out of the folder.
    """
    target = inside(folder, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, data.encode() if isinstance(data, str) else data)
