"""One command of eo_dl as a child process: started, listened to, cancelled. No QGIS in here.

The child writes one JSON object a line on its standard output. Two threads read its pipes into a queue, so
that a cancel is seen within a tenth of a second even while the child says nothing. It holds the other end of
a pipe to its standard input: should QGIS die, the pipe closes and the child ends by itself.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from . import environment

POLL_S = 0.1
# between asking the child to stop and ending it: cancelled within a second, whatever it is doing
GRACE_S = 0.7


class Cancelled(Exception):
    """The person cancelled; the child is gone."""


class Failed(Exception):
    """The child failed; the message is its own one line."""


@dataclass
class Listener:
    """Where the child's words go. The methods do nothing here; `feedback.Feedback` passes them on to QGIS."""

    debug_lines: list = field(default_factory=list)

    def is_cancelled(self):
        """True once the person wants it to stop."""
        return False

    def progress(self, what, done, total):
        """Work done so far."""

    def log(self, text):
        """A line for people."""

    def text(self, line):
        """A line of what the command found, laid out for letters of one width."""

    def warning(self, text):
        """Something they should know."""

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
        threading.Thread(target=_pump, args=(stream, name, lines), daemon=True).start()
    heard = _Heard()
    try:
        open_pipes = 2
        while open_pipes:
            if listener.is_cancelled():
                raise Cancelled("cancelled")
            try:
                name, line = lines.get(timeout=POLL_S)
            except queue.Empty:
                continue
            if line is None:
                open_pipes -= 1
            else:
                heard.line(name, line, listener)
        code = child.wait()
    finally:
        _end(child)
    if code != 0:
        raise Failed(heard.error or (heard.last or [f"eo-dl ended with exit code {code}"])[-1])
    return heard.result


class _Heard:
    """What the child said that decides how this ends."""

    def __init__(self):
        self.result, self.error, self.last = {}, "", []

    def line(self, name, line, listener):
        event = _event(line) if name == "out" else None
        if event is None:
            self.last = [*self.last[-4:], line] if line.strip() else self.last
            listener.debug(line)
            return
        kind = event.pop("event")
        if kind == "progress":
            listener.progress(
                str(event.get("what", "")), int(event.get("done", 0)), int(event.get("total", 0))
            )
        elif kind == "result":
            self.result = event
        elif kind == "error":
            self.error = str(event.get("message", ""))
        elif kind == "text":
            listener.text(str(event.get("message", "")))
        elif kind == "warning":
            listener.warning(str(event.get("message", "")))
        else:
            listener.log(str(event.get("message", "")))


def _event(line):
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("event"), str) else None


def _start(command):
    windows = sys.platform == "win32"
    flags = (
        {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
        if windows
        else {"start_new_session": True}
    )
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment.clean(os.environ),
            cwd=Path.home(),
            **flags,
        )
    except OSError as error:
        raise Failed(f"{command[0]} does not start: {error}") from None


def _pump(stream, name, lines):
    with stream:
        for raw in stream:
            lines.put((name, raw.decode("utf-8", "replace").rstrip("\r\n")))
    lines.put((name, None))


def _end(child):
    """Whatever happened: afterwards the child and what it started are gone and the pipes are closed."""
    if child.poll() is None:
        _signal(child, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
    if sys.platform != "win32":
        _signal(child, signal.SIGKILL)  # workers of a child that has ended, or the child that did not listen
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
