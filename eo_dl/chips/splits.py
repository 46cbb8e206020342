"""Blocks of ground, and how they become train, val and test (or folds).

A block goes to one split as a whole, by the place of its chips' centres (`deal` says which). Chips nearer
than the guard to a chip of a split above theirs (test above val above train) are then taken out of their
split. By default the guard is one chip; where that would cost more than `MOST_LOST` of the chips, or a split
most of a class, it is halved, then dropped, which is said. Whatever the guard, chips of two splits share no
ground.

With folds, fold k is test, the next one val, the rest train (`fold_splits`), so every chip is in test once.
Of two folds one is val and the other train; then nothing is left for test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely

from ..errors import ConfigError
from .chiprecord import SplitName
from .conflicts import ChipGround, Index, gave_way
from .places import Place
from .splitsearch import POOR, BlockTable, deal_blocks

MOST_LOST = 0.3
ENOUGH_BLOCKS = 12
_WIDEST_BLOCK = 32  # chips
_NAMES: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Dealt:
    """The result: per chip its split and fold, the guard that was kept to, and what has to be said."""

    splits: tuple[SplitName, ...]
    folds: tuple[int | None, ...]
    guard_px: float
    lost: int
    notes: tuple[str, ...]
    shared_ground: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SplitRequest:
    """What was asked for. `guard_px` None: one chip, less where that costs too much."""

    shares: tuple[float, float, float]
    folds: int | None
    guard_px: float | None
    chip_px: int
    seed: int

    def __post_init__(self) -> None:
        if min(self.shares) < 0 or self.shares[0] == 0 or not math.isclose(sum(self.shares), 1, abs_tol=1e-6):
            raise ConfigError(
                f"split needs three shares (train, val, test) that sum to 1 with some for train; found {self.shares}"
            )
        if self.folds is not None and self.folds < 2:
            raise ConfigError(
                f"folds must be 2 or more: one to validate, the rest to train; found {self.folds}"
            )


def default_block_chips(places: Sequence[Place], pitch_px: int) -> int:
    """Side of a block in chips: the widest of which there are `ENOUGH_BLOCKS`, else 2 where that gives 6,
    else 1.
    """

    def count(side: int) -> int:
        return sum(math.prod(_counts(place, side * pitch_px)) for place in places)

    for side in range(_WIDEST_BLOCK, 1, -1):
        if count(side) >= ENOUGH_BLOCKS:
            return side
    return 2 if count(2) >= 6 else 1


def block_names(ground: ChipGround, block_px: int) -> tuple[str, ...]:
    """For each chip the block of its centre: "p0_r1_c2" (place, row and column of blocks)."""
    centres = shapely.get_coordinates(shapely.centroid(ground.outlines))
    names = []
    for (col, row), number in zip(centres, ground.place_of, strict=True):
        place = ground.places[number]
        rows, cols = _counts(place, block_px)
        block_row = min(max(int((row - place.extent[1]) // block_px), 0), rows - 1)
        block_col = min(max(int((col - place.extent[0]) // block_px), 0), cols - 1)
        names.append(f"p{number}_r{block_row}_c{block_col}")
    return tuple(names)


def _counts(place: Place, block_px: int) -> tuple[int, int]:
    """(rows, columns) of blocks; what is left over at the far sides belongs to the last ones unless it is
    half a block or more.
    """
    col0, row0, col1, row1 = place.extent
    return max(1, round((row1 - row0) / block_px)), max(1, round((col1 - col0) / block_px))


def deal_chips(
    ground: ChipGround,
    blocks: Sequence[str],
    amounts: npt.NDArray[np.float64],
    keep: npt.NDArray[np.bool_],
    request: SplitRequest,
) -> Dealt:
    """Every chip's split. `amounts` (N, F): what is to be shared out, e.g. pixels of each class; only kept
    chips count.
    """
    shares = np.array(request.shares) if request.folds is None else np.full(request.folds, 1 / request.folds)
    names, block_of = np.unique(np.array(blocks, dtype=object).astype(str), return_inverse=True)
    need = int((shares > 0).sum())
    if len(names) < need:
        raise ConfigError(
            f"the chips lie in {len(names)} block{'s' * (len(names) > 1)} of ground, too few for {need} {'splits' if request.folds is None else 'folds'}; use smaller chips or blocks (--size, --block-m), more scenes, or fewer splits (--split 100,0,0)"
        )
    if request.guard_px is not None:
        best = _attempt(ground, block_of, amounts, keep, shares, request, float(request.guard_px))
    else:
        bare = _attempt(ground, block_of, amounts, keep, shares, request, 0.0)
        wider = (
            _attempt(ground, block_of, amounts, keep, shares, request, guard)
            for guard in (float(request.chip_px), request.chip_px / 2)
        )
        best = next((found for found in wider if found.affordable(bare)), bare)
    _check_filled(best.splits, keep, shares, request)
    return Dealt(best.splits, best.folds, best.guard_px, best.lost, _notes(request, best.guard_px, best.lost))


@dataclass(frozen=True)
class _Attempt:
    """A deal with one guard. `poor`: see `_poor`."""

    splits: tuple[SplitName, ...]
    folds: tuple[int | None, ...]
    guard_px: float
    lost: int
    kept: int
    poor: int

    def affordable(self, bare: _Attempt) -> bool:
        """True where the guard costs few chips and impoverishes no split, compared with having none."""
        return (
            self.lost <= MOST_LOST * self.kept
            and self.poor <= bare.poor
            and set(self.splits) >= set(bare.splits) - {"none"}
        )


def _attempt(
    ground: ChipGround,
    block_of: Index,
    amounts: npt.NDArray[np.float64],
    keep: npt.NDArray[np.bool_],
    shares: npt.NDArray[np.float64],
    request: SplitRequest,
    guard_px: float,
) -> _Attempt:
    pairs = ground.near_pairs(guard_px)
    dealt = deal_blocks(
        BlockTable.of(block_of, amounts, keep, pairs), shares, request.seed, ordered=request.folds is None
    )[block_of]
    folds = tuple(int(f) for f in dealt) if request.folds is not None else (None,) * len(dealt)
    tentative = (
        tuple(_NAMES[d] for d in dealt) if request.folds is None else fold_splits(folds, 0, request.folds)
    )
    gone = gave_way(tentative, keep, pairs)
    splits: tuple[SplitName, ...] = tuple("none" if g else s for s, g in zip(tentative, gone, strict=True))
    return _Attempt(
        splits, folds, guard_px, int((gone & keep).sum()), int(keep.sum()), _poor(splits, keep, amounts)
    )


def _poor(splits: Sequence[SplitName], keep: npt.NDArray[np.bool_], amounts: npt.NDArray[np.float64]) -> int:
    """How many pairs of split and amount have less than `POOR` of what chips have on average (so nothing,
    too).
    """
    of = np.array(splits, dtype=object)
    usual = amounts[keep].mean(axis=0)
    chips = [amounts[keep & (of == name)] for name in sorted(set(splits) - {"none"})]
    return sum(int((part.mean(axis=0) < POOR * usual).sum()) for part in chips if len(part))


def fold_splits(folds: Sequence[int | None], fold: int, count: int) -> tuple[SplitName, ...]:
    """Splits of a cross-validation run, before the guard: fold `fold` is test, the next val, the rest train;
    of two it is val.
    """
    names: dict[int, SplitName] = {fold: "val"} if count == 2 else {fold: "test", (fold + 1) % count: "val"}
    return tuple("none" if f is None else names.get(f, "train") for f in folds)


def fold_validated_on(val_fold: int, count: int) -> int:
    """The run of `fold_splits` whose validation fold this is."""
    return val_fold if count == 2 else (val_fold - 1) % count


def _check_filled(
    splits: Sequence[SplitName],
    keep: npt.NDArray[np.bool_],
    shares: npt.NDArray[np.float64],
    request: SplitRequest,
) -> None:
    wanted = (
        (_NAMES if request.folds > 2 else _NAMES[:2])
        if request.folds is not None
        else tuple(name for name, share in zip(_NAMES, shares, strict=True) if share > 0)
    )
    kept = {split for split, good in zip(splits, keep, strict=True) if good}
    missing = [name for name in wanted if name not in kept]
    if missing:
        raise ConfigError(
            f"no chip is left for {' and '.join(missing)} once chips of two splits share no ground; use smaller chips (--size), less overlap or a smaller guard"
        )


def _notes(request: SplitRequest, guard: float, lost: int) -> tuple[str, ...]:
    apart = (
        f"chips of two splits lie at least {guard:g} px apart"
        if guard
        else "chips of two splits may touch, but share no ground"
    )
    left_out = f"; {lost} chip{'s' * (lost != 1)} between splits left out (split 'none')" if lost else ""
    if request.guard_px is None and guard < request.chip_px:
        return (
            f"{apart}{left_out}: a guard of one chip ({request.chip_px} px) would have cost more than {MOST_LOST:.0%} of the chips, or a split most of a class; give more ground or smaller chips for a wider guard",
        )
    return (f"{apart}{left_out}",)
