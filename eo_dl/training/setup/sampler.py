"""Which chips are in which batch: a pure function of the seed and the epoch.

Why not torch's samplers: what they draw depends on what was drawn before, so a stopped run cannot continue in
the middle of an epoch. Here batch k of epoch e is known without batches 0..k-1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch.utils.data import Sampler

from ...core.seeds import generator

T = TypeVar("T")
Draw = tuple[int, int]
"""(pass, index): chip `index` as it is augmented in that pass over the chips; passes are counted over the
whole run."""


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """How chips make up epochs: each epoch has as many whole passes over the chips as give `min_steps`
    batches."""

    count: int
    """Chips of the train split."""
    batch_size: int
    """Chips per batch, of all processes together."""
    seed: int
    min_steps: int = 1
    """Least number of batches per epoch."""
    parts: int = 1
    """Processes that share each batch (`part_of`)."""

    @property
    def passes(self) -> int:
        """Passes over the chips in one epoch."""
        return max(1, math.ceil(self.min_steps * self.batch_size / self.count))

    @property
    def steps(self) -> int:
        """Batches in one epoch."""
        draws = self.passes * self.count
        if self._merges_last:
            return max(1, draws // self.batch_size)
        return math.ceil(draws / self.batch_size)

    @property
    def _merges_last(self) -> bool:
        # Batch normalization cannot work on a single chip: such a last batch joins the one before it.
        return 0 < self.passes * self.count % self.batch_size < 2 * self.parts

    def batches(self, epoch: int) -> list[list[Draw]]:
        """All batches of an epoch: each chip once per pass, in an order drawn from (seed, pass)."""
        draws: list[Draw] = []
        for number in range(epoch * self.passes, (epoch + 1) * self.passes):
            order = generator(self.seed, "order", number).permutation(self.count)
            draws += [(number, int(index)) for index in order]
        batches = [draws[start : start + self.batch_size] for start in range(0, len(draws), self.batch_size)]
        if self._merges_last and len(batches) > 1:
            last = batches.pop()
            batches[-1] = batches[-1] + last
        return batches


def part_of(batch: Sequence[T], part: int, parts: int) -> list[T]:
    """The items of a batch that process `part` of `parts` takes; each item goes to exactly one process."""
    return list(batch[part::parts])


class ResumableBatches(Sampler[list[Draw]]):
    """Batch sampler that begins in the middle of an epoch.

    Args:
        plan: Which chips are in which batch.
        position: Gives (epoch, batches already done in it) when iteration begins.
        part: Number of this process among `plan.parts`.
    """

    def __init__(self, plan: EpochPlan, position: Callable[[], tuple[int, int]], part: int = 0) -> None:
        self._plan = plan
        self._position = position
        self._part = part

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, done = self._position()
        for batch in self._plan.batches(epoch)[done:]:
            yield part_of(batch, self._part, self._plan.parts)
