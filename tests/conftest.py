"""Shared by all tests: where the scenes are, and what happens to a test whose extra is not installed."""

from __future__ import annotations

import http.server
import os
import socket
import threading
from collections.abc import Generator, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from eo_dl.core.daskcluster import open_cluster
from eo_dl.core.extras import EXTRAS
from eo_dl.errors import MissingExtraError

if TYPE_CHECKING:
    from distributed import Client

# Machines are shared and noisy, so no deadline; the same examples in every run, so that a failure is a
# change.
settings.register_profile("eo_dl", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("eo_dl")

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_DATA = ROOT / "sample_data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real labelled scenes; skips, saying so, where it is missing."""
    folder = Path(os.environ.get("EO_DL_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real scenes are missing: {folder} (set EO_DL_REAL_DATA)")
    return folder


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The generated scenes that come with the project."""
    return SAMPLE_DATA


class Listener:
    """A server on this machine that answers nothing and counts who comes."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        self.port: int = self._socket.getsockname()[1]
        self.count = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def url(self, name: str) -> str:
        """The address of a file as GDAL takes it; GDAL asks for each address once in a process."""
        return f"/vsicurl/http://127.0.0.1:{self.port}/{name}"

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.count += 1
            connection.close()


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """A server of which `count` says how many connections were opened."""
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    server = Listener()
    yield server
    server.close()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Client]:
    """A Dask cluster of two processes, shared by all tests that kill none; they are marked `slow`."""
    pytest.importorskip("distributed")
    with open_cluster("local:2") as client:
        yield client


@pytest.fixture
def mortal_cluster() -> Iterator[Client]:
    """A Dask cluster of its own for a test that kills a worker.

    Dask does not always start a new worker for one that died just after its own start, so a shared cluster
    may have lost one for good.
    """
    pytest.importorskip("distributed")
    with open_cluster("local:2") as client:
        yield client


# In an environment with the core install alone (CONTRIBUTING.md, "Tests"), a test that needs an extra is
# skipped and says which package is missing. Where everything is installed, as in the main run, MISSING is
# empty: nothing is skipped.
MISSING = frozenset(name for name in EXTRAS if find_spec(name) is None)


def _missing_package(error: BaseException | None) -> str | None:
    """The optional package whose absence made `error`; None for any other error."""
    if isinstance(error, MissingExtraError):
        error = error.__cause__
    if isinstance(error, ModuleNotFoundError):
        package = error.name or ""
    else:
        # pandas and geopandas reword the error of an import.
        package = str(error).partition("Missing optional dependency '")[2].partition("'")[0]
    root = package.partition(".")[0]
    return root if root in MISSING else None


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    return (yield from _skipping())


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    return (yield from _skipping())


def _skipping() -> Generator[None, object, object]:
    try:
        return (yield)
    except ImportError as error:
        package = _missing_package(error)
        if package is None:
            raise
        pytest.skip(f"needs {package}, which is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A test file that imports a missing package at its top is skipped as a whole."""
    report = yield
    if report.outcome == "failed":
        text = str(report.longrepr)
        for package in sorted(MISSING):
            if f"No module named '{package}" in text or f"needs the package {package}," in text:
                report.outcome = "skipped"
                report.longrepr = (
                    str(collector.path),
                    0,
                    f"Skipped: needs {package}, which is not installed",
                )
                break
    return report


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, with the byte ranges that GDAL asks for."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        asked = self.headers.get("Range")
        if asked is None:
            first, last = 0, len(content) - 1
        else:
            begin, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(begin), min(int(end or len(content)), len(content) - 1)
        self.send_response(200 if asked is None else 206)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(content[first : last + 1])

    def log_message(self, format: str, *args: object) -> None:
        """No lines on the terminal of the tests."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(RangeHandler, directory=str(folder))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
