"""`eo-dl labels`: draw, check, convert and select labels. Each command is a module
`labels_NAME`, imported when it is used.
"""

from __future__ import annotations

import click

from .lazygroup import LazyGroup

# Each command with its line in `eo-dl labels --help`; the module `labels_NAME` holds the command.
COMMANDS = {
    "start": "Create a GeoPackage and a QGIS project to draw labels in.",
    "status": "Summarize labels, and what a first model still needs.",
    "check": "List all problems of labels, as a table and as a layer.",
    "export": "Export chips and labels to COCO, YOLO, CVAT, Label Studio ...",
    "import": "Import labels that were corrected in another tool.",
    "convert": "Convert labels to another format.",
    "weak": "Turn rules (indices, other layers) into soft labels.",
    "queue": "Select the chips to label next.",
    "prelabel": "Turn a prediction into labels to correct.",
    "merge": "Merge corrected pre-labels into the labels.",
}


@click.group(
    "labels",
    cls=LazyGroup,
    listed=COMMANDS,
    prefix="labels_",
    short_help="Draw, check, convert and select labels.",
)
def command() -> None:
    """Draw, check, convert and select labels.

    \b
    eo-dl labels start ortho.tif --classes building,tree -o labels.gpkg
    eo-dl labels status labels.gpkg
    eo-dl labels check labels.gpkg --scene ortho.tif -o findings.gpkg
    """
