"""The child process of the plug-in: heard, cancelled, and never left behind. No QGIS needed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from eo_dl_qgis import environment, runner

ROOT = Path(__file__).resolve().parents[2]
Stub = Callable[[str], str]


class Listener(runner.Listener):  # type: ignore[misc]
    """Keeps what it hears; cancels when it hears the word."""

    def __init__(self, cancel_at: str = "") -> None:
        super().__init__()
        self.heard: list[tuple[str, Any]] = []
        self.cancel_at = cancel_at
        self.cancelled, self.cancelled_at = False, 0.0

    def is_cancelled(self) -> bool:
        return self.cancelled

    def progress(self, what: str, done: int, total: int) -> None:
        self.heard.append(("progress", (what, done, total)))

    def log(self, text: str) -> None:
        self.heard.append(("log", text))
        if self.cancel_at and text.startswith(self.cancel_at):
            self.cancelled, self.cancelled_at = True, time.monotonic()

    def warning(self, text: str) -> None:
        self.heard.append(("warning", text))


def test_events_arrive_in_order_and_the_result_is_returned(stub: Stub) -> None:
    python = stub(
        """
import json, sys
say = lambda **values: print(json.dumps(values), flush=True)
say(event="log", message="starting")
say(event="progress", what="chips", done=1, total=4)
print("not JSON: a library spoke")
say(event="warning", message="3 labels repaired")
print("on stderr", file=sys.stderr)
say(event="result", words=sys.argv[1:])
"""
    )
    listener = Listener()
    result = runner.run(python, ["tile", "--progress=json", "--", "a.tif"], listener)
    assert listener.heard == [
        ("log", "starting"),
        ("progress", ("chips", 1, 4)),
        ("warning", "3 labels repaired"),
    ]
    assert sorted(listener.debug_lines) == ["not JSON: a library spoke", "on stderr"]
    assert result["words"][:6] == ["-I", "-u", "-X", "utf8", "-m", "eo_dl_cli"]
    assert result["words"][6:] == ["--end-with-stdin", "tile", "--progress=json", "--", "a.tif"]


def test_the_one_line_of_an_error_is_what_the_person_reads(stub: Stub) -> None:
    python = stub(
        """import json
print(json.dumps({"event": "error", "message": "a.tif: no CRS; name it with --crs"}))
raise SystemExit(2)"""
    )
    with pytest.raises(runner.Failed, match=r"^a\.tif: no CRS; name it with --crs$"):
        runner.run(python, ["tile"], Listener())


def test_a_child_that_dies_without_a_word_is_not_a_success(stub: Stub) -> None:
    with pytest.raises(runner.Failed, match="exit code 3"):
        runner.run(stub("raise SystemExit(3)"), ["tile"], Listener())
    with pytest.raises(runner.Failed, match="RuntimeError: boom"):
        runner.run(stub("raise RuntimeError('boom')"), ["tile"], Listener())
    with pytest.raises(runner.Failed, match="does not start"):
        runner.run("/nowhere/python", ["tile"], Listener())


DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
OBEYS = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    ("child", "worker"),
    [(OBEYS, OBEYS), (DEAF, DEAF), (OBEYS, DEAF), (DEAF, OBEYS)],
    ids=["obey", "deaf", "deaf worker", "deaf child"],
)
def test_a_cancelled_child_and_its_worker_are_gone_whether_they_listen_or_not(
    stub: Stub, child: str, worker: str
) -> None:
    """The polite signal is obeyed or ignored by the child, by a process that it started, or by both: none is
    left. The seconds are printed, not judged.
    """
    working = f"import os, signal, sys; {worker}; print(flush=True); signal.pause()"
    python = stub(
        f"""
import json, os, signal, subprocess, sys
{child}
worker = subprocess.Popen([sys.executable, "-c", {working!r}], stdout=subprocess.PIPE)
worker.stdout.readline()
print(json.dumps({{"event": "log", "message": f"pids {{os.getpid()}} {{worker.pid}}"}}), flush=True)
while True:
    signal.pause()
"""
    )
    listener = Listener(cancel_at="pids")
    with pytest.raises(runner.Cancelled):
        runner.run(python, ["train"], listener)
    print(f"cancelled after {time.monotonic() - listener.cancelled_at:.2f} s")  # seen with pytest -rP
    pids = [int(word) for word in listener.heard[0][1].split()[1:]]
    assert len(pids) == 2
    gone, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=10
    )
    assert not alive, f"{len(gone)} gone"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_parent_leaves_no_child(tmp_path: Path) -> None:
    """A parent starts a real eo-dl and is killed dead: the pipe closes, and the child ends by itself."""
    slow = (
        "import sys; from eo_dl_cli import parent; parent.end_with_stdin(); print('ready', flush=True); "
        "import signal; signal.pause()"
    )
    parent = f"""
import subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", {slow!r}],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    start_new_session=True,
)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = psutil.Process(int(process.stdout.readline()))
        assert child.is_running()
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs([child], timeout=30)
    assert not alive


def test_the_environment_of_the_child_is_clean() -> None:
    leaked = {
        "PYTHONHOME": "/usr",
        "PYTHONPATH": "/x",
        "PYTHONEXECUTABLE": "/usr/bin/python3",
        "PROJ_LIB": "/p",
        "PROJ_DATA": "/p",
        "GDAL_DATA": "/g",
        "GDAL_DRIVER_PATH": "/g",
        "LD_LIBRARY_PATH": "/l",
        "QT_PLUGIN_PATH": "/q",
        "VIRTUAL_ENV": "/v",
        "CONDA_PREFIX": "/c",
        "__PYVENV_LAUNCHER__": "/v",
    }
    kept = {"PATH": "/bin", "HOME": "/home/me", "https_proxy": "http://proxy:3128", "LANG": "de_DE.UTF-8"}
    assert environment.clean(leaked | kept) == kept
    bundled = environment.clean(
        {"OSGEO4W_ROOT": "/OSGeo4W", "PATH": os.pathsep.join(["/osgeo4w/bin", "/bin"])}
    )
    assert bundled == {"PATH": "/bin"}


def test_the_environment_that_runs_this_is_found_and_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EO_DL_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    assert environment.find() == sys.executable
    assert "predict" in environment.check(sys.executable)["commands"]


def test_a_missing_or_old_environment_is_told_clearly(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = stub("""print('{"interface": 0, "eo_dl": "0.0.1", "commands": {}}')""")
    with pytest.raises(environment.NoEnvironment, match="too old for this plug-in"):
        environment.check(old)
    broken = stub("raise SystemExit('No module named eo_dl_cli')")
    with pytest.raises(environment.NoEnvironment, match="no working eo_dl: No module named eo_dl_cli"):
        environment.check(broken)
    monkeypatch.setattr(environment, "candidates", list)
    with pytest.raises(environment.NoEnvironment, match="eo-dl qgis install"):
        environment.find()
