"""Which chips are seen in which step: a pure function of the seed and the epoch.

Why not torch's samplers: what they draw depends on what was drawn before, so a killed run cannot be continued
in the middle of an epoch. Here batch k of epoch e can be named without batches 0..k-1.
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
"""(pass, index): chip `index` as it is augmented in that pass over the chips (passes are counted over the whole run)."""


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """How `count` chips make up epochs: as many passes an epoch as give `min_steps` batches of `batch_size`.

    With several processes `batch_size` is that of all `parts` together, and each takes its own of every batch
    (`part_of`).
    """

    count: int
    batch_size: int
    seed: int
    min_steps: int = 1
    parts: int = 1

    @property
    def passes(self) -> int:
        """Passes over the chips in one epoch."""
        return max(1, math.ceil(self.min_steps * self.batch_size / self.count))

    @property
    def steps(self) -> int:
        """Batches in one epoch."""
        return (
            max(1, self.passes * self.count // self.batch_size)
            if self._merges
            else math.ceil(self.passes * self.count / self.batch_size)
        )

    @property
    def _merges(self) -> bool:
        # A last batch of one (for a process) has no spread for batch normalization: it joins the one before.
        return 0 < self.passes * self.count % self.batch_size < 2 * self.parts

    def batches(self, epoch: int) -> list[list[Draw]]:
        """All batches of an epoch, each chip once a pass, in an order drawn from (seed, epoch, pass)."""
        draws: list[Draw] = []
        for number in range(epoch * self.passes, (epoch + 1) * self.passes):
            draws += [
                (number, int(index))
                for index in generator(self.seed, "order", number).permutation(self.count)
            ]
        found = [draws[start : start + self.batch_size] for start in range(0, len(draws), self.batch_size)]
        if self._merges and len(found) > 1:
            last = found.pop()
            found[-1] = found[-1] + last
        return found


def part_of(batch: Sequence[T], part: int, parts: int) -> list[T]:
    """What process `part` of `parts` takes of a batch: every chip falls to one of them."""
    return list(batch[part::parts])


class ResumableBatches(Sampler[list[Draw]]):
    """Batch sampler that begins where `position()` says: (epoch, batches already done in it); `part`: which
    of the plan's parts.
    """

    def __init__(self, plan: EpochPlan, position: Callable[[], tuple[int, int]], part: int = 0) -> None:
        self._plan = plan
        self._position = position
        self._part = part

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, done = self._position()
        yield from (
            part_of(batch, self._part, self._plan.parts) for batch in self._plan.batches(epoch)[done:]
        )
