"""All benchmarks of speed in one command, beside floors and peers, as one table.

    python benchmarks/all.py [--quick] [--only NAME ...] [--peers PYTHON]

Every benchmark runs in a process of its own. The rows go to `table.json`, from which `table.md` and the
short table in README are written; benchmarks that `--only` leaves out keep their rows. `--quick` runs small
sizes once, in a few minutes of CPU. Peers (torchgeo, geoai, GeoDeep) are measured by `peers.py` in this
environment, or else in that of the interpreter that `--peers` names; those that are installed in neither are
skipped, with a word.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from measuring import Row, read_rows
from speedtable import TABLE_JSON, Measured, read_table, write_tables

HERE = Path(__file__).resolve().parent
NAMES = (
    "start_up",
    "tiling",
    "large_scene",
    "many_labels",
    "overlapping_chips",
    "training",
    "predict",
    "engines",
    "shards",
    "derived",
    "nms",
    "vectorizing",
    "peers",
)
_LAST_LINES = 3


def measure(name: str, *, peers: str, quick: bool) -> Measured:
    """Run one benchmark. A failure is told in its place in the table, and the others run on."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "rows.json"
        command = [sys.executable, str(HERE / f"{name}.py"), "--json", str(found)]
        command += ["--quick"] if quick else []
        command += ["--python", peers] if name == "peers" else []
        start = time.perf_counter()
        done = subprocess.run(command, cwd=HERE, text=True, stderr=subprocess.PIPE)
        seconds = time.perf_counter() - start
        rows: tuple[Row, ...] = tuple(read_rows(found)) if found.exists() else ()
    failure = ""
    if done.returncode != 0 or not rows:
        failure = " / ".join(done.stderr.strip().splitlines()[-_LAST_LINES:])[:300] or "no result"
        print(f"{name} failed: {failure}", file=sys.stderr)
    return Measured(
        name=name,
        quick=quick,
        date=datetime.date.today().isoformat(),
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
        load=round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        seconds=round(seconds),
        rows=rows,
        failure=failure,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write the tables. Returns 1 if a benchmark failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, once")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument(
        "--peers", default=sys.executable, metavar="PYTHON", help="interpreter with the peers"
    )
    options = parser.parse_args(argv)
    table = read_table() if TABLE_JSON.exists() else {}
    failed = False
    for name in options.only or NAMES:
        print(f"== {name}", flush=True)
        table[name] = measure(name, peers=options.peers, quick=options.quick)
        failed = failed or bool(table[name].failure)
        write_tables({known: table[known] for known in NAMES if known in table})
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
