"""How well `eo-dl labels check` tells by how much labels were shifted, on the sample scenes and on real ones.

    python benchmarks/labels_check.py [--data DIR]      writes benchmarks/labels_check.md

Outlines are moved by 0 to 8 px to the right, up, and to the lower left, and the shift is estimated anew. What
real labels were shifted by before nobody knows, so there the difference to the estimate for 0 px is what
counts. As a counter-test the outlines are also mirrored left to right: then they follow nothing, and nothing
should be told.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from labels_sets import CASES

from eo_dl import open_scene
from eo_dl.core.imagelabels import WholeImageLabels
from eo_dl.core.labelset import LabelSet
from eo_dl.curation.checks.maskchecks import mask_facts
from eo_dl.curation.checks.registration import Misregistration, judge, shift_scores
from eo_dl.errors import EoDlError
from eo_dl.io.scene import Scene
from eo_dl.labels import read_labels
from eo_dl.labels.coverage import match_labels
from eo_dl.labels.placement import PlacedLabels

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "labels_check.md"
DIRECTIONS = ((1, 0), (0, -1), (-1, 1))
STEPS = (1, 2, 3, 4, 5, 6, 7, 8)
WORTH = {
    "mass-buildings",
    "banepa-buildings",
    "baker-landcover",
    "landsat-sparse",
    "lyon-rgbmask",
    "orthoseg-fields",
    "lidar-buildings",
    "vegas-multiclass",
}
WORTH |= {
    "nrcan-tiles",
    "spacenet-samples",
    "dubai-semseg",
    "fair-xyz-regions",
    "neon-trees",
    "detectree-zurich",
}
MOST_SCENES = 12

Pairs = list[tuple[Scene, np.ndarray]]


@dataclass(frozen=True)
class Result:
    """Of one set: the estimate for outlines as they are, mirrored ones, and for each shift what was found
    less that shift.
    """

    name: str
    zero: Misregistration
    mirrored: Misregistration
    errors: list[tuple[tuple[int, int], np.ndarray | None]]
    seconds: float


def main() -> None:
    """All sets, one row each."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("EO_DL_REAL_DATA", ROOT.parent / "shared" / "data"))
    )
    asked = parser.parse_args()
    results = []
    for name, pairs, truth in [*sample_sets(), *real_sets(asked.data)]:
        results.append(measured(name, pairs, truth))
        print(row(results[-1]), flush=True)
        RESULT.write_text(report(results), encoding="utf-8")


def sample_sets() -> Iterator[tuple[str, Pairs, bool]]:
    """Scenes of which the labels are known to be right."""
    for scene in ("train", "test"):
        for layer in ("buildings", "landcover"):
            opened = open_scene(ROOT / "sample_data" / f"{scene}.tif")
            labels = read_labels(
                ROOT / "sample_data" / f"{scene}_labels.gpkg", layer=layer, class_field="none"
            )
            yield (
                f"sample {scene}, {layer}",
                [(opened, labels.for_grid(opened.grid, opened.name).geometries)],
                True,
            )


def real_sets(root: Path) -> Iterator[tuple[str, Pairs, bool]]:
    """Real scenes, a dozen of each set at most."""
    for case in CASES:
        if case.folder not in WORTH:
            continue
        try:
            scenes = case.opened(root)[:MOST_SCENES]
            labels = match_labels(
                read_labels(root / case.folder / case.labels, **case.options), scenes
            ).labels
        except EoDlError as error:
            print(case.name, "skipped:", error)
            continue
        if isinstance(labels, WholeImageLabels):
            continue
        pairs = [(scene, outlines) for scene in scenes if len(outlines := outlines_of(labels, scene))]
        if pairs:
            yield case.name, pairs, False


def outlines_of(labels: LabelSet, scene: Scene) -> np.ndarray:
    """Outlines in pixels, of label rasters those of their patches."""
    placed = PlacedLabels.of(labels, scene)
    if placed.raster is None:
        return placed.labels.geometries
    facts = mask_facts(placed.raster, labels.classes, scene)
    return np.concatenate(facts.outlines) if facts.outlines else np.empty(0, dtype=object)


def estimate(pairs: Pairs, by: tuple[float, float] = (0, 0), mirror: bool = False) -> Misregistration:
    """All scenes of a set together."""
    scores = []
    for scene, outlines in pairs:
        moved = shapely.transform(
            outlines, lambda xy, s=scene: np.add(xy * (-1, 1) + (s.native.width, 0) if mirror else xy, by)
        )
        scores += shift_scores(scene, moved)
    return judge(scores)


def measured(name: str, pairs: Pairs, truth: bool) -> Result:
    """One set."""
    started = time.perf_counter()
    zero = estimate(pairs)
    seconds = time.perf_counter() - started
    base = np.zeros(2) if truth else np.array([zero.cols, zero.rows])
    errors: list[tuple[tuple[int, int], np.ndarray | None]] = []
    for step in STEPS if zero.known else ():
        for direction in DIRECTIONS:
            by = (step * direction[0], step * direction[1])
            found = estimate(pairs, by)
            errors.append((by, np.array([found.cols, found.rows]) - base - by if found.known else None))
    return Result(name, zero, estimate(pairs, mirror=True), errors, seconds)


def row(one: Result) -> str:
    """A line of the table."""
    if not one.zero.known:
        return (
            f"| {one.name} | not told: {one.zero.reason} | - | - | - | {told(one.mirrored)} | "
            f"{one.seconds:.1f} |"
        )
    known = [np.abs(error).max() for _, error in one.errors if error is not None]
    five = [np.abs(error).max() for by, error in one.errors if error is not None and max(map(abs, by)) == 5]
    right = f"{sum(error <= 1 for error in known)} of {len(one.errors)}"
    return (
        f"| {one.name} | {told(one.zero)} | {right} | {max(known, default=float('nan')):.2f} | "
        f"{max(five, default=float('nan')):.2f} | {told(one.mirrored)} | {one.seconds:.1f} |"
    )


def told(found: Misregistration) -> str:
    """An estimate in short."""
    return f"{found.cols:+.1f}, {found.rows:+.1f} ± {max(found.error_px):.1f}" if found.known else "not told"


def report(results: list[Result]) -> str:
    """The page."""
    known = [one for one in results if one.zero.known]
    errors = [np.abs(error).max() for one in known for _, error in one.errors if error is not None]
    total = sum(len(one.errors) for one in known)
    said = (__doc__ or "").partition("labels_check.md")[2].strip()
    fooled = sum(one.mirrored.known for one in results)
    return "\n".join(
        [
            "# Labels that lie beside the image's edges",
            "",
            (
                f"Made by `python benchmarks/labels_check.py` ({platform.system()}, Python "
                f"{platform.python_version()}). {said}"
            ),
            "",
            f"Told for {len(known)} of {len(results)} sets. Of {total} shifts there "
            f"{sum(e <= 1 for e in errors)} are reported within 1 px in both directions, "
            f"{total - len(errors)} are not told. Mirrored outlines are believed in {fooled} of "
            f"{len(results)} sets.",
            "",
            (
                "| set | as it is (right, down) | within 1 px | largest error, px | of 5 px shifts | "
                "mirrored | s |"
            ),
            "|---|---|--:|--:|--:|---|--:|",
            *(row(one) for one in results),
            "",
        ]
    )


if __name__ == "__main__":
    main()
