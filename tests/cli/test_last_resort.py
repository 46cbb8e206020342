"""Whatever ends a command, it is one line and an exit code that says of which kind it was."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eo_dl.errors import InputError
from eo_dl.io.discover import refuse_other_encodings
from tests.cli.conftest import World
from tests.making import CommandOutput

Cli = Callable[..., CommandOutput]
NOT_UTF8 = os.fsdecode(b"r\xe9gion")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all names are Unicode")


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes `eo-dl inspect` raise an error deep inside."""

    def patch(error: BaseException) -> None:
        def stop(*args: object, **options: object) -> None:
            raise error

        monkeypatch.setattr("eo_dl.io.products.opening.describe", stop)

    return patch


Raising = Callable[[BaseException], None]


def test_any_other_error_is_one_line_that_calls_it_a_bug(
    eo_dl_cli: Cli, world: World, raising: Raising
) -> None:
    raising(ZeroDivisionError("division by\nzero"))
    said = eo_dl_cli("inspect", world.scene)
    assert (said.code, said.out) == (1, "")
    (line,) = said.err.splitlines()
    assert "a bug in eo_dl: ZeroDivisionError: division by zero (eo_dl/io/products/opening.py, line " in line
    assert "EO_DL_DEBUG=1" in line
    assert "--debug" in line


def test_programs_hear_of_it_as_of_any_other_error(eo_dl_cli: Cli, world: World, raising: Raising) -> None:
    raising(AssertionError())
    said = eo_dl_cli("inspect", world.scene, "--progress", "json")
    last = json.loads(said.out.splitlines()[-1])
    assert (said.code, said.err, last["event"]) == (1, "", "error")
    assert "a bug in eo_dl: AssertionError (eo_dl/io" in last["message"]


@pytest.mark.parametrize("by", ["option", "variable"])
def test_the_traceback_is_shown_when_asked_for(
    eo_dl_cli: Cli, world: World, raising: Raising, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    raising(ZeroDivisionError("division by zero"))
    options = ["--debug"] if by == "option" else []
    if by == "variable":
        monkeypatch.setenv("EO_DL_DEBUG", "1")
    said = eo_dl_cli(*options, "inspect", world.scene)
    assert said.code == 1
    assert said.err.startswith("Traceback")
    assert "a bug in eo_dl" in said.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError("Unable to allocate 9 EiB"), 1, "not enough memory (Unable to allocate 9 EiB)"),
        (OSError(errno.EIO, "Input/output error", "a.tif"), 1, "a.tif: Input/output error; check the file"),
        (OSError(errno.ENOSPC, "No space left on device", "a.tif"), 2, "a.tif: No space left on device"),
        (EOFError("Ran out of input"), 1, "a bug in eo_dl: EOFError: Ran out of input"),
        (UnicodeEncodeError("utf-8", "r\udce9gion", 1, 2, "surrogates not allowed"), 2, "not UTF-8"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_each_kind_of_end_has_its_line(
    eo_dl_cli: Cli, world: World, raising: Raising, error: BaseException, code: int, words: str
) -> None:
    raising(error)
    said = eo_dl_cli("inspect", world.scene)
    assert said.code == code
    assert words in said.err
    assert "Traceback" not in said.err


SIGNALLED = """
import os, signal, sys
from eo_dl_cli import main
import eo_dl.io.products.opening
eo_dl.io.products.opening.describe = lambda *args, **options: os.kill(os.getpid(), signal.{name})
sys.argv = ["eo-dl", "inspect", {scene!r}]
main.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize(
    ("name", "code", "line"),
    [("SIGTERM", 143, "error: terminated\n"), ("SIGHUP", 129, "error: the terminal was closed\n")],
)
def test_signals_end_a_command_with_their_own_line(world: World, name: str, code: int, line: str) -> None:
    program = SIGNALLED.format(name=name, scene=str(world.scene))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.endswith(line)
    assert done.returncode == code


def test_a_closed_terminal_is_ignored_under_nohup(monkeypatch: pytest.MonkeyPatch) -> None:
    from eo_dl.training.loop.stopping import stop_on_signals

    if not hasattr(signal, "SIGHUP"):
        pytest.skip("no such signal")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop
    finally:
        signal.signal(signal.SIGHUP, before)


@on_linux
@pytest.mark.parametrize(
    "words",
    [
        ["inspect", "{bad}.tif"],
        ["tile", "{scene}", "--labels", "{bad}.gpkg", "-o", "{tmp}/chips"],
        ["tile", "{scene}", "--labels", "{labels}", "-o", "{bad}"],
        ["predict", "{model}", "{scene}", "-o", "{bad}.tif"],
        ["predict", "{model}", "{scene}", "-o", "{bad}.gpkg"],
        ["evaluate", "{scene}", "{labels}", "-o", "{bad}"],
        ["vectorize", "{scene}", "-o", "{bad}.gpkg"],
        ["labels", "start", "{scene}", "--classes", "roof", "-o", "{bad}.gpkg"],
        ["labels", "convert", "{labels}", "-o", "{bad}.geojson"],
        ["labels", "export", "{chips}", "--format", "coco", "-o", "{bad}"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_names_that_are_not_utf8_are_one_line(
    eo_dl_cli: Cli, world: World, tmp_path: Path, words: list[str]
) -> None:
    bad = tmp_path / NOT_UTF8
    (tmp_path / f"{NOT_UTF8}.tif").write_bytes(world.scene.read_bytes())
    (tmp_path / f"{NOT_UTF8}.gpkg").write_bytes(world.labels.read_bytes())
    overwrite = [] if words[0] in ("inspect",) else ["--overwrite"]
    places = {"bad": bad, "tmp": tmp_path, **vars(world)}
    said = eo_dl_cli(*[word.format(**places) for word in words], *overwrite)
    assert said.code == 2, said.err
    last = said.err.splitlines()[-1]
    assert "is not UTF-8, which GDAL needs; rename it" in last
    assert r"r\xe9gion" in last


def test_names_under_another_encoding_of_the_system_name_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_other_encodings("scène.tif")
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    refuse_other_encodings("scene.tif")
    with pytest.raises(InputError, match="read as ascii, where GDAL needs UTF-8; set PYTHONUTF8=1"):
        refuse_other_encodings("scène.tif")


def test_fields_in_another_encoding_than_stated_are_one_line(
    eo_dl_cli: Cli, world: World, tmp_path: Path
) -> None:
    import geopandas

    labels = geopandas.read_file(world.labels).rename(columns={"kind": "catégorie"})
    labels.to_file(tmp_path / "l.shp", encoding="ISO-8859-1")
    (tmp_path / "l.cpg").write_text("UTF-8")
    said = eo_dl_cli("inspect", tmp_path / "l.shp")
    assert said.code == 2
    assert "not in the encoding that the file states" in said.err
    (tmp_path / "l.cpg").write_text("ISO-8859-1")  # as the message says
    assert eo_dl_cli("inspect", tmp_path / "l.shp").code == 0


def test_coordinates_that_are_no_degrees_are_one_line_that_names_the_file(
    eo_dl_cli: Cli, world: World, tmp_path: Path
) -> None:
    import rasterio

    scene = tmp_path / "metres.tif"
    scene.write_bytes(world.scene.read_bytes())
    with rasterio.open(scene, "r+") as dataset:
        dataset.crs = "EPSG:4326"
    for words in (
        ["inspect", scene],
        ["tile", scene, "--labels", world.labels, "-o", tmp_path / "chips"],
        ["predict", world.model, scene, "-o", tmp_path / "map.tif"],
    ):
        said = eo_dl_cli(*words)
        assert said.code == 2
        assert "metres.tif: coordinates such as (" in said.err
        assert "are no degrees" in said.err


def test_inspect_shows_the_scores_and_the_training_that_the_card_promises(
    eo_dl_cli: Cli, world: World, tmp_path: Path
) -> None:
    from eo_dl.bundle import load_model, save_bundle
    from eo_dl.modelspec import Provenance, ScoreSpec

    scored = load_model(world.model).spec.model_copy(
        update={
            "scores": (ScoreSpec(name="mean_iou", value=0.5, count=9, split="test", low=0.4, high=0.6),),
            "provenance": Provenance(
                eo_dl="0.1.0",
                seed=3,
                scenes=("a.tif",),
                baselines=(ScoreSpec(name="colour", value=0.25, count=9, split="test"),),
                notes=("small",),
            ),
        }
    )
    save_bundle(tmp_path / "m.eodl", scored, load_model(world.model).state())
    said = eo_dl_cli("inspect", tmp_path / "m.eodl").out
    for part in (
        "mean_iou",
        "0.400 to 0.600",
        "baseline colour",
        "0.250",
        "test_resnet",
        "a.tif",
        "note: small",
    ):
        assert part in said
