"""Ratios of ground sample distances."""

from __future__ import annotations

MOST_RESAMPLED = 4.0
"""Factor between two GSDs beyond which resampling is refused unless it is forced: beyond it a network sees
blocks or averages that it was not trained on, and a fine grid over coarse pixels has many times their number
of chips."""
NOTED_RESAMPLED = 1.2
"""Factor beyond which resampling is noted."""


def factor_between(first_m: float, second_m: float) -> float:
    """By which factor two GSDs differ, at least 1."""
    return max(first_m / second_m, second_m / first_m)
