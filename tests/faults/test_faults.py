"""Every file-changing call of a command fails or is its last, and nothing is lost or silently wrong.

A library (`faults.c`, compiled here) stands between the process and libc. After a fault, the command has said
what is wrong in one line or has made exactly what it should; the same command, run again, makes it, and
nothing else is left. By default some places of `tile` are tried; EO_DL_EVERY_FAULT=1 tries every place of
every command.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import yaml

from eo_dl.tasks import load_task
from tests.making import tiny_network, write_polygons, write_raster
from tests.tinynetworks import BAND_NAMES, tiny_bundle

COMPILER = shutil.which("cc") or shutil.which("gcc")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is tried on Linux"),
    pytest.mark.skipif(COMPILER is None, reason="no C compiler: faults.c cannot be built"),
]
EVERY = os.environ.get("EO_DL_EVERY_FAULT") == "1"
COUNT_ALL, COUNT_WRITES, KILL, FAIL_ONCE, FAIL_FROM = 1, 2, 3, 4, 5
SIDE = 96


@dataclass
class Lab:
    """Inputs, and a warmed-up process that runs commands."""

    inputs: Path
    process: subprocess.Popen[str]

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run a command, see `zygote.py`."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@dataclass(frozen=True)
class Command:
    """A command whose outputs lie in a folder of their own."""

    name: str
    line: str
    places: int
    """How many places are tried by default, per kind of fault."""

    def for_folder(self, inputs: Path, folder: Path) -> list[str]:
        return self.line.format(inputs=inputs, out=folder).split()


_PREDICT = "predict {inputs}/model.eodl {inputs}/scene.tif --backend torch --scale 1 --batch-size 2"
COMMANDS = [
    Command(
        "tile",
        "tile {inputs}/scene.tif --labels {inputs}/roofs.gpkg -o {out}/chips --size 32 --write-chips -j 1 "
        "--block-m 32 --guard-px 0",
        8,
    ),
    Command("raster", f"{_PREDICT} -o {{out}}/map.tif --probabilities", 12),
    Command("polygons", f"{_PREDICT} -o {{out}}/map.gpkg", 12),
    Command(
        "train",
        "train {inputs}/tiled/chips -o {out}/model.eodl --config {inputs}/train.yaml --resume",
        2,
    ),
]
TRIED = COMMANDS if EVERY else COMMANDS[:1]
EVERY_COMMAND = pytest.mark.parametrize("command", TRIED, ids=lambda command: command.name)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    inputs = tmp_path_factory.mktemp("inputs")
    make_inputs(inputs)
    library = inputs / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run([str(COMPILER), "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    own = {"LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment = os.environ | own
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.zygote"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        found = Lab(inputs, process)
        for_training = Trial(found, COMMANDS[0], inputs / "tiled").run()
        assert for_training["codes"] == [0], for_training
        yield found
        process.stdin.close()


def make_inputs(folder: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 200, (len(BAND_NAMES), SIDE, SIDE)).astype(np.uint8)
    write_raster(folder / "scene.tif", pixels, names=BAND_NAMES, block_px=32)
    corners = [(500_000 + 12 * col, 5_199_990 - 12 * row) for col in range(8) for row in range(8)]
    squares = [shapely.box(x, y, x + 6, y + 6) for x, y in corners]
    write_polygons(folder / "roofs.gpkg", squares, kind=["roof"] * len(squares))
    tiny_bundle(load_task("segmentation"), folder / "model.eodl")
    config = {
        "task": "segmentation",
        "task_options": tiny_network("segmentation"),
        "epochs": 2,
        "min_steps": 2,
        "batch_size": 4,
        "checkpoint_steps": 2,
        "lr": 0.003,
        "baselines": False,
        "cache": "off",
        "workers": 0,
    }
    (folder / "train.yaml").write_text(yaml.safe_dump(config))


def made(folder: Path) -> dict[str, str]:
    """What a command has made: a hash per file; of a model that of its weights, as it holds times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith("model.run/"):
            found[name] = content_hash(path)
    return found


def content_hash(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".eodl":
        with zipfile.ZipFile(path) as archive:
            data = archive.read("weights.safetensors")
    return hashlib.sha256(data).hexdigest()


class Trial:
    """A command in a folder of its own, run with a fault and then without."""

    def __init__(self, lab: Lab, command: Command, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.args = command.for_folder(lab.inputs, folder)
        folder.mkdir()

    def run(self, mode: int = 0, at: int = 0, error: int = 0, together: int = 1) -> dict[str, Any]:
        """Run it; exit codes, standard error and the number of calls that counted."""
        request = {"args": self.args, "folder": str(self.folder), "mode": mode, "at": at, "error": error}
        return self.lab.run(request | {"together": together})


def places(count: int, wanted: int) -> list[int]:
    """Places among `count`, the last ones of all: there outputs get their names."""
    if EVERY or count <= wanted:
        return list(range(1, count + 1))
    return sorted({round(value) for value in np.linspace(1, count, wanted)})


def is_one_line(text: str) -> bool:
    errors = [line for line in text.splitlines() if line.lower().startswith("error")]
    return len(errors) == 1 and "Traceback" not in text


def without_faults(lab: Lab, command: Command, tmp_path: Path, mode: int) -> tuple[dict[str, str], int]:
    trial = Trial(lab, command, tmp_path / "expected")
    answer = trial.run(mode)
    assert answer["codes"] == [0], answer["errors"][0]
    assert answer["counted"] > 5
    return made(trial.folder), answer["counted"]


def check_again(trial: Trial, expected: dict[str, str], where: str) -> None:
    """The same command ends well, or says that an output is there, which is whole then.

    Of several outputs, one may be finished and the others not: `--overwrite` makes all of them then.
    """
    answer = trial.run()
    if answer["codes"] != [0]:
        text = answer["errors"][0]
        assert answer["codes"] == [2] and is_one_line(text) and "exists already" in text, f"{where}: {text}"
        left = {name: value for name, value in made(trial.folder).items() if ".part.d/" not in name}
        assert left.items() <= expected.items(), f"{where}: {text}"
        if left == expected:
            return
        trial.args.append("--overwrite")
        assert trial.run()["codes"] == [0], where
    assert made(trial.folder) == expected, where


@EVERY_COMMAND
def test_killed_at_any_file_changing_call(lab: Lab, command: Command, tmp_path: Path) -> None:
    expected, count = without_faults(lab, command, tmp_path, COUNT_ALL)
    for place in places(count, command.places):
        trial = Trial(lab, command, tmp_path / str(place))
        answer = trial.run(KILL, place)
        where = f"{command.name}, killed at call {place} of {count}"
        assert answer["codes"][0] in (-9, 0), f"{where}: {answer}"
        check_again(trial, expected, where)
        shutil.rmtree(trial.folder)


@EVERY_COMMAND
@pytest.mark.parametrize(
    ("mode", "error"), [(FAIL_ONCE, errno.EIO), (FAIL_FROM, errno.ENOSPC)], ids=["EIO once", "disk full"]
)
def test_failed_write_is_told_or_harmless(
    lab: Lab, command: Command, tmp_path: Path, mode: int, error: int
) -> None:
    expected, count = without_faults(lab, command, tmp_path, COUNT_WRITES)
    for place in places(count, command.places):
        trial = Trial(lab, command, tmp_path / str(place))
        answer = trial.run(mode, place, error)
        where = f"{command.name}, {errno.errorcode[error]} at write {place} of {count}"
        if answer["codes"] == [0]:
            assert made(trial.folder) == expected, where
        else:
            assert answer["codes"][0] in (1, 2) and is_one_line(answer["errors"][0]), f"{where}: {answer}"
            check_again(trial, expected, where)
        shutil.rmtree(trial.folder)


@EVERY_COMMAND
def test_two_writers_of_one_output(lab: Lab, command: Command, tmp_path: Path) -> None:
    expected, _ = without_faults(lab, command, tmp_path, COUNT_ALL)
    trial = Trial(lab, command, tmp_path / "together")
    answer = trial.run(together=2)
    assert sorted(answer["codes"]) == [0, 2], answer
    refused = answer["errors"][answer["codes"].index(2)]
    assert is_one_line(refused) and ("is being written by" in refused or "exists already" in refused)
    assert made(trial.folder) == expected
