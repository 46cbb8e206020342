"""The pictures of docs/qgis.md: `make demo`, then `python docs/tools/make_screenshots.py [DEMO [TASK]]` (needs QGIS
and xvfb, see docs/qgis.md).

Runs the QGIS desktop on a virtual screen with the plug-in installed in a profile of its own, on copies of the
sample scenes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
WIDEST = 1200
NAMES = {"detection": "trees", "segmentation": "landcover"}
EPOCHS = 6
SUFFIXES = {"detection": ".gpkg", "segmentation": ".tif"}
PICTURES = {"detection": ("chips", "dialog", "review", "retrain", "scores"), "segmentation": ("result",)}


def main(demo: Path, tasks: list[str]) -> None:
    """Write docs/images/qgis-NAME.png from the models and chips of the demo's folder. The reviewer of the detected
    trees is the truth of the second scene.
    """
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "config" / "profiles" / "default").mkdir(parents=True)
        (work / "xdg").mkdir(mode=0o700)
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("PYTHON") and key != "VIRTUAL_ENV"
        }
        environment |= {"XDG_RUNTIME_DIR": str(work / "xdg"), "QGIS_CUSTOM_CONFIG_PATH": str(work / "config")}
        subprocess.run(
            [sys.executable, "-m", "eo_dl_cli", "qgis", "install", "-q"],
            env=environment,
            check=True,
            cwd=ROOT,
        )
        for task, suffix in ((task, SUFFIXES[task]) for task in tasks):
            pictures = work / task
            pictures.mkdir()
            for name in ("train.tif", "test.tif", "train_labels.gpkg", "test_labels.gpkg"):
                shutil.copy(ROOT / "sample_data" / name, pictures / name)
            shutil.copytree(demo / task / "chips", pictures / "chips")
            shutil.copy(demo / task / "model.eodl", pictures / f"{NAMES[task]}.eodl")
            given = {"python": sys.executable, "scene": str(pictures / "test.tif"), "model": str(pictures / f"{NAMES[task]}.eodl"), "out": str(pictures / f"{NAMES[task]}{suffix}"),
                     "pictures": str(pictures), "chips": str(pictures / "chips" / "chips.gpkg")}  # fmt: skip
            if task == "detection":
                given["retrain"] = {
                    "chips": str(pictures / "chips"),
                    "labels": str(pictures / "train_labels.gpkg"),
                    "truth": str(pictures / "test_labels.gpkg"),
                    "epochs": EPOCHS,
                }
            _desktop(
                work, {**environment, "QT_QPA_PLATFORM": "xcb", "EO_DL_WINDOW": json.dumps(given)}, pictures
            )
            for picture in PICTURES[task]:
                _keep(pictures / f"{picture}.png", picture)


def _desktop(work: Path, environment: dict[str, str], pictures: Path) -> None:
    command = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24", "qgis.bin", "--noversioncheck", "--nologo", "--profiles-path", str(work / "config"), "--profile", "default",
               "--code", str(ROOT / "tests" / "qgis" / "window.py")]  # fmt: skip
    done = subprocess.run(command, env=environment, check=False)
    if done.returncode:
        raise SystemExit(
            (pictures / "error.txt").read_text()
            if (pictures / "error.txt").exists()
            else f"QGIS ended with {done.returncode}"
        )


def _keep(source: Path, name: str) -> None:
    picture = Image.open(source).convert("RGB")
    if picture.width > WIDEST:
        picture = picture.resize((WIDEST, round(picture.height * WIDEST / picture.width)))
    picture.quantize(128).save(ROOT / "docs" / "images" / f"qgis-{name}.png", optimize=True)
    print(f"docs/images/qgis-{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "demo"), sys.argv[2:] or list(PICTURES))
