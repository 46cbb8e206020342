"""Blocks of ground, and how they are dealt to train, val and test (or to folds).

A block goes to one split as a whole, by the place of its chips' centres. Blocks are dealt so that every split gets its share of the chips
and of each class, no split misses a class that there is enough of, and few chips fall into the guard: a seeded search over moves and swaps,
because the best deal of 16 blocks is far better than a random one (a rare class often sits in two of them). Then chips nearer
than the guard to a chip of a split above theirs (test above val above train) are taken out of their split. By default the guard is
one chip; where that would cost more than `MOST_LOST` of the train chips it is halved, then dropped, which is said. Whatever
the guard, chips of two splits share no ground.

With folds, fold k is test, the next one val, the rest train (`fold_splits`), so every chip is in test once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely

from ..core.seeds import generator
from ..errors import ConfigError
from .conflicts import ChipGround, Index, gave_way
from .ground import Place
from .record import SplitName

MOST_LOST = 0.35
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
            raise ConfigError(f"split needs three shares (train, val, test) that sum to 1 with some for train; found {self.shares}")
        if self.folds is not None and self.folds < 3:
            raise ConfigError(f"folds must be 3 or more, since one is test, one val and the rest train; found {self.folds}")


def default_block_chips(places: Sequence[Place], pitch_px: int) -> int:
    """Side of a block in chips: the widest of which there are `ENOUGH_BLOCKS`, else 2 where that gives 6, else 1."""

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
    """(rows, columns) of blocks; what is left over at the far sides belongs to the last ones unless it is half a block or more."""
    col0, row0, col1, row1 = place.extent
    return max(1, round((row1 - row0) / block_px)), max(1, round((col1 - col0) / block_px))


def deal_chips(ground: ChipGround, blocks: Sequence[str], amounts: npt.NDArray[np.float64], keep: npt.NDArray[np.bool_], request: SplitRequest) -> Dealt:
    """Every chip's split. `amounts` (N, F): what is to be shared out, e.g. pixels of each class; only kept chips count."""
    wanted = _NAMES if request.folds is None else tuple(str(fold) for fold in range(request.folds))
    shares = np.array(request.shares) if request.folds is None else np.full(request.folds, 1 / request.folds)
    names, block_of = np.unique(np.array(blocks, dtype=object).astype(str), return_inverse=True)
    need = int((shares > 0).sum())
    if len(names) < need:
        raise ConfigError(
            f"the chips lie in {len(names)} block{'s' * (len(names) > 1)} of ground, too few for {need} {'splits' if request.folds is None else 'folds'}; use smaller chips or blocks (--size, --block-m), more scenes, or fewer splits (--split 100,0,0)"
        )
    totals = _block_totals(block_of, len(names), amounts, keep)
    levels = (float(request.chip_px), request.chip_px / 2, 0.0) if request.guard_px is None else (float(request.guard_px),)
    for guard in levels:
        pairs = ground.near_pairs(guard)
        near = _block_adjacency(block_of, len(names), pairs, keep)
        of_block = _deal(totals, near, shares, request.seed, ordered=request.folds is None)
        dealt = of_block[block_of]
        folds = tuple(int(f) for f in dealt) if request.folds is not None else None
        tentative = tuple(_NAMES[d] for d in dealt) if folds is None else fold_splits(folds, 0, len(wanted))
        gone = gave_way(tentative, keep, pairs)
        if guard == levels[-1] or _affordable(tentative, keep, gone):
            break
    splits: tuple[SplitName, ...] = tuple("none" if g else s for s, g in zip(tentative, gone, strict=True))
    _check_filled(splits, keep, shares, request)
    lost = int((gone & keep).sum())
    return Dealt(splits, folds if folds is not None else (None,) * len(splits), guard, lost, _notes(request, guard, lost))


def fold_splits(folds: Sequence[int | None], test_fold: int, count: int) -> tuple[SplitName, ...]:
    """Splits of a cross-validation run, before the guard: fold `test_fold` is test, the next val, the rest train."""
    val_fold = (test_fold + 1) % count
    return tuple("none" if f is None else "test" if f == test_fold else "val" if f == val_fold else "train" for f in folds)


def _affordable(splits: Sequence[SplitName], keep: npt.NDArray[np.bool_], gone: npt.NDArray[np.bool_]) -> bool:
    of = np.array(splits, dtype=object)
    for name in set(splits) - {"none"}:
        mine = (of == name) & keep
        left = (mine & ~gone).sum()
        if left == 0 or left < (1 - MOST_LOST) * mine.sum():
            return False
    return True


def _check_filled(splits: Sequence[SplitName], keep: npt.NDArray[np.bool_], shares: npt.NDArray[np.float64], request: SplitRequest) -> None:
    wanted = _NAMES if request.folds is not None else tuple(name for name, share in zip(_NAMES, shares, strict=True) if share > 0)
    kept = {split for split, good in zip(splits, keep, strict=True) if good}
    missing = [name for name in wanted if name not in kept]
    if missing:
        raise ConfigError(
            f"no chip is left for {' and '.join(missing)} once chips of two splits share no ground; use smaller chips (--size), less overlap or a smaller guard"
        )


def _notes(request: SplitRequest, guard: float, lost: int) -> tuple[str, ...]:
    apart = f"chips of two splits lie at least {guard:g} px apart" if guard else "chips of two splits may touch, but share no ground"
    left_out = f"; {lost} chip{'s' * (lost != 1)} between splits left out (split 'none')" if lost else ""
    if request.guard_px is None and guard < request.chip_px:
        return (
            f"{apart}{left_out}: a guard of one chip ({request.chip_px} px) would have cost more than {MOST_LOST:.0%} of the chips of a split; give more ground or smaller chips for a wider guard",
        )
    return (f"{apart}{left_out}",)


# The deal


def _block_totals(block_of: Index, count: int, amounts: npt.NDArray[np.float64], keep: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """(B, F) shares of each amount by block: column 0 counts chips."""
    columns = np.column_stack([np.ones(len(block_of)), amounts]) * keep[:, None]
    totals = np.zeros((count, columns.shape[1]))
    np.add.at(totals, block_of, columns)
    sums = totals.sum(axis=0)
    shares: npt.NDArray[np.float64] = totals[:, sums > 0] / sums[sums > 0]
    return shares


def _block_adjacency(block_of: Index, count: int, pairs: tuple[Index, Index], keep: npt.NDArray[np.bool_]) -> list[list[tuple[int, float, float]]]:
    """For each block its neighbours: (other, share of all chips lost here if the other stands above, share lost there if we do)."""
    chip, other = np.concatenate(pairs), np.concatenate(pairs[::-1])
    apart = (block_of[chip] != block_of[other]) & keep[chip] & keep[other]
    chip_block = np.unique(np.column_stack([chip[apart], block_of[other[apart]]]), axis=0)
    lost: dict[tuple[int, int], float] = {}
    weight = 1 / max(int(keep.sum()), 1)
    for index, neighbour in chip_block.tolist():
        key = (int(block_of[index]), neighbour)
        lost[key] = lost.get(key, 0.0) + weight
    near: list[list[tuple[int, float, float]]] = [[] for _ in range(count)]
    for (here, there), share in sorted(lost.items()):
        near[here].append((there, share, lost.get((there, here), 0.0)))
    return near


def _deal(totals: npt.NDArray[np.float64], near: list[list[tuple[int, float, float]]], shares: npt.NDArray[np.float64], seed: int, ordered: bool) -> Index:
    """(B,) split of each block. `ordered`: a later split stands above an earlier one, else (folds) the loss is shared."""
    best: tuple[float, Index] | None = None
    for attempt in range(4):
        search = _Search(totals, near, shares, ordered, generator(seed, "splits", attempt))
        found = search.run()
        if best is None or search.cost < best[0] - 1e-9:
            best = (search.cost, found)
    assert best is not None
    return best[1]


class _Search:
    """Moves and swaps blocks between splits as long as that lowers the cost."""

    def __init__(
        self,
        totals: npt.NDArray[np.float64],
        near: list[list[tuple[int, float, float]]],
        shares: npt.NDArray[np.float64],
        ordered: bool,
        rng: np.random.Generator,
    ) -> None:
        self.totals, self.near, self.ordered, self.rng = totals, near, ordered, rng
        self.open = np.flatnonzero(shares > 0)
        self.wanted = shares[self.open][:, None]
        self.of = self._start()
        self.got = np.zeros((len(self.open), totals.shape[1]))
        np.add.at(self.got, self.of, totals)
        self.lost = sum(self._loss_at(block) for block in range(len(self.of))) / 2
        self.cost = self._cost(self.got, self.lost)

    def run(self) -> Index:
        blocks, kinds = len(self.of), len(self.open)
        if kinds > 1:
            for _ in range(min(6000, 150 * blocks)):
                one, other = self.rng.integers(blocks, size=2)
                if self.rng.random() < 0.5:
                    self._try({int(one): int(self.rng.integers(kinds))})
                else:
                    self._try({int(one): int(self.of[other]), int(other): int(self.of[one])})
        return np.asarray(self.open[self.of], np.int64)

    def _start(self) -> Index:
        """Blocks in random order, each to the split that is furthest below its share of chips."""
        of = np.zeros(len(self.totals), np.int64)
        got = np.zeros(len(self.open))
        for block in self.rng.permutation(len(of)):
            of[block] = int(np.argmin((got + 1e-9) / self.wanted[:, 0]))
            got[of[block]] += self.totals[block, 0]
        return of

    def _try(self, changes: dict[int, int]) -> None:
        before = {block: int(self.of[block]) for block in changes}
        if all(before[block] == new for block, new in changes.items()):
            return
        got, lost = self.got.copy(), self.lost
        for block, new in changes.items():
            got[self.of[block]] -= self.totals[block]
            got[new] += self.totals[block]
            lost -= self._loss_at(block)
            self.of[block] = new
            lost += self._loss_at(block)
        cost = self._cost(got, lost)
        if cost < self.cost - 1e-9:
            self.got, self.lost, self.cost = got, lost, cost
        else:
            for block, old in before.items():
                self.of[block] = old

    def _cost(self, got: npt.NDArray[np.float64], lost: float) -> float:
        deviation = np.abs(got - self.wanted).sum(axis=0)
        missing = (got < 1e-9).sum(axis=0)
        classes = deviation[1:].mean() + missing[1:].sum() / 2 if len(deviation) > 1 else 0.0
        return float(2 * deviation[0] + 10 * missing[0] + classes + lost)

    def _loss_at(self, block: int) -> float:
        """Share of all chips that the guard between this block and its neighbours costs."""
        mine = self.of[block]
        lost = 0.0
        for other, here, there in self.near[block]:
            theirs = self.of[other]
            if theirs != mine:
                lost += (here if theirs > mine else there) if self.ordered else (here + there) / 2
        return lost
