"""The normalization with which weights were trained, in the units of a chip set.

Weights that saw pixels as standard scores of their own data expect that scale again. Units are compared
first: those of ImageNet are shares of white, those of Sentinel-2 reflectance times 10000, those of a bundle
physical units. What cannot be converted without guessing is refused.
"""

from __future__ import annotations

from ...chips.chipset import ChipSet
from ...core.normalization import Normalization
from ...errors import ConfigError
from ...networks.weightsources import WeightsSource

_8_BIT = 255.0
_STORED_REFLECTANCE = 10_000.0
_LARGEST_SHARE = 2.0
"""Bands whose 98th percentile is below hold shares of white or reflectances in 0..1."""
_COMPARABLE: dict[float, tuple[float, ...]] = {
    _8_BIT: (_8_BIT, 1.0),
    1.0: (_8_BIT, 1.0, _STORED_REFLECTANCE),
    _STORED_REFLECTANCE: (_STORED_REFLECTANCE,),
}
"""By the chips' value that stands for 1: the weights' values for 1 that can be converted to it."""
_FAR = 3.0
"""Standard deviations between two means, beyond which the two are hardly the same quantity."""


def weights_normalization(
    chips: ChipSet, source: WeightsSource | None
) -> tuple[Normalization, tuple[str, ...]]:
    """Normalize as the weights were trained, where they know the band, and by the train chips elsewhere.

    Args:
        chips: The chip set, with the statistics of its train chips.
        source: The weights.

    Returns:
        The normalization, and notes on which band is normalized by what.

    Raises:
        ConfigError: The weights know no normalization, share no band with the chips, or have units that
            cannot be compared.
    """
    if source is None or source.normalization is None:
        raise ConfigError(
            "`normalization=weights`: the weights do not state how their input was normalized; choose "
            "`normalization=data`"
        )
    names = chips.bands.names
    of_weights = source.normalization
    # the band of the weights for each band of the chips, None if there is none
    indices = source.band_indices(len(of_weights.mean), len(names))
    known = [name for name, index in zip(names, indices, strict=True) if index is not None]
    unknown = [name for name, index in zip(names, indices, strict=True) if index is None]
    if not known:
        raise ConfigError(
            f"`normalization=weights`: {source.where} has no band in common with the chips "
            f"({', '.join(names)}); choose `normalization=data`"
        )
    factor = 1.0
    if source.full is not None:
        factor = _full_value(chips, source.full, source.where) / source.full
    of_chips = Normalization.of(chips.statistics)
    mean, std = list(of_chips.mean), list(of_chips.std)
    for band, index in enumerate(indices):
        if index is not None:
            mean[band], std[band] = of_weights.mean[index] * factor, of_weights.std[index] * factor

    notes = [_how_normalized(source, known)]
    if unknown:
        notes.append(
            f"normalized by the train chips, because the weights lack the band: {', '.join(unknown)}"
        )
    far = _far_bands(chips, mean, std)
    if far:
        notes.append(
            f"the train chips differ strongly from what the weights were trained on in {', '.join(far)}; "
            "compare with normalization=data"
        )
    return Normalization(tuple(mean), tuple(std)), tuple(notes)


def _how_normalized(source: WeightsSource, known: list[str]) -> str:
    """The note on the bands that are normalized as the weights were trained."""
    bands = ", ".join(known)
    if not source.normalization_of:
        return f"normalized as {source.where} was trained: {bands}"
    return (
        f"normalized like {source.normalization_of}, because {source.where} does not state its own "
        f"normalization: {bands}"
    )


def _full_value(chips: ChipSet, full: float, where: str) -> float:
    """The value in the chips that stands for 1.

    Raises:
        ConfigError: It would be a guess.
    """
    if all(band.dtype == "uint8" and band.unscaled for band in chips.bands):
        value = _8_BIT
    elif max(stats.p98 for stats in chips.statistics) <= _LARGEST_SHARE:
        value = 1.0
    else:
        value = _STORED_REFLECTANCE
    if full not in _COMPARABLE[value]:
        raise ConfigError(
            f"`normalization=weights`: the units of {where} cannot be compared with those of the chips; "
            "choose `normalization=data`"
        )
    return value


def _far_bands(chips: ChipSet, mean: list[float], std: list[float]) -> list[str]:
    """The bands whose train chips have a mean far from that of the normalization."""
    far = []
    for index, stats in enumerate(chips.statistics):
        if abs(stats.mean - mean[index]) > _FAR * max(std[index], stats.std):
            far.append(chips.bands.names[index])
    return far
