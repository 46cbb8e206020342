"""Cutting a prediction into shards: which rows of chips of which scenes are whose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.chipgrid import ChipGrid
from ..errors import ConfigError


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a prediction.

    Raises:
        ConfigError: There is no such part.

    Example:
        >>> Shard(3, 10).text
        '3/10'
    """

    number: int
    """From 1 to `count`."""

    count: int
    """Number of shards."""

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ConfigError(
                f"`shard` {self.number}/{self.count}: expected a number from 1 to the number of shards, e.g. "
                "1/10 to 10/10"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard of a text "I/N". Raises `ConfigError` for any other text."""
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
        if match is None:
            raise ConfigError(f"`shard` {text!r}: expected I/N, e.g. 3/10 for the third of ten shards")
        return cls(int(match[1]), int(match[2]))

    @property
    def text(self) -> str:
        """The shard as "I/N"."""
        return f"{self.number}/{self.count}"


@dataclass(frozen=True)
class SceneRows:
    """Rows of chips of one scene."""

    scene: int
    """Index of the scene."""
    rows: range
    """The rows of chips, at least one."""


def cut(grids: Sequence[ChipGrid], shard: Shard) -> list[SceneRows]:
    """The rows of chips of a shard.

    The rows of all scenes are lined up and cut where equal numbers of chips end, to the nearest whole row
    above. Shards partition the rows; they are empty where there are more shards than rows.
    """
    lengths = [grid.shape[0] for grid in grids]
    chips_per_row = np.repeat([grid.shape[1] for grid in grids], lengths).astype(np.int64)
    chips_above = np.cumsum(chips_per_row)
    begin, end = (
        int(np.searchsorted(chips_above, chips_above[-1] * number // shard.count, side="right"))
        for number in (shard.number - 1, shard.number)
    )
    parts = []
    first = 0
    for scene, length in enumerate(lengths):
        rows = range(max(begin - first, 0), min(end - first, length))
        if rows:
            parts.append(SceneRows(scene, rows))
        first += length
    return parts
