"""`Differences`: what changed between two dates, as values, as a table and as a page."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal

from ..core.htmlcard import card
from ..core.htmlpage import html_row, html_table, note_list, page_head
from .changerow import ChangeRow
from .mapdiff import Transition

_NUMBER = "{:,.1f}"


@dataclass(frozen=True)
class Differences:
    """What changed between two dates."""

    path: Path
    """The file of changes."""
    kind: Literal["objects", "classes"]
    """What was compared: objects of two layers, or class maps."""
    old: str
    """The earlier file."""
    new: str
    """The later file."""
    rows: tuple[ChangeRow, ...]
    """Numbers and areas by kind of change; of class maps the changed areas that are listed."""
    transitions: tuple[Transition, ...] = ()
    """Class maps: every transition with its whole area, the unchanged ones included, by falling area."""
    notes: tuple[str, ...] = ()
    """What was repaired, left out, not compared."""
    page: Path | None = None
    """The HTML page, if one was written."""

    def values(self) -> dict[str, object]:
        """The changes as JSON-ready values."""
        values: dict[str, object] = {
            "output": str(self.path),
            "kind": self.kind,
            "old": self.old,
            "new": self.new,
            "changes": [row.values() for row in self.rows],
            "notes": list(self.notes),
        }
        if self.kind == "classes":
            values["transitions"] = [
                {"old": one.old, "new": one.new, "area_m2": round(one.area_m2, 3)} for one in self.transitions
            ]
        if self.page is not None:
            values["page"] = str(self.page)
        return values

    def table(self) -> list[list[str]]:
        """Header and rows of text."""
        if self.kind == "objects":
            header = ["change", "old objects", "new objects", "old m2", "new m2"]
            return [header, *(_texts(row) for row in self.rows)]
        listed = {row.change: row.new_count for row in self.rows}
        rows = [
            [one.name, str(listed.get(one.name, "")), _NUMBER.format(one.area_m2)] for one in self.transitions
        ]
        return [["transition", "areas listed", "m2"], *rows]

    def _repr_html_(self) -> str:
        header, *rows = self.table()
        body = [(row[0], ", ".join(row[1:])) for row in rows]
        return card(self.path.name, [(header[0], ", ".join(header[1:])), *body])


def _texts(row: ChangeRow) -> list[str]:
    areas = (_NUMBER.format(area) for area in (row.old_area_m2, row.new_area_m2))
    return [row.change, str(row.old_count), str(row.new_count), *areas]


def difference_page(found: Differences) -> str:
    """The changes as one self-contained HTML page."""
    title = f"{Path(found.old).name} and {Path(found.new).name}: what changed"
    header, *rows = found.table()
    sections = [
        page_head(title),
        f"<h1>{escape(title)}</h1>",
        f"<p class='what'>{_EXPLAINED[found.kind]}</p>",
        "<h2>Changes</h2>",
        html_table(header, [html_row([escape(cell) for cell in row]) for row in rows]),
        _matrix(found.transitions),
        note_list(found.notes),
        f"<footer>Each change with its outline is in <code>{escape(found.path.name)}</code>.</footer>",
        "</body></html>",
    ]
    return "\n".join(section for section in sections if section)


_EXPLAINED = {
    "objects": "Objects of the earlier layer are <i>gone</i> if no later object lies on them, later ones "
    "<i>new</i> if none was there before. One object on one object is the <i>same</i> or, where outline or "
    "class differ, <i>changed</i>; one on several is <i>split</i>, several on one are <i>merged</i>. An "
    "object that the model missed on one date looks like a change, too: look before you count.",
    "classes": "Each pixel of the later map is compared with the earlier one. Wrong pixels of either map "
    "look like changes: the areas are those of the maps, not estimates of the change on the ground.",
}


def _matrix(transitions: tuple[Transition, ...]) -> str:
    """Areas by class before (rows) and after (columns)."""
    if not transitions:
        return ""
    olds = sorted({one.old for one in transitions})
    news = sorted({one.new for one in transitions})
    areas = {(one.old, one.new): one.area_m2 for one in transitions}
    rows = []
    for old in olds:
        cells = [_NUMBER.format(areas[old, new]) if (old, new) in areas else "" for new in news]
        rows.append(html_row([escape(old), *cells]))
    header = ["before \\ after, m²", *(escape(new) for new in news)]
    return f"<h2>Transition matrix</h2>{html_table(header, rows)}"
