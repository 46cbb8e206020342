"""`eo-dl`: parse, call the library once, say what came out.

Commands are imported when they are used, and what they need inside their callbacks, so that `eo-dl --help` is
instant. Exit codes: 0 done, 1 failure, 2 usage or bad input, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from types import FrameType

import click

from eo_dl import __version__

from . import parent
from .reporter import Reporter

# Command -> what `eo-dl --help` says of it; the module of the same name holds the command, so listing imports
# nothing.
COMMANDS = {
    "demo": "The whole road on the sample scenes, with pictures and a report.",
    "inspect": "What a raster, a label file, a chip set or a model holds.",
    "labels": "Draw, check, convert and choose labels.",
    "tile": "Cut scenes and labels into chips for training.",
    "train": "Train a model on a chip set.",
    "retrain": "Train again with corrected labels; old and new model side by side.",
    "predict": "Make a map of a scene with a model.",
    "evaluate": "Score a map against the truth.",
    "vectorize": "Polygons of a class map.",
    "model": "Networks and pretrained weights: layers of one, list of the others.",
    "qgis": "Install or package the QGIS plug-in.",
    "doctor": "What this installation has, for bug reports and QGIS.",
}
HIDDEN = ("capabilities",)  # for programs, not for people


class _Commands(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS and cmd_name not in HIDDEN:
            return None
        command: click.Command = importlib.import_module(f".{cmd_name}", __package__).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="eo-dl")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--end-with-stdin",
    is_flag=True,
    hidden=True,
    help="End when standard input closes: whoever started us is gone.",
)
def cli(debug: bool, end_with_stdin: bool) -> None:
    """From GeoTIFFs and a few drawn labels to a map you can believe.

    \b
    eo-dl tile ortho.tif --labels roofs.gpkg -o chips/
    eo-dl train chips/ --task segmentation -o roofs.eodl
    eo-dl predict roofs.eodl town.tif -o roofs.tif
    eo-dl evaluate roofs.tif truth.gpkg -o report/
    """
    if end_with_stdin:
        parent.end_with_stdin()


class _Terminated(KeyboardInterrupt):
    """SIGTERM: the same clean way out as Ctrl-C, with a code of its own."""


def _terminate(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends the process at once
    raise _Terminated


def main() -> None:
    """The console script."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run one command line and return its exit code; errors that eo_dl raises on purpose become one line."""
    Reporter.current = None
    try:
        cli.main(args, prog_name="eo-dl", standalone_mode=False, obj=None)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Abort:
        return _fail("interrupted", 130)
    except _Terminated:
        return _fail("terminated", 143)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except Exception as error:
        return _known(error, args)
    return 0


def _fail(message: str, code: int) -> int:
    """Say the one line through the running command's reporter, or plainly before there is one."""
    if Reporter.current is not None:
        Reporter.current.error(message)
    else:
        click.echo(click.style(f"error: {message}", fg="red"), err=True)
    return code


def _known(error: Exception, args: list[str]) -> int:
    from eo_dl.core.extras import missing_extra
    from eo_dl.errors import Cancelled, EoDlError

    if "--debug" in args:
        raise error
    if isinstance(error, Cancelled):
        terminated = isinstance(error.__cause__ or error.__context__, _Terminated)
        return _fail(_one_line(str(error)), 143 if terminated else error.exit_code)
    if isinstance(error, ModuleNotFoundError):
        error = missing_extra(error, f"`eo-dl {_command_of(args)}`") or error
    if isinstance(error, EoDlError):
        return _fail(_one_line(str(error)), error.exit_code)
    if isinstance(error, BrokenPipeError):
        # whoever read us has gone; nothing to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        errno.EACCES,
        errno.EROFS,
        errno.EDQUOT,
        errno.EPERM,
    ):
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror}; free space or choose another folder", 2)
    raise error


def _command_of(args: list[str]) -> str:
    """The command of a command line, without the options of `eo-dl` itself."""
    return next((argument for argument in args if not argument.startswith("-")), "")


def _one_line(text: str) -> str:
    return " ".join(text.split())
