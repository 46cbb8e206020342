"""`eo-dl labels check`: all problems of labels, as a table and as a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.io.sceneoptions import SceneOptions
    from eo_dl.labels.labeloptions import LabelOptions
    from eo_dl.networks.compute import Compute

_WIDTH = 150


@click.command(
    "check", cls=options.Command, short_help="List all problems of labels, as a table and as a layer."
)
@click.argument("labels", nargs=-1, required=True, metavar="LABELS...")
@click.option(
    "--scene",
    "scenes",
    multiple=True,
    help="Image of the labels: a file, a folder, or a pattern (repeatable).",
    metavar="FILE",
)
@click.option("-o", "--out", help="Also write the findings as a layer for QGIS (.gpkg).", metavar="FILE")
@click.option(
    "--fix",
    help="Write a repaired copy: safe repairs only, every change is listed.",
    metavar="FILE",
)
@click.option(
    "--chips",
    help="A chip set of these labels: report splits that share ground or an image.",
    metavar="FOLDER",
)
@click.option(
    "--model",
    help="Report labels that this model (.eodl) disagrees with; use a model not trained on them.",
    metavar="FILE",
)
@options.labels(*options.ABOUT_FEATURES, "classes", "annotated", *options.ABOUT_FORMATS)
@options.scenes("bands", "valid", "crs", "mask", *options.TRUST)
@options.compute("device")
@options.overwrite
def command(
    reporter: Reporter,
    labels: tuple[str, ...],
    scenes: tuple[str, ...],
    out: str | None,
    fix: str | None,
    chips: str | None,
    model: str | None,
    label_options: LabelOptions,
    scene_options: SceneOptions,
    compute: Compute,
    overwrite: bool,
) -> None:
    """List all problems of labels: outlines, classes, location, and the offset from the edges in the image.

    \b
    eo-dl labels check labels.gpkg --scene ortho.tif -o findings.gpkg --fix labels_fixed.gpkg
    """
    from eo_dl.curation import fix_labels
    from eo_dl.curation.checks.audit import audit_labels
    from eo_dl.curation.checks.checkreport import registration_text
    from eo_dl.io.atomic import refuse_existing
    from eo_dl.io.scene import open_scenes

    source = labels[0] if len(labels) == 1 else list(labels)
    _check_outputs(out, fix, [*labels, *scenes, *([] if model is None else [model])])
    for path in (path for path in (out, fix) if path is not None):
        refuse_existing(path, overwrite)
    found = audit_labels(
        source,
        open_scenes(scenes, scene_options),
        chips=None if chips is None else options.chip_set(chips, scene_options, allow_shared=True),
        model=model,
        label_options=label_options,
        compute=compute,
        on_progress=reporter.progress,
    )
    if out is not None:
        found.write(out, overwrite=overwrite)
    fixed = (
        None if fix is None else fix_labels(source, out=fix, label_options=label_options, overwrite=overwrite)
    )
    gsd = {scene.name: scene.native.gsd_m for scene in found.scenes}
    rows = [
        (severity, kind, count, _short(reporter.spell(str(text))))
        for severity, kind, count, text in found.rows()
    ]
    lines = [
        *(table(rows, ("severity", "kind", "count", "example")) if rows else ["no problems found"]),
        "",
    ]
    lines += [
        f"{sum(found.classes.values()):.0f} {found.unit}: "
        + ", ".join(f"{name} {count:.0f}" for name, count in found.classes.items())
    ]
    lines += [registration_text(name, one, gsd.get(name)) for name, one in found.registration.items()]
    reporter.notes(found.notes)
    lines += [] if out is None else [f"{out}: {len(found.findings)} findings"]
    if fixed is not None:
        lines += [
            f"{fixed.path}: {len(fixed.changes)} changes, {fixed.removed} features removed",
            *(f"  {c.feature_id}: {c.text}" for c in fixed.changes),
        ]
    values = {**found.values(), "output": out, "fixed": None if fixed is None else fixed.values()}
    reporter.result(values, lines)


def _check_outputs(out: str | None, fix: str | None, inputs: list[str]) -> None:
    """Refuse wrong names of outputs before any work."""
    from pathlib import Path

    from eo_dl.curation.checks.checkreport import check_findings_suffix
    from eo_dl.errors import ConfigError
    from eo_dl.io.vectorlayers import check_vector_suffix

    if out is not None:
        check_findings_suffix(out)
    if fix is not None:
        check_vector_suffix(fix)
    given = {Path(path).resolve() for path in inputs}
    for path, option in ((out, "-o"), (fix, "--fix")):
        if path is not None and Path(path).resolve() in given:
            raise ConfigError(
                f"{path}: is an input, which is never overwritten; choose another name for {option}"
            )
    if out is not None and fix is not None and Path(out).resolve() == Path(fix).resolve():
        raise ConfigError(f"{out}: -o and --fix name the same file; choose two names")


def _short(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
