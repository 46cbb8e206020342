"""The numbers of predicted objects: scores, counts, notes and pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.chiprules import OneObjectRule
from ..core.classes import ClassSet
from ..core.progress import OnProgress
from ..core.rasterlabels import RasterLabels
from ..errors import InputError, LabelError
from ..io.outputtags import MIN_SCORE_TAG
from ..scores.objectscores import ObjectScorer
from ..scores.score import Score
from .classmatch import match_classes
from .comparison import Comparison, Measurement, nothing_to_score
from .eachfile import FileJob, score_files, total
from .figures import curves, object_errors
from .objectwise import Found, ObjectTally, Pictured, are_boxes, read_found, score_objects
from .onebox import OneBoxes, chips_wanted
from .trainedshare import trained_notes

_NEED_CONFIDENCE = ("ap50", "ap50_95")


def measure_objects(comparison: Comparison) -> Measurement:
    """Score predicted objects against true ones. Raises `LabelError`, `InputError`."""
    labels, limits = comparison.labels, comparison.limits
    files = _read(comparison)
    classes = predicted_classes(files, labels.classes, comparison.class_map)
    match = match_classes(classes, labels.classes, labels.source, comparison.class_map)
    use_boxes = all(are_boxes(file, labels) for file in files)
    by_chip = OneBoxes.of(files, match, limits, comparison.iou, comparison.seed)
    job = _ObjectJob(
        job=FileJob.of(comparison, match),
        use_polygons=not use_boxes,
        rule=None if by_chip is None else by_chip.rule,
    )
    scored = score_files(comparison, _score_file, job, files)
    scorer = job.new_scorer()
    for one in scored.results:
        scorer.merge(one.scorer)
        if by_chip is not None and one.by_chip is not None:
            by_chip.merge(one.by_chip)
    tally = total([one.tally for one in scored.results], ObjectTally())
    counts = scorer.counts()
    if not any(count["truth"] for count in counts.values()):
        raise nothing_to_score(labels, "true objects lie in the scored area")

    have_confidence = all(file.scored for file in files)
    scores = _scores(scorer, have_confidence)
    if by_chip is not None:
        scores = [*by_chip.scores(), *scores]
    chip_notes = chips_wanted(files, limits) if by_chip is None else by_chip.notes()
    pictures = {
        "errors": object_errors([one.pictured for one in scored.results], comparison.iou, not use_boxes)
    }
    if have_confidence:
        curve_of_class = {info.name: scorer.curve(info.id) for info in match.classes}
        pictures["curves"] = curves(curve_of_class, match.classes)
    return Measurement(
        kind="objects",
        scores=tuple(scores),
        classes=match.classes,
        counts=counts,
        notes=(
            *match.notes,
            *scored.left_out.notes(limits.split),
            *chip_notes,
            *_notes(tally, use_boxes, have_confidence),
            *trained_notes(tally.trained, tally.scored, "objects", comparison.parts),
            *_cut_notes(files, have_confidence),
        ),
        pictures=pictures,
    )


@dataclass(frozen=True)
class _ObjectJob:
    """What the scoring of all files has in common."""

    job: FileJob
    use_polygons: bool
    rule: OneObjectRule | None
    """How a chip's object is chosen, if chips are scored as a whole."""

    def new_scorer(self) -> ObjectScorer:
        """A scorer without any object."""
        job = self.job
        return ObjectScorer(job.match.classes, job.iou, use_polygons=self.use_polygons, seed=job.seed)

    def new_by_chip(self) -> OneBoxes | None:
        """A scorer of chips as a whole, without any chip; None if they are not scored."""
        job = self.job
        if self.rule is None:
            return None
        return OneBoxes(job.match, job.limits, self.rule, job.iou, job.seed)


@dataclass(frozen=True)
class _ScoredObjects:
    """What scoring one file gave."""

    scorer: ObjectScorer
    by_chip: OneBoxes | None
    tally: ObjectTally
    pictured: Pictured


def _score_file(job: _ObjectJob, file: Found, on_progress: OnProgress) -> _ScoredObjects:
    scorer, by_chip, tally = job.new_scorer(), job.new_by_chip(), ObjectTally()
    common = job.job
    compared = score_objects(file, common.labels, common.match, common.limits, scorer=scorer, tally=tally)
    if by_chip is not None:
        by_chip.add(compared)
    return _ScoredObjects(scorer, by_chip, tally, compared.pictured)


def _read(comparison: Comparison) -> list[Found]:
    """The predicted objects, one value per file."""
    parts, labels = comparison.parts, comparison.labels
    if isinstance(labels, RasterLabels):
        raise LabelError(
            f"{labels.source}: the truth is a raster but the prediction has objects; use true objects, or "
            "evaluate the class map"
        )
    foreground = labels.classes.foreground
    only_class = foreground[0].name if len(foreground) == 1 else None
    files = [read_found(part, only_class) for part in parts]
    if len(files) > 1 and labels.crs is not None and any(file.part.grid is None for file in files):
        raise InputError(
            f"{parts[0].path.parent}: some of the {len(files)} files do not say which area they cover, so "
            "they cannot share the truth; evaluate one at a time"
        )
    return files


def _scores(scorer: ObjectScorer, have_confidence: bool) -> list[Score]:
    if have_confidence:
        return list(scorer.scores())
    return [score for score in scorer.scores() if score.name not in _NEED_CONFIDENCE]


def predicted_classes(
    files: Sequence[Found], truth: ClassSet, class_map: Mapping[str, str] | None
) -> ClassSet:
    """The classes in the prediction, and those of the truth that the model may know but did not predict.

    A file of objects does not list the classes of its model. So a true class without any prediction counts as
    missed, unless no predicted class has a name of the truth: then the names do not fit, and `match_classes`
    says so.
    """
    mapping = class_map or {}
    names: dict[str, None] = {}  # in order of appearance
    for file in files:
        names.update(dict.fromkeys(str(name) for name in file.names))
    predicted = {_folded(name) for name in names}
    not_predicted = [info for info in truth.foreground if _folded(info.name) not in predicted]
    some_agree = len(not_predicted) < len(truth.foreground)
    names.update(dict.fromkeys(target for target in mapping.values() if target != "ignore"))
    if some_agree or not names:
        names.update(dict.fromkeys(info.name for info in not_predicted if info.name not in mapping))
    numbered = dict(enumerate(names, start=1))
    colors = {info.name: info.color for info in truth}
    return ClassSet.of_ids(numbered, {key: colors[name] for key, name in numbered.items() if name in colors})


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _cut_notes(files: Sequence[Found], have_confidence: bool) -> list[str]:
    """Average precision ranks all that a model finds. A map that leaves out weak objects makes it smaller
    than the value that training reports for the same ground.
    """
    least: set[float] = set()
    for file in files:
        with contextlib.suppress(ValueError):  # a tag of another program
            least.add(float(file.part.tags.get(MIN_SCORE_TAG, 0)))
    if not have_confidence or not least or max(least) <= 0:
        return []
    return [
        f"objects with a score below {max(least):g} are not in the prediction, so average precision is lower "
        "than in training, which ranks all; predict with `min_score=0` to compare the two"
    ]


def _notes(tally: ObjectTally, use_boxes: bool, have_confidence: bool) -> list[str]:
    left_out = {
        "true objects with their centre outside the scored or annotated area": tally.truth_outside,
        "predicted objects with their centre outside the scored or annotated area": tally.predicted_outside,
        "true objects with their centre on nodata": tally.truth_not_measured,
        "ignored true objects, with the predictions on them": tally.truth_left_out,
    }
    notes = ["boxes are compared" if use_boxes else "outlines are compared"]
    notes += [f"{what}: {count} left out" for what, count in left_out.items() if count]
    if not have_confidence:
        notes.append("the prediction has no scores, so average precision is not defined")
    if tally.unlimited:
        notes.append(
            "the prediction does not say which area it covers, so the whole truth counts; narrow it with "
            "`aoi` or `scene`"
        )
    return notes
