"""`audit_labels`: `check_labels`, and what a chip set and a model have to say."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ...bundle import Bundle, load_model
from ...chips.chipset import ChipSet, open_chip_set
from ...core.progress import OnProgress, silent
from ...errors import LabelError
from ...io.scene import SceneSources
from ...labels.labeloptions import LabelOptions
from ...labels.reading import LabelFiles, labels_of
from ...networks.compute import Compute
from .checking import check_labels
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
    """What `check_labels` finds; with `chips`, what two splits share; with `model`, which labels it doubts
    (best one that was not trained on them).

    Where no scene is named, those of the labelling project, else of the chip set, are looked at. Raises as
    `check_labels` does, and `ChipSetError`, `BundleError`, or `LabelError` where a model cannot judge these
    labels.

    >>> audit_labels("labels.gpkg", ["ortho.tif"], model="roofs.eodl").rows()  # doctest: +SKIP
    """
    bundle = None if model is None else load_model(model)
    known = None if chips is None else open_chip_set(chips, allow_shared=True)
    check = partial(check_labels, labels, label_options=label_options, on_progress=on_progress)
    report = check(scenes)
    if not report.scenes and known is not None:
        report = check(known.scenes)
    if known is not None:
        report = report.with_findings(check_leakage(known, on_progress=on_progress))
    if bundle is None:
        return report
    if not report.scenes:
        raise LabelError(
            f"{report.source}: a model needs the scenes to judge labels; name them with `scenes`"
        )
    if any(found.kind == "unreadable" for found in report.findings):
        return report.with_findings((), ("the model was not asked, since labels and scenes do not fit",))
    doubts = check_with_model(
        labels_of(labels, label_options), report.scenes, bundle, compute=compute, on_progress=on_progress
    )
    return report.with_findings(doubts.findings, (*doubts.notes, _how_good(bundle, known)))


def _how_good(bundle: Bundle, chips: ChipSet | None) -> str:
    """What to think of the doubts of a model, by what it was trained on."""
    if chips is not None and bundle.spec.provenance.chip_set == chips.content_hash:
        return f"{bundle.path.name} was trained on this chip set: there it has learned the errors, too; a model of other folds finds more"
    return "a model that was trained on these labels has learned their errors, too; one of other ground or other folds finds more"
