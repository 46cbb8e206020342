"""Labels that a model doubts: of another class, not there, or missing; by confident learning.

A model of pixels judges objects by the mean of its probabilities under them, and ground that nobody labelled
pixel by pixel; label rasters likewise. A model of objects judges by the objects that it finds, a model of
whole images by its probabilities for each image.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...bundle import Bundle, load_model
from ...core.labelset import LabelSet
from ...core.progress import OnProgress, silent
from ...errors import LabelError
from ...io.scene import Scene
from ...labels.coverage import match_labels
from ...networks.compute import Compute
from ...tasks import CHIPS, OBJECTS, RASTER
from .doubtedimages import doubts_of_images
from .doubtedobjects import doubts_of_objects
from .doubtedpixels import doubts_of_pixels
from .finding import Finding
from .judgedlabels import Given


@dataclass(frozen=True)
class Doubts:
    """What a model says against labels; `notes` tell what it could not judge."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def check_with_model(
    labels: LabelSet,
    scenes: Sequence[Scene],
    model: Bundle | str | Path,
    *,
    compute: Compute = Compute(),
    on_progress: OnProgress = silent,
) -> Doubts:
    """What a model says against labels; it should not have been trained on them, or it has learnt their
    mistakes.

    Raises `LabelError` where model and labels are of different kinds or share no class, and as `predict`
    does.
    """
    bundle = load_model(model)
    _check_kind(labels, bundle)
    fitted = match_labels(labels, scenes)
    covered = [scene for scene in scenes if fitted.covers(scene.place)]
    given = Given.of(
        fitted, [scene.resized(scene.native.height, scene.native.width) for scene in covered], bundle
    )
    judge = {RASTER: doubts_of_pixels, OBJECTS: doubts_of_objects, CHIPS: doubts_of_images}[
        bundle.task.output
    ]
    with tempfile.TemporaryDirectory() as folder:
        findings, notes = judge(given, bundle, Path(folder), compute, on_progress)
    return Doubts(tuple(findings), (*given.notes, *notes))


def _check_kind(labels: LabelSet, bundle: Bundle) -> None:
    found = "whole images" if labels.whole_images else "label rasters" if labels.masks else "objects"
    judged = {RASTER: ("objects", "label rasters"), OBJECTS: ("objects",), CHIPS: ("whole images",)}[
        bundle.task.output
    ]
    if found not in judged:
        raise LabelError(
            f"{bundle.path}: a {bundle.task.name} model judges labels of {' or '.join(judged)}, these are labels of {found} ({labels.source}); "
            "give a model of such labels, or omit `model`"
        )
    if any(mask.band_ids for mask in labels.masks):
        raise LabelError(
            f"{labels.source}: soft labels say themselves how sure they are; give labels of classes, or omit `model`"
        )
