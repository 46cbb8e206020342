"""The normalization that weights were trained with, in the units of a chip set.

Weights that saw pixels as standard scores of their own data expect that scale again. Units are compared
before: ImageNet's are shares of white, those of Sentinel-2 reflectance times 10000, those of a bundle
physical units; what cannot be converted without guessing is refused.
"""

from __future__ import annotations

from ...chips.chipset import ChipSet
from ...core.normalization import Normalization
from ...errors import ConfigError
from ...networks.weightsources import WeightsSource

_STORED_REFLECTANCE = 10_000.0
_SHARES_UP_TO = 2.0
_FAR = 3.0
"""Standard deviations between the means at which the two can hardly be the same quantity."""


def weights_normalization(
    chips: ChipSet, source: WeightsSource | None
) -> tuple[Normalization, tuple[str, ...]]:
    """Bands in common take the weights' mean and standard deviation, others those of the train chips; and
    what is to be said of it.

    Raises `ConfigError` where the weights know none, no band is in common, or the units cannot be compared.
    """
    own = Normalization.of(chips.statistics)
    if source is None or source.normalization is None:
        raise ConfigError(
            "`normalization=weights`: the weights do not say how their input was normalized; use `normalization=data`"
        )
    theirs = source.normalization
    places = source.band_indices(len(theirs.mean), len(own.mean))
    if all(place is None for place in places):
        raise ConfigError(
            f"`normalization=weights`: {source.where} has no band in common with the chips ({', '.join(chips.bands.names)}); use `normalization=data`"
        )
    factor = 1.0 if source.full is None else _full_of(chips, source.full, source.where) / source.full
    mean, std = list(own.mean), list(own.std)
    for index, place in enumerate(places):
        if place is not None:
            mean[index], std[index] = theirs.mean[place] * factor, theirs.std[place] * factor
    notes = [
        f"input normalized as {source.where} were trained: {', '.join(_names(chips, places, known=True))}"
    ]
    if any(place is None for place in places):
        notes.append(
            f"normalized by the train chips, since the weights do not know them: {', '.join(_names(chips, places, known=False))}"
        )
    far = [
        name
        for name, m, s, stats in zip(chips.bands.names, mean, std, chips.statistics, strict=True)
        if abs(stats.mean - m) > _FAR * max(s, stats.std)
    ]
    if far:
        notes.append(
            f"the train chips lie far from what the weights saw in {', '.join(far)}; compare with normalization=data"
        )
    return Normalization(tuple(mean), tuple(std)), tuple(notes)


def _full_of(chips: ChipSet, full: float, where: str) -> float:
    """The value in the chips that stands for 1. Raises `ConfigError` where that would be a guess."""
    if all(band.dtype == "uint8" and band.unscaled for band in chips.bands):
        found = 255.0
    elif max(stats.p98 for stats in chips.statistics) <= _SHARES_UP_TO:
        found = 1.0
    else:
        found = _STORED_REFLECTANCE
    comparable = {
        255.0: (255.0, 1.0),
        1.0: (255.0, 1.0, _STORED_REFLECTANCE),
        _STORED_REFLECTANCE: (_STORED_REFLECTANCE,),
    }[found]
    if full not in comparable:
        raise ConfigError(
            f"`normalization=weights`: the units of {where} cannot be compared with those of the chips; use `normalization=data`"
        )
    return found


def _names(chips: ChipSet, places: tuple[int | None, ...], *, known: bool) -> list[str]:
    return [
        name for name, place in zip(chips.bands.names, places, strict=True) if (place is not None) == known
    ]
