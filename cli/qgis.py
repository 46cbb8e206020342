"""`eo-dl qgis`: install or package the QGIS plug-in."""

from __future__ import annotations

import sys

import click

from . import options
from .reporter import Reporter


@click.group("qgis", short_help="Install or package the QGIS plug-in.")
def command() -> None:
    """Install or package the QGIS plug-in: tile, train, predict and review without leaving the map."""


@command.command(
    "install",
    cls=options.Command,
    short_help="Install and enable the plug-in in the QGIS profiles of this computer.",
)
@click.option("--profile", help="Name of one profile (default: every profile found).", metavar="NAME")
@click.option(
    "--profiles-path",
    help="Folder of profiles, if QGIS is started with --profiles-path.",
    metavar="FOLDER",
)
def install(reporter: Reporter, profile: str | None, profiles_path: str | None) -> None:
    """Install the plug-in in the QGIS profiles found, enable it, and let it use this Python environment.

    Restart QGIS afterwards. An older version of the plug-in is replaced.
    """
    from eo_dl.qgis.install import install as install_plugin

    done = install_plugin(sys.executable, profile=profile, profiles_path=profiles_path)
    lines = [f"{folder}: installed and enabled" for folder in done]
    reporter.result(
        {"installed": [str(folder) for folder in done], "python": sys.executable},
        [*lines, f"it uses {sys.executable}", _how_to_restart()],
    )


def _how_to_restart() -> str:
    """QGIS finds its own Python by the search path, so in an active environment it has no Python at all."""
    if sys.prefix == sys.base_prefix:
        return "restart QGIS to load it"
    return "restart QGIS to load it: from the desktop, or in a terminal after `deactivate`"


@command.command(
    "package", cls=options.Command, short_help="Write the plug-in as a zip, for 'Install from ZIP'."
)
@click.option(
    "-o", "--out", default="eo_dl_qgis.zip", show_default=True, help="The zip file.", metavar="FILE"
)
@options.overwrite
def package(reporter: Reporter, out: str, overwrite: bool) -> None:
    """Write the plug-in as a zip, for QGIS's 'Install from ZIP' or a plug-in server."""
    from eo_dl.qgis.install import package as package_plugin

    path = package_plugin(out, overwrite=overwrite)
    reporter.result({"path": str(path)}, [str(path)])
