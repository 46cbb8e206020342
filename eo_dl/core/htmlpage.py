"""The look of every page that eo_dl writes: one self-contained HTML file, without scripts but for sliders."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .htmlcard import inline_png

_CSS = """
body {
  font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;
  color:#1f2430;
  background:#fbfbf9;
  max-width:1020px;
  margin:2.5em auto;
  padding:0 1.2em;
}
h1 { font-size:1.7em; margin:0 0 .1em }
h2 { font-size:1.15em; margin:2.2em 0 .6em }
p.what { color:#5a6270; margin:.1em 0 1.6em }
code { font-size:.92em; background:#efefe9; padding:.1em .3em; border-radius:3px }
.cards { display:flex; flex-wrap:wrap; gap:.9em }
.card {
  background:#fff;
  border:1px solid #e4e3dc;
  border-radius:8px;
  padding:.8em 1.1em;
  min-width:9.5em;
}
.card b { display:block; font-size:1.75em; line-height:1.2 }
.card .name { color:#5a6270; font-size:.86em }
.card .interval { color:#5a6270; font-size:.82em }
.card:first-child { border-color:#0072b2; box-shadow:inset 0 3px 0 #0072b2 }
table { border-collapse:collapse; font-size:.93em }
th,td { padding:.34em .8em; text-align:right; border-bottom:1px solid #e4e3dc }
th:first-child,td:first-child { text-align:left }
thead th { color:#5a6270; font-weight:600 }
.scroll { overflow-x:auto }
.matrix td,.matrix th { text-align:center; border:1px solid #fff; min-width:4.2em }
.matrix th:first-child { text-align:right; font-weight:500; border:0 }
.matrix small { display:block; opacity:.75; font-size:.78em }
.dot {
  display:inline-block;
  width:.8em;
  height:.8em;
  border-radius:2px;
  margin-right:.5em;
  border:1px solid #0003;
  vertical-align:-.05em;
}
img { max-width:100%; border:1px solid #e4e3dc; border-radius:6px; background:#fff }
ul { padding-left:1.2em }
dt { font-weight:600; margin-top:.5em }
dd { margin:0 0 0 1.2em; color:#5a6270 }
.swipe { position:relative }
.swipe img { display:block; width:100% }
.swipe img.above { position:absolute; inset:0; clip-path:inset(0 0 0 50%) }
.swipe .line {
  position:absolute;
  top:0;
  bottom:0;
  left:50%;
  border-left:2px solid #fff;
  box-shadow:0 0 3px #000;
}
.swipe + input { width:100%; margin:.5em 0 0; height:2em }
@media (max-width:600px) {
  body { margin:1em auto; padding:0 .7em }
  th,td { padding:.3em .45em }
  .card { min-width:7em; padding:.6em .8em }
}
footer { color:#5a6270; font-size:.85em; margin:3em 0 1em }
"""


def page_head(title: str) -> str:
    """The beginning of a page, up to `<body>`."""
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{_CSS}</style></head><body>"
    )


def html_table(header: Sequence[str], rows: Sequence[str], style: str = "") -> str:
    """A table of escaped texts; `rows` are whole `<tr>` elements."""
    cells = "".join(f"<th>{title}</th>" for title in header)
    head = f"<thead><tr>{cells}</tr></thead>"
    attribute = f" class='{style}'" if style else ""
    return f"<div class='scroll'><table{attribute}>{head}<tbody>{''.join(rows)}</tbody></table></div>"


def html_row(cells: Sequence[str]) -> str:
    """One row of a table from cells that are escaped already."""
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def html_figure(caption: str, picture: bytes) -> str:
    """A section with a PNG, which becomes a part of the page."""
    text = escape(caption)
    return f"<h2>{text}</h2><img alt='{text}' src='{inline_png(picture)}'>"


def html_swipe(caption: str, left: bytes, right: bytes) -> str:
    """A section with two PNGs of one ground: a slider shows the first left of it, the second right of it."""
    text = escape(caption)
    move = (
        "var parts=this.previousElementSibling.children,cut=this.value+'%';"
        "parts[1].style.clipPath='inset(0 0 0 '+cut+')';parts[2].style.left=cut"
    )
    return (
        f"<h2>{text}</h2><div class='swipe'><img alt='{text}: scene' src='{inline_png(left)}'>"
        f"<img class='above' alt='{text}: result' src='{inline_png(right)}'><div class='line'></div></div>"
        f'<input type="range" min="0" max="100" value="50" aria-label="{text}" oninput="{move}">'
    )


def note_list(notes: Sequence[str]) -> str:
    """A section with one item per note; empty without notes."""
    if not notes:
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<h2>Notes</h2><ul>{items}</ul>"
