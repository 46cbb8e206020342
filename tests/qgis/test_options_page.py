"""Settings > Options > eo_dl in a real QGIS without a screen: what Find and Check say, and what is saved."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eo_dl_qgis import environment

Inside = Callable[..., Any]

FITS = """
import json, sys
doctor = {"eo_dl": "1.2.3", "python": "3.11.2", "gpus": [], "packages": {"torch": "2.9.0"}}
doctor["problems"] = PROBLEMS
WAIT
print(json.dumps({"interface": INTERFACE, "eo_dl": "1.2.3"} if "capabilities" in sys.argv else doctor))
raise SystemExit(1 if "doctor" in sys.argv and doctor["problems"] else 0)
"""


def environment_at(folder: Path, script: str) -> str:
    """A virtual environment whose Python runs `script`, with an `eo-dl` beside it; returns the Python."""
    (folder / "bin").mkdir(parents=True)
    (folder / "stub.py").write_text(script)
    for name in ("python", "eo-dl"):
        program = folder / "bin" / name
        program.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" "{folder / "stub.py"}" "$@"\n'
            if name == "python"
            else "#!/bin/sh\nexit 2\n"
        )
        program.chmod(0o755)
    return str(folder / "bin" / "python")


def fitting(interface: int = environment.INTERFACE, problems: str = "[]", wait: str = "") -> str:
    return FITS.replace("INTERFACE", str(interface)).replace("PROBLEMS", problems).replace("WAIT", wait)


@pytest.fixture
def home(qgis_environment: dict[str, str], tmp_path: Path) -> Path:
    """A home in which nothing is installed yet."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("EO_DL_PYTHON", "XDG_DATA_HOME"):
        qgis_environment.pop(name, None)
    qgis_environment["HOME"] = str(home)
    return home


def test_find_and_check_say_what_is_there_and_ok_saves_it(inside: Inside, home: Path, tmp_path: Path) -> None:
    good = environment_at(tmp_path / "good", fitting())
    old = environment_at(tmp_path / "old", fitting(environment.INTERFACE - 1))
    new = environment_at(tmp_path / "new", fitting(environment.INTERFACE + 1))
    ill = environment_at(
        tmp_path / "ill", fitting(problems='["torch is not installed; install eo-dl again"]')
    )
    bare = environment_at(tmp_path / "bare", "raise SystemExit('No module named eo_dl_cli')")
    odd = environment_at(tmp_path / "odd", "print([])")
    missing = str(tmp_path / "gone" / "bin" / "python")
    (home / "eo-dl").symlink_to(Path(good).with_name("eo-dl"))
    steps = [  # what, button, path typed, EO_DL_PYTHON, OK
        ("nothing found", "Find", None, None, True),
        ("nothing to check", "Check", "", None, True),
        ("only an old one", "Find", None, old, True),
        ("found", "Find", None, good, False),
        ("confirmed", "Find", None, good, True),
        ("opened again", "Check", None, None, False),
        ("missing", "Check", missing, good, True),
        ("found instead", "Find", None, good, True),
        ("old", "Check", old, None, False),
        ("new", "Check", new, None, False),
        ("ill", "Check", ill, None, False),
        ("bare", "Check", bare, None, False),
        ("odd", "Check", odd, None, False),
        ("its folder", "Check", str(tmp_path / "good"), None, False),
        ("its programs", "Check", str(tmp_path / "good" / "bin"), None, False),
        ("a link to its eo-dl", "Check", str(home / "eo-dl"), None, False),
        ("with blanks", "Check", f" {good} ", None, True),
        ("emptied", "Check", "", good, True),
    ]
    found = inside("inside_options.pressed", json.dumps(steps))

    assert all(
        one["during"][1] == [False] * 3 and one["during"][0].endswith("...") for one in found.values()
    ), "no second question while one is asked"
    said = {name: one["said"] for name, one in found.items()}
    assert (
        "none of the usual places has one" in said["nothing found"]
        and "eo-dl qgis install" in said["nothing found"]
    )
    assert said["nothing to check"] == said["nothing found"]
    assert f"eo_dl 1.2.3 of {old} is too old for this plug-in; update it" in said["only an old one"]
    assert [found[name]["saved"] for name in ("nothing found", "nothing to check", "only an old one")] == [
        "",
        "",
        "",
    ], "what does not fit is not filled in"
    assert found["found"]["path"] == good and found["found"]["saved"] == "", "OK is what saves"
    assert found["confirmed"]["saved"] == good and found["opened again"]["opened"] == good
    fits = (
        f"No problem found.\n{good}\neo_dl 1.2.3 with Python 3.11.2\nGPUs: none, the CPU is used\ntorch 2.9.0"
    )
    assert said["opened again"] == fits
    assert said["missing"].startswith(f"{missing} does not exist") and found["missing"]["saved"] == missing, (
        "what the person confirms is kept"
    )
    assert found["found instead"]["opened"] == missing and found["found instead"]["saved"] == good
    assert "too old for this plug-in; update it (pip install -U eo-dl)" in said["old"]
    assert "newer than this plug-in; run 'eo-dl qgis install' in it" in said["new"]
    assert said["ill"].startswith("problem: torch is not installed")
    assert said["bare"] == f"{bare} has no working eo_dl: No module named eo_dl_cli"
    assert said["odd"] == f"{odd} has no working eo_dl: no answer"
    assert [
        said[name] for name in ("its folder", "its programs", "a link to its eo-dl", "with blanks", "emptied")
    ] == [fits] * 5
    assert found["with blanks"]["saved"] == good and found["emptied"]["saved"] == ""


def test_the_window_stays_alive_while_the_doctor_thinks(inside: Inside, home: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    slow = environment_at(
        tmp_path / "slow", fitting(wait=f"if 'doctor' in sys.argv: open({str(gate)!r}).read()")
    )
    assert inside("inside_options.alive", slow, gate)["said"].startswith("No problem found.")
    assert "none of the usual places has one" in inside("inside_options.closed", slow, gate), (
        "a page that was closed meanwhile does no harm"
    )


def test_a_chosen_environment_that_does_not_fit_is_told_and_no_other_used_in_its_place(
    inside: Inside, home: Path, tmp_path: Path, sample: Path
) -> None:
    environment_at(home / "eo_dl_env", fitting())
    old = environment_at(tmp_path / "old", fitting(environment.INTERFACE - 1))
    (tmp_path / "m.eodl").write_bytes(b"")
    for chosen, why in ((str(tmp_path / "gone"), "does not exist"), (old, "too old for this plug-in")):
        error = inside("inside_options.runs", chosen, tmp_path / "m.eodl", sample / "test.tif")["error"]
        assert why in error and chosen in error and "Settings > Options > eo_dl" in error
