"""`eo-dl assess`: an interpreted sample to accuracy and areas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.evaluation.design.assessment import Assessment


@click.command("assess", cls=options.Command, short_help="Accuracy and areas from an interpreted sample.")
@click.argument("sample", metavar="SAMPLE")
@click.option(
    "--map",
    "prediction",
    help="The map (default: the one that the sample was drawn of); another class map of the same ground is "
    "assessed with the same answers.",
    metavar="MAP",
)
@click.option("-o", "--out", help="Folder for assessment.html and assessment.json.", metavar="FOLDER")
@options.overwrite
def command(
    reporter: Reporter, sample: str, prediction: str | None, out: str | None, overwrite: bool
) -> None:
    """Accuracy and areas from a sample that `eo-dl sample` drew and a person interpreted.

    Error matrix in shares of the area, user's, producer's and overall accuracy, and the area of each class
    with 95 % intervals; the agreement of two interpreters; of objects, their number. A sample that is partly
    done says what is missing.
    """
    from eo_dl import assess

    result = assess(sample, prediction, out=out, overwrite=overwrite)
    reporter.notes(result.notes)
    place = [f"report: {result.path}"] if result.path else []
    blocks = [block for block in (*_estimates(result), _progress(result), place) if block]
    lines = [line for block in blocks for line in [*block, ""]]
    reporter.result(result.values(), lines[:-1])


def _estimates(result: Assessment) -> list[list[str]]:
    """Blocks of lines: headline, classes and error matrix; none of what cannot be estimated yet."""
    from eo_dl.evaluation.design.assessment import area_text, share_text

    blocks = []
    headline = []
    if result.estimates is not None:
        headline.append(
            f"overall accuracy: {share_text(result.estimates.overall)} (± is half of the 95 % interval)"
        )
    if result.number is not None:
        headline.append(f"objects: {area_text(result.number)} (on the map: {result.design.objects})")
    if result.agreement.units:
        headline.append(
            f"two interpreters agree on {result.agreement.raw:.1%} of {result.agreement.units} units, kappa "
            f"{result.agreement.kappa:.2f}"
        )
    blocks.append(headline)
    for rows in (result.table(), result.matrix()):
        blocks.append(table(rows[1:], rows[0]) if rows else [])
    return blocks


def _progress(result: Assessment) -> list[str]:
    """The state of the interpretation, where it is not finished or units could not be seen."""
    unseen = any(stratum.not_interpretable for stratum in result.progress)
    if result.complete and not unseen:
        return []
    header, *rows = result.progress_table()
    return table(rows, header)
