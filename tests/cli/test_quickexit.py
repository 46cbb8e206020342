"""A process ends at once, but not before its threads, its output and what is registered for its end."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import atexit, sys, threading
from eo_dl_cli.quickexit import QuickExit

end = QuickExit()

class Noisy:
    def __del__(self):
        print("taken apart", flush=True)

def last_thread():
    threading.main_thread().join()
    print("thread")

kept = Noisy()
atexit.register(print, "registered")
threading.Thread(target=last_thread).start()
print("x" * 100_000)
{end}
"""


def ended(end: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM.replace("{end}", end)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_threads_output_and_registered_functions_come_first() -> None:
    done = ended("end.code = 3\nsys.exit(end.code)")
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.splitlines() == ["x" * 100_000, "thread", "registered"]


def test_an_error_that_nobody_caught_ends_as_usual() -> None:
    done = ended("raise ValueError('a bug')")
    assert done.returncode == 1
    assert "ValueError: a bug" in done.stderr
    assert done.stdout.splitlines()[1:] == ["thread", "registered", "taken apart"]
