"""`eo-dl`: parse the command line, call the library once, report the result.

Commands are imported when they are used, and what they need inside their functions, so that `eo-dl --help` is
instant. Exit codes: 0 done, 1 failure, 2 usage or bad input, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import errno
import os
import shlex
import signal
import sys
from types import FrameType

import click

from eo_dl import __version__
from eo_dl.core.commandline import running_command

from . import parent
from .lazygroup import LazyGroup
from .quickexit import QuickExit
from .reporter import Reporter

# Each command with its line in `eo-dl --help`; the module of the same name holds the command.
COMMANDS = {
    "demo": "Run the full workflow on the sample scenes, with pictures and a report.",
    "inspect": "Show what a raster, a label file, a chip set or a model contains.",
    "labels": "Draw, check, convert and select labels.",
    "tile": "Cut scenes and labels into chips for training.",
    "train": "Train a model on a chip set.",
    "retrain": "Train again with corrected labels, and compare the new model with the old one.",
    "predict": "Predict a map of a scene.",
    "evaluate": "Score a map against a reference.",
    "vectorize": "Convert a class map to polygons.",
    "model": "Show the layers of a network; list pretrained weights.",
    "qgis": "Install or package the QGIS plug-in.",
    "doctor": "Check this installation, for bug reports and QGIS.",
}
HIDDEN = ("capabilities",)  # for programs


@click.group(
    cls=LazyGroup,
    listed=COMMANDS,
    hidden=HIDDEN,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="eo-dl")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--end-with-stdin",
    is_flag=True,
    hidden=True,
    help="Stop when standard input closes, because the calling program has ended.",
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
    """SIGTERM: stops as cleanly as Ctrl-C, with another exit code."""


def _terminate(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second SIGTERM ends the process at once
    raise _Terminated


def main() -> None:
    """Run the command line of this process and exit."""
    end = QuickExit()
    signal.signal(signal.SIGTERM, _terminate)
    end.code = run(sys.argv[1:])
    sys.exit(end.code)


def run(args: list[str]) -> int:
    """Run one command line and return its exit code; errors that eo_dl raises on purpose become one line."""
    Reporter.current = None
    try:
        with running_command(shlex.join(["eo-dl", *args])):
            cli.main(args, prog_name="eo-dl", standalone_mode=False)
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
    """Report one line through the running command's reporter, or plainly if there is none yet."""
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
        # the reader of our output has gone; there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        errno.EACCES,
        errno.EROFS,
        errno.EDQUOT,
        errno.EPERM,
    ):
        path = f"{error.filename}: " if error.filename else ""
        return _fail(f"{path}{error.strerror}; free space or choose another folder", 2)
    raise error


def _command_of(args: list[str]) -> str:
    """The command of a command line, without the options of `eo-dl` itself."""
    return next((argument for argument in args if not argument.startswith("-")), "")


def _one_line(text: str) -> str:
    return " ".join(text.split())
