"""Blocks of ground, and how they become train, val and test (or folds).

A block goes to one split as a whole; a chip belongs to the block of its centre. Chips closer than the guard
to a chip of a higher split (test above val above train) are then taken out of their split. The default guard
is one chip; if that would cost more than `MOST_LOST` of the chips, or a split most of a class, the guard is
halved, then dropped, which is reported. Whatever the guard, chips of two splits share no ground.

With folds, fold k is test, the next one val, and the rest train (`fold_splits`), so that every chip is in
test once. Of two folds one is val and the other train; then there is no test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import shapely

from ..core.arraytypes import BoolArray, Float64Array
from ..errors import ConfigError, SplitError
from .chiprecord import SplitName
from .conflicts import ChipGround, gave_way
from .places import Place
from .splitsearch import POOR, BlockTable, assign_blocks

SplitBy = Literal["block", "scene"]

MOST_LOST = 0.3
"""The share of chips that the default guard may cost."""

ENOUGH_BLOCKS = 12
"""Blocks that the default size of a block aims at."""

_WIDEST_BLOCK = 32  # chips
_NAMES: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """How chips are divided into train, val and test.

    Raises:
        ConfigError: An option is out of range, or two options contradict each other.

    Example:
        >>> Split((0.6, 0.2, 0.2), guard_px=64).guard_px
        64
    """

    shares: tuple[float, float, float] = (0.7, 0.15, 0.15)
    """Shares of train, val and test; they sum to 1."""

    by: SplitBy = "block"
    """What goes to one split as a whole: a "block" of ground, or a "scene"."""

    block_m: float | None = None
    """Side of a block on the ground, metres (default: chosen from the size of the scenes)."""

    block_px: int | None = None
    """Side of a block in pixels of the chips, in place of `block_m`."""

    guard_px: float | None = None
    """Minimum distance between chips of two splits, pixels (default: one chip, less if that costs too
    much).
    """

    folds: int | None = None
    """Number of folds for cross-validation. Chips are divided evenly into folds instead of by `shares`; fold
    0 is test, fold 1 val. Each can take its turn later (`ChipSet.for_fold`)."""

    like: str | Path | None = None
    """Folder of a chip set whose val and test ground is held out here as well, so that models trained on
    either can be compared. `shares` and `guard_px` are those of that set then."""

    def __post_init__(self) -> None:
        if len(self.shares) != 3 or min(self.shares) < 0 or self.shares[0] == 0:
            raise ConfigError(
                f"`split`: expected three shares (train, val, test) with some for train, found {self.shares}"
            )
        if not math.isclose(sum(self.shares), 1, abs_tol=1e-6):
            raise ConfigError(f"`split`: expected shares that sum to 1, found {self.shares}")
        if self.by not in ("block", "scene"):
            raise ConfigError(f"`split_by`: expected block or scene, found {self.by!r}")
        if self.block_m is not None and self.block_px is not None:
            raise ConfigError("`block_m`: the side of a block is given in metres and in `block_px`; give one")
        if self.guard_px is not None and self.guard_px < 0:
            raise ConfigError(f"`guard_px`: expected 0 or more, found {self.guard_px:g}")
        if self.folds is not None and self.folds < 2:
            raise ConfigError(
                f"`folds`: expected 2 or more (one to validate on, the rest to train on), found {self.folds}"
            )
        if self.folds is not None and self.like is not None:
            raise ConfigError(
                "`split_like`: holds out the ground of another chip set, and `folds` makes new splits; give "
                "one of them"
            )

    @property
    def names(self) -> tuple[SplitName, ...]:
        """The splits that get chips."""
        if self.folds is not None:
            return _NAMES[:2] if self.folds == 2 else _NAMES
        return tuple(name for name, share in zip(_NAMES, self.shares, strict=True) if share > 0)

    def block_side_px(self, chip_px: int, gsd_m: float | None) -> int | None:
        """Side of a block in pixels of the chips; None for the default.

        Args:
            chip_px: Side of a chip; a block cannot be smaller.
            gsd_m: GSD of the chips, metres; None without a CRS.

        Raises:
            ConfigError: A block is smaller than a chip, or has a size in metres without a GSD.
        """
        side_px = self.block_px
        if self.block_m is not None:
            if gsd_m is None:
                raise ConfigError(
                    "`block_m`: scenes without a CRS have no metres; use `block_px`, or omit it"
                )
            side_px = round(self.block_m / gsd_m)
        if side_px is not None and side_px < chip_px:
            raise ConfigError(
                f"`block_m`: a block of {side_px} px is smaller than a chip of {chip_px} px; choose larger "
                "blocks or smaller chips (`size`)"
            )
        return side_px


@dataclass(frozen=True)
class ChipsToSplit:
    """The chips that are divided among splits, as parallel arrays."""

    ground: ChipGround
    """Where they lie."""

    blocks: tuple[str, ...]
    """(N,) name of the block of each."""

    amounts: Float64Array
    """(N, F) what is shared out fairly: pixels and objects of each class."""

    keep: BoolArray
    """(N,) chips that count."""


@dataclass(frozen=True)
class SplitChips:
    """The split of every chip, and what it took."""

    splits: tuple[SplitName, ...]
    """(N,) the split of each chip."""

    folds: tuple[int | None, ...]
    """(N,) the fold of each chip; None without folds."""

    guard_px: float
    """The guard that was kept."""

    lost: int
    """Kept chips that are in no split because of the guard."""

    notes: tuple[str, ...]
    """What was done, in words."""

    shared_ground: dict[str, float] = field(default_factory=dict)
    """For each pair of splits the ground that they share, as measured; see `ChipGround.shared_ground`."""


def default_block_chips(places: Sequence[Place], pitch_px: int) -> int:
    """Side of a block, in chips: the widest that gives `ENOUGH_BLOCKS`, else 2 if that gives 6, else 1.

    Args:
        places: The ground to be divided.
        pitch_px: Distance of neighbouring chips, pixels.
    """

    def block_count(side: int) -> int:
        """Number of blocks of `side` chips."""
        return sum(math.prod(_rows_and_columns(place, side * pitch_px)) for place in places)

    for side in range(_WIDEST_BLOCK, 1, -1):
        if block_count(side) >= ENOUGH_BLOCKS:
            return side
    return 2 if block_count(2) >= 6 else 1


def block_names(ground: ChipGround, block_px: int) -> tuple[str, ...]:
    """For each chip the block of its centre: "p0_r1_c2" (number of the place, row and column of the
    block).
    """
    centres = shapely.get_coordinates(shapely.centroid(ground.outlines))
    names = []
    for (col, row), number in zip(centres, ground.place_of, strict=True):
        place = ground.places[number]
        rows, cols = _rows_and_columns(place, block_px)
        block_row = int((row - place.extent[1]) // block_px)
        block_col = int((col - place.extent[0]) // block_px)
        block_row, block_col = min(max(block_row, 0), rows - 1), min(max(block_col, 0), cols - 1)
        names.append(f"p{number}_r{block_row}_c{block_col}")
    return tuple(names)


def _rows_and_columns(place: Place, block_px: int) -> tuple[int, int]:
    """Rows and columns of blocks. What remains at the far sides belongs to the last ones unless it is half a
    block or more.
    """
    col0, row0, col1, row1 = place.extent
    return max(1, round((row1 - row0) / block_px)), max(1, round((col1 - col0) / block_px))


def split_chips(chips: ChipsToSplit, split: Split, *, chip_px: int, seed: int) -> SplitChips:
    """Divide chips among splits by blocks of ground.

    Args:
        chips: The chips with their ground, blocks and contents.
        split: How they are divided.
        chip_px: Side of a chip, the default guard.
        seed: Same seed, same splits.

    Raises:
        SplitError: There are too few blocks, or the guard leaves a split without chips.
    """
    block_count = len(set(chips.blocks))
    parts = "splits" if split.folds is None else "folds"
    part_count = split.folds or sum(share > 0 for share in split.shares)
    if block_count < part_count:
        plural = "s" if block_count > 1 else ""
        raise SplitError(
            f"the chips lie in {block_count} block{plural} of ground, too few for {part_count} {parts}; use "
            "smaller chips or blocks (`size`, `block_m`), more scenes, or train alone as `split` (100,0,0)"
        )
    if split.guard_px is not None:
        best = _attempt(chips, split, float(split.guard_px), seed)
    else:
        best = _attempt_with_default_guard(chips, split, chip_px, seed)
    _check_filled(best.splits, chips.keep, split)
    notes = _notes(split, chip_px, best)
    return SplitChips(best.splits, best.folds, best.guard_px, best.lost, notes)


@dataclass(frozen=True)
class _Attempt:
    """The splits with one guard."""

    splits: tuple[SplitName, ...]
    folds: tuple[int | None, ...]
    guard_px: float
    lost: int
    kept: int
    poor: int  # see _poor_count

    def costs_little(self, without_guard: _Attempt) -> bool:
        """True if the guard loses few chips and makes no split poorer than it is without a guard."""
        return (
            self.lost <= MOST_LOST * self.kept
            and self.poor <= without_guard.poor
            and set(self.splits) >= set(without_guard.splits) - {"none"}
        )


def _attempt_with_default_guard(chips: ChipsToSplit, split: Split, chip_px: int, seed: int) -> _Attempt:
    """A guard of one chip, else of half a chip, else none: the first that costs little."""
    without_guard = _attempt(chips, split, 0.0, seed)
    for guard_px in (float(chip_px), chip_px / 2):
        attempt = _attempt(chips, split, guard_px, seed)
        if attempt.costs_little(without_guard):
            return attempt
    return without_guard


def _attempt(chips: ChipsToSplit, split: Split, guard_px: float, seed: int) -> _Attempt:
    pairs = chips.ground.near_pairs(guard_px, chips.blocks)
    _, block_of = np.unique(np.array(chips.blocks, dtype=object).astype(str), return_inverse=True)
    table = BlockTable.of(block_of, chips.amounts, chips.keep, pairs)
    if split.folds is None:
        part_of = assign_blocks(table, np.array(split.shares), seed, ordered=True)[block_of]
        folds: tuple[int | None, ...] = (None,) * len(part_of)
        tentative = tuple(_NAMES[part] for part in part_of)
    else:
        even_shares = np.full(split.folds, 1 / split.folds)
        part_of = assign_blocks(table, even_shares, seed, ordered=False)[block_of]
        folds = tuple(int(part) for part in part_of)
        tentative = fold_splits(folds, 0, split.folds)
    gone = gave_way(tentative, chips.keep, pairs)
    splits = without(tentative, gone)
    lost = int((gone & chips.keep).sum())
    poor = _poor_count(splits, chips.keep, chips.amounts)
    return _Attempt(
        splits=splits, folds=folds, guard_px=guard_px, lost=lost, kept=int(chips.keep.sum()), poor=poor
    )


def without(splits: Sequence[SplitName], gone: BoolArray) -> tuple[SplitName, ...]:
    """The splits, "none" for the chips that are gone."""
    return tuple("none" if is_gone else name for name, is_gone in zip(splits, gone, strict=True))


def _poor_count(splits: Sequence[SplitName], keep: BoolArray, amounts: Float64Array) -> int:
    """How many pairs of split and class have less than `POOR` of what chips have on average, or nothing."""
    split_of = np.array(splits, dtype=object)
    average = amounts[keep].mean(axis=0)
    poor = 0
    for name in sorted(set(splits) - {"none"}):
        chips = amounts[keep & (split_of == name)]
        if len(chips):
            poor += int((chips.mean(axis=0) < POOR * average).sum())
    return poor


def fold_splits(folds: Sequence[int | None], fold: int, count: int) -> tuple[SplitName, ...]:
    """The splits of one run of a cross-validation, before the guard.

    Args:
        folds: (N,) the fold of each chip; None: in no split.
        fold: The fold to test on. The next one is val, the rest train. Of two folds it is val.
        count: Number of folds.
    """
    names: dict[int, SplitName] = {fold: "test", (fold + 1) % count: "val"}
    if count == 2:
        names = {fold: "val"}
    return tuple("none" if number is None else names.get(number, "train") for number in folds)


def fold_validated_on(val_fold: int, count: int) -> int:
    """The run of `fold_splits` that validates on this fold."""
    return val_fold if count == 2 else (val_fold - 1) % count


def _check_filled(splits: Sequence[SplitName], keep: BoolArray, split: Split) -> None:
    wanted = split.names
    filled = {name for name, is_kept in zip(splits, keep, strict=True) if is_kept}
    missing = [name for name in wanted if name not in filled]
    if missing:
        raise SplitError(
            f"no chip is left for {' and '.join(missing)} once chips of two splits share no ground; use "
            "smaller chips (`size`), less overlap (`overlap_px`) or a smaller guard (`guard_px`)"
        )


def _notes(split: Split, chip_px: int, attempt: _Attempt) -> tuple[str, ...]:
    distance = "chips of two splits may touch, but share no ground"
    if attempt.guard_px:
        distance = f"chips of two splits are at least {attempt.guard_px:g} px apart"
    lost = ""
    if attempt.lost:
        plural = "s" if attempt.lost > 1 else ""
        lost = f"; {attempt.lost} chip{plural} between splits left out (split 'none')"
    why = ""
    if split.guard_px is None and attempt.guard_px < chip_px:
        why = (
            f": a guard of one chip ({chip_px} px) would have cost more than {MOST_LOST:.0%} of the chips, "
            "or a split most of a class; use more ground or smaller chips for a wider guard"
        )
    return (f"{distance}{lost}{why}",)
