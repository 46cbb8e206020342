"""Building XML: elements with their attributes, text and children in one call."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from xml.etree.ElementTree import Element, tostring
from xml.sax.saxutils import escape, quoteattr

# Everything outside the characters that XML 1.0 can hold, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

NO_ATTRIBUTES: Mapping[str, str] = {}


def element(
    tag: str,
    attributes: Mapping[str, str] = NO_ATTRIBUTES,
    children: Iterable[Element] = (),
    text: str = "",
) -> Element:
    """An element. Characters that XML cannot hold are left out of `text` and attribute values."""
    made = Element(tag, {name: _allowed(value) for name, value in attributes.items()})
    made.text = _allowed(text) or None
    made.extend(children)
    return made


def to_xml(root: Element) -> str:
    """The element as XML on one line."""
    return tostring(root, encoding="unicode")


def xml_text(text: str) -> str:
    """Text as XML content. Characters that XML cannot hold are left out."""
    return escape(_allowed(text))


def xml_attribute(text: str) -> str:
    """Text as a quoted XML attribute. Characters that XML cannot hold are left out."""
    return quoteattr(_allowed(text))


def _allowed(text: str) -> str:
    return _NOT_XML.sub("", text)
