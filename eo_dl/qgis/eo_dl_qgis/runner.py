"""One command of eo_dl as a child process: started, listened to, cancelled. No QGIS in here.

The child writes one JSON object per line to its standard output. Two threads read its pipes into a queue, so
that a cancellation takes effect within a tenth of a second even while the child is silent. The child holds
the other end of a pipe as its standard input: if QGIS dies, the pipe closes and the child ends by itself.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import environment

POLL_S = 0.1
# From asking the child to stop to killing it: a run is cancelled within a second, whatever it is doing.
GRACE_S = 0.7


class Cancelled(Exception):
    """The user cancelled; the child is gone."""


class Failed(Exception):
    """The child failed; the message is its one line."""


@dataclass
class Listener:
    """Receives what the child reports. The methods do nothing here; `feedback.Feedback` passes it on to
    QGIS.
    """

    debug_lines: list = field(default_factory=list)

    def is_cancelled(self):
        """Whether the user wants to stop."""
        return False

    def progress(self, what, done, total):
        """The progress of a step."""

    def silent(self, seconds):
        """Nothing was reported for this long. Called about once per second."""

    def log(self, text):
        """A message."""

    def text(self, line):
        """A line of the result, laid out for a monospaced font."""

    def warning(self, text):
        """A warning."""

    def debug(self, text):
        """A line of another library, on standard error."""
        self.debug_lines.append(text)


def run(python, words, listener):
    """Run `eo-dl WORDS` (see `commands.command_words`) to its end and return its result (a dict). Raises
    `Cancelled` or `Failed`.
    """
    child = _start(environment.arguments(python, words))
    lines = queue.Queue()
    for stream, name in ((child.stdout, "out"), (child.stderr, "err")):
        threading.Thread(target=_read_lines, args=(stream, name, lines), daemon=True).start()
    report = _Report()
    try:
        open_pipes = 2
        silence = _Silence(listener)
        while open_pipes:
            if listener.is_cancelled():
                raise Cancelled("cancelled")
            try:
                name, line = lines.get(timeout=POLL_S)
            except queue.Empty:
                silence.goes_on()
                continue
            silence.is_broken()
            if line is None:
                open_pipes -= 1
            else:
                report.read(name, line, listener)
        code = child.wait()
    finally:
        _end(child)
    if code != 0:
        raise Failed(report.error or report.last_line or f"eo-dl ended with exit code {code}")
    return report.result


class _Silence:
    """Tells the listener, once per second, for how long the child has said nothing."""

    def __init__(self, listener):
        self._listener = listener
        self.is_broken()

    def is_broken(self):
        self._since, self._told = time.monotonic(), 0

    def goes_on(self):
        seconds = int(time.monotonic() - self._since)
        if seconds > self._told:
            self._told = seconds
            self._listener.silent(seconds)


class _Report:
    """What the child has reported that decides the outcome."""

    def __init__(self):
        self.result, self.error, self.last_line = {}, "", ""

    def read(self, name, line, listener):
        event = _event(line) if name == "out" else None
        if event is None:
            if line.strip():
                self.last_line = line
            listener.debug(line)
            return
        kind, message = event.pop("event"), str(event.get("message", ""))
        if kind == "progress":
            done, total = int(event.get("done", 0)), int(event.get("total", 0))
            listener.progress(str(event.get("what", "")), done, total)
        elif kind == "result":
            self.result = event
        elif kind == "error":
            self.error = message
        elif kind == "text":
            listener.text(message)
        elif kind == "warning":
            listener.warning(message)
        else:
            listener.log(message)


def _event(line):
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def _start(command):
    if sys.platform == "win32":
        own_group = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    else:
        own_group = {"start_new_session": True}
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment.clean(os.environ),
            cwd=Path.home(),
            **own_group,
        )
    except OSError as error:
        raise Failed(f"{command[0]} does not start: {error}") from None


def _read_lines(stream, name, lines):
    """Put each line of a pipe into the queue, and None at its end."""
    with stream:
        for raw in stream:
            lines.put((name, raw.decode("utf-8", "replace").rstrip("\r\n")))
    lines.put((name, None))


def _end(child):
    """End the child and everything it started, and close the pipes, however the run went."""
    if child.poll() is None:
        _signal(child, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
    if sys.platform != "win32":
        # Workers outlive a child that has ended; the child itself may have ignored SIGTERM.
        _signal(child, signal.SIGKILL)
    elif child.poll() is None:
        child.kill()
    child.wait()
    child.stdin.close()


def _signal(child, number):
    try:
        if sys.platform == "win32":
            child.terminate()
        else:
            os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):
        pass
