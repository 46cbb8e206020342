"""Makes the pictures of docs/qgis.md with the QGIS desktop on a virtual screen (needs QGIS and xvfb).

    make demo
    python docs/tools/make_screenshots.py [DEMO [TASK...]]

QGIS runs with the plug-in in a profile of its own, on copies of the sample scenes and with the models
and chips of the demo. A script plays the reviewer of the detected
trees: it knows the reference of the second scene.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
WIDEST_PX = 1200
COLORS = 128
EPOCHS = 6
SAMPLES = ("train.tif", "test.tif", "train_labels.gpkg", "test_labels.gpkg")


@dataclass(frozen=True)
class Session:
    """What is shown of one task."""

    name: str
    suffix: str
    pictures: tuple[str, ...]


SESSIONS = {
    "detection": Session("trees", ".gpkg", ("chips", "dialog", "review", "retrain", "scores")),
    "segmentation": Session("landcover", ".tif", ("result",)),
}


def main(demo: Path, tasks: list[str]) -> None:
    """Write docs/images/qgis-NAME.png from the folder of the demo."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "config" / "profiles" / "default").mkdir(parents=True)
        (work / "xdg").mkdir(mode=0o700)
        environment = _environment(work)
        install = [sys.executable, "-m", "eo_dl_cli", "qgis", "install", "-q"]
        subprocess.run(install, env=environment, check=True, cwd=ROOT)
        for task in tasks:
            session = SESSIONS[task]
            folder = work / task
            folder.mkdir()
            settings = _settings(task, session, demo, folder)
            _run_desktop(work, environment | {"EO_DL_WINDOW": json.dumps(settings)}, folder)
            for picture in session.pictures:
                _keep(folder / f"{picture}.png", picture)


def _environment(work: Path) -> dict[str, str]:
    """This process's variables without its Python, which QGIS would load, with folders of their own."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") and name != "VIRTUAL_ENV"
    }
    folders = variables.get("PATH", "").split(os.pathsep)
    own = str(Path(sys.executable).parent)
    return variables | {
        "PATH": os.pathsep.join(folder for folder in folders if folder != own),
        "XDG_RUNTIME_DIR": str(work / "xdg"),
        "QGIS_CUSTOM_CONFIG_PATH": str(work / "config"),
        "QT_QPA_PLATFORM": "xcb",
    }


def _settings(task: str, session: Session, demo: Path, folder: Path) -> dict[str, object]:
    """What tests/qgis/window.py needs to know; copies its files into the folder."""
    for name in SAMPLES:
        shutil.copy(ROOT / "sample_data" / name, folder / name)
    shutil.copytree(demo / task / "chips", folder / "chips")
    model = folder / f"{session.name}.eodl"
    shutil.copy(demo / task / "model.eodl", model)
    settings: dict[str, object] = {
        "python": sys.executable,
        "scene": str(folder / "test.tif"),
        "model": str(model),
        "out": str(folder / f"{session.name}{session.suffix}"),
        "pictures": str(folder),
        "chips": str(folder / "chips" / "chips.gpkg"),
    }
    if task == "detection":
        settings["retrain"] = {
            "chips": str(folder / "chips"),
            "labels": str(folder / "train_labels.gpkg"),
            "truth": str(folder / "test_labels.gpkg"),
            "epochs": EPOCHS,
        }
    return settings


def _run_desktop(work: Path, environment: dict[str, str], folder: Path) -> None:
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24"]
    profile = ["--profiles-path", str(work / "config"), "--profile", "default"]
    script = ["--code", str(ROOT / "tests" / "qgis" / "window.py")]
    command = [*screen, "qgis.bin", "--noversioncheck", "--nologo", *profile, *script]
    done = subprocess.run(command, env=environment, check=False)
    if done.returncode:
        error = folder / "error.txt"
        raise SystemExit(error.read_text() if error.exists() else f"QGIS ended with {done.returncode}")


def _keep(source: Path, name: str) -> None:
    picture = Image.open(source).convert("RGB")
    if picture.width > WIDEST_PX:
        picture = picture.resize((WIDEST_PX, round(picture.height * WIDEST_PX / picture.width)))
    target = ROOT / "docs" / "images" / f"qgis-{name}.png"
    picture.quantize(COLORS).save(target, optimize=True)
    print(target.relative_to(ROOT))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "demo", sys.argv[2:] or list(SESSIONS))
