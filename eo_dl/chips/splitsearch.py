"""Assigning blocks of ground to splits: a seeded search over moves and swaps.

A good assignment gives every split its share of the chips and of each class, counted after the guard has
taken its toll, since chips that stand between two splits are of no use to either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import BoolArray, Float64Array, Int64Array
from ..core.seeds import generator
from .conflicts import ChipPairs

POOR = 0.2
"""A split with less than this part of its share of a class is nearly without that class."""

_STARTS = 4
_MOST_TRIES = 4000
_PATIENCE = 12  # tries per block without an improvement
_GAIN = 1e-9


@dataclass(frozen=True)
class BlockTable:
    """What is assigned: blocks and what they hold, as shares of the whole."""

    amounts: Float64Array
    """(B, F) of each block; column 0 counts chips."""

    block: Int64Array
    """(P,) first of each pair of blocks with chips closer than the guard."""

    other: Int64Array
    """(P,) second of each pair."""

    toll: Float64Array
    """(P, F) what `block` loses if `other` is in a higher split."""

    @classmethod
    def of(cls, block_of: Int64Array, amounts: Float64Array, keep: BoolArray, pairs: ChipPairs) -> BlockTable:
        """The table of these chips; only kept chips count.

        Args:
            block_of: (N,) the block of each chip.
            amounts: (N, F) what each chip holds.
            keep: (N,) which chips are kept.
            pairs: Chips that are too close to each other.
        """
        columns = np.column_stack([np.ones(len(block_of)), amounts]) * keep[:, None]
        totals = columns.sum(axis=0)
        shares = columns[:, totals > 0] / totals[totals > 0]
        block_shares = np.zeros((int(block_of.max()) + 1, shares.shape[1]))
        np.add.at(block_shares, block_of, shares)

        # Every pair in both directions: `chip` is lost if the block of `other` is in a higher split.
        chip, other = np.concatenate(pairs), np.concatenate(pairs[::-1])
        in_two_blocks = (block_of[chip] != block_of[other]) & keep[chip] & keep[other]
        # A chip close to several chips of one block is lost to that block only once.
        losses = np.unique(np.column_stack([chip[in_two_blocks], block_of[other[in_two_blocks]]]), axis=0)
        lost_chip, to_block = losses[:, 0], losses[:, 1]
        block_pairs, pair_of = np.unique(
            np.column_stack([block_of[lost_chip], to_block]), axis=0, return_inverse=True
        )
        toll = np.zeros((len(block_pairs), shares.shape[1]))
        np.add.at(toll, pair_of.reshape(-1), shares[lost_chip])
        return cls(block_shares, block_pairs[:, 0], block_pairs[:, 1], toll)


def assign_blocks(table: BlockTable, shares: Float64Array, seed: int, *, ordered: bool) -> Int64Array:
    """Assign every block to a split.

    Args:
        table: The blocks.
        shares: (K,) what each split should get; those with a share of 0 get nothing.
        seed: Same seed, same assignment.
        ordered: True: a later split is higher than an earlier one and takes the toll from it. False (folds):
            the toll is not counted, because it falls on another fold in every run.

    Returns:
        (B,) the split of each block, 0 to K - 1.
    """
    offered = np.flatnonzero(shares > 0)
    searches = [
        _search(table, shares[offered], generator(seed, "deal", start), ordered) for start in range(_STARTS)
    ]
    _, split_of = min(searches, key=lambda search: search[0])
    return np.asarray(offered[split_of], np.int64)


def _search(
    table: BlockTable, shares: Float64Array, rng: np.random.Generator, ordered: bool
) -> tuple[float, Int64Array]:
    """An assignment improved by random moves and swaps of blocks, and its cost."""
    split_of = _first_assignment(table.amounts[:, 0], shares, rng)
    cost = _cost(table, split_of, shares, ordered)
    block_count, split_count = len(split_of), len(shares)
    if split_count < 2:
        return cost, split_of
    blocks = rng.integers(block_count, size=(_MOST_TRIES, 2))
    splits = rng.integers(split_count, size=_MOST_TRIES)
    swaps = rng.integers(2, size=_MOST_TRIES)
    tries_without_gain = 0
    for block, other, split, swap in np.column_stack([blocks, splits, swaps]).tolist():
        if tries_without_gain > _PATIENCE * block_count:
            break
        tries_without_gain += 1
        target = split_of[other] if swap else split
        if split_of[block] == target:
            continue
        changed = split_of.copy()
        changed[block] = target
        if swap:
            changed[other] = split_of[block]
        new_cost = _cost(table, changed, shares, ordered)
        if new_cost < cost - _GAIN:
            split_of, cost, tries_without_gain = changed, new_cost, 0
    return cost, split_of


def _first_assignment(chips: Float64Array, shares: Float64Array, rng: np.random.Generator) -> Int64Array:
    """Blocks in random order, each to the split that is furthest below its share of chips."""
    split_of = np.zeros(len(chips), np.int64)
    received = np.zeros(len(shares))
    for block in rng.permutation(len(chips)):
        split_of[block] = int(np.argmin((received + 1e-9) / shares))
        received[split_of[block]] += chips[block]
    return split_of


def _cost(table: BlockTable, split_of: Int64Array, shares: Float64Array, ordered: bool) -> float:
    """How far every split is from what it should have, relative to that and at most 1: val without a class is
    as bad as train without it.
    """
    splits = np.arange(len(shares))[:, None]
    received = (split_of == splits).astype(np.float64) @ table.amounts
    if ordered and len(table.block):
        outranked = split_of[table.other] > split_of[table.block]
        pays = outranked & (split_of[table.block] == splits)
        received -= pays.astype(np.float64) @ table.toll
    wanted = shares[:, None]
    deviation = np.minimum(np.abs(received - wanted) / wanted, 1).sum(axis=0) / len(shares)
    penalty = deviation + (received < POOR * wanted).sum(axis=0)  # (F,); column 0 is that of the chips
    chips, classes = penalty[0], penalty[1:]
    empty_splits = (received[:, 0] < 1e-9).sum()
    lost = 1 - received[:, 0].sum()
    return float(2 * chips + 10 * empty_splits + (classes.mean() if len(classes) else 0.0) + 2 * lost)
