"""`eo-dl labels start`: a GeoPackage and a QGIS project to draw labels in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.io.sceneoptions import SceneOptions


@click.command(
    "start", cls=options.Command, short_help="Create a GeoPackage and a QGIS project to draw labels in."
)
@click.argument("scenes", nargs=-1, required=True, metavar="SCENE...")
@click.option(
    "--classes",
    required=True,
    help="Class names in order: 'building,tree', or a text file with one name per line.",
    metavar="LIST",
)
@click.option(
    "-o",
    "--out",
    default="labels.gpkg",
    show_default=True,
    help="The GeoPackage; the project NAME.qgz is written beside it.",
    metavar="FILE",
)
@click.option(
    "--geometry",
    type=click.Choice(["polygon", "box", "point"]),
    default="polygon",
    show_default=True,
    help="Geometry to draw.",
)
@options.scenes("crs", "trust_vrt")
@options.overwrite
def command(
    reporter: Reporter,
    scenes: tuple[str, ...],
    classes: str,
    out: str,
    geometry: str,
    scene_options: SceneOptions,
    overwrite: bool,
) -> None:
    """Create a GeoPackage and a QGIS project (QGIS 3.22 or later) to draw labels in; works without QGIS.

    Draw objects in the layer `labels` and, in `annotated`, the areas in which you have drawn all objects.
    Then:

    \b
    eo-dl labels status labels.gpkg
    eo-dl tile ortho.tif --labels labels.gpkg -o chips/
    """
    from typing import cast

    from eo_dl.curation import start_labels
    from eo_dl.io.scene import open_scenes
    from eo_dl.labels.projectlayout import Kind

    opened = open_scenes(scenes, scene_options)
    made = start_labels(opened, classes=classes, out=out, geometry=cast(Kind, geometry), overwrite=overwrite)
    reporter.notes(made.notes)
    rows = [(info.id, info.name, info.color) for info in made.classes]
    reporter.result(
        made.values(),
        [
            f"draw in {made.path}",
            f"open   {made.project} in QGIS",
            "",
            *table(rows, ("id", "class", "color")),
        ],
    )
