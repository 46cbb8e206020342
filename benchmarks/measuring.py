"""What the benchmarks of speed have in common: rows of results, which `all.py` collects as JSON."""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One measured figure, and what ran beside it in the same run."""

    what: str
    """What was measured."""
    value: float
    """The figure."""
    unit: str
    """Its unit: "s" is wall time, "CPU s" the time of all threads."""
    beside: str = ""
    """What it is compared with; empty: nothing."""
    beside_value: float | None = None
    """The figure of that."""
    ratio: float | None = None
    """Figure divided by the other, the median over rounds where there are several."""
    target: str = ""
    """The ratio, or the figure, that is wanted."""
    headline: bool = False
    """Whether README shows it."""


def compared(what: str, value: float, unit: str, beside: str, beside_value: float, **more: object) -> Row:
    """A figure beside another one of the same run, with the ratio of the two."""
    ratio = value / beside_value if beside_value else None
    return Row(what, value, unit, beside, beside_value, ratio, **more)  # type: ignore[arg-type]


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """The options that every benchmark of speed has."""
    parser.add_argument("--quick", action="store_true", help="small and once; nothing is recorded")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")


def write_rows(rows: Sequence[Row], options: argparse.Namespace) -> None:
    """Write the rows where `--json` says."""
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


def read_rows(path: Path) -> list[Row]:
    """The rows of a file."""
    return [Row(**values) for values in json.loads(path.read_text(encoding="utf-8"))]


def high_water_mb() -> float:
    """Peak resident memory of this program.

    `getrusage` would also count what the process was before `exec`.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
