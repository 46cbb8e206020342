"""Dealing blocks of ground to splits: a seeded search over moves and swaps.

A good deal gives every split its share of the chips and of each class, counted after the guard has taken its
toll, since chips that stand between two splits are of no use to either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.seeds import generator
from .conflicts import Index

POOR = 0.2
"""A split with less than this share of what it should have of a class is as good as without it."""
_STARTS = 4
_MOST_TRIES = 4000
_PATIENCE = 12  # tries a block without gain

Amounts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BlockTable:
    """What is dealt, as shares of the whole.

    `amounts` (B, F): of each block; column 0 counts chips. `here`, `there` (P,): pairs of blocks with chips
    nearer than the guard; `toll` (P, F): what block `here` loses where `there` stands above it.
    """

    amounts: Amounts
    here: Index
    there: Index
    toll: Amounts

    @classmethod
    def of(
        cls, block_of: Index, amounts: Amounts, keep: npt.NDArray[np.bool_], pairs: tuple[Index, Index]
    ) -> BlockTable:
        """From the chips' blocks (N,), their amounts (N, F) and the pairs of chips that are too near; only
        kept chips count.
        """
        columns = np.column_stack([np.ones(len(block_of)), amounts]) * keep[:, None]
        sums = columns.sum(axis=0)
        columns = columns[:, sums > 0] / sums[sums > 0]
        totals = np.zeros((int(block_of.max()) + 1, columns.shape[1]))
        np.add.at(totals, block_of, columns)
        chip, other = np.concatenate(pairs), np.concatenate(pairs[::-1])
        apart = (block_of[chip] != block_of[other]) & keep[chip] & keep[other]
        chip_block = np.unique(np.column_stack([chip[apart], block_of[other[apart]]]), axis=0)
        keys, place = np.unique(
            np.column_stack([block_of[chip_block[:, 0]], chip_block[:, 1]]), axis=0, return_inverse=True
        )
        toll = np.zeros((len(keys), columns.shape[1]))
        np.add.at(toll, place.reshape(-1), columns[chip_block[:, 0]])
        return cls(totals, keys[:, 0], keys[:, 1], toll)


def deal_blocks(table: BlockTable, shares: Amounts, seed: int, ordered: bool) -> Index:
    """(B,) the split of each block: 0 .. len(shares) - 1, those with a share of 0 left out.

    `ordered`: a later split stands above an earlier one and takes the toll from it; else (folds) the toll is
    not counted, because it falls on another fold in every run.
    """
    offered = np.flatnonzero(shares > 0)
    best = min(
        (
            _search(table, shares[offered], generator(seed, "deal", start), ordered)
            for start in range(_STARTS)
        ),
        key=lambda found: found[0],
    )
    return np.asarray(offered[best[1]], np.int64)


def _search(
    table: BlockTable, shares: Amounts, rng: np.random.Generator, ordered: bool
) -> tuple[float, Index]:
    of = _start(table.amounts[:, 0], shares, rng)
    cost = _cost(table, of, shares, ordered)
    blocks, kinds = len(of), len(shares)
    idle = 0
    tries = np.column_stack(
        [
            rng.integers(blocks, size=(_MOST_TRIES, 2)),
            rng.integers(kinds, size=_MOST_TRIES),
            rng.integers(2, size=_MOST_TRIES),
        ]
    )
    for one, other, kind, swap in tries.tolist() if kinds > 1 else []:
        if idle > _PATIENCE * blocks:
            break
        idle += 1
        if of[one] == (of[other] if swap else kind):
            continue
        changed = of.copy()
        if swap:
            changed[one], changed[other] = of[other], of[one]
        else:
            changed[one] = kind
        new = _cost(table, changed, shares, ordered)
        if new < cost - 1e-9:
            of, cost, idle = changed, new, 0
    return cost, of


def _start(chips: Amounts, shares: Amounts, rng: np.random.Generator) -> Index:
    """Blocks in random order, each to the split that is furthest below its share of chips."""
    of = np.zeros(len(chips), np.int64)
    got = np.zeros(len(shares))
    for block in rng.permutation(len(chips)):
        of[block] = int(np.argmin((got + 1e-9) / shares))
        got[of[block]] += chips[block]
    return of


def _cost(table: BlockTable, of: Index, shares: Amounts, ordered: bool) -> float:
    """How far every split is from what it should have, relative to that and up to 1: val without a class is
    as bad as train without it.
    """
    kinds = np.arange(len(shares))[:, None]
    got = (of == kinds).astype(np.float64) @ table.amounts
    if ordered and len(table.here):
        pays = (of[table.there] > of[table.here]) & (of[table.here] == kinds)
        got -= pays.astype(np.float64) @ table.toll
    off = (np.minimum(np.abs(got - shares[:, None]) / shares[:, None], 1)).sum(axis=0) / len(shares) + (
        got < POOR * shares[:, None]
    ).sum(axis=0)
    classes = off[1:].sum() / (len(off) - 1) if len(off) > 1 else 0.0
    empty = (got[:, 0] < 1e-9).sum()
    return float(2 * off[0] + 10 * empty + classes + 2 * (1 - got[:, 0].sum()))
