"""`Sampling`: where chips are cut, and which of them are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from .samplingmethods import METHODS, MethodName, SamplingMethod, SamplingOption

ADD_EMPTY = 0.1
"""Chips without objects that are added by default, as a share of the others."""


@dataclass(frozen=True)
class Sampling:
    """Where chips are cut, and which of them are kept.

    Raises:
        ConfigError: An option is out of range, or the method does not have it.

    Example:
        >>> Sampling("objects", count=200, add_empty=0.2)  # doctest: +ELLIPSIS
        Sampling(method='objects', count=200, ..., add_empty=0.2, min_valid=0.5, aoi=None)
    """

    method: MethodName = "grid"
    """"grid": side by side; "random": anywhere; "objects": around objects; "single": around single objects,
    showing no part of another (for localization); "balanced": equally often around each class."""

    count: int | None = None
    """Number of chips in all scenes together (default: as many as a grid has; for "objects" and "single"
    until each object was seen whole). Not for "grid"."""

    overlap_px: int = 0
    """Pixels that neighbouring chips share. For "grid" only."""

    keep_empty: float | None = None
    """Share of the chips without objects to keep, 0 to 1 (default: all). For "grid" and "random"."""

    add_empty: float | None = None
    """Chips without objects to add, as a share of the others, so that a network meets plain ground, too
    (default: 0.1). For "objects", "single" and "balanced"."""

    min_valid: float = 0.5
    """Chips with a smaller share of measured pixels are left out, 0 to 1."""

    aoi: str | Path | None = None
    """Vector file of polygons, the area of interest: no chip is cut outside of them (default: everywhere)."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"`sampling`: expected one of {', '.join(METHODS)}, found {self.method!r}")
        if self.overlap_px < 0:
            raise ConfigError(f"`overlap_px`: expected 0 or more, found {self.overlap_px}")
        if self.count is not None and self.count < 1:
            raise ConfigError(f"`count`: expected at least 1 chip, found {self.count}")
        shares = {"keep_empty": self.keep_empty, "add_empty": self.add_empty, "min_valid": self.min_valid}
        for name, share in shares.items():
            if share is not None and not 0 <= share <= 1:
                raise ConfigError(f"`{name}`: expected a share from 0 to 1, found {share:g}")
        self._refuse("overlap_px", self.overlap_px > 0)
        self._refuse("count", self.count is not None)
        self._refuse("keep_empty", self.keep_empty is not None)
        self._refuse("add_empty", self.add_empty is not None)

    def _refuse(self, option: SamplingOption, is_set: bool) -> None:
        """Refuse an option that the method does not have."""
        if not is_set or self.drawing.has(option):
            return
        methods = ", ".join(name for name, method in METHODS.items() if method.has(option))
        raise ConfigError(
            f"`{option}`: does not apply to sampling by {self.method}; omit it, or choose one of {methods} "
            "as `sampling`"
        )

    @property
    def drawing(self) -> SamplingMethod:
        """The method itself."""
        return METHODS[self.method]

    @property
    def kept_share(self) -> float:
        """The share of chips without objects to keep among those drawn."""
        return 1.0 if self.keep_empty is None else self.keep_empty

    @property
    def added_share(self) -> float:
        """The chips without objects to add, as a share of those drawn."""
        if not self.drawing.has("add_empty"):
            return 0.0
        return ADD_EMPTY if self.add_empty is None else self.add_empty
