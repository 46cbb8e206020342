"""`eo-dl labels`: draw, check, convert and choose labels. Each command is a module `labels_NAME`, imported
when it is used.
"""

from __future__ import annotations

import importlib

import click

# Command -> what `eo-dl labels --help` says of it; the module `labels_NAME` holds the command, so listing
# imports nothing.
COMMANDS = {
    "start": "A GeoPackage and a QGIS project, ready to draw in.",
    "status": "What is drawn so far, and what a first model still needs.",
    "check": "All problems of labels at once, with a layer to step through.",
    "export": "Chips and their labels for COCO, YOLO, CVAT, Label Studio ...",
    "import": "Labels corrected in another tool, back on the ground.",
    "convert": "Labels of one format as another.",
    "weak": "Rules of thumb (indices, other layers) to soft labels.",
    "queue": "Which chips to label next.",
    "prelabel": "A prediction as labels to correct.",
    "merge": "Take corrected pre-labels back into the labels.",
}


class _Commands(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f".labels_{cmd_name}", __package__).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group("labels", cls=_Commands, short_help="Draw, check, convert and choose labels.")
def command() -> None:
    """Draw, check, convert and choose labels.

    \b
    eo-dl labels start ortho.tif --classes building,tree -o labels.gpkg
    eo-dl labels status labels.gpkg
    eo-dl labels check labels.gpkg --scene ortho.tif -o findings.gpkg
    """
