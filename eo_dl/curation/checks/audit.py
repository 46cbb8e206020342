"""`audit_labels`: `check_labels`, and what a chip set and a model reveal."""

from __future__ import annotations

from pathlib import Path

from ...bundle import Bundle, load_model
from ...chips.chipset import ChipSet, open_chip_set
from ...core.progress import OnProgress, silent
from ...errors import LabelError
from ...io.scene import SceneSources
from ...labels.labeloptions import LabelOptions
from ...labels.reading import LabelFiles, classes_of
from ...networks.compute import Compute
from .checking import check_with_scenes
from .checkreport import CheckReport
from .leakage import check_leakage
from .suspects import check_with_model


def audit_labels(
    labels: LabelFiles,
    scenes: SceneSources = (),
    *,
    chips: ChipSet | str | Path | None = None,
    model: Bundle | str | Path | None = None,
    label_options: LabelOptions = LabelOptions(),
    compute: Compute = Compute(),
    on_progress: OnProgress = silent,
) -> CheckReport:
    """Everything that `check_labels` finds, what two splits share, and which labels a model doubts.

    Args:
        labels: The label files.
        scenes: The scenes that they belong to (default: those of the labelling project, else of the chip
            set).
        chips: A chip set whose splits are searched for shared ground and images.
        model: A model that judges the labels; one that was not trained on them finds more.
        label_options: How the labels are read.
        compute: Where and how the model runs.
        on_progress: Called with the number of scenes or chips done and their total.

    Raises:
        LabelError: The labels cannot be read, or the model cannot judge them.
        ChipSetError: `chips` is not a chip set.
        BundleError: `model` is not a model.

    Example:
        >>> audit_labels("labels.gpkg", "ortho.tif", model="roofs.eodl").rows()  # doctest: +SKIP
    """
    bundle = None if model is None else load_model(model)
    chip_set = None if chips is None else open_chip_set(chips, allow_shared=True)
    report = check_with_scenes(
        labels,
        scenes,
        fallback=() if chip_set is None else chip_set.scenes,
        label_options=label_options,
        on_progress=on_progress,
    )
    if chip_set is not None:
        report = report.with_findings(check_leakage(chip_set, on_progress=on_progress))
    if bundle is None:
        return report
    if not report.scenes:
        raise LabelError(
            f"{report.source}: a model needs the scenes to judge labels; name them with `scenes`"
        )
    if any(finding.kind == "unreadable" for finding in report.findings):
        return report.with_findings((), ("the model was not run, since labels and scenes do not match",))
    doubts = check_with_model(
        classes_of(labels, label_options), report.scenes, bundle, compute=compute, on_progress=on_progress
    )
    return report.with_findings(doubts.findings, (*doubts.notes, _what_it_was_trained_on(bundle, chip_set)))


def _what_it_was_trained_on(bundle: Bundle, chips: ChipSet | None) -> str:
    """How much to trust the doubts of a model."""
    if chips is not None and bundle.spec.provenance.chip_set == chips.content_hash:
        return (
            f"{bundle.path.name} was trained on this chip set, so it has learnt the mistakes on the train "
            "ground; a model of other folds finds more (`val_fold`)"
        )
    return (
        "a model trained on these labels has learnt their mistakes; one trained on other ground, or on other "
        "folds (`val_fold`), finds more"
    )
