"""Cards and tables in HTML, made of plain values: shown for public values in a notebook."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

_TABLE_STYLE = "border-collapse:collapse;font-size:90%;margin:.3em 0"
_NAME_STYLE = "text-align:left;padding-right:1em"


def card(title: str, rows: Iterable[tuple[str, object]], picture: bytes | None = None) -> str:
    """A titled table of names and values, with a PNG to its left. Every text is escaped."""
    cells = "".join(_name_and_value(name, value) for name, value in rows)
    image = ""
    if picture:
        image = f"<img style='max-height:260px;margin-right:1.2em' src='{inline_png(picture)}'>"
    table = f"<table style='{_TABLE_STYLE}'>{cells}</table>"
    content = f"<div style='display:flex;align-items:flex-start'>{image}{table}</div>"
    return f"<div><b>{html.escape(title)}</b>{content}</div>"


def grid_table(header: Sequence[object], rows: Iterable[Sequence[object]], title: str = "") -> str:
    """A table with a header row. Every text is escaped."""
    head = "".join(f"<th>{html.escape(str(value))}</th>" for value in header)
    body = "".join(_table_row(row) for row in rows)
    return (
        f"<div><b>{html.escape(title)}</b><table style='{_TABLE_STYLE}'><tr>{head}</tr>{body}</table></div>"
    )


def inline_png(picture: bytes) -> str:
    """A PNG as a `data:` address that needs no file."""
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def _name_and_value(name: str, value: object) -> str:
    name_cell = f"<th style='{_NAME_STYLE}'>{html.escape(str(name))}</th>"
    value_cell = f"<td style='text-align:left'>{html.escape(str(value))}</td>"
    return f"<tr>{name_cell}{value_cell}</tr>"


def _table_row(row: Sequence[object]) -> str:
    cells = "".join(f"<td>{html.escape(str(value))}</td>" for value in row)
    return f"<tr>{cells}</tr>"
