"""Output of the command line: results on stdout, everything else on stderr, or JSON lines for machines.

With `--progress json` every event is one JSON object per line on stdout:
{"event": "progress", "what": "chips", "done": 3, "total": 90}, also `log`, `warning`, `error`, `result`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar

import click

from .flagnames import FlagNames

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from eo_dl.postprocessing.classtotals import ClassTotal


class Reporter:
    """Progress, messages and results of one command. As a context manager it removes its bars at the end.

    `current` is that of the running command, so that the error that ends it is reported in the same way.
    """

    current: ClassVar[Reporter | None] = None

    def __init__(self, mode: str, level: int, as_json: bool, flags: FlagNames | None = None) -> None:
        self.mode, self.as_json = mode, as_json
        self._flags = flags
        self._bars: dict[str, TaskID] = {}
        self._progress: Progress | None = None
        self._said: dict[str, int] = {}
        self._sent: dict[str, float] = {}
        self._handler = _Handler(self)
        self._logger = logging.getLogger("eo_dl")
        self._level = level
        self._before = (logging.NOTSET, True)
        self._warned: set[str] = set()
        if mode == "json":
            self._event({"event": "log", "message": "starting"})

    def __enter__(self) -> Reporter:
        Reporter.current = self
        self._before = (self._logger.level, self._logger.propagate)
        self._logger.addHandler(self._handler)
        self._logger.setLevel(self._level)
        self._logger.propagate = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._logger.removeHandler(self._handler)
        level, self._logger.propagate = self._before  # a program that calls a command keeps its own logging
        self._logger.setLevel(level)
        self.clear()

    def clear(self) -> None:
        """Remove the progress bars."""
        if self._progress is not None:
            self._progress.stop()
            self._progress, self._bars = None, {}

    def progress(self, done: int, total: int, what: str) -> None:
        """The `on_progress` of the library."""
        if self.mode == "json":
            self._progress_event(done, total, what)
        elif self.mode == "bar" and sys.stderr.isatty():
            self._draw(done, total, what)
        elif self.mode == "bar" and total:
            self._plain(done, total, what)

    def log(self, message: str) -> None:
        """A line on stderr; -q suppresses it."""
        if self._level <= logging.INFO or self.mode == "json":
            self._say("log", message, None)

    def spell(self, message: str) -> str:
        """A text of the library, with parameters in backquotes as flags of the running command."""
        return message if self._flags is None else self._flags.spell(message)

    def notes(self, notes: Iterable[str]) -> None:
        """What the library found and decided; -q suppresses it."""
        for note in notes:
            if note not in self._warned:  # said once
                self.log(f"note: {note}")

    def totals(self, totals: Iterable[ClassTotal]) -> None:
        """Number and area of each class of a map; -q suppresses them."""
        for total in totals:
            self.log(total.text)

    def warning(self, message: str) -> None:
        """Something that users should know."""
        self._warned.add(message)
        self._say("warning", message, "yellow")

    def error(self, message: str) -> None:
        """The one line that explains why the command ends."""
        self.clear()
        self._say("error", message, "red")

    def result(self, values: Mapping[str, object], lines: Sequence[str]) -> None:
        """The result: `lines` for people, `values` for machines."""
        self.clear()
        if self.mode == "json":
            for line in lines:
                self._event({"event": "text", "message": line})
            self._event({"event": "result", **values})
        elif self.as_json:
            click.echo(json.dumps(values, indent=2, default=str, allow_nan=False))
        else:
            for line in lines:
                click.echo(line)

    def _say(self, event: str, message: str, color: str | None) -> None:
        message = self.spell(message)
        if self.mode == "json":
            self._event({"event": event, "message": message})
            return
        prefix = "" if event == "log" else f"{event}: "
        text = click.style(prefix + message, fg=color) if color else message
        if self._progress is not None:
            self._progress.console.print(prefix + message, style=color or "", highlight=False, markup=False)
        else:
            _to_stderr(text)

    def _event(self, values: Mapping[str, object]) -> None:
        sys.stdout.write(json.dumps(values, default=str) + "\n")
        sys.stdout.flush()

    def _progress_event(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()  # at most ten per second, so that the reader of a pipe keeps up
        if done < total and now - self._sent.get(what, -1.0) < 0.1:
            return
        self._sent[what] = now
        self._event({"event": "progress", "what": what, "done": done, "total": total})

    def _draw(self, done: int, total: int, what: str) -> None:
        if self._progress is None:
            self._progress = _new_progress()
            self._progress.start()
        if what not in self._bars:
            self._bars[what] = self._progress.add_task(what, total=total or None)
        self._progress.update(self._bars[what], completed=done, total=total or None)

    def _plain(self, done: int, total: int, what: str) -> None:
        tenth = 10 * done // total
        last = self._said.get(what, -1)
        if tenth < last:
            last = -1  # the same work starts over
        if tenth > last and (done == total or tenth - max(last, 0) >= 2 or last < 0):
            self._said[what] = tenth
            _to_stderr(f"{what}: {done}/{total}")


class _Handler(logging.Handler):
    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        """Report a log record as a warning or as a line."""
        say = self._reporter.warning if record.levelno >= logging.WARNING else self._reporter.log
        say(record.getMessage())


def _to_stderr(text: str) -> None:
    """A line on standard error. When the terminal has gone, the work goes on without lines: a training still
    has its checkpoint to write.
    """
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def _new_progress() -> Progress:
    from rich.console import Console  # lazy: importing rich takes 0.1 s, and only a terminal needs it
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> list[str]:
    """Rows as aligned text: numbers right-aligned, text left-aligned."""
    cells = [[str(value) for value in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    numeric = [bool(rows) and all(_is_number(str(row[i])) for row in rows) for i in range(len(header))]
    lines = []
    for row in cells:
        columns = zip(row, widths, numeric, strict=True)
        aligned = [text.rjust(width) if right else text.ljust(width) for text, width, right in columns]
        lines.append("  ".join(aligned).rstrip())
    return [lines[0], "  ".join("-" * w for w in widths), *lines[1:]]


def _is_number(text: str) -> bool:
    return bool(text) and (text[0].isdigit() or text in {"-", "n/a"} or text[0] in "+-.")
