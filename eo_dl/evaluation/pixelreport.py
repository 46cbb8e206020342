"""The numbers of class maps: scores, counts, notes and pictures."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.classes import ClassSet
from ..core.rasterlabels import RasterLabels
from ..errors import InputError
from ..io.classmap import open_class_map
from ..scores.pixelscores import PixelScorer
from ..scores.riskcoverage import RiskCoverage
from ..scores.setcoverage import SetCoverage
from .besidemap import TrustScorer
from .classmatch import ClassMatch, match_classes
from .comparison import Comparison, Measurement, nothing_to_score
from .eachfile import FileJob, score_files, total
from .figures import MOST_PANELS, class_bars, error_map
from .pixelwise import MapToScore, PixelTally, score_map
from .trainedshare import trained_notes
from .trustreport import risk_notes, set_notes, trust_pictures


def measure_pixels(comparison: Comparison) -> Measurement:
    """Score class maps pixel by pixel. Raises `LabelError`, `SceneError`, `InputError`."""
    parts, labels = comparison.parts, comparison.labels
    classes = open_class_map(parts[0].path).classes
    truth_is_raster = isinstance(labels, RasterLabels)
    match = match_classes(
        classes, labels.classes, labels.source, comparison.class_map, ids_agree=truth_is_raster
    )
    # Where nothing true is background, a 0 that the map calls nodata is no prediction.
    zero_is_background = not truth_is_raster or labels.classes.has_background
    map_notes: dict[str, None] = {}
    for part in parts:
        class_map = open_class_map(part.path, zero_is_background=zero_is_background)
        map_notes |= dict.fromkeys((*class_map.notes, *class_map.value_notes))
        if not _same_classes(class_map.classes, classes):
            raise InputError(
                f"{part.path}: has other classes than {parts[0].path.name}; evaluate maps of one model at a "
                "time"
            )
    # Of many maps the first ones are pictured; which those are is not known before where chips are missing.
    pictured = [number < MOST_PANELS or comparison.limits.chips is not None for number in range(len(parts))]
    files = [
        MapToScore(part, wanted, zero_is_background) for part, wanted in zip(parts, pictured, strict=True)
    ]
    scored = score_files(comparison, score_map, FileJob.of(comparison, match), files)
    scorer = PixelScorer(match.classes, seed=comparison.seed)
    for one in scored.results:
        scorer.merge(one.scorer)
    tally = total([one.tally for one in scored.results], PixelTally())
    trust = _merged_trust([one.trust for one in scored.results], match.classes, comparison.seed)
    thumbnails = [one.thumbnail for one in scored.results if one.thumbnail is not None]
    features_lie_elsewhere = not labels.states_extent and not tally.features
    if not tally.scored or features_lie_elsewhere:
        raise nothing_to_score(labels, "pixels of the prediction have a known class in the truth")
    scores = scorer.scores()
    pictures = {}
    if not trust.reliability.empty:
        scores += trust.reliability.errors()
        pictures = trust_pictures(trust, match.classes)
    if not trust.sets.empty:
        scores += trust.sets.scores()
    background = 0 if match.classes.has_background else None
    return Measurement(
        kind="pixels",
        scores=tuple(scores),
        classes=match.classes,
        counts=_counts(scorer, match.classes),
        notes=(
            *match.notes,
            *map_notes,
            *scored.left_out.notes(comparison.limits.split),
            *_notes(tally, match, truth_is_raster),
            *(note for one in scored.results for note in one.notes),
            *risk_notes(trust.risk),
            *set_notes(trust),
            *trained_notes(tally.trained, tally.scored, "pixels", parts),
        ),
        confusion=scorer.confusion,
        pictures={
            "errors": error_map(thumbnails, background),
            "classes": class_bars([score for score in scores if score.name == "iou"], match.classes),
            **pictures,
        },
    )


def _merged_trust(parts: Sequence[TrustScorer], classes: ClassSet, seed: int) -> TrustScorer:
    """What lies beside all maps; what lies beside some of them only is left out."""
    coverages = {part.coverage for part in parts}
    merged = TrustScorer(classes, seed, min(coverages, default=0.0))
    for part in parts:
        merged.merge(part)
    if any(part.reliability.empty for part in parts):
        merged.reliability, merged.risk = TrustScorer(classes, seed).reliability, RiskCoverage(classes)
    if any(part.sets.empty for part in parts) or len(coverages) > 1:
        merged.sets = SetCoverage(classes)
    return merged


def _same_classes(classes: ClassSet | None, first: ClassSet | None) -> bool:
    """True if ids and names agree; colours may differ."""
    if classes is None or first is None:
        return classes is first
    return (classes.ids, classes.names) == (first.ids, first.names)


def _counts(scorer: PixelScorer, classes: ClassSet) -> dict[str, dict[str, int]]:
    true = scorer.confusion.sum(axis=1).tolist()
    predicted = scorer.confusion.sum(axis=0).tolist()
    counts = {}
    for index, info in enumerate(classes):
        counts[info.name] = {"truth": true[index], "predicted": predicted[index]}
    return counts


def _notes(tally: PixelTally, match: ClassMatch, truth_is_raster: bool) -> list[str]:
    left_out = {
        "outside the AOI or the scored chips": tally.outside,
        "without a known class in the truth (not annotated, or ignored)": tally.unlabelled,
        "without a prediction": tally.unpredicted,
    }
    notes = [f"{tally.scored} pixels are scored"]
    notes += [f"{count} pixels {reason} are left out" for reason, count in left_out.items() if count]
    if not match.classes.has_background and not truth_is_raster:
        notes.append("unlabelled areas are not scored: the prediction has no background class")
    return notes
