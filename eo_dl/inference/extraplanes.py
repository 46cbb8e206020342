"""What stands in the rasters beside a map: planes of uint8 made from the probabilities of a chip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..bundle import Bundle
from ..core.arraytypes import Float32Array, FloatArray, UInt8Array
from ..io.classmap import QUANTA
from ..io.outputtags import EXTRA_TAG, SET_COVERAGE_TAG, TEMPERATURE_TAG
from ..io.qgisstyles import (
    PROBABILITIES_TAG,
    classes_tag,
    dissimilarity_qml,
    probability_raster_qml,
    set_size_qml,
)
from ..uncertainty.applicability import outside
from ..uncertainty.certainty import CERTAINTY_BANDS, certainty_bands
from ..uncertainty.predictionsets import in_sets
from ..uncertainty.temperature import UNCHANGED
from .mapextras import ExtraKind, MapExtras

SCALE = 1 / QUANTA
"""What a stored value of a probability is multiplied by."""
DISSIMILARITY_SCALE = 0.01
"""What a stored dissimilarity is multiplied by: 100 is the border of the area of applicability."""


@dataclass(frozen=True)
class PixelValues:
    """What is known of the pixels of a chip, or of N chips."""

    probabilities: Float32Array
    """(K, ...)."""
    dissimilarity: Float32Array | None = None
    """(...) to the training, above 1 outside; None where it is not wanted."""


@dataclass(frozen=True)
class ExtraPlanes:
    """The bands of one raster beside a map."""

    kind: ExtraKind
    """What they hold."""
    bands: tuple[str, ...]
    """Their names."""
    make: Callable[[PixelValues], UInt8Array]
    """From values (...) to stored ones (bands, ...)."""
    style: str
    """QML."""
    scales: tuple[float, ...] = ()
    """Factor of the stored values of each band; none: they are numbers of things."""
    tags: dict[str, str] = field(default_factory=dict)
    """Metadata of their own."""


def extra_planes(bundle: Bundle, extras: MapExtras) -> tuple[ExtraPlanes, ...]:
    """What the rasters beside a map hold, in the order of `extras.kinds`."""
    makers: dict[ExtraKind, Callable[[Bundle, MapExtras], ExtraPlanes]] = {
        "prob": _probabilities,
        "certainty": _certainty,
        "sets": _sets,
        "applicability": _applicability,
    }
    return tuple(makers[kind](bundle, extras) for kind in extras.kinds)


def quantized(shares: FloatArray) -> UInt8Array:
    """Values from 0 to 1 in steps of 1/254."""
    scaled = np.clip(shares, 0.0, 1.0) * np.float32(QUANTA)
    return np.asarray(np.rint(scaled), np.uint8)


def planes_of(planes: Sequence[ExtraPlanes], values: PixelValues) -> UInt8Array | None:
    """(P, ...) the bands of all rasters, one after the other; None if there are none."""
    if not planes:
        return None
    return np.concatenate([one.make(values) for one in planes])


def _probabilities(bundle: Bundle, extras: MapExtras) -> ExtraPlanes:
    return ExtraPlanes(
        kind="prob",
        bands=bundle.classes.names,
        make=lambda values: quantized(values.probabilities),
        style=probability_raster_qml(),
        scales=(SCALE,) * len(bundle.classes),
        tags={PROBABILITIES_TAG: classes_tag(bundle.classes), **_temperature_tag(bundle)},
    )


def _certainty(bundle: Bundle, extras: MapExtras) -> ExtraPlanes:
    return ExtraPlanes(
        kind="certainty",
        bands=CERTAINTY_BANDS,
        make=lambda values: quantized(certainty_bands(values.probabilities)),
        style=probability_raster_qml(),
        scales=(SCALE,) * len(CERTAINTY_BANDS),
        tags={EXTRA_TAG: "certainty", **_temperature_tag(bundle)},
    )


def _temperature_tag(bundle: Bundle) -> dict[str, str]:
    if bundle.spec.temperature == UNCHANGED:
        return {}
    return {TEMPERATURE_TAG: ", ".join(f"{one:g}" for one in bundle.spec.temperature)}


def _sets(bundle: Bundle, extras: MapExtras) -> ExtraPlanes:
    known, coverage = bundle.spec.prediction_sets, extras.set_coverage
    assert known is not None and coverage is not None, "checked with the names of the outputs"
    thresholds = [quantiles.threshold(coverage) for quantiles in known.quantiles()]

    def members(values: PixelValues) -> UInt8Array:
        inside = in_sets(values.probabilities, thresholds)
        size = inside.sum(axis=0, keepdims=True)
        return np.concatenate([size, inside]).astype(np.uint8)

    names = bundle.classes.names
    return ExtraPlanes(
        kind="sets",
        bands=("number of classes", *names),
        make=members,
        style=set_size_qml(len(names)),
        tags={
            EXTRA_TAG: "sets",
            SET_COVERAGE_TAG: f"{coverage:g}",
            "set_thresholds": ", ".join(f"{one:g}" for one in thresholds),
        },
    )


def _applicability(bundle: Bundle, extras: MapExtras) -> ExtraPlanes:
    return ExtraPlanes(
        kind="applicability",
        bands=("dissimilarity", "inside"),
        make=_dissimilarity_and_mask,
        style=dissimilarity_qml(),
        scales=(DISSIMILARITY_SCALE, 1.0),
        tags={EXTRA_TAG: "applicability"},
    )


def _dissimilarity_and_mask(values: PixelValues) -> UInt8Array:
    assert values.dissimilarity is not None, "asked of the engine"
    # Rounded up above the threshold, so that the band and the mask agree.
    steps = values.dissimilarity / np.float32(DISSIMILARITY_SCALE)
    is_outside = outside(values.dissimilarity)
    rounded = np.where(is_outside, np.ceil(steps), np.floor(steps))
    return np.stack([np.minimum(rounded, QUANTA), ~is_outside]).astype(np.uint8)
