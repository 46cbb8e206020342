"""`audit_labels`: `check_labels`, and what a chip set and a model have to say."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ...bundle import Bundle, load_model
from ...chips.chipset import ChipSet, open_chip_set
from ...core.progress import OnProgress, silent
from ...errors import LabelError
from ...io.scene import Scene, open_scene
from ...labels.reading import read_labels
from .checking import check_labels
from .checkreport import CheckReport
from .leakage import check_leakage
from .suspects import check_with_model


def audit_labels(
    labels: str | Path | Sequence[str | Path],
    scenes: Scene | str | Path | Sequence[Scene | str | Path] = (),
    *,
    chips: ChipSet | str | Path | None = None,
    model: Bundle | str | Path | None = None,
    device: str = "auto",
    class_field: str | None = None,
    layer: str | None = None,
    where: str | None = None,
    crs: str | None = None,
    buffer_m: float | None = None,
    annotated: str | Path | None = None,
    classes: Sequence[str] | str | Path | None = None,
    on_progress: OnProgress = silent,
) -> CheckReport:
    """What `check_labels` finds; with `chips`, what two splits share; with `model`, which labels it doubts
    (best one that was not trained on them).

    Where no scene is named, those of the labelling project, else of the chip set, are looked at. Raises as
    `check_labels` does, and `ChipSetError`, `BundleError`, or `LabelError` where a model cannot judge these
    labels.

    >>> audit_labels("labels.gpkg", ["ortho.tif"], model="roofs.eodl").rows()  # doctest: +SKIP
    """
    bundle = load_model(model) if isinstance(model, str | Path) else model
    known = open_chip_set(chips, allow_shared=True) if isinstance(chips, str | Path) else chips
    read = partial(
        read_labels,
        labels,
        class_field=class_field,
        layer=layer,
        where=where,
        crs=crs,
        buffer_m=buffer_m,
        annotated=annotated,
        classes=classes,
    )
    check = partial(
        check_labels,
        labels,
        class_field=class_field,
        layer=layer,
        where=where,
        crs=crs,
        buffer_m=buffer_m,
        annotated=annotated,
        classes=classes,
    )
    given = [scenes] if isinstance(scenes, Scene | str | Path) else list(scenes)
    opened = [one if isinstance(one, Scene) else open_scene(one) for one in given]
    report = check(opened, on_progress=on_progress)
    if not report.scenes and known is not None:
        report = check(known.scenes, on_progress=on_progress)
    if known is not None:
        report = report.with_findings(check_leakage(known, on_progress=on_progress))
    if bundle is None:
        return report
    if not report.scenes:
        raise LabelError(f"{report.source}: a model needs the scenes to judge labels; name them with --scene")
    if any(found.kind == "unreadable" for found in report.findings):
        return report.with_findings((), ("the model was not asked, since labels and scenes do not fit",))
    doubts = check_with_model(read(), report.scenes, bundle, device=device, on_progress=on_progress)
    return report.with_findings(doubts.findings, (*doubts.notes, _how_good(bundle, known)))


def _how_good(bundle: Bundle, chips: ChipSet | None) -> str:
    """What to think of the doubts of a model, by what it was trained on."""
    if chips is not None and bundle.spec.provenance.chip_set == chips.content_hash:
        return f"{bundle.path.name} was trained on this chip set: on its train ground it has learnt the mistakes too; one of other folds finds more (train --val-fold)"
    return "a model that was trained on these labels has learnt their mistakes too; one of other ground or of other folds finds more (train --val-fold)"
