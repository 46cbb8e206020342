"""Scores of two maps side by side, and what they have in common before they are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...core.arraytypes import UInt8Array
from ...core.classes import ClassSet
from ...core.labelset import LabelSet
from ...core.progress import OnProgress
from ...scores.intervals import Draws, lead
from ...scores.score import Score
from ..comparison import MeasurementKind
from ..limits import Limits
from ..predictionfiles import Part


@dataclass(frozen=True)
class RivalMaps:
    """Two maps of one ground and its reference."""

    first: Part
    """The first map."""
    second: Part
    """The second map."""
    labels: LabelSet
    """The reference."""
    limits: Limits
    """The area that is scored."""
    class_map: Mapping[str, str] | None
    """Name in the reference -> name in the maps or "ignore", where names differ."""
    iou: float
    """IoU from which an object counts as found."""
    seed: int
    """Seed of the bootstrap."""
    on_progress: OnProgress
    """Called with (done, total, what)."""


@dataclass(frozen=True)
class Contrast:
    """One score of both maps."""

    first: Score
    """The score of the first map."""
    second: Score
    """The score of the second map."""
    difference: Score
    """Second minus first, with the interval of that difference where there are enough blocks."""

    @property
    def name(self) -> str:
        """Name of the score."""
        return self.first.name

    @property
    def class_name(self) -> str | None:
        """The class; None: all classes."""
        return self.first.class_name

    @property
    def settled(self) -> bool:
        """True if the interval of the difference does not hold 0."""
        low, high = self.difference.low, self.difference.high
        return low is not None and high is not None and (low > 0 or high < 0)


def contrasts(
    first: Sequence[Score],
    second: Sequence[Score],
    draws: tuple[Draws, Draws],
) -> tuple[Contrast, ...]:
    """All scores that both maps have, side by side.

    Args:
        first: Scores of the first map.
        second: Scores of the second map, on the same ground.
        draws: Their overall scores in the same resamplings of the ground, of the first map and of the second;
            a score of a class under the name "NAME:CLASS".
    """
    of_second = {(score.name, score.class_name): score for score in second}
    found = []
    for score in first:
        other = of_second.get((score.name, score.class_name))
        if other is None:
            continue
        found.append(Contrast(score, other, _difference(score, other, draws)))
    return tuple(found)


def draw_name(name: str, class_name: str | None) -> str:
    """The name of a score among the draws."""
    return name if class_name is None else f"{name}:{class_name}"


def _difference(first: Score, second: Score, draws: tuple[Draws, Draws]) -> Score:
    name = draw_name(first.name, first.class_name)
    renamed = {first.name: draws[0][name]} if name in draws[0] else {}
    renamed_second = {first.name: draws[1][name]} if name in draws[1] else {}
    return lead(second, first, renamed_second, renamed)


@dataclass(frozen=True)
class Contrasted:
    """What comparing two maps gave."""

    kind: MeasurementKind
    """What was counted: pixels, objects or chips."""
    classes: ClassSet
    """The classes that are scored."""
    contrasts: tuple[Contrast, ...]
    """Overall scores, then those of classes."""
    counts: dict[str, int]
    """How much both have right or wrong, and only one of them."""
    notes: tuple[str, ...] = ()
    """What was decided, and how much was left out."""
    thumbnail: UInt8Array | None = field(default=None, repr=False)
    """(h, w) a reduced map of where they differ, in the ids of `DIFFERENCES`."""


DIFFERENCES = ClassSet.of_ids(
    {
        0: "same class, no reference",
        1: "both right",
        2: "only the first is right",
        3: "only the second is right",
        4: "both wrong",
        5: "different classes, no reference",
    },
    {0: "#eceae3", 1: "#9ad3bb", 2: "#d55e00", 3: "#0072b2", 4: "#5b5b5b", 5: "#cc79a7"},
)
"""The classes of the map of differences (Okabe & Ito 2008)."""
