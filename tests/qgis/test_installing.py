"""The installer of the plug-in: which programs it runs, and in a real QGIS what its dialog does with them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eo_dl_qgis import environment, installing

Inside = Callable[..., Any]


def words(steps: tuple[installing.Step, ...]) -> list[list[str]]:
    return [list(step.words) for step in steps]


def nowhere(name: str) -> str | None:
    return None


@pytest.mark.parametrize(
    ("kind", "options", "package"),
    [
        (installing.TRAIN_GPU, ["--torch-backend=auto"], "eo-dl[train]"),
        (installing.TRAIN_CPU, ["--torch-backend=cpu"], "eo-dl[train]"),
        (installing.PREDICT, [], "eo-dl"),
    ],
)
def test_uv_goes_first_and_chooses_the_wheels(
    tmp_path: Path, kind: str, options: list[str], package: str
) -> None:
    steps = words(installing.plan(tmp_path / "env", kind, find=lambda name: f"/bin/{name}"))
    assert steps[0] == ["/bin/uv", "venv", "--python", "3.11", str(tmp_path / "env")]
    python = installing.python_in(tmp_path / "env")
    assert steps[1] == ["/bin/uv", "pip", "install", "--python", python, *options, package]


def test_without_uv_a_python_that_fits_makes_the_environment(tmp_path: Path) -> None:
    versions = {"/bin/python3": "3.9", "/bin/python3.12": "3.12"}
    steps = words(
        installing.plan(
            tmp_path / "env",
            installing.TRAIN_CPU,
            "/downloads/eo_dl.whl",
            find=lambda name: f"/bin/{name}" if f"/bin/{name}" in versions else None,
            version_of=lambda path: versions[path],
        )
    )
    assert steps[0] == ["/bin/python3.12", "-m", "venv", str(tmp_path / "env")]
    assert steps[1][1:] == ["-m", "pip", "install", "--no-input", "/downloads/eo_dl.whl[train]"]
    with pytest.raises(installing.CannotInstall, match="Neither uv nor a Python"):
        installing.plan(tmp_path / "env", installing.PREDICT, find=nowhere)


def test_a_folder_with_content_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(installing.CannotInstall, match="exists already"):
        installing.plan(tmp_path, installing.PREDICT, find=lambda name: name)


UV = """
import json, pathlib, sys
if sys.argv[1] == "venv":
    folder = pathlib.Path(sys.argv[-1])
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    answer = json.dumps({"interface": INTERFACE, "eo_dl": "1.2.3"})
    python.write_text("#!/bin/sh" + chr(10) + f"echo '{answer}'")
    python.chmod(0o755)
elif sys.argv[-1].startswith("broken"):
    raise SystemExit("no such package")
print("uv", *sys.argv[1:3])
"""


@pytest.mark.parametrize("source", ["eo-dl", "broken"])
def test_the_dialog_installs_step_by_step_and_says_how_it_went(
    inside: Inside, qgis_environment: dict[str, str], tmp_path: Path, source: str
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (tmp_path / "uv.py").write_text(UV.replace("INTERFACE", str(environment.INTERFACE)))
    (programs / "uv").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path / "uv.py"}" "$@"\n')
    (programs / "uv").chmod(0o755)
    qgis_environment["PATH"] = f"{programs}:{qgis_environment['PATH']}"
    folder = tmp_path / "env"
    found = inside("inside_options.installed", folder, source)
    assert "Making the environment ...\nuv venv --python\nInstalling eo_dl ..." in found["said"]
    if source == "eo-dl":
        assert found["python"] == str(folder / "bin" / "python")
        assert found["said"].splitlines()[-1].startswith("Done:")
    else:
        assert found["python"] == ""
        assert "no such package" in found["said"]
        assert found["said"].endswith(f"{folder} is incomplete: remove it before you try again.")
    assert "exists already" in found["again"]
