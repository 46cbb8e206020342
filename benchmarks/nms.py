"""Exact suppression of doubles: eo_dl.mosaic.suppress against torchvision.ops.nms, on boxes as a detector
gives them.

    python benchmarks/nms.py [--most 1000000]

300 objects a megapixel, 2.5 boxes each, IoU 0.5, one core. Writes benchmarks/nms.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from measuring import Row, add_common_options, compared, write_rows

from eo_dl.core.arrays import Objects
from eo_dl.mosaic.suppress import suppress

TORCHVISION_UPTO = 30_000  # it compares all pairs: 100 000 boxes take it 16 s, a million half an hour


def scene(count: int) -> Objects:
    """`count` boxes: objects of 8 to 40 px strewn evenly, each seen 2.5 times with a little noise."""
    rng = np.random.default_rng(0)
    objects = int(count / 2.5)
    side = np.sqrt(objects / 300) * 1000
    centre, size = rng.random((objects, 2)) * side, 8 + rng.random((objects, 2)) * 32
    index = rng.integers(0, objects, count)
    centre, size = (
        centre[index] + rng.normal(0, 1.5, (count, 2)),
        size[index] * (1 + rng.normal(0, 0.05, (count, 2))),
    )
    return Objects(
        np.column_stack([centre - size / 2, centre + size / 2]),
        np.ones(count, np.int64),
        rng.random(count).astype(np.float32),
    )


def timed(work: object) -> tuple[float, np.ndarray]:
    """Best of three, and the result."""
    best, result = np.inf, np.empty(0)
    for _ in range(3):
        start = time.process_time()
        result = work()  # type: ignore[operator]
        best = min(best, time.process_time() - start)
    return best, result


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--most", type=int, default=1_000_000)
    add_common_options(parser)
    options = parser.parse_args(argv)
    most = TORCHVISION_UPTO if options.quick else options.most
    import torch
    from torchvision.ops import nms

    torch.set_num_threads(1)
    rows: list[str] = []
    measured: list[Row] = []
    for count in (10_000, 30_000, 100_000, 300_000, 1_000_000):
        if count > most:
            break
        objects = scene(count)
        ours, kept = timed(lambda objects=objects: suppress(objects, 0.5))
        theirs, same = "", ""
        if count <= TORCHVISION_UPTO:
            boxes, scores = (
                torch.from_numpy(objects.boxes),
                torch.from_numpy(objects.scores.astype(np.float64)),
            )
            seconds, found = timed(lambda boxes=boxes, scores=scores: nms(boxes, scores, 0.5).numpy())
            what = f"exact suppression of {count:,} boxes"
            measured.append(compared(what, ours, "CPU s", "torchvision.ops.nms", seconds))
            theirs, same = f"{seconds:.3f}", "yes" if np.array_equal(np.sort(found), kept) else "NO"
        rows.append(f"| {count} | {ours:.3f} | {theirs} | {same} | {len(kept)} |")
        print(rows[-1], flush=True)
    head = "| boxes | eo_dl, CPU s | torchvision, CPU s | same boxes kept | kept |\n|--:|--:|--:|---|--:|"
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy "
        f"{np.__version__}, torch {torch.__version__}"
    )
    text = (
        (
            f"# Exact suppression of doubles\n\n`python benchmarks/nms.py`: {machine}; one core, best of "
            f"three.\n\n{head}\n"
        )
        + "\n".join(rows)
        + "\n"
    )
    write_rows(measured, options)
    if not options.quick:
        Path(__file__).with_suffix(".md").write_text(text)
    return measured


if __name__ == "__main__":
    main()
