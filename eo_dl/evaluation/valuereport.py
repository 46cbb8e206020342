"""The numbers of maps of values: scores, counts, notes and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..chips.truth import SceneTruth
from ..core.arraytypes import FloatArray
from ..core.classes import ClassInfo, ClassSet
from ..core.labelset import LabelSet, features_of
from ..core.window import Window
from ..errors import InputError, LabelError
from ..labels.valueplanes import value_planes
from ..scores.valuescores import ValueScorer
from .comparison import Comparison, Measurement, nothing_to_score
from .eachfile import score_files, total
from .pixelwise import PixelTally
from .predictionfiles import Part
from .trainedshare import trained_notes
from .valuefigures import residual_map, scatter_plot
from .valuewise import ValueJob, open_value_map, score_values, values_of_map

_QUARTERS = (25, 50, 75)
_SAMPLED_PX = 128
_SAMPLES_PER_SIDE = 6
_DIGITS = 3


def measure_values(comparison: Comparison) -> Measurement:
    """Score maps of values pixel by pixel. Raises `LabelError`, `SceneError`, `InputError`."""
    parts, labels = comparison.parts, comparison.labels
    classes, notes = _common_values(parts, labels)
    matched = _matched(classes, labels, comparison.class_map)
    job = ValueJob(
        labels=labels,
        classes=matched.classes,
        predicted=matched.predicted,
        true=matched.true,
        edges=_edges(parts, labels, matched.true),
        limits=comparison.limits,
        seed=comparison.seed,
        workers=None if comparison.cluster is None else 1,
    )
    scored = score_files(comparison, score_values, job, parts)
    scorer = ValueScorer(job.classes, edges=job.edges, seed=comparison.seed)
    for one in scored.results:
        scorer.merge(one.scorer)
    tally = total([one.tally for one in scored.results], PixelTally())
    features_lie_elsewhere = not labels.states_extent and not tally.features
    if not tally.scored or features_lie_elsewhere:
        raise nothing_to_score(labels, "pixels of the prediction have a number in the truth")
    thumbnails = [one.thumbnail for one in scored.results]
    shown = job.classes.classes[0]
    return Measurement(
        kind="values",
        scores=tuple(scorer.scores()),
        classes=job.classes,
        counts={
            name: {"pixels": int(count)}
            for name, count in zip(job.classes.names, scorer.counts.tolist(), strict=True)
        },
        notes=(
            *notes,
            *matched.notes,
            *scored.left_out.notes(comparison.limits.split),
            *_tally_notes(tally),
            *trained_notes(tally.trained, tally.scored, "pixels", parts),
        ),
        pictures={
            "scatter": scatter_plot(thumbnails, shown),
            "residuals": residual_map(thumbnails, shown),
        },
    )


def _common_values(parts: Sequence[Part], labels: LabelSet) -> tuple[ClassSet, list[str]]:
    """The values of the maps; of a raster of another program those of the reference, band by band.

    Raises `InputError` where maps differ, or hold no values.
    """
    first = values_of_map(parts[0])
    for part in parts[1:]:
        found = values_of_map(part)
        if (found is None) != (first is None) or (found and first and found.names != first.names):
            raise InputError(
                f"{part.path}: has other values than {parts[0].path.name}; evaluate maps of one model at a "
                "time"
            )
    if first is not None:
        return first, []
    bands, wanted = len(open_value_map(parts[0].path).bands), labels.classes
    if bands != len(wanted):
        raise InputError(
            f"{parts[0].path}: has {bands} bands, and the truth has {len(wanted)} values "
            f"({', '.join(wanted.names)}); give a raster with one band per value, in their order"
        )
    return wanted, [f"{parts[0].path.name}: its bands are taken as {', '.join(wanted.names)}"]


class _Matched:
    """Which value of the maps is which of the reference."""

    def __init__(self, pairs: Sequence[tuple[int, int]], classes: ClassSet, notes: Sequence[str]) -> None:
        self.predicted = tuple(pair[0] for pair in pairs)
        self.true = tuple(pair[1] for pair in pairs)
        self.classes, self.notes = classes, tuple(notes)


def _matched(classes: ClassSet, labels: LabelSet, class_map: Mapping[str, str] | None) -> _Matched:
    """Match values by name; a single one on each side is the same whatever it is called.

    Raises `LabelError` where no value, or units, agree.
    """
    truth = labels.classes
    if not truth.are_values:
        raise LabelError(
            f"{labels.source}: its labels are classes, and the prediction holds values "
            f"({', '.join(classes.names)}); name the numbers of the truth with `values`"
        )
    given = dict(class_map or {})
    pairs: list[tuple[int, int]] = []
    notes: list[str] = []
    for number, name in enumerate(truth.names):
        wanted = given.get(name, name)
        if wanted in classes.names:
            pairs.append((classes.names.index(wanted), number))
    if not pairs and len(classes) == len(truth) == 1 and not given:
        pairs = [(0, 0)]
        notes.append(f"{truth.names[0]} of the truth is compared with {classes.names[0]} of the prediction")
    if not pairs:
        raise LabelError(
            f"{labels.source}: its values ({', '.join(truth.names)}) are none of the prediction "
            f"({', '.join(classes.names)}); name them alike with `values`, or match them with `class_map`"
        )
    left_out = sorted(set(range(len(truth))) - {true for _, true in pairs})
    if left_out:
        names = ", ".join(truth.names[number] for number in left_out)
        notes.append(f"values of the truth that the prediction does not have: {names}")
    infos: list[ClassInfo] = []
    for number, (predicted, true) in enumerate(pairs, start=1):
        info = classes.classes[predicted]
        _check_units(info, truth.classes[true], labels)
        infos.append(replace(info, id=number, value=info.value or truth.classes[true].value))
    return _Matched(pairs, ClassSet(tuple(infos)), notes)


def _check_units(predicted: ClassInfo, true: ClassInfo, labels: LabelSet) -> None:
    first = predicted.value.unit if predicted.value else ""
    second = true.value.unit if true.value else ""
    if first and second and first != second:
        raise LabelError(
            f"{labels.source}: {true.name} is in {second!r}, and {predicted.name} of the prediction in "
            f"{first!r}; give both in one unit"
        )


def _edges(parts: Sequence[Part], labels: LabelSet, true: Sequence[int]) -> tuple[tuple[float, ...], ...]:
    """Per value the quarters of the reference, as rounded numbers; from a sample where it is a raster."""
    features = features_of(labels)
    if features.values is not None:
        columns = [features.values[~features.ignore, number] for number in true]
    else:
        columns = _sampled(parts, labels, true)
    edges = []
    for column in columns:
        known = column[np.isfinite(column)]
        quarters = np.percentile(known, _QUARTERS).tolist() if len(known) else []
        rounded = {float(f"{edge:.{_DIGITS}g}") for edge in quarters}
        # An edge at the lowest number would leave a range without any.
        edges.append(tuple(sorted(edge for edge in rounded if edge > known.min())))
    return tuple(edges)


def _sampled(parts: Sequence[Part], labels: LabelSet, true: Sequence[int]) -> list[FloatArray]:
    """Numbers of the reference in evenly spread windows of the maps, for each value."""
    found: list[list[FloatArray]] = [[] for _ in true]
    for part in parts:
        scene = open_value_map(part.path)
        truth = SceneTruth.of(labels, replace(scene, file=replace(scene.file, path=part.made_of)))
        for row in _starts(scene.grid.height):
            for col in _starts(scene.grid.width):
                height = min(_SAMPLED_PX, scene.grid.height - row)
                width = min(_SAMPLED_PX, scene.grid.width - col)
                planes = value_planes(truth.chip(Window(col, row, width, height)), height, width)
                for numbers, place in zip(found, true, strict=True):
                    numbers.append(planes[place].ravel())
    return [np.concatenate(numbers) for numbers in found]


def _starts(side: int) -> list[int]:
    """First pixels of the sampled windows along a side."""
    count = min(_SAMPLES_PER_SIDE, -(-side // _SAMPLED_PX))
    starts: list[int] = np.linspace(0, max(0, side - _SAMPLED_PX), count).round().astype(int).tolist()
    return starts


def _tally_notes(tally: PixelTally) -> list[str]:
    left_out = {
        "pixels outside the AOI or the scored chips": tally.outside,
        "pixels without a number in the truth": tally.unlabelled,
        "numbers of the truth without a prediction": tally.unpredicted,
    }
    notes = [f"{tally.scored} pixels are scored"]
    return notes + [f"{count} {reason} are left out" for reason, count in left_out.items() if count]
