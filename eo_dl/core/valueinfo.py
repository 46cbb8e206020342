"""`ValueInfo`: what a number measures, where labels are values and not classes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import LabelError


@dataclass(frozen=True, slots=True)
class ValueInfo:
    """Unit and valid range of a value. Raises `LabelError` for a range that holds no number."""

    unit: str = ""
    """Unit as people write it: "m", "t/ha", "%"; empty for a plain number."""

    low: float | None = None
    """Lowest possible value; None: there is no lower limit."""

    high: float | None = None
    """Highest possible value; None: there is no upper limit."""

    def __post_init__(self) -> None:
        for limit in (self.low, self.high):
            if limit is not None and not math.isfinite(limit):
                raise LabelError(f"a valid range needs finite limits, found {limit}; leave the limit out")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise LabelError(
                f"a valid range needs a lower limit below the upper one, found {self.low:g} to {self.high:g}"
            )

    def with_unit(self, number: float) -> str:
        """A number with the unit: "12.3 m"."""
        return f"{number:.4g} {self.unit}".rstrip()

    @property
    def range_text(self) -> str:
        """The valid range in words: "0 to 60 m", "from 0 m", or "any"."""
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g} {self.unit}".rstrip()
        if self.low is not None:
            return f"from {self.low:g} {self.unit}".rstrip()
        if self.high is not None:
            return f"up to {self.high:g} {self.unit}".rstrip()
        return "any"
