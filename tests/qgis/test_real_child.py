"""The plug-in's runner with the real command line at work: a training that would take days is cancelled, and
one whose QGIS is killed ends.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from eo_dl_qgis import runner

from eo_dl.chips.tile import tile
from eo_dl.labels.reading import read_labels

HERE = Path(__file__).resolve().parent
PLUGINS = HERE.parents[1] / "eo_dl" / "qgis"


@pytest.fixture(scope="module")
def endless(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Words of a training that does not end by itself."""
    folder = tmp_path_factory.mktemp("endless")
    labels = read_labels(sample_data / "train_labels.gpkg", layer="landcover", class_field="class_name")
    tile(sample_data / "train.tif", labels, out=folder / "chips", size_px=96)
    quick = (
        "min_steps=1",
        "baselines=false",
        "patience=null",
        "task_options.decoder_channels=[16,16,16,16,16]",
        "task_options.backbone=test_resnet",
    )
    settings = [word for setting in quick for word in ("--set", setting)]
    return [
        "train",
        "--progress=json",
        "--overwrite",
        "--task=segmentation",
        "--epochs=1000000",
        *settings,
        f"--out={folder / 'model.eodl'}",
        "--",
        str(folder / "chips"),
    ]


class CancelsAtWork(runner.Listener):  # type: ignore[misc]
    """Cancels once the first steps are done: deep in torch, not while libraries are loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.at_work: list[psutil.Process] = []
        # Children of tests before this one, such as the resource tracker of multiprocessing.
        self._others = set(psutil.Process().children(recursive=True))

    def is_cancelled(self) -> bool:
        return bool(self.at_work)

    def progress(self, what: str, done: int, total: int) -> None:
        if what == "steps" and done and not self.at_work:
            children = psutil.Process().children(recursive=True)
            self.at_work = [child for child in children if child not in self._others]


@pytest.mark.slow
def test_a_training_that_is_cancelled_is_gone_and_leaves_no_model(endless: list[str]) -> None:
    listener = CancelsAtWork()
    with pytest.raises(runner.Cancelled):
        runner.run(sys.executable, endless, listener)
    assert listener.at_work, "it was at work"
    assert not [
        process
        for process in listener.at_work
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]
    assert not Path(
        next(word for word in endless if word.startswith("--out=")).removeprefix("--out=")
    ).exists()


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform == "win32",
    reason="there the system ends the child with the pipe; this test kills as POSIX does",
)
def test_a_training_whose_qgis_is_killed_ends(endless: list[str]) -> None:
    """A program that uses the plug-in's runner is killed dead in the middle of a training: nothing of it goes
    on.
    """
    program = f"""
import sys
sys.path.insert(0, {str(PLUGINS)!r})
from eo_dl_qgis import runner
class Listener(runner.Listener):
    def progress(self, what, done, total):
        if what == "steps" and done:
            print("at work", flush=True)
runner.run({sys.executable!r}, {endless!r}, Listener())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
