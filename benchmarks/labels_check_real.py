"""`eo-dl labels check` on every real label set, as benchmarks/labels_check_real.md.

    python benchmarks/labels_check_real.py [--data DIR] [--pictures DIR] [--only NAME]

With --pictures some findings of each set are drawn there, to look whether they are true.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import shapely
from labels_sets import CASES, Case
from matplotlib import pyplot
from matplotlib.axes import Axes

from eo_dl.core.arraytypes import GeometryArray
from eo_dl.core.geometries import reproject
from eo_dl.core.window import Window
from eo_dl.curation import check_labels
from eo_dl.curation.checks.checkreport import CheckReport, registration_text
from eo_dl.errors import EoDlError
from eo_dl.io.scene import Scene, SceneReader
from eo_dl.labels import read_labels

matplotlib.use("Agg")
ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "labels_check_real.md"
REMARKS = ROOT / "benchmarks" / "labels_check_remarks"
INTRO = """# What `eo-dl labels check` finds in real label sets

Made by `python benchmarks/labels_check_real.py`; the remarks below a table are by people who looked at
pictures of the findings (`--pictures`).
Times are those of one run on a busy machine of two cores.
"""


def main() -> None:
    """All cases, one section each."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("EO_DL_REAL_DATA", ROOT.parent / "shared" / "data"))
    )
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--only", help="sets whose folder has this name; nothing is written to docs")
    asked = parser.parse_args()
    chosen = [case for case in CASES if asked.only in (None, case.folder)]
    lines = [INTRO]
    for case in chosen:
        found = section(case, asked.data, asked.pictures)
        print("\n".join(found), flush=True)
        lines += found
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of all sets in one process: {peak:.0f} MB")
    if asked.only is None:
        RESULT.write_text(
            "\n".join([*lines, f"Peak memory of all sets in one process: {peak:.0f} MB.", ""]),
            encoding="utf-8",
        )


def section(case: Case, root: Path, pictures: Path | None) -> list[str]:
    """What was found in one set, or why it could not be read."""
    title, folder = [f"## {case.name}", ""], root / case.folder
    started = time.perf_counter()
    try:
        scenes = case.opened(root)
        report = check_labels(folder / case.labels, scenes, **case.options)
    except EoDlError as error:
        return [*title, f"Refused: {str(error).replace(str(folder), case.folder)}", ""]
    seconds = time.perf_counter() - started
    classes = ", ".join(f"{name} {count:.0f}" for name, count in report.classes.items())
    pixels = sum(scene.native.width * scene.native.height for scene in scenes) / 1e6
    facts = (
        f"{sum(report.classes.values()):.0f} {report.unit} ({classes}) on {len(scenes)} "
        f"scene{'s' * (len(scenes) != 1)} ({pixels:.2g} Mpx), {seconds:.1f} s."
    )
    where = [f"- {registration_text(name, found)}" for name, found in list(report.registration.items())[:3]]
    if pictures is not None:
        pictures.mkdir(exist_ok=True, parents=True)
        draw(case, report, scenes, pictures)
    remark = REMARKS / f"{case.folder}-{Path(case.labels).name}.md"
    said = [remark.read_text(encoding="utf-8").strip(), ""] if remark.is_file() else []
    return [*title, facts, "", *table(report.rows(), folder), *where, "", *said]


def table(rows: Sequence[Sequence[object]], folder: Path) -> list[str]:
    """The report's rows in Markdown."""
    if not rows:
        return ["Nothing was found.", ""]
    cells = [
        [str(cell).replace("|", "\\|").replace(str(folder), folder.name)[:220] for cell in row]
        for row in rows
    ]
    return [
        "| severity | kind | count | for example |",
        "|---|---|--:|---|",
        *("| " + " | ".join(row) + " |" for row in cells),
        "",
    ]


def draw(case: Case, report: CheckReport, scenes: Sequence[Scene], pictures: Path) -> None:
    """Up to eight findings that have a place: labels in cyan, the finding in red."""
    labels = read_labels(report.source, **case.options)
    placed = [
        found
        for found in report.findings
        if found.geometry is not None and found.kind not in ("misregistration", "no class")
    ]
    kinds = {found.kind: found for found in reversed(placed)}
    chosen = list({id(found): found for found in [*kinds.values(), *placed]}.values())[:8]
    if not chosen:
        return
    figure, axes = pyplot.subplots(2, 4, figsize=(16, 8))
    for axis, found in zip(axes.ravel(), chosen, strict=False):
        scene = next((one for one in scenes if found.image in (one.name, one.stem)), scenes[0])
        shape = np.array([found.geometry], dtype=object)
        if found.image is None and scene.native.crs is not None and labels.crs is not None:
            shape = scene.native.geometries_to_pixel(
                reproject(shape, labels.crs, scene.native.crs, "picture")
            )
        drawn = (
            labels.for_grid(scene.native, scene.name).geometries
            if labels.crs is None or scene.native.crs is not None
            else shape[:0]
        )
        picture(axis, scene, drawn, shape)
        axis.set_title(f"{found.kind} {' '.join(found.feature_ids[:2])}")
    figure.savefig(pictures / f"{case.folder}-{Path(case.labels).name}.png", dpi=55)
    pyplot.close(figure)


def picture(axis: Axes, scene: Scene, outlines: GeometryArray, shape: GeometryArray) -> None:
    """A finding with its surroundings."""
    col, row = (int(v) for v in shape[0].centroid.coords[0])
    half = int(max(30, *(shape[0].bounds[i + 2] - shape[0].bounds[i] for i in (0, 1))))
    with SceneReader(scene) as reader:
        chip = reader.read(Window(col - half, row - half, 2 * half, 2 * half))
    shown = [0, 0, 0]
    if len(chip.pixels) == 4:
        shown = [2, 1, 0]  # blue, green, red, near infrared
    elif len(chip.pixels) >= 3:
        shown = [0, 1, 2]
    values = np.moveaxis(chip.pixels[shown].astype(float), 0, -1)
    low, high = np.percentile(values[chip.valid], (2, 98)) if chip.valid.any() else (0, 1)
    axis.imshow(np.clip((values - low) / max(high - low, 1e-9), 0, 1))
    for several, color in ((outlines, "cyan"), (shape, "red")):
        for ring in shapely.get_rings(shapely.get_parts(several)):
            xy = shapely.get_coordinates(ring) - (col - half, row - half)
            if (np.abs(xy - half) < 3 * half).any():
                axis.plot(xy[:, 0], xy[:, 1], color=color, linewidth=1)
    axis.set(xlim=(0, 2 * half), ylim=(2 * half, 0))


if __name__ == "__main__":
    main()
