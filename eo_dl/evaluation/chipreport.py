"""The numbers of whole chips or images: scores, counts, notes and pictures."""

from __future__ import annotations

from ..errors import InputError
from ..scores.chipscores import ChipScorer
from ..scores.reliability import ALL, Reliability
from .chipwise import ChipCounts, FoundChips, read_chips, score_chips
from .classmatch import match_classes
from .comparison import Comparison, Measurement, nothing_to_score
from .eachfile import FileJob, score_files, total
from .figures import class_bars, error_map
from .trainedshare import trained_notes
from .trustreport import reliability_picture


def measure_chips(comparison: Comparison) -> Measurement:
    """Score the classes of whole chips or images. Raises `LabelError`, `InputError`, `ConfigError`."""
    labels = comparison.labels
    files = [read_chips(part) for part in comparison.parts]
    first = files[0]
    _check_alike(files)
    match = match_classes(first.classes, labels.classes, labels.source, comparison.class_map)
    scored = score_files(comparison, score_chips, FileJob.of(comparison, match), files)
    scorer = ChipScorer(match.classes, multi_label=first.rule.multi_label, seed=comparison.seed)
    reliability = Reliability([ALL, *match.classes.names], seed=comparison.seed)
    for one in scored.results:
        scorer.merge(one.scorer)
        reliability.merge(one.reliability)
    counts = total([one.counts for one in scored.results], ChipCounts())
    thumbnails = [one.thumbnail for one in scored.results if one.thumbnail is not None]
    if not counts.scored:
        raise nothing_to_score(labels, "chip of the prediction has a known class in the truth")
    scores = [*scorer.scores(), *reliability.errors()]
    background = 0 if match.classes.has_background else None
    pictures = {}
    if thumbnails:
        pictures["errors"] = error_map(thumbnails, background)
    pictures["classes"] = class_bars([score for score in scores if score.name == "f1"], match.classes)
    pictures["reliability"] = reliability_picture(reliability, match.classes)
    return Measurement(
        kind="chips",
        scores=tuple(scores),
        classes=match.classes,
        counts=scorer.counts(),
        notes=(
            *match.notes,
            *scored.left_out.notes(comparison.limits.split),
            *_notes(counts),
            *trained_notes(counts.trained, counts.scored, "chips", comparison.parts),
        ),
        confusion=scorer.confusion,
        pictures=pictures,
    )


def _check_alike(files: list[FoundChips]) -> None:
    first = files[0]
    for file in files[1:]:
        same_names = file.classes.names == first.classes.names
        if not same_names or file.rule.multi_label != first.rule.multi_label:
            raise InputError(
                f"{file.part.path}: has other classes than {first.part.path.name}; evaluate the chips of one "
                "model at a time"
            )


def _notes(counts: ChipCounts) -> list[str]:
    left_out = {
        "not entirely in the scored area or images": counts.outside,
        "without a known class in the truth": counts.unknown,
    }
    notes = [f"{counts.scored} chips or images are scored"]
    notes += [f"{count} {reason} are left out" for reason, count in left_out.items() if count]
    return notes
