"""The side of a chip where nobody stated one: by the sizes of labelled objects, and by what splits need.

`USUAL_PX` fits most objects, and gives a CPU many steps per minute. Larger chips are taken if objects need
them, smaller ones if three splits need them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from ..core.arraytypes import Float64Array
from .truth import SceneTruth

USUAL_PX = 256
"""Side of a chip, unless objects or splits need another one."""

SIZES_PX = (512, 384, 256, 192, 128, 96, 64)
"""Sides that are tried."""

ENOUGH_LABELLED = 3
"""Chips with labels that each split should have: the score on one or two chips says little."""

_CHIP_PER_OBJECT = 1.5  # less, and hardly a chip shows a large object whole
_LARGE_SHARE = 0.9  # the largest objects may be odd ones
_LARGE_OBJECT_PX, _GOOD_OBJECT_PX = 96, 48  # seen by a network; a coarser GSD makes one of the other
_SEPARATE_SHARE = 0.5  # of the ground; labels that cover more are land cover, and not objects of a size


@dataclass(frozen=True)
class ObjectSizes:
    """Sizes of labelled objects, the longer sides of their boxes in pixels of the scenes."""

    median_px: float
    """Half of the objects are smaller."""

    large_px: float
    """All but the largest tenth are smaller."""

    separate: bool
    """True if less than half of the ground is labelled as objects."""

    @classmethod
    def of(cls, truths: Sequence[SceneTruth]) -> ObjectSizes | None:
        """The sizes on some scenes; None for label rasters, and without objects."""
        sides = np.concatenate([_sides_px(truth) for truth in truths])
        if not len(sides):
            return None
        labelled_px2 = sum(float(shapely.area(truth.labels.geometries).sum()) for truth in truths)
        ground_px2 = sum(_ground_px2(truth) for truth in truths)
        return cls(
            median_px=float(np.median(sides)),
            large_px=float(np.quantile(sides, _LARGE_SHARE)),
            separate=labelled_px2 < _SEPARATE_SHARE * ground_px2,
        )


def _ground_px2(truth: SceneTruth) -> float:
    """The ground on which labels are complete, pixels."""
    if truth.region is not None:
        return float(truth.region.area)
    return float(truth.scene.grid.height * truth.scene.grid.width)


def _sides_px(truth: SceneTruth) -> Float64Array:
    grid = truth.scene.grid
    bounds = truth.labels.bounds[~truth.labels.ignore]
    inside = np.clip(bounds, 0, [grid.width, grid.height, grid.width, grid.height])
    return np.asarray((inside[:, 2:] - inside[:, :2]).max(axis=1), np.float64)


@dataclass(frozen=True)
class SizeTrial:
    """One side of a chip that is tried."""

    chip_px: int
    """The side."""

    least_labelled: int
    """Chips with labels that each split must have."""

    why: str
    """Why it is the one, if it is."""


def size_trials(sizes: ObjectSizes | None, scene_px: int) -> list[SizeTrial]:
    """The sides to be tried, best first.

    Args:
        sizes: Sizes of the objects; None: not known.
        scene_px: Longest side of any scene: larger chips would be padded.
    """
    best_px, why_best = _best_px(sizes)
    if best_px > scene_px:
        best_px = max([side_px for side_px in SIZES_PX if side_px <= scene_px], default=min(SIZES_PX))
        why_best = f"the largest that fits scenes of {scene_px} px"
    trials = []
    for least, condition in (
        (ENOUGH_LABELLED, f"with at least {ENOUGH_LABELLED} labelled chips each"),
        (1, "with a labelled chip each"),
        (0, "with a chip each"),
    ):
        for side_px in SIZES_PX:
            if side_px == best_px:
                trials.append(SizeTrial(side_px, least, why_best))
            elif side_px < best_px:
                trials.append(SizeTrial(side_px, least, f"the largest that leaves three splits {condition}"))
    return trials


def _best_px(sizes: ObjectSizes | None) -> tuple[int, str]:
    """The side that fits the objects, and why."""
    if sizes is None:
        return USUAL_PX, "the usual size"
    wanted_px = _CHIP_PER_OBJECT * sizes.large_px
    objects = f"most labelled objects are up to {sizes.large_px:.0f} px wide"
    if wanted_px <= USUAL_PX:
        return USUAL_PX, f"the usual size; {objects}"
    if sizes.large_px > SIZES_PX[0]:
        return USUAL_PX, f"the usual size; {objects}, more than any chip shows whole"
    enough = [side_px for side_px in SIZES_PX if side_px >= wanted_px]
    return min(enough, default=SIZES_PX[0]), f"to show whole objects: {objects}"


def gsd_note(sizes: ObjectSizes | None, gsd_m: float | None) -> str | None:
    """A coarser GSD to consider, as a note; None if the objects are not that large.

    Args:
        sizes: Sizes of the objects; None: not known.
        gsd_m: GSD of the chips, metres; None without a CRS.
    """
    if sizes is None or gsd_m is None or not sizes.separate or sizes.median_px <= _LARGE_OBJECT_PX:
        return None
    coarser_m = float(f"{gsd_m * sizes.median_px / _GOOD_OBJECT_PX:.1g}")
    if coarser_m <= gsd_m:
        return None
    return (
        f"half of the labelled objects are wider than {sizes.median_px:.0f} px "
        f"({sizes.median_px * gsd_m:.3g} m): a GSD of {coarser_m:g} m would do, shows more of their "
        f"surroundings and trains faster (`gsd_m={coarser_m:g}`); the {gsd_m:.2g} m of the scene are kept"
    )
