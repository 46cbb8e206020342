"""Vote patterns: how often every combination of votes occurs. All that coverage, conflict, accuracy and
probabilities need, however large the scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...errors import ConfigError

Votes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.int64]

ABSTAINS = 0
"""A vote is the index of a class + 1, or this."""

_TABLE = 2**20
_MOST_PATTERNS = 2_000_000


@dataclass(frozen=True)
class Patterns:
    """All combinations of votes that occur, each once."""

    votes: Votes
    """(P, M) the votes of M functions."""

    pixels: npt.NDArray[np.int64]
    """(P,) number of pixels of each combination."""

    @property
    def voters(self) -> npt.NDArray[np.int64]:
        """(P,) how many functions vote."""
        return np.asarray((self.votes != ABSTAINS).sum(1), np.int64)

    @property
    def conflict(self) -> npt.NDArray[np.bool_]:
        """(P,) where two functions vote for different classes."""
        votes = self.votes.astype(np.int16)
        high = votes.max(1, initial=0)
        low = np.where(votes == ABSTAINS, np.int16(999), votes).min(1, initial=999)
        return np.asarray((low < high) & (high > 0), np.bool_)


class PatternCode:
    """Combinations of votes as one number each.

    Raises:
        ConfigError: There are too many functions for that.
    """

    def __init__(self, functions: int, classes: int) -> None:
        self.base, self.functions = classes + 1, functions
        if functions * np.log2(self.base) > 62:
            raise ConfigError(
                f"weak labels: {functions} functions with {classes} classes are too many; join some "
                "functions, or make two runs"
            )
        self._weights = np.array([self.base**position for position in range(functions)], np.int64)

    @property
    def count(self) -> int:
        """Number of possible combinations."""
        return int(self.base**self.functions)

    def encode(self, votes: Sequence[Votes]) -> Codes:
        """(H, W) codes of the votes (H, W) of each function."""
        codes = np.zeros(votes[0].shape, np.int64)
        for weight, vote in zip(self._weights, votes, strict=True):
            codes += vote * weight
        return codes

    def decode(self, codes: Codes) -> Votes:
        """(P, M) the votes of codes (P,)."""
        return np.asarray(codes[:, None] // self._weights % self.base, np.uint8)


class PatternCounter:
    """Counts codes, a few rows at a time."""

    def __init__(self, code: PatternCode) -> None:
        self._code = code
        self._table = np.zeros(code.count, np.int64) if code.count <= _TABLE else None
        self._counts: dict[int, int] = {}

    def add(self, codes: Codes) -> None:
        """Count codes of any shape.

        Raises:
            ConfigError: There are far too many combinations.
        """
        if self._table is not None:
            self._table += np.bincount(codes.reshape(-1), minlength=len(self._table))
            return
        unique, counts = np.unique(codes, return_counts=True)
        for code, pixels in zip(unique.tolist(), counts.tolist(), strict=True):
            self._counts[code] = self._counts.get(code, 0) + pixels
        if len(self._counts) > _MOST_PATTERNS:
            raise ConfigError(
                f"weak labels: the functions vote in more than {_MOST_PATTERNS} combinations; use fewer "
                "functions"
            )

    def patterns(self) -> tuple[Codes, Patterns]:
        """The codes that occur, sorted, and their combinations."""
        if self._table is not None:
            codes = np.flatnonzero(self._table).astype(np.int64)
            pixels = self._table[codes]
        else:
            codes = np.array(sorted(self._counts), np.int64)
            pixels = np.array([self._counts[int(code)] for code in codes], np.int64)
        return codes, Patterns(self._code.decode(codes), pixels)


class PatternTable:
    """Values (P, K) for every code (P,) that occurs; codes are sorted."""

    def __init__(self, code: PatternCode, codes: Codes, values: Votes) -> None:
        self._codes, self._values = codes, values
        self._direct: Votes | None = None
        if code.count <= _TABLE:
            self._direct = np.zeros((code.count, values.shape[1]), values.dtype)
            self._direct[codes] = values

    def look_up(self, codes: Codes) -> Votes:
        """(K, H, W) of codes (H, W)."""
        if self._direct is not None:
            values = self._direct[codes]
        else:
            values = self._values[np.searchsorted(self._codes, codes)]
        return np.ascontiguousarray(values.transpose(2, 0, 1))
