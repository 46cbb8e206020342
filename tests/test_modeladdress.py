"""Models by address, from a server on this machine: hashes, cache, redirections, failures in one line."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from eo_dl.bundle import load_model
from eo_dl.errors import BundleError, InputError
from eo_dl.io.download import cache_folder, download
from eo_dl.modeladdress import fetch_model
from eo_dl.tasks import load_task
from tests.tinynetworks import tiny_bundle

CONTENT = b"not really a model" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    length: int | None = None


@dataclass
class Site:
    """A server on this machine, its pages, and what was asked of it."""

    url: str
    pages: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("EO_DL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Site("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append((self.command, self.path))
            answer = made.pages.get(self.path, Answer(404))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            length = len(answer.content) if answer.length is None else answer.length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(answer.content)

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_url_with_its_hash_is_downloaded_once(site: Site) -> None:
    site.pages["/roofs.eodl"] = Answer(content=CONTENT)
    address = f"{site.url}/roofs.eodl#sha256={SHA256}"
    path = fetch_model(address)
    assert path.read_bytes() == CONTENT and path.name == "roofs.eodl"
    assert path.is_relative_to(cache_folder())
    assert fetch_model(address) == path
    assert site.asked == [("GET", "/roofs.eodl")]


def test_a_damaged_file_in_the_cache_is_downloaded_again(site: Site) -> None:
    site.pages["/roofs.eodl"] = Answer(content=CONTENT)
    path = fetch_model(f"{site.url}/roofs.eodl#sha256={SHA256}")
    path.write_bytes(b"half")
    assert fetch_model(f"{site.url}/roofs.eodl#sha256={SHA256}").read_bytes() == CONTENT


@pytest.mark.parametrize(("address", "revision"), [("hf://me/roofs", "main"), ("hf://me/roofs@v1", "v1")])
def test_hugging_face_states_the_hash_before_it_leads_to_the_file(
    site: Site, address: str, revision: str
) -> None:
    page = f"/me/roofs/resolve/{revision}/model.eodl"
    headers = {"X-Linked-Etag": f'"{SHA256}"', "Location": f"{site.url}/far/away"}
    site.pages[page] = Answer(302, headers)
    site.pages["/far/away"] = Answer(content=CONTENT)
    path = fetch_model(address)
    assert path.read_bytes() == CONTENT and path.name == "roofs.eodl"
    assert site.asked == [("HEAD", page), ("GET", page), ("GET", "/far/away")]
    assert fetch_model(address) == path
    assert site.asked[3:] == [("HEAD", page)], "only asked whether it is still the same"


def test_a_renamed_repository_is_followed(site: Site) -> None:
    site.pages["/me/old/resolve/main/model.eodl"] = Answer(
        307, {"Location": "/me/new/resolve/main/model.eodl"}
    )
    site.pages["/me/new/resolve/main/model.eodl"] = Answer(200, {"X-Linked-Etag": f'"{SHA256}"'}, CONTENT)
    assert fetch_model("hf://me/old").read_bytes() == CONTENT


def test_another_file_than_expected_is_refused(site: Site) -> None:
    site.pages["/roofs.eodl"] = Answer(content=CONTENT + b"!")
    with pytest.raises(BundleError, match=rf"its SHA-256 is [0-9a-f]{{64}}, expected {SHA256}"):
        fetch_model(f"{site.url}/roofs.eodl#sha256={SHA256}")
    assert [path for path in cache_folder().rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://example.com/x.eodl"])
def test_no_redirection_leaves_https(site: Site, target: str) -> None:
    site.pages["/roofs.eodl"] = Answer(302, {"Location": target})
    with pytest.raises(BundleError, match=r"https only|not allowed|cannot be downloaded"):
        fetch_model(f"{site.url}/roofs.eodl#sha256={SHA256}")
    assert [path for path in cache_folder().rglob("*") if path.is_file()] == []


def test_a_file_may_not_be_larger_than_the_limit(site: Site) -> None:
    site.pages["/roofs.eodl"] = Answer(content=CONTENT)
    with pytest.raises(InputError, match="larger than 100 bytes"):
        download(f"{site.url}/roofs.eodl", SHA256, "roofs.eodl", most_bytes=100)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (Answer(404), "the server answers 404 Not Found"),
        (Answer(500), "the server answers 500"),
        (Answer(content=CONTENT[:100], length=len(CONTENT)), "cannot be downloaded|stopped after"),
    ],
)
def test_a_failed_download_is_one_line(site: Site, page: Answer, message: str) -> None:
    site.pages["/roofs.eodl"] = page
    with pytest.raises(BundleError, match=message) as caught:
        fetch_model(f"{site.url}/roofs.eodl#sha256={SHA256}")
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there_is_one_line(site: Site) -> None:
    with pytest.raises(BundleError, match="cannot be downloaded") as caught:
        fetch_model(f"http://127.0.0.1:9/roofs.eodl#sha256={SHA256}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("https://example.com/roofs.eodl", "add #sha256="),
        ("https://example.com/roofs.zip", "address of an .eodl file"),
        ("https://example.com/roofs.eodl#sha256=12", "64 hexadecimal digits, found #sha256=12"),
        (f"http://example.com/roofs.eodl#sha256={SHA256}", "https only"),
        (f"file:///tmp/roofs.eodl#sha256={SHA256}", "https only"),
        ("hf://roofs", "expected hf://owner/name"),
        ("hf://me/roofs/../../x", "expected hf://owner/name"),
    ],
)
def test_addresses_that_cannot_work_say_why(
    address: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EO_DL_CACHE", str(tmp_path))
    with pytest.raises(BundleError, match=message):
        load_model(address)


def test_without_a_stated_hash_hugging_face_is_refused(site: Site) -> None:
    site.pages["/me/roofs/resolve/main/model.eodl"] = Answer(content=CONTENT)
    with pytest.raises(BundleError, match="states no SHA-256"):
        fetch_model("hf://me/roofs")


def test_load_model_opens_what_it_downloads(site: Site, tmp_path: Path) -> None:
    bundle = tiny_bundle(load_task("segmentation"), tmp_path / "model.eodl")
    site.pages["/m.eodl"] = Answer(content=bundle.path.read_bytes())
    assert load_model(f"{site.url}/m.eodl#sha256={bundle.hash}").spec == bundle.spec


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/c"}, lambda home: Path("/c/eo_dl")),
        ("linux", {}, lambda home: home / ".cache" / "eo_dl"),
        ("darwin", {}, lambda home: home / "Library" / "Caches" / "eo_dl"),
        ("win32", {"LOCALAPPDATA": "/l"}, lambda home: Path("/l/eo_dl/Cache")),
        ("linux", {"EO_DL_CACHE": "/e", "XDG_CACHE_HOME": "/c"}, lambda home: Path("/e")),
    ],
)
def test_the_cache_lies_where_the_platform_keeps_caches(
    platform: str,
    variables: dict[str, str],
    expected: Callable[[Path], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("EO_DL_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert cache_folder() == expected(Path.home())
