"""`Score`: one number about quality, with its class, threshold and count."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """`value` of the score `name`; NaN where it is not defined (e.g. recall of a class that the truth does
    not hold).

    `class_name` None: over all classes. `count`: how many true pixels or objects stand behind it.
    `threshold`: the IoU from which an object counts as found. `low`, `high`: 95 % interval from resampled
    blocks of ground, None where there are too few blocks.
    """

    name: str
    value: float
    class_name: str | None
    count: int
    threshold: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def defined(self) -> bool:
        """False for NaN."""
        return not math.isnan(self.value)

    def text(self) -> str:
        """For people: "0.713 [0.662, 0.758]", or "not defined"."""
        if not self.defined:
            return "not defined"
        return (
            f"{self.value:.3f}"
            if self.low is None or self.high is None
            else f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"
        )


def find_score(scores: Iterable[Score], name: str, class_name: str | None = None) -> Score:
    """The score of that name (and class). Raises `KeyError` naming what there is."""
    known = list(scores)
    for score in known:
        if score.name == name and score.class_name == class_name:
            return score
    raise KeyError(f"no score {name!r} of class {class_name!r}; there are {sorted({s.name for s in known})}")
