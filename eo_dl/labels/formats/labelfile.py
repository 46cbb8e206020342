"""`LabelFile`: a file whose format has to be recognised, and the outline of its JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ...errors import LabelError

_HEAD_BYTES = 1 << 20
_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
# Any text up to a bracket or a string, and the colon that makes the string a key. The string may be cut off
# at its end. Nothing backtracks, so hostile text costs no more time than any other.
_JSON_TOKEN = re.compile(
    rb'[^"\[\]{}]*+(?:"(?P<text>[^"\\]*+(?:\\.[^"\\]*+)*+)(?P<end>"?)(?P<colon>\s*:)?|(?P<bracket>[\[\]{}]))',
    re.DOTALL,
)


@dataclass(frozen=True)
class JsonOutline:
    """The outermost keys of a JSON document, as far as its first megabyte shows them."""

    outer: str = ""
    """"{" for an object, "[" for a list, whose first object is outlined; "" if it is not JSON."""

    members: Mapping[str, str] = field(default_factory=dict)
    """Key to the bracket that opens its value; "" for values that are neither object nor list."""

    texts: Mapping[str, str] = field(default_factory=dict)
    """Key to its value, for values that are strings."""


class LabelFile:
    """A file whose format has to be recognised. Its start is read once, when a format asks for it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.suffix = path.suffix.lower()

    @cached_property
    def head(self) -> bytes:
        """The first megabyte, without a byte order mark.

        Raises:
            LabelError: The file does not exist or cannot be read.
        """
        if not self.path.exists():
            raise LabelError(f"{self.path}: no such file; check the path of the labels")
        try:
            with self.path.open("rb") as file:
                return file.read(_HEAD_BYTES).removeprefix(_BOM)
        except OSError as cause:
            raise LabelError(
                f"{self.path}: cannot be read ({cause.strerror}); check its permissions"
            ) from cause

    @cached_property
    def tail(self) -> bytes:
        """The last megabyte."""
        with self.path.open("rb") as file:
            file.seek(max(self.path.stat().st_size - _HEAD_BYTES, 0))
            return file.read()

    @cached_property
    def text(self) -> str:
        """The head as text; bytes that its encoding does not have are replaced."""
        return self.head.decode(text_encoding(self.head), "replace")

    @cached_property
    def json(self) -> JsonOutline:
        """The outermost keys, if the head is JSON."""
        return json_outline(self.head)


def text_encoding(head: bytes) -> str:
    """The encoding of a text by its first bytes: UTF-16 where a byte order mark says so, else UTF-8."""
    return "utf-16" if head.startswith(_UTF16_BOMS) else "utf-8-sig"


def json_outline(head: bytes) -> JsonOutline:
    """The outermost keys of the start of a JSON document.

    Only brackets and strings are looked at, so a document that is cut off, or too large to be parsed for
    this, can be outlined too.
    """
    start = head.lstrip()[:1].decode("latin-1")
    if start not in ("{", "["):
        return JsonOutline()
    level = 1 if start == "{" else 2  # of a list, the keys of its first object
    members: dict[str, str] = {}
    texts: dict[str, str] = {}
    depth = 0
    key: str | None = None  # the last key at `level`, until its value was met
    for token in _tokens(head):
        bracket = token["bracket"]
        if bracket in (b"{", b"["):
            if depth == level and key is not None:
                members[key], key = bracket.decode(), None
            depth += 1
        elif bracket is not None:
            depth -= 1
            if start == "[" and depth == 1:
                break  # the first object is complete
        elif depth == level and token["colon"] is not None:
            key = token["text"].decode("utf-8", "replace")
            members[key] = ""
        elif depth == level and key is not None:
            texts[key], key = token["text"].decode("utf-8", "replace"), None
    return JsonOutline(start, members, texts)


def _tokens(head: bytes) -> Iterator[re.Match[bytes]]:
    """The brackets and whole strings of a document, in order."""
    position = 0
    while token := _JSON_TOKEN.match(head, position):
        if token["bracket"] is None and not token["end"]:
            return  # a string that is cut off
        yield token
        position = token.end()
