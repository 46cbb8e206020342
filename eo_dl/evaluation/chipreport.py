"""The numbers of whole chips or images: scores, counts, notes and pictures."""

from __future__ import annotations

from ..errors import InputError
from ..scores.chipscores import ChipScorer
from .chipwise import ChipCounts, FoundChips, read_chips, score_chips
from .classmatch import match_classes
from .comparison import Comparison, Measurement, nothing_to_score
from .figures import class_bars, error_map
from .limits import LeftOut


def measure_chips(comparison: Comparison) -> Measurement:
    """Score the classes of whole chips or images. Raises `LabelError`, `InputError`, `ConfigError`."""
    labels, limits = comparison.labels, comparison.limits
    files = [read_chips(part) for part in comparison.parts]
    first = files[0]
    _check_alike(files)
    match = match_classes(first.classes, labels.classes, labels.source, comparison.class_map)
    scorer = ChipScorer(match.classes, multi_label=first.rule.multi_label, seed=comparison.seed)
    counts = ChipCounts()
    left_out = LeftOut(len(files))
    thumbnails = []
    for number, file in enumerate(files, start=1):
        with left_out.where_no_chip_lies(file.part.path.name):
            thumbnail = score_chips(file, labels, match, limits, scorer=scorer, counts=counts)
            if thumbnail is not None:
                thumbnails.append(thumbnail)
        comparison.on_progress(number, len(files), "files")
    if not counts.scored:
        raise nothing_to_score(labels, "chip of the prediction has a known class in the truth")
    scores = scorer.scores()
    background = 0 if match.classes.has_background else None
    pictures = {}
    if thumbnails:
        pictures["errors"] = error_map(thumbnails, background)
    pictures["classes"] = class_bars([score for score in scores if score.name == "f1"], match.classes)
    return Measurement(
        kind="chips",
        scores=tuple(scores),
        classes=match.classes,
        counts=scorer.counts(),
        notes=(*match.notes, *left_out.notes(limits.split), *_notes(counts)),
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
