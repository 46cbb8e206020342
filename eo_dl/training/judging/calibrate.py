"""What makes the probabilities of a trained network mean shares, fitted on validation blocks.

Class maps and classes of chips get a temperature (`uncertainty.temperature`). Objects get a map from their
score to the share of such objects that are right: the score itself stays, because thresholds are chosen on
it. Test blocks decide nothing; on them it is measured what the calibration is worth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ...core.arrays import Objects
from ...core.arraytypes import BoolArray, Float64Array, ObjectArray
from ...core.classes import ClassSet
from ...modelspec import CalibrationSpec, PredictionSetsSpec, ScoreSpec
from ...scores.matching import match
from ...scores.reliability import ALL, ERROR_BEFORE, Reliability
from ...scores.reliabilityplot import reliability_diagram
from ...tasks import CHIPS, OBJECTS
from ...uncertainty.scoreprecision import ScorePrecision
from ...uncertainty.temperature import fit_temperature, fit_temperatures, tempered
from ..record.results import SplitScores
from ..setup.taskdata import TaskData
from .logitsample import LogitSample, LogitSampler
from .scoring import DecodedChip, RawChip
from .setfit import FITTED_ON, by_place, prediction_sets

FEWEST_SAMPLES = 20
"""With fewer chips or objects nothing is fitted."""
FOUND_FROM_IOU = 0.5
"""An object is right if it overlaps a true one of its class at least by this."""
_DIGITS = 6


@dataclass(frozen=True)
class KeptClaims:
    """How well claims are kept on one split."""

    before: Reliability
    """As the network gives them."""
    after: Reliability
    """Calibrated."""


@dataclass(frozen=True)
class Calibration:
    """A fitted calibration and what it is worth."""

    temperature: tuple[float, ...]
    """One number, or one per class where a chip may have several; empty for objects."""
    precision: ScorePrecision | None
    """Of objects; None for class maps and classes of chips."""
    samples: int
    """Pixels, chips or objects that it was fitted to."""
    blocks: int
    """Blocks of ground in which they lie."""
    measured: Mapping[str, KeptClaims] = field(default_factory=dict)
    """By split."""
    sets: PredictionSetsSpec | None = None
    """From which sets of classes are made; None for objects and where a chip may have several classes."""

    @property
    def claim(self) -> str:
        """What is calibrated, in words."""
        return "probability" if self.precision is None else "precision that the score claims"

    def spec(self) -> CalibrationSpec:
        """As it is kept in a bundle."""
        errors: list[ScoreSpec] = []
        for split, measured in self.measured.items():
            before = tuple(replace(score, name=ERROR_BEFORE) for score in measured.before.errors())
            for scores in (before, tuple(measured.after.errors())):
                errors += SplitScores("", split, scores).specs()
        return CalibrationSpec(
            temperature=tuple(round(one, _DIGITS) for one in self.temperature),
            scores=() if self.precision is None else self.precision.scores,
            precisions=() if self.precision is None else self.precision.precisions,
            samples=self.samples,
            blocks=self.blocks,
            errors=tuple(errors),
        )


class Calibrator:
    """Watches the chips that a network is scored on, and calibrates it.

    Args:
        data: The chip set as the task sees it.
    """

    def __init__(self, data: TaskData) -> None:
        self._data = data
        self._logits: dict[str, LogitSample] = {}
        self._objects: dict[str, ObjectHits] = {}
        self._multi_label = data.task.output == CHIPS and data.codec_for(CHIPS).rule.multi_label

    def watch(self, split: str, chips: Iterable[RawChip]) -> Iterator[RawChip]:
        """The chips, unchanged, after a sample of their logits was taken."""
        data = self._data
        sampler = LogitSampler(
            len(data.classes),
            len(data.records[split]) * (1 if data.task.output == CHIPS else data.chips.chip_px**2),
            multi_label=self._multi_label,
            seed=data.config.seed,
        )
        for chip in chips:
            sampler.add(chip, data.blocks[chip.chip_id])
            yield chip
        self._logits[split] = sampler.sample()

    def watch_objects(self, split: str, chips: Iterable[DecodedChip]) -> Iterator[DecodedChip]:
        """The chips, unchanged, after it was noted which of their objects are right."""
        hits = []
        for chip in chips:
            if isinstance(chip.predicted, Objects) and isinstance(chip.truth, Objects):
                hits.append(_hits(chip.predicted, chip.truth, self._data.blocks[chip.chip_id]))
            yield chip
        self._objects[split] = ObjectHits.concatenated(hits)

    def calibration(self) -> Calibration | None:
        """What the validation blocks give; None where there are none, or too few samples on them."""
        if self._data.task.output == OBJECTS:
            return self._of_objects()
        return self._of_classes()

    def _of_classes(self) -> Calibration | None:
        sample = self._logits.get(FITTED_ON)
        if sample is None or len(sample) < FEWEST_SAMPLES:
            return None
        if self._multi_label:
            temperature = fit_temperatures(sample.logits, sample.truth == 1)
        else:
            temperature = (fit_temperature(sample.logits, sample.truth),)
        measured = {
            split: KeptClaims(self._class_claims(logits, (1.0,)), self._class_claims(logits, temperature))
            for split, logits in self._logits.items()
            if len(logits)
        }
        return Calibration(
            temperature,
            None,
            len(sample),
            len(set(sample.places)),
            measured,
            None if self._multi_label else prediction_sets(self._logits, temperature, self._data.classes),
        )

    def _class_claims(self, sample: LogitSample, temperature: tuple[float, ...]) -> Reliability:
        """The probabilities of a sample, calibrated by a temperature, as claims."""
        logits = np.asarray(tempered(sample.logits, temperature, axis=1), np.float64)
        names = self._data.classes.names
        if self._multi_label:
            probabilities = 0.5 * (1 + np.tanh(logits / 2))  # the sigmoid, without overflow
            has = sample.truth == 1
        else:
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            probabilities = powers / powers.sum(axis=1, keepdims=True)
            has = sample.truth[:, None] == np.arange(len(names))
        reliability = Reliability([ALL, *names], seed=self._data.config.seed)
        likeliest = probabilities.argmax(axis=1)
        rows = np.arange(len(sample))
        for place, index in by_place(sample.places):
            reliability.add(ALL, probabilities[rows, likeliest][index], has[rows, likeliest][index], place)
            for channel, name in enumerate(names):
                reliability.add(name, probabilities[index, channel], has[index, channel], place)
        return reliability

    def _of_objects(self) -> Calibration | None:
        hits = self._objects.get(FITTED_ON)
        if hits is None or len(hits.scores) < FEWEST_SAMPLES:
            return None
        precision = fit_precision(hits.scores, hits.right)
        measured = {
            split: KeptClaims(
                self._object_claims(found, found.scores),
                self._object_claims(found, precision.of(found.scores)),
            )
            for split, found in self._objects.items()
            if len(found.scores)
        }
        return Calibration((), precision, len(hits.scores), len(set(hits.places)), measured)

    def _object_claims(self, hits: ObjectHits, claims: Float64Array) -> Reliability:
        classes = self._data.classes
        reliability = Reliability([ALL, *_object_names(classes)], seed=self._data.config.seed)
        for place, index in by_place(hits.places):
            reliability.add(ALL, claims[index], hits.right[index], place)
            for info in classes.foreground:
                of_class = index[hits.class_ids[index] == info.id]
                reliability.add(info.name, claims[of_class], hits.right[of_class], place)
        return reliability


def _object_names(classes: ClassSet) -> list[str]:
    return [info.name for info in classes.foreground]


@dataclass(frozen=True)
class ObjectHits:
    """N predicted objects that count."""

    scores: Float64Array
    right: BoolArray
    class_ids: Float64Array
    places: ObjectArray

    @classmethod
    def concatenated(cls, parts: list[ObjectHits]) -> ObjectHits:
        """The objects of all parts."""
        if not parts:
            return cls(np.empty(0), np.empty(0, np.bool_), np.empty(0), np.empty(0, dtype=object))
        return cls(
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.right for part in parts]),
            np.concatenate([part.class_ids for part in parts]),
            np.concatenate([part.places for part in parts]),
        )


def _hits(predicted: Objects, true: Objects, place: str) -> ObjectHits:
    matches = match(predicted, true, (FOUND_FROM_IOU,), true.has_outlines)
    counted = ~matches.excused[0]
    count = int(counted.sum())
    return ObjectHits(
        predicted.scores[counted].astype(np.float64),
        (matches.found[0] >= 0)[counted],
        predicted.class_ids[counted].astype(np.float64),
        np.full(count, place, dtype=object),
    )


def calibration_diagram(calibration: Calibration, classes: ClassSet) -> bytes:
    """Reliability before and after, as a PNG: on test blocks, or else on those of the fit."""
    split = "test" if "test" in calibration.measured else FITTED_ON
    measured = calibration.measured[split]
    panels = {f"{split} blocks, before": measured.before, f"{split} blocks, calibrated": measured.after}
    return reliability_diagram(panels, classes, calibration.claim)


def fit_precision(scores: Float64Array, right: BoolArray) -> ScorePrecision:
    """The monotone map from scores to the share that is right (isotonic regression; Zadrozny & Elkan 2002).

    A few objects at an end of the scale cannot make it claim 0 or 1: no precision comes nearer to these than
    1 / (N + 2).

    Args:
        scores: (N,).
        right: (N,) True for objects that match a true one.
    """
    from sklearn.isotonic import IsotonicRegression  # lazy: loads scikit-learn

    edge = 1 / (len(scores) + 2)
    fit = IsotonicRegression(y_min=edge, y_max=1 - edge, out_of_bounds="clip").fit(scores, right)
    knots = np.round(fit.X_thresholds_, _DIGITS)
    heights = np.round(np.maximum.accumulate(fit.y_thresholds_), _DIGITS)
    # Rounding may have made knots equal: the last of them counts.
    last = np.append(np.diff(knots) > 0, True)
    return ScorePrecision(tuple(knots[last].tolist()), tuple(heights[last].tolist()))
