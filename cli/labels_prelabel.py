"""`eo-dl labels prelabel`: turn a prediction into labels to correct."""

from __future__ import annotations

import click

from . import options
from .reporter import Reporter


@click.command("prelabel", cls=options.Command, short_help="Turn a prediction into labels to correct.")
@click.argument("prediction", metavar="PREDICTION")
@click.option(
    "-o",
    "--out",
    default="to_correct.gpkg",
    show_default=True,
    help="The GeoPackage to correct in QGIS.",
    metavar="FILE",
)
@click.option(
    "--min-score",
    type=click.FloatRange(0, 1),
    help="Leave out objects below this score (they are counted).",
    metavar="SCORE",
)
@click.option(
    "--min-area",
    "min_area_m2",
    type=click.FloatRange(min=0),
    help="Leave out areas smaller than this, square metres (they are counted).",
    metavar="M2",
)
@click.option(
    "--probabilities",
    help="Probabilities of a class map (NAME_prob.tif), from which its polygons get scores.",
    metavar="FILE",
)
@options.overwrite
def command(
    reporter: Reporter,
    prediction: str,
    out: str,
    min_score: float | None,
    min_area_m2: float | None,
    probabilities: str | None,
    overwrite: bool,
) -> None:
    """Turn a prediction (polygons, boxes, or a class map) into labels to correct in QGIS, each with status,
    score and source.

    Set `status` to accepted, changed or rejected, or tick `reviewed`; correct outlines and classes, draw
    missing objects, delete false ones. Then:

    \b
    eo-dl labels merge labels.gpkg to_correct.gpkg -o labels_2.gpkg
    """
    from eo_dl.curation.project.prelabel import prelabel

    made = prelabel(
        prediction,
        out=out,
        min_score=min_score,
        min_area_m2=min_area_m2,
        probabilities=probabilities,
        overwrite=overwrite,
        on_progress=reporter.progress,
    )
    reporter.notes(made.notes)
    values = {
        "path": str(made.path),
        "count": made.count,
        "classes": list(made.classes.names),
        "notes": list(made.notes),
    }
    reporter.result(
        values, [f"{made.path}: {made.count} labels to correct, of {', '.join(made.classes.names)}"]
    )
