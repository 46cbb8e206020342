"""The recorded table of all benchmarks of speed: `table.json`, `table.md` and the short table in README."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from measuring import Row

HERE = Path(__file__).resolve().parent
TABLE_JSON, TABLE = HERE / "table.json", HERE / "table.md"
README = HERE.parent / "README.md"
QUICK_NOTE = "Some of these were run once at small sizes; [the full table](benchmarks/table.md) says which."
START, END = "<!-- speed table: written by benchmarks/all.py -->", "<!-- end of speed table -->"


@dataclass(frozen=True)
class Measured:
    """One run of one benchmark."""

    name: str
    """The script, without its suffix."""
    quick: bool
    """Whether it ran small sizes once."""
    date: str
    """ISO date."""
    machine: str
    """Processor and cores."""
    load: float | None
    """Average number of busy processes during the last minute of the run."""
    seconds: int
    """Wall seconds of the run."""
    rows: tuple[Row, ...]
    """What it found."""
    failure: str
    """Why it failed; empty if it did not."""


def read_table() -> dict[str, Measured]:
    """The recorded runs by name."""
    runs = json.loads(TABLE_JSON.read_text(encoding="utf-8"))
    return {
        run["name"]: Measured(**{**run, "rows": tuple(Row(**row) for row in run["rows"])}) for run in runs
    }


def write_tables(table: Mapping[str, Measured]) -> None:
    """Write `table.json`, `table.md` and the part of README between the markers."""
    text = json.dumps([asdict(run) for run in table.values()], indent=1)
    TABLE_JSON.write_text(text + "\n", encoding="utf-8")
    TABLE.write_text(full_table(table), encoding="utf-8")
    README.write_text(with_short_table(README.read_text(encoding="utf-8"), table), encoding="utf-8")


def with_short_table(readme: str, table: Mapping[str, Measured]) -> str:
    """README with the short table between the markers."""
    before, rest = readme.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{short_table(table)}{END}{after}"


def full_table(table: Mapping[str, Measured]) -> str:
    """All rows, by benchmark."""
    lines = [
        "# Speed",
        "",
        "Written by `python benchmarks/all.py`. Each figure stands beside one of the same run: ratios can be "
        "compared between machines, seconds cannot, and on a busy machine CPU seconds say more than wall "
        'seconds ("s"). What is measured stands at the top of each script.',
    ]
    for run in table.values():
        size = "small sizes, once" if run.quick else "full sizes"
        lines += [
            "",
            f"## {run.name}",
            "",
            f"`benchmarks/{run.name}.py`, {size}, {run.date}, {run.machine}, load {run.load}, "
            f"{run.seconds} s.",
            "",
        ]
        if run.failure:
            lines += [f"Failed: {run.failure}", ""]
        if run.rows:
            lines += ["| | measured | beside it | ratio | wanted |", "|---|--:|---|--:|--:|"]
            lines += [_full_row(row) for row in run.rows]
    return "\n".join(lines) + "\n"


def short_table(table: Mapping[str, Measured]) -> str:
    """The rows that README shows."""
    rows = [row for run in table.values() for row in run.rows if row.headline]
    lines = ["", "| | eo_dl | beside it, in the same run | ratio |", "|---|--:|---|--:|"]
    lines += [
        f"| {row.what} | {_figure(row.value, row.unit)} | {_beside(row)} | {_ratio(row)} |" for row in rows
    ]
    shown = [run for run in table.values() if any(row.headline for row in run.rows)]
    loads = [run.load for run in shown if run.load is not None]
    if loads:
        lines += [
            "",
            f"Compare ratios, not seconds: the machine had a load of {min(loads):g} to {max(loads):g}.",
        ]
    if any(run.quick for run in shown):
        lines.append(QUICK_NOTE)
    return "\n".join(lines) + "\n\n"


def _full_row(row: Row) -> str:
    return f"| {row.what} | {_figure(row.value, row.unit)} | {_beside(row)} | {_ratio(row)} | {row.target} |"


def _beside(row: Row) -> str:
    if row.beside_value is None:
        return str(row.beside)
    return f"{row.beside}: {_figure(row.beside_value, row.unit)}"


def _ratio(row: Row) -> str:
    return "" if row.ratio is None else f"{row.ratio:.2f}"


def _figure(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"
