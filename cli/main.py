"""`eo-dl`: parse the command line, call the library once, report the result.

Commands are imported when they are used, and what they need inside their functions, so that `eo-dl --help` is
instant. Exit codes: 0 done, 1 failure, 2 usage or bad input, 129 the terminal was closed, 130 interrupted,
143 terminated.
"""

from __future__ import annotations

import contextlib
import errno
import inspect
import io
import os
import shlex
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import FrameType

import click

from eo_dl import __version__
from eo_dl.core.commandline import running_command
from eo_dl.errors import Cancelled, EoDlError

from . import parent
from .interrupts import tell_of_interrupts
from .lazygroup import LazyGroup
from .quickexit import QuickExit
from .reporter import Reporter

# Each command with its line in `eo-dl --help`; the module of the same name holds the command.
COMMANDS = {
    "map": "Map scenes from labels in one command: chips, model, map and report.",
    "demo": "Run the full workflow on the sample scenes, with pictures and a report.",
    "inspect": "Show what a raster, a label file, a chip set or a model contains.",
    "labels": "Draw, check, convert and select labels.",
    "fetch": "Cut a map on the web (WMS, WMTS, XYZ) to a GeoTIFF.",
    "tile": "Cut scenes and labels into chips for training.",
    "train": "Train a model on a chip set.",
    "retrain": "Train again with corrected labels, and compare the new model with the old one.",
    "predict": "Predict a map of a scene.",
    "evaluate": "Score a map against a reference.",
    "compare": "Two maps or models on the same ground, with intervals.",
    "stress": "A model on altered copies of a scene.",
    "sample": "Draw places of a map to interpret, for its accuracy.",
    "assess": "Accuracy and areas from an interpreted sample.",
    "vectorize": "Convert a class map to polygons.",
    "diff": "List what changed between two maps or layers.",
    "summary": "Sum up a map by plots, districts or parcels.",
    "model": "Show the layers of a network; list pretrained weights.",
    "qgis": "Install or package the QGIS plug-in.",
    "doctor": "Check this installation, for bug reports and QGIS.",
}
HIDDEN = ("capabilities",)  # for programs
DEBUG = "EO_DL_DEBUG"  # a variable, for programs that write the command line themselves, such as QGIS
_MORE = f"`eo-dl --debug COMMAND ...`, or {DEBUG}=1 in the environment, shows where it happened"
_LONGEST = 300  # letters of another library's message
# What the disk or the system refuses at any point of a run, and where to look.
_FULL_OR_FORBIDDEN = (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EPERM)


@click.group(
    cls=LazyGroup,
    listed=COMMANDS,
    hidden=HIDDEN,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="eo-dl")
@click.option("--debug", is_flag=True, help=f"Show the traceback of an error; as does {DEBUG}=1.")
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


class _Stopped(KeyboardInterrupt):
    """A signal that stops the command as cleanly as Ctrl-C, with another exit code."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.reason, self.code = reason, code


# Each signal that asks to stop, why, and the exit code: 128 + its number, as shells count.
_SIGNALS = {"SIGTERM": ("terminated", 143), "SIGHUP": ("the terminal was closed", 129)}


def _stop(signum: int, frame: FrameType | None) -> None:
    signal.signal(signum, signal.SIG_DFL)  # a second one ends the process at once
    reason, code = _SIGNALS[signal.Signals(signum).name]
    raise _Stopped(reason, code)


def _stop_on_signals() -> None:
    for name in _SIGNALS:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _stop)


def main() -> None:
    """Run the command line of this process and exit."""
    end = QuickExit()
    _stop_on_signals()
    for stream in (sys.stdout, sys.stderr):
        # names that are not UTF-8, and letters that the terminal's encoding lacks, are shown as codes
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    threading.excepthook = _thread_failed
    tell_of_interrupts(_say_what_is_finished)
    end.code = run(sys.argv[1:])
    sys.exit(end.code)


def _say_what_is_finished() -> None:
    if Reporter.current is not None:
        Reporter.current.log("stopping: what is being computed or written is finished first; again: at once")


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    """An error in a thread of another library, such as TensorBoard's, is one line, too.

    Threads of eo_dl hand their errors over to the thread that waits for them.
    """
    if failure.exc_value is not None and Reporter.current is not None:
        Reporter.current.log(f"a helper thread ended: {_what_and_where(failure.exc_value)}")


def run(args: list[str]) -> int:
    """Run one command line and return its exit code; whatever ends it becomes one line."""
    Reporter.current = None
    try:
        with running_command(shlex.join(["eo-dl", *args])):
            cli.main(args, prog_name="eo-dl", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Abort as error:  # click's answer to Ctrl-C, and to an unexpected end of a file
        if isinstance(error.__cause__, EOFError):
            return _failed(error.__cause__, args)
        return _interrupted(error.__cause__)
    except KeyboardInterrupt as error:
        return _interrupted(error)
    except Exception as error:
        return _failed(error, args)
    return 0


def _interrupted(cause: BaseException | None) -> int:
    if isinstance(cause, _Stopped):
        return _fail(cause.reason, cause.code)
    return _fail("interrupted", 130)


def _fail(message: str, code: int) -> int:
    """Report one line through the running command's reporter, or plainly if there is none yet."""
    with contextlib.suppress(OSError):  # the terminal, or the reader of our output, has gone
        if Reporter.current is not None:
            Reporter.current.error(message)
        else:
            click.echo(click.style(f"error: {message}", fg="red"), err=True)
    return code


def _failed(error: Exception, args: list[str]) -> int:
    """The exit code for an error, after one line about it; the last resort is that it is a bug of eo_dl."""
    from eo_dl.core.extras import missing_extra

    if "--debug" in args or os.environ.get(DEBUG, "0") not in ("", "0"):
        traceback.print_exception(error)
    if isinstance(error, Cancelled):
        cause = error.__cause__ or error.__context__
        return _fail(_one_line(error), cause.code if isinstance(cause, _Stopped) else error.exit_code)
    if isinstance(error, ModuleNotFoundError):
        error = missing_extra(error, f"`eo-dl {_command_of(args)}`") or error
    if isinstance(error, EoDlError):
        return _fail(_one_line(error), error.exit_code)
    if isinstance(error, BrokenPipeError):
        # the reader of our output has gone; there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, OSError) and error.errno in _FULL_OR_FORBIDDEN:
        return _fail(f"{_named(error)}{error.strerror}; free space or choose another folder", 2)
    if isinstance(error, OSError) and error.strerror:
        return _fail(f"{_named(error)}{error.strerror}; check the file and its disk; {_MORE}", 1)
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        return _fail(
            f"{_shortened(error.object)}: a name that is not UTF-8 cannot be written or opened; rename it", 2
        )
    if isinstance(error, MemoryError):
        return _fail(f"there is not enough memory ({_one_line(error) or 'none could be had'}); {_MORE}", 1)
    return _fail(f"this is a bug in eo_dl: {_what_and_where(error)}; please report it; {_MORE}", 1)


def _what_and_where(error: BaseException) -> str:
    """The kind and text of an error, and the innermost line of eo_dl that it came from."""
    what = f"{type(error).__name__}: {_shortened(_one_line(error))}".removesuffix(": ")
    package = Path(inspect.getfile(EoDlError)).parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(package):
            return f"{what} ({path.relative_to(package.parent).as_posix()}, line {frame.lineno})"
    return what


def _named(error: OSError) -> str:
    """The file of an error; some libraries name it in bytes."""
    return f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _command_of(args: list[str]) -> str:
    """The command of a command line, without the options of `eo-dl` itself."""
    return next((argument for argument in args if not argument.startswith("-")), "")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
