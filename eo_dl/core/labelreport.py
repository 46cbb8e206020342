"""`LabelReport`: what became of the objects that label files hold, as numbers and as one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .wording import count_of, listed

_FITTING_SHARE = 0.75  # a class whose pixels are a smaller share of its outlines is named


@dataclass(frozen=True)
class ClassPixels:
    """How much of its outlines a class has in a class map."""

    name: str
    """Name of the class."""

    outlined_px: float
    """Area of its outlines on the scenes, in pixels."""

    seen_px: float
    """The part of it that later objects of other classes leave free, without objects too thin for a pixel."""

    @property
    def fits(self) -> bool:
        """Whether the class map shows about what the outlines say."""
        return self.seen_px >= _FITTING_SHARE * self.outlined_px


@dataclass(frozen=True)
class LabelReport:
    """What became of the objects of label files. Counts that need scenes are 0 until labels meet them."""

    read: int = 0
    """Objects that the files hold, whatever became of them."""

    ignored: Mapping[str, int] = field(default_factory=dict)
    """Objects that count neither for nor against, by reason ("crowds")."""

    dropped: Mapping[str, int] = field(default_factory=dict)
    """Objects that are not used at all, by kind ("points and lines")."""

    used: int | None = None
    """Objects that lie on a scene or image, the ignored ones too; None until labels meet them."""

    share: float | None = None
    """The share of the pixels of all scenes that their outlines cover, where they overlap counted twice; None
    until labels meet scenes."""

    outside: int = 0
    """Objects wholly outside their image, or outside all scenes."""

    below_a_pixel: int = 0
    """Objects with an area of less than a pixel."""

    without_a_pixel: int = 0
    """Objects that hold no pixel's centre, so that a class map does not show them (thin ones, and small)."""

    covered: int = 0
    """Objects that later objects of other classes cover, so that a class map does not show them."""

    classes: tuple[ClassPixels, ...] = ()
    """Classes by their pixels; empty where none was placed on a scene or image."""

    def with_dropped(self, dropped: Mapping[str, int]) -> LabelReport:
        """The same with more objects that were dropped after they were read."""
        return replace(self, dropped=added(self.dropped, dropped))

    def with_ignored(self, ignored: Mapping[str, int]) -> LabelReport:
        """The same with more objects that are ignored."""
        return replace(self, ignored=added(self.ignored, ignored))

    @property
    def line(self) -> str:
        """The report in one line: what was read, and every count that is not 0; "" for labels without
        objects, such as label rasters.
        """
        if not self.read:
            return ""
        parts = [f"{count_of(self.read, 'object')} read{self._used()}"]
        parts += _counted("ignored", self.ignored)
        parts += _counted("dropped", self.dropped)
        counts = {
            "outside their image or all scenes": self.outside,
            "smaller than a pixel": self.below_a_pixel,
            "without a pixel's centre (too thin or small for a class map)": self.without_a_pixel,
            "covered by later objects of other classes": self.covered,
        }
        parts += [f"{count} {what}" for what, count in counts.items() if count]
        parts += self._unfit_classes()
        return f"labels: {', '.join(parts)}"

    def _used(self) -> str:
        """ "", or what is used of the objects read, in words."""
        if self.used is None:
            return ""
        ground = "" if self.share is None else f", whose outlines cover {self.share:.2%} of the scenes"
        return f", {self.used} used{ground}"

    def _unfit_classes(self) -> list[str]:
        unfit = [one for one in self.classes if not one.fits]
        if not unfit:
            return []
        shares = listed(f"{one.name} {one.seen_px / one.outlined_px:.0%}" for one in unfit)
        return [f"share of its outlines that a class map shows: {shares}"]

    def values(self) -> dict[str, object]:
        """For JSON, with the line."""
        return {
            "line": self.line,
            "read": self.read,
            "used": self.used,
            "share_of_scenes": None if self.share is None else round(self.share, 6),
            "ignored": dict(self.ignored),
            "dropped": dict(self.dropped),
            "outside": self.outside,
            "below_a_pixel": self.below_a_pixel,
            "without_a_pixel": self.without_a_pixel,
            "covered": self.covered,
            "classes": {
                one.name: {"outlined_px": round(one.outlined_px, 1), "seen_px": round(one.seen_px, 1)}
                for one in self.classes
            },
        }


NOTHING_READ = LabelReport()
"""The report of labels that come from no file."""


def added(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    """Two counts by name, as one; names without a count are left out."""
    names = dict.fromkeys([*first, *second])
    total = {name: first.get(name, 0) + second.get(name, 0) for name in names}
    return {name: count for name, count in total.items() if count}


def _counted(what: str, counts: Mapping[str, int]) -> list[str]:
    if not counts:
        return []
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    return [f"{sum(counts.values())} {what} ({reasons})"]
