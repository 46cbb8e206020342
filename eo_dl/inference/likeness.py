"""How far the values of a scene lie from those a model was trained on: a warning, then a refusal.

The unit of distance is the spread of a band's training values, see `core.quantiles.shift`. Distances were
chosen on real scenes (docs/robustness.md): scenes of other places, dates and sensors of one kind stay below
the refusal; other quantities and other units are beyond it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.bands import Band
from ..core.quantiles import Quantiles, shift

NOTED = 0.3
"""A band whose values are shifted by so many spreads is named in a warning."""
REFUSED_IN_ALL = 2.0
"""A scene is refused if all of its bands are shifted by so many spreads."""
REFUSED_IN_ONE = 20.0
"""A scene is refused if one of its bands is shifted by so many spreads."""
# Units differ by factors of 100 (percent), 255 (8 bit), 10000 (reflectance): far above what sun and season do
# to all bands of a scene.
SMALLER = 50.0
"""A scene is refused if the values of all bands are so many times smaller, and a band lies outside."""
_SURELY_SMALLER = 1000.0
_NARROWER = 5.0
_FAR_BEYOND = 2.0


@dataclass(frozen=True)
class BandPair:
    """One band in the scene and in the training."""

    here: Band
    """The band of the scene."""
    there: Band
    """The band of the model."""
    found: Quantiles
    """Values of the scene, in physical units."""
    trained: Quantiles
    """Values of the training, in physical units."""

    @property
    def shift(self) -> float:
        """By how many spreads of the training the scene is shifted, without sign."""
        return abs(shift(self.found, self.trained))

    @property
    def judged(self) -> bool:
        """True if the band may refuse a scene: in training it held more than one value."""
        return self.trained.spread > 0

    @property
    def text(self) -> str:
        """Name and figures."""
        return (
            f"{self.here.name} {self.found.text} (trained on {self.trained.text}, {self.shift:.2g} spreads "
            "apart)"
        )


def unlike(pairs: Sequence[BandPair]) -> list[BandPair]:
    """The bands that a warning names, the furthest first."""
    far = [pair for pair in pairs if pair.shift >= NOTED]
    return sorted(far, key=lambda pair: -pair.shift)


def reason_to_refuse(pairs: Sequence[BandPair]) -> str | None:
    """Why a scene does not show what the model was trained on, in words; None: it may."""
    judged = [pair for pair in pairs if pair.judged]
    if not judged:
        return None
    reasons = (rule(judged) for rule in _RULES)
    return next((reason for reason in reasons if reason is not None), None)


def _all_far(pairs: Sequence[BandPair]) -> str | None:
    nearest = min(pair.shift for pair in pairs)
    if nearest < REFUSED_IN_ALL:
        return None
    which = "its band lies" if len(pairs) == 1 else "all bands lie at least"
    return f"{which} {nearest:.3g} spreads of the training away (limit {REFUSED_IN_ALL:g})"


def _one_very_far(pairs: Sequence[BandPair]) -> str | None:
    furthest = max(pairs, key=lambda pair: pair.shift)
    if furthest.shift < REFUSED_IN_ONE:
        return None
    return (
        f"{furthest.here.name} lies {furthest.shift:.3g} spreads of the training away (limit "
        f"{REFUSED_IN_ONE:g})"
    )


def _beyond_8_bits(pairs: Sequence[BandPair]) -> str | None:
    """An 8-bit stretch beside measurements, or the reverse: one cannot hold what the other has."""
    if not any(_holds(pair.here, pair.trained.p98 / _FAR_BEYOND) for pair in pairs):
        return "its 8 bits cannot hold the highest values of the training in any band"
    for pair in pairs:
        if not _holds(pair.here, pair.trained.p50):
            return f"{pair.here.name} has 8 bits, which cannot hold the median of the training"
        of_8_bits = _holds(pair.there, pair.trained.p98) and _holds(pair.there, pair.trained.p02)
        if of_8_bits and not _holds(pair.there, pair.found.p50):
            return f"{pair.here.name} holds values that the 8 bits of the training could not hold"
    return None


def _holds(band: Band, value: float) -> bool:
    """False if the band has 8 bits, which cannot hold a physical value."""
    kind = np.dtype(band.dtype)
    if kind.kind not in "iu" or kind.itemsize > 1:
        return True
    ends = [float(end) * band.scale + band.offset for end in (np.iinfo(kind).min, np.iinfo(kind).max)]
    return min(ends) <= value <= max(ends)


def _all_smaller(pairs: Sequence[BandPair]) -> str | None:
    """Other units, with smaller numbers; larger ones are far away already."""
    pairs = [pair for pair in pairs if pair.found.magnitude > 0]  # a band of zeros has no unit
    if not pairs:
        return None
    factor = min(pair.trained.magnitude / pair.found.magnitude for pair in pairs)
    outside = any(not pair.trained.p02 <= pair.found.p50 <= pair.trained.p98 for pair in pairs)
    if factor < SMALLER or not (outside or factor >= _SURELY_SMALLER):
        return None
    return f"its values are {factor:.3g} or more times smaller in all bands"


def _other_side_of_zero(pairs: Sequence[BandPair]) -> str | None:
    """Linear values beside decibels: above zero against below it, and a spread of another order."""
    for pair in pairs:
        sides = (pair.found.p02 >= 0 > pair.trained.p50, pair.trained.p02 >= 0 > pair.found.p50)
        wide, narrow = pair.trained, pair.found
        if sides[1]:
            wide, narrow = narrow, wide
        if any(sides) and wide.spread >= _NARROWER * narrow.spread:
            return f"{pair.here.name} lies on the other side of zero, as linear values beside decibels do"
    return None


_RULES: tuple[Callable[[Sequence[BandPair]], str | None], ...] = (
    _all_far,
    _one_very_far,
    _beyond_8_bits,
    _all_smaller,
    _other_side_of_zero,
)
