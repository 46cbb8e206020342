"""How long commands take before they do anything, beside a Python that does nothing.

    python benchmarks/start_up.py [--rounds N] [--quick]      writes benchmarks/start_up.md

Each command runs in a process of its own, in turn; wall and CPU seconds of the process. `predict` maps a
scene of 512 px with an untrained U-Net ResNet-18 by OpenVINO, from the command to the finished file.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from measuring import Row, add_common_options, compared, write_rows

CACHE = Path(__file__).parent / "cache"
RESULT = Path(__file__).with_suffix(".md")
SCENE_PX = 512
NOTHING = "python -c pass"


def model_and_scene() -> tuple[Path, Path]:
    """A model with a graph, and a scene of 512 px; made once, in a process of their own."""
    model, scene = CACHE / "unet_graph.eodl", CACHE / f"scene_{SCENE_PX}.tif"
    if not (model.exists() and scene.exists()):
        program = f"import predict; predict.unet(); predict.scene({SCENE_PX})"
        subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, check=True)
    return model, scene


def commands() -> dict[str, list[str]]:
    """The command lines by name."""
    model, scene = model_and_scene()
    command = [sys.executable, "-m", "eo_dl_cli"]
    out = str(CACHE / "start_up.tif")
    return {
        NOTHING: [sys.executable, "-c", "pass"],
        "import eo_dl": [sys.executable, "-c", "import eo_dl"],
        "eo-dl --help": [*command, "--help"],
        "eo-dl inspect SCENE": [*command, "inspect", str(scene)],
        f"eo-dl predict, {SCENE_PX} px": [
            *command,
            "predict",
            str(model),
            str(scene),
            "-o",
            out,
            "--overwrite",
        ],
    }


def seconds_of(command: Sequence[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    add_common_options(parser)
    options = parser.parse_args(argv)
    count = 1 if options.quick else options.rounds
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands()}
    for number in range(count + 1):
        for name, command in commands().items():
            seconds = seconds_of(command)
            if number:  # the first round fills the page cache
                taken[name].append(seconds)
                print(f"{name}: {seconds[0]:.2f} s wall, {seconds[1]:.2f} s CPU", flush=True)
    medians = {
        name: [statistics.median(column) for column in zip(*rounds, strict=True)]
        for name, rounds in taken.items()
    }
    rows = [
        compared(name, medians[name][column], unit, NOTHING, medians[NOTHING][column])
        for name in list(medians)[1:]
        for column, unit in ((0, "s"), (1, "CPU s"))
    ]
    write_rows(rows, options)
    if not options.quick:
        lines = [
            "# Start-up",
            "",
            f"`python benchmarks/start_up.py` (Python {platform.python_version()}, {os.cpu_count()} cores, "
            f"load {os.getloadavg()[0]:.1f}), medians of {count} rounds in turn.",
            "",
            "| command | wall s | CPU s |",
            "|---|--:|--:|",
            *(f"| `{name}` | {wall:.2f} | {cpu:.2f} |" for name, (wall, cpu) in medians.items()),
        ]
        RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return rows


if __name__ == "__main__":
    main()
