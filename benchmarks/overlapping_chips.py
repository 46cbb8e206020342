"""Growth of dividing chips that overlap by 75 % among splits.

    python benchmarks/overlapping_chips.py      writes benchmarks/overlapping_chips.md

Chips of 64 px every 16 px, on ground of growing size. Beside it stand all pairs of chips closer than a chip,
which a plain query of a tree returns, and the pairs that can conflict because they lie in two blocks.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from measuring import Row, add_common_options, compared, write_rows
from pyproj import CRS

from eo_dl.chips.conflicts import ChipGround
from eo_dl.chips.places import Place
from eo_dl.chips.splits import ChipsToSplit, Split, block_names, default_block_chips, split_chips
from eo_dl.core.pixelgrid import PixelGrid

RESULT = Path(__file__).parent / "overlapping_chips.md"
CHIP_PX, PITCH_PX = 64, 16
MOST_FOR_ALL_PAIRS = 20_000


def chips_on(side_px: int) -> ChipsToSplit:
    """All chips on a square of ground, with two classes."""
    grid = PixelGrid(CRS(32633), Affine(1, 0, 500_000, 0, -1, 5_000_000), side_px, side_px)
    starts = np.arange(0, side_px - CHIP_PX + 1, PITCH_PX)
    cols, rows = (axis.reshape(-1) for axis in np.meshgrid(starts, starts))
    place = Place(0, grid, (0,), (0, 0, side_px, side_px))
    outlines = shapely.box(cols, rows, cols + CHIP_PX, rows + CHIP_PX)
    ground = ChipGround((place,), np.zeros(len(cols), np.int64), outlines)
    blocks = block_names(ground, default_block_chips((place,), PITCH_PX) * PITCH_PX)
    amounts = np.random.default_rng(0).random((len(cols), 2))
    return ChipsToSplit(ground, blocks, amounts, np.ones(len(cols), np.bool_))


def all_pairs(outlines: np.ndarray) -> int:
    """Number of pairs closer than a chip, by one query."""
    first, second = shapely.STRtree(outlines).query(outlines, predicate="dwithin", distance=CHIP_PX - 1e-3)
    return int((first < second).sum())


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_options(parser)
    options = parser.parse_args(argv)
    rows: list[Row] = []
    lines = [
        "# Chips that overlap by 75 %",
        "",
        f"`python benchmarks/overlapping_chips.py`, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        "CPU seconds.",
        "",
        "| chips | all pairs | s | pairs of two blocks | s | splits dealt, s |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for side_px in (1024,) if options.quick else (1024, 2048, 5120):
        chips = chips_on(side_px)
        cells = [str(len(chips.blocks))]
        start, all_s = time.process_time(), None
        if len(chips.blocks) <= MOST_FOR_ALL_PAIRS:
            pairs = all_pairs(chips.ground.outlines)
            all_s = time.process_time() - start
            cells += [str(pairs), f"{all_s:.2f}"]
        else:
            cells += ["", ""]
        start = time.process_time()
        first, _ = chips.ground.near_pairs(CHIP_PX, chips.blocks)
        near_s = time.process_time() - start
        cells += [str(len(first)), f"{near_s:.2f}"]
        if all_s is not None:
            what = f"pairs that can conflict of {len(chips.blocks):,} chips that overlap by 75 %"
            rows.append(compared(what, near_s, "CPU s", "all near pairs by one search tree", all_s))
        start = time.process_time()
        split_chips(chips, Split(), chip_px=CHIP_PX, seed=0)
        cells.append(f"{time.process_time() - start:.2f}")
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    write_rows(rows, options)
    if not options.quick:
        RESULT.write_text("\n".join(lines) + "\n")
    return rows


if __name__ == "__main__":
    main()
