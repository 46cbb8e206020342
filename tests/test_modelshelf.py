"""Ready models on shelves: a folder, a server on this machine, a package; by name, with their hash."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from eo_dl.bundle import load_model
from eo_dl.errors import BundleError, OutputExistsError
from eo_dl.modelshelf import INDEX, SHELVES, own_shelf, ready_model, ready_models
from eo_dl.shelving import describe, get_model, write_shelf
from eo_dl.tasks import load_task
from eo_dl_cli.main import run
from tests.tinynetworks import tiny_bundle


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two models; no other shelf is known."""
    for name in ("HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("EO_DL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(SHELVES, raising=False)
    folder = tmp_path / "shelf"
    folder.mkdir()
    for name in ("roofs_1m", "trees"):
        tiny_bundle(load_task("segmentation"), folder / f"{name}.eodl")
    write_shelf(folder, {"roofs_1m": "Roofs at 1 m. Fails on snow."})
    return folder


def test_a_folder_of_models_is_a_shelf(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = ready_models(shelf)
    assert (first.model.name, second.model.name) == ("roofs_1m", "trees")
    assert first.model.about.startswith("Roofs at 1 m") and second.model.about == ""
    bundle = load_model(shelf / "roofs_1m.eodl")
    assert first.model.bands == bundle.bands.names and first.model.classes == bundle.classes.names
    assert first.model.task == "segmentation" and describe(first.model) == ""
    assert write_shelf(shelf).models[0].about == first.model.about  # kept when the list is renewed
    with pytest.raises(BundleError, match=r"no shelf of ready models.*EO_DL_SHELVES"):
        load_model("roofs_1m")
    monkeypatch.setenv(SHELVES, f" {shelf} ; ")
    assert load_model("roofs_1m").path == shelf / "roofs_1m.eodl"
    with pytest.raises(BundleError, match=r"no model of this name on a shelf.*there are roofs_1m"):
        load_model("roof_1m")
    monkeypatch.chdir(shelf)
    (shelf / "trees").write_text("a file of this name comes first")
    with pytest.raises(BundleError, match="trees: "):
        load_model("trees")


def test_a_model_comes_to_the_own_shelf_and_predicts_by_name(shelf: Path, tmp_path: Path) -> None:
    path = get_model("trees", shelf=shelf)
    assert path.parent == own_shelf() and path.read_bytes() == (shelf / "trees.eodl").read_bytes()
    assert load_model("trees").path == path and get_model("trees") == path
    assert get_model("trees", tmp_path / "t.eodl").read_bytes() == path.read_bytes()
    with pytest.raises(OutputExistsError):
        get_model("trees", tmp_path / "t.eodl")


def test_another_file_than_listed_is_refused(shelf: Path) -> None:
    (shelf / "trees.eodl").write_bytes((shelf / "trees.eodl").read_bytes() + b" ")
    with pytest.raises(BundleError, match=r"is another file than shelf.json lists"):
        ready_model("trees", shelf).fetch()
    (shelf / "trees.eodl").unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        get_model("trees", shelf=shelf)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "../trees"),
        ("file", "../trees.eodl"),
        ("file", "/etc/passwd"),
        ("picture", "a/b.png"),
        ("sha256", "0"),
        ("more", 1),
    ],
)
def test_a_list_that_says_anything_else_is_one_line(shelf: Path, key: str, value: object) -> None:
    content = json.loads((shelf / INDEX).read_text())
    content["models"][0][key] = value
    (shelf / INDEX).write_text(json.dumps(content))
    with pytest.raises(BundleError, match="is no list of models"):
        ready_models(shelf)


def test_a_place_that_is_no_shelf_is_one_line(shelf: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="a shelf is a folder or an https address"):
        ready_models(tmp_path)
    with pytest.raises(BundleError, match="holds no model"):
        write_shelf(tmp_path)
    (shelf / "two words.eodl").write_bytes((shelf / "trees.eodl").read_bytes())
    with pytest.raises(BundleError, match="rename it"):
        write_shelf(shelf)


@pytest.fixture
def served(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(shelf)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_shelf_on_the_web_is_downloaded_once_and_checked(
    served: str, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (served, f"{served}/", f"{served}/{INDEX}"):
        assert [one.model.name for one in ready_models(place)] == ["roofs_1m", "trees"]
    monkeypatch.setenv(SHELVES, served)
    bundle = load_model("trees")
    assert Path(bundle.path).read_bytes() == (shelf / "trees.eodl").read_bytes()
    (shelf / "trees.eodl").write_bytes(b"other")
    assert load_model("trees").path == bundle.path
    (shelf / "roofs_1m.eodl").write_bytes(b"other")
    with pytest.raises(BundleError, match="SHA-256"):
        load_model("roofs_1m")
    with pytest.raises(BundleError, match="404"):
        ready_models(f"{served}/nothing")


def test_commands_of_ready_models(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["model", "list"]) == 0 and "no model" in capsys.readouterr().out
    monkeypatch.setenv(SHELVES, str(shelf))
    assert run(["model", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["models"]
    assert [one["name"] for one in listed] == ["roofs_1m", "trees"] and listed[0]["shelf"] == str(shelf)
    assert run(["model", "get", "trees", "-o", str(tmp_path / "t.eodl"), "-q"]) == 0
    assert run(["model", "shelf", str(shelf)]) == 0 and "roofs_1m" in capsys.readouterr().out
    assert run(["model", "get", "nothing"]) == 2
