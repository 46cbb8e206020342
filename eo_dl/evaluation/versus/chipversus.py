"""Two predictions of the classes of whole chips or images."""

from __future__ import annotations

import numpy as np
import shapely

from ...errors import InputError
from ...scores.chipscores import ChipScorer
from ..chipwise import FoundChips, read_chips, score_chips
from ..classmatch import match_classes
from ..comparison import nothing_to_score
from ..eachfile import FileJob
from .contrast import Contrasted, RivalMaps, contrasts


def compare_chips(pair: RivalMaps) -> Contrasted:
    """Score two predictions of the same chips or images.

    Raises:
        LabelError: A prediction or the reference cannot be scored.
        InputError: The predictions are of other chips, or of models with other classes.
    """
    first, second = read_chips(pair.first), read_chips(pair.second)
    _check_same(first, second)
    matched = match_classes(first.classes, pair.labels.classes, pair.labels.source, pair.class_map)
    job = FileJob(
        labels=pair.labels, match=matched, limits=pair.limits, iou=pair.iou, seed=pair.seed, workers=None
    )
    scorers: list[ChipScorer] = []
    for found in (first, second):
        scored = score_chips(job, found, pair.on_progress)
        if not scored.counts.scored:
            raise nothing_to_score(pair.labels, "chip of the maps has a known class in the truth")
        scorers.append(scored.scorer)
    return Contrasted(
        kind="chips",
        classes=matched.classes,
        contrasts=contrasts(
            scorers[0].scores(), scorers[1].scores(), (scorers[0].draws(), scorers[1].draws())
        ),
        counts=_counts(first, second),
        notes=matched.notes,
    )


def _check_same(first: FoundChips, second: FoundChips) -> None:
    same_classes = first.classes.names == second.classes.names
    if not same_classes or first.rule.multi_label != second.rule.multi_label:
        raise InputError(
            f"{second.part.path}: has other classes than {first.part.path.name}; compare models of one task"
        )
    same = len(first.probabilities) == len(second.probabilities) and first.of_images == second.of_images
    if same and first.of_images:
        same = first.table["image"].tolist() == second.table["image"].tolist()
    elif same:
        apart = shapely.bounds(first.outlines) - shapely.bounds(second.outlines)
        same = bool(np.abs(apart).max(initial=0) < 1e-6) and first.crs == second.crs
    if not same:
        raise InputError(
            f"{second.part.path}: has other chips than {first.part.path.name}; predict both with one chip "
            "size"
        )


def _counts(first: FoundChips, second: FoundChips) -> dict[str, int]:
    differ = first.probabilities.argmax(axis=1) != second.probabilities.argmax(axis=1)
    return {"same class": int((~differ).sum()), "different classes": int(differ.sum())}
