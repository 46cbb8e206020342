"""The candidate windows of every scene, as the method of sampling draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from ..core.seeds import generator
from ..core.window import Window
from ..errors import ConfigError, LabelError
from .chipwindows import grid_windows, random_windows, touching, windows_around_objects
from .measure import Candidate
from .sampling import Sampling
from .samplingmethods import SceneDraw, draw_until
from .truth import SceneTruth


@dataclass(frozen=True)
class DrawnCandidates:
    """All candidates, and what could not be drawn."""

    candidates: tuple[Candidate, ...]
    """By scene, row and column; each window once."""

    notes: tuple[str, ...]
    """What could not be drawn, in words."""


def draw_candidates(
    truths: Sequence[SceneTruth],
    regions: Sequence[shapely.Geometry | None],
    sampling: Sampling,
    *,
    chip_px: int,
    seed: int,
) -> DrawnCandidates:
    """Draw the windows that may become chips.

    Args:
        truths: The scenes with their labels.
        regions: For each scene where chips may lie, in its pixels; None: everywhere.
        sampling: How to draw.
        chip_px: Side of a chip.
        seed: Same seed, same windows.

    Raises:
        ConfigError: The overlap is as large as a chip, or the labels have no objects to draw around.
        LabelError: No window touches labelled ground, or no object was found.
    """
    if sampling.overlap_px >= chip_px:
        raise ConfigError(
            f"`overlap_px`: expected less than the {chip_px} px of a chip, found {sampling.overlap_px}"
        )
    grids = [
        touching(grid_windows(truth.scene.grid, chip_px, sampling.overlap_px), region)
        for truth, region in zip(truths, regions, strict=True)
    ]
    if not any(grids):
        raise LabelError(
            f"no chip of {chip_px} px touches ground that is labelled and inside the AOI; "
            "check `aoi`, `annotated` and where the scenes lie"
        )
    counts = _counts(truths, grids, sampling)
    candidates: list[Candidate] = []
    crowded = 0
    for index, (truth, region) in enumerate(zip(truths, regions, strict=True)):
        if not grids[index]:
            continue
        scene = SceneDraw(
            truth=truth,
            region=region,
            on_grid=grids[index],
            chip_px=chip_px,
            count=counts[index],
            rng=generator(seed, "sampling", index),
        )
        drawn = sampling.drawing.draw(scene)
        crowded += drawn.crowded
        empty = _empty_windows(scene, round(sampling.added_share * len(drawn.windows)), seed, index)
        rejected = _rejected_windows(scene, seed) if sampling.added_share > 0 else ()
        unique = {*drawn.windows, *rejected, *empty}
        in_order = sorted(unique, key=lambda window: (window.row, window.col))
        candidates += [Candidate(index, window) for window in in_order]
    if not candidates:
        smaller_chips = " and `size`" if crowded else ""
        raise LabelError(
            f"sampling by {sampling.method} finds no labelled object to cut chips around; check the "
            f"labels{smaller_chips}, or choose grid as `sampling`"
        )
    notes: tuple[str, ...] = ()
    if crowded:
        notes = (
            f"{crowded} objects have a neighbour too close for a chip of {chip_px} px to show them alone: no "
            "chip is cut around them; smaller chips separate more of them",
        )
    return DrawnCandidates(tuple(candidates), notes)


def _counts(
    truths: Sequence[SceneTruth], grids: Sequence[Sequence[Window]], sampling: Sampling
) -> list[int | None]:
    """How many windows each scene gives: in proportion to its ground, or to its objects."""
    around_objects = sampling.drawing.around_objects
    if around_objects and sampling.count is None:
        return [None] * len(truths)
    amounts = [len(truth.labels) for truth in truths] if around_objects else [len(grid) for grid in grids]
    weights = np.array(amounts, np.float64)
    total = sum(len(grid) for grid in grids) if sampling.count is None else sampling.count
    shares = np.concatenate([[0], np.cumsum(weights)]) / max(weights.sum(), 1)
    return [int(count) for count in np.diff(np.round(shares * total).astype(int))]


def _rejected_windows(scene: SceneDraw, seed: int) -> Sequence[Window]:
    """A window around every area that a review rejected: hard negatives, which a model took for an object."""
    rejected = scene.truth.rejected
    if rejected is None:
        return ()
    rng = generator(seed, "hard negatives")
    windows = windows_around_objects(scene.truth.scene.grid, rejected, scene.chip_px, rng, None)
    return touching(windows, scene.region)


def _empty_windows(scene: SceneDraw, count: int, seed: int, index: int) -> list[Window]:
    """Up to `count` random windows without any label; fewer if there is no such ground."""
    rng = generator(seed, "negatives", index)

    def draw(wanted: int) -> list[Window]:
        """Windows without a label, of twice as many as are wanted."""
        # About half of them show something in a scene that is half labelled.
        windows = random_windows(scene.truth.scene.grid, scene.chip_px, 2 * wanted, rng)
        return [window for window in windows if _is_empty(scene.truth, window)]

    return draw_until(draw, scene.region, count)


def _is_empty(truth: SceneTruth, window: Window) -> bool:
    labels = truth.chip(window)
    if labels.mask is None:
        return len(labels) == 0
    foreground = [info.id for info in labels.classes.foreground]
    return not np.isin(labels.mask, foreground).any()
