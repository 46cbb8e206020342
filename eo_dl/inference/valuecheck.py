"""The values of a scene beside those of the model's training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..bundle import Bundle
from ..core.arraytypes import AnyArray, Float64Array
from ..core.quantiles import Quantiles, band_quantiles
from ..errors import InputError
from ..io.scene import Scene
from .likeness import SMALLER, BandPair, reason_to_refuse, unlike

_UNUSUAL_STD = 4.0
_MOST_NAMED = 4
_KNOWN_FACTORS = (1e-4, 1e-2, 1 / 255, 1 / 65535, 1e2, 255.0, 1e4, 65535.0)
_NEAR_FACTOR = 3.0


@dataclass(frozen=True)
class ComparedValues:
    """What comparing the values of a scene gave."""

    warnings: tuple[str, ...] = ()
    """How they differ."""
    notes: tuple[str, ...] = ()
    """What could not be compared."""


def check_values(bundle: Bundle, scene: Scene, sample: AnyArray, force: bool) -> ComparedValues:
    """Compare the values of a scene with those the model was trained on.

    Args:
        bundle: The model.
        scene: The scene with the model's bands, in the model's order.
        sample: (C, N) stored values of some of its valid pixels, N >= 1.
        force: Take the scene whatever it holds.

    Raises:
        InputError: It shows something else, see `likeness`.
    """
    found = band_quantiles(sample, scene.bands)
    trained = bundle.spec.band_quantiles()
    if not trained:
        note = (
            f"{bundle.path.name} keeps no distribution of its training values (it is older, or imported), so "
            "the values of scenes are unchecked, apart from their order of magnitude"
        )
        return ComparedValues(_check_by_mean(bundle, scene, found, force), (note,))
    pairs = []
    for here, there, one, other in zip(scene.bands, bundle.bands, found, trained, strict=True):
        if one is not None and other is not None:
            pairs.append(BandPair(here, there, one, other))
    far, reason = unlike(pairs), reason_to_refuse(pairs)
    listed = ", ".join(pair.text for pair in (far or pairs)[:_MOST_NAMED])
    more = f", and {len(far) - _MOST_NAMED} more" if len(far) > _MOST_NAMED else ""
    figures = f"2/50/98 % of the values: {listed}{more}"
    if reason is not None and not force:
        raise InputError(
            f"{scene.path}: does not show what {bundle.path.name} was trained on: {reason}; {figures}; check "
            f"which quantity the scene holds, its `bands`, `scale` and `offset`{_likely_unit(scene, pairs)}, "
            "or use it all the same with `force`"
        )
    if not far and reason is None:
        return ComparedValues()
    forced = "" if reason is None else f"{reason}, used all the same as forced; "
    counted = f"{len(far)} of {len(scene.bands)} bands hold other values"
    return ComparedValues((f"{scene.name} is unlike the training: {forced}{counted}; {figures}",))


def _likely_unit(scene: Scene, pairs: Sequence[BandPair]) -> str:
    """A proposal for `scale`, where all medians differ by one factor that units differ by; else nothing."""
    ratios = []
    for pair in pairs:
        if pair.found.p50 * pair.trained.p50 <= 0:
            return ""
        ratios.append(pair.trained.p50 / pair.found.p50)
    middle = float(np.exp(np.mean(np.log(ratios))))
    likely = min(_KNOWN_FACTORS, key=lambda factor: abs(np.log(factor / middle)))
    if max(likely / middle, middle / likely) > _NEAR_FACTOR:
        return ""
    return f" (perhaps `scale={scene.bands[0].scale * likely:.6g}`)"


# Models without quantiles: mean and standard deviation tell only other orders of magnitude.


def _check_by_mean(
    bundle: Bundle, scene: Scene, found: Sequence[Quantiles | None], force: bool
) -> tuple[str, ...]:
    """Warnings of unusual values. Raises `InputError` for other units, unless the user stated the units."""
    present = [number for number, one in enumerate(found) if one is not None]
    known = [one for one in found if one is not None]
    mean = np.array(bundle.normalization.mean)[present]
    std = np.array(bundle.normalization.std)[present]
    names = [scene.bands[number].name for number in present]
    largest, trained = np.array([one.magnitude for one in known]), abs(mean) + 2 * std
    median = np.array([one.p50 for one in known])
    too_large = bool((largest > SMALLER * trained).all())
    too_small = bool(((largest * SMALLER < trained) & (largest > 0)).all())
    if scene.own_units and (too_large or too_small) and not force:
        raise InputError(_other_units(scene, names, median, mean, trained / np.maximum(largest, 1e-30)))
    unusual = []
    for name, middle, trained_mean, trained_std in zip(names, median, mean, std, strict=True):
        if abs(middle - trained_mean) > _UNUSUAL_STD * trained_std:
            unusual.append(
                f"{name} (median {middle:.4g}, trained on {trained_mean:.4g} +- {trained_std:.4g})"
            )
    if not unusual:
        return ()
    listed = ", ".join(unusual[:_MOST_NAMED])
    return (
        f"{scene.name}: {len(unusual)} of {len(scene.bands)} bands hold values unlike those of training: "
        f"{listed}",
    )


def _other_units(
    scene: Scene, names: Sequence[str], median: Float64Array, mean: Float64Array, ratio: Float64Array
) -> str:
    middle = float(np.exp(np.log(np.maximum(ratio, 1e-30)).mean()))
    likely = min(_KNOWN_FACTORS, key=lambda factor: abs(np.log(factor / middle)))
    texts = []
    for name, value, trained in zip(names, median, mean, strict=True):
        texts.append(f"{name} {value:.4g} (trained on {trained:.4g})")
    present = scene.bands[0].scale
    return (
        f"{scene.path}: its values are in other units than those the model was trained on, median "
        f"{', '.join(texts[:_MOST_NAMED])}; open the scene with the physical value of a stored unit, perhaps "
        f"`scale={present * likely:.6g}` (`scale={present:g}` keeps the values)"
    )
