"""`eo-dl stress`: a model on altered copies of a scene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.io.sceneoptions import SceneOptions
    from eo_dl.labels.labeloptions import LabelOptions

# The names of kinds on the command line; the library writes them out.
_KINDS = {
    "shift": "shift of the chip grid",
    "gsd": "GSD",
    "gain": "gain",
    "band-gain": "gain of one band",
    "offset": "offset",
    "haze": "haze",
    "noise": "noise",
    "jpeg": "JPEG",
    "lost": "band lost",
    "patch": "occluding patch",
}


@click.command("stress", cls=options.Command, short_help="A model on altered copies of a scene.")
@click.argument("model", metavar="MODEL")
@click.argument("scene", metavar="SCENE")
@click.argument("truth", metavar="TRUTH")
@click.option("-o", "--out", help="Folder for stress.html and stress.json.", metavar="FOLDER")
@click.option(
    "--kinds",
    help="Only these kinds of alterations: shift, gsd, gain, band-gain, offset, haze, noise, jpeg, lost, "
    "patch (default: all that suit the model).",
    metavar="LIST",
)
@click.option(
    "--piece",
    "most_px",
    type=click.IntRange(min=32),
    default=1024,
    show_default=True,
    help="Side of the piece that is altered, pixels; of a larger scene the one with most labels.",
    metavar="PX",
)
@click.option("--dry-run", is_flag=True, help="Only say how long it would take.")
@options.class_map
@options.scenes("bands", "nodata", "crs", "trust_vrt")
@options.labels(*options.ABOUT_FEATURES, "classes", "annotated", *options.ABOUT_FORMATS)
@options.seed
@options.overwrite
def command(
    reporter: Reporter,
    model: str,
    scene: str,
    truth: str,
    out: str | None,
    kinds: str | None,
    most_px: int,
    dry_run: bool,
    class_map: tuple[str, ...],
    scene_options: SceneOptions,
    label_options: LabelOptions,
    seed: int,
    overwrite: bool,
) -> None:
    """Alter a piece of a scene, and see what it costs the model: chip grid shifted, other GSD, gain, offset,
    haze, noise, JPEG, bands lost, squares that hide ground.

    Per kind and strength: score, its change, and the agreement with the prediction of the unaltered piece.
    """
    from eo_dl import plan_stress, stress
    from eo_dl.io.scene import open_scenes
    from eo_dl.labels.reading import labels_of

    opened = open_scenes([scene], scene_options)[0]
    labels = labels_of(truth, label_options)
    chosen = None if kinds is None else _kinds_of(kinds)
    pairs = options.class_pairs(class_map)
    if dry_run:
        plan = plan_stress(model, opened, truth=labels, kinds=chosen, most_px=most_px, class_map=pairs)
        line = f"{plan.predictions} predictions, about {plan.seconds / 60:.1f} minutes"
        reporter.result(plan.values(), [line])
        return
    report = stress(
        model,
        opened,
        truth=labels,
        out=out,
        kinds=chosen,
        most_px=most_px,
        class_map=pairs,
        seed=seed,
        overwrite=overwrite,
        on_progress=reporter.progress,
    )
    reporter.notes(report.notes)
    header, *rows = report.table()
    place = ["", f"report: {report.path}"] if report.path else []
    reporter.result(report.values(), [*table(rows, header), *place])


def _kinds_of(text: str) -> list[str]:
    """The kinds of a list, as the library names them."""
    wanted = options.split_list(text) or []
    unknown = [kind for kind in wanted if kind not in _KINDS]
    if unknown:
        raise click.BadParameter(
            f"{unknown[0]!r} is no kind; they are {', '.join(_KINDS)}", param_hint="--kinds"
        )
    return [_KINDS[kind] for kind in wanted]
