"""Labels that a model doubts: of another class, absent, or missing; by confident learning.

A segmentation model judges objects by the mean of its probabilities under them, and unlabelled ground and
label rasters pixel by pixel. A model of objects judges by the objects that it detects, a model of whole
images by its probabilities for each image.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...bundle import Bundle, load_model
from ...core.imagelabels import WholeImageLabels
from ...core.labelset import LabelSet
from ...core.progress import OnProgress, silent
from ...core.rasterlabels import RasterLabels
from ...errors import LabelError
from ...io.scene import Scene
from ...labels.coverage import match_labels
from ...networks.compute import Compute
from ...tasks import CHIPS, OBJECTS, RASTER
from ...tasks.outputkind import OutputKind
from .doubtedimages import doubts_of_images
from .doubtedobjects import doubts_of_objects
from .doubtedpixels import doubts_of_pixels
from .finding import Finding
from .judgedlabels import JudgedLabels

Judge = Callable[[JudgedLabels, Bundle, Path, Compute, OnProgress], tuple[list[Finding], list[str]]]
"""(labels, model, folder for predictions, compute, progress) -> findings, and notes on what was not
judged.
"""

# For each kind of output who judges, and which labels.
_JUDGES: dict[OutputKind[Any], tuple[Judge, tuple[str, ...]]] = {
    RASTER: (doubts_of_pixels, ("objects", "label rasters")),
    OBJECTS: (doubts_of_objects, ("objects",)),
    CHIPS: (doubts_of_images, ("whole images",)),
}


@dataclass(frozen=True)
class Doubts:
    """The labels that a model doubts."""

    findings: tuple[Finding, ...]
    """One per label or region."""

    notes: tuple[str, ...]
    """What the model could not judge."""


def check_with_model(
    labels: LabelSet,
    scenes: Sequence[Scene],
    model: Bundle | str | Path,
    *,
    compute: Compute = Compute(),
    on_progress: OnProgress = silent,
) -> Doubts:
    """Find the labels that a model doubts.

    Args:
        labels: The labels.
        scenes: The scenes that they belong to.
        model: The model. It should not have been trained on these labels, or it has learnt their mistakes.
        compute: Where and how it runs.
        on_progress: Called with the number of chips predicted and their total.

    Raises:
        LabelError: Model and labels are of different kinds, or share no class.
        InputError: A scene does not fit the model, as in `predict`.
    """
    bundle = load_model(model)
    if bundle.task.output not in _JUDGES:
        raise LabelError(
            f"{bundle.path}: a {bundle.task.name} model gives {bundle.task.output.gives}, by which no labels "
            "are judged; omit `model`, and look at the residuals of `evaluate`"
        )
    judge, kinds = _JUDGES[bundle.task.output]
    _check_kind(labels, bundle, kinds)
    matched = match_labels(labels, scenes).labels
    covered = [scene for scene in scenes if matched.covers(scene.place)]
    in_files = [scene.resized(scene.native.height, scene.native.width) for scene in covered]
    judged = JudgedLabels.of(matched, in_files, bundle)
    with tempfile.TemporaryDirectory() as folder:
        findings, notes = judge(judged, bundle, Path(folder), compute, on_progress)
    return Doubts(tuple(findings), (*judged.notes, *notes))


def _check_kind(labels: LabelSet, bundle: Bundle, kinds: Sequence[str]) -> None:
    kind = "objects"
    if isinstance(labels, WholeImageLabels):
        kind = "whole images"
    elif isinstance(labels, RasterLabels):
        kind = "label rasters"
    if kind not in kinds:
        raise LabelError(
            f"{bundle.path}: a {bundle.task.name} model judges labels of {' or '.join(kinds)}, and "
            f"{labels.source} has labels of {kind}; use a model of such labels, or omit `model`"
        )
    if isinstance(labels, RasterLabels) and labels.soft:
        raise LabelError(
            f"{labels.source}: soft labels already state how certain they are; use labels of classes, or "
            "omit `model`"
        )
