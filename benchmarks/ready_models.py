"""Train the four small ready models and put them on a shelf.

    EO_DL_REAL_DATA=/path/to/scenes python benchmarks/ready_models.py SHELF [--model NAME ...] [--minutes 8]

Each is trained on real scenes whose licence allows it, with the defaults and a stated time, and scored on
blocks that it was not trained on. SHELF can then be named in EO_DL_SHELVES, or be put on a web server:

    eo-dl model list --shelf SHELF
    EO_DL_SHELVES=SHELF eo-dl predict roofs_aerial_1m town.tif -o roofs.tif
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from real_data import CASES, DATA, Case  # beside this file

from eo_dl.shelving import describe, write_shelf


@dataclass(frozen=True)
class Ready:
    """A model of the shelf."""

    name: str
    case: str
    """The data set and task, a case of benchmarks/real_data.py."""
    licence: str
    about: str
    """What it maps, and where it fails."""


MODELS = (
    Ready(
        "roofs_aerial_1m",
        "mass-segmentation",
        "MIT; trained on imagery of MassGIS (public) and labels from OpenStreetMap (V. Mnih, 2013)",
        "Buildings in aerial RGB of 1 m, learnt on one suburb in Massachusetts. Large flat roofs and other "
        "styles of building are missed; bright ground and car parks are taken for roofs.",
    ),
    Ready(
        "water_sentinel2",
        "boadella-segmentation",
        "MIT; trained on modified Copernicus Sentinel data and labels of EarthPulse (MIT)",
        "Open water in Sentinel-2 L2A, 12 bands, learnt on one Spanish reservoir at three dates without "
        "clouds. Clouds, snow, shadow of mountains and narrow rivers are not known to it.",
    ),
    Ready(
        "trees_aerial_10cm",
        "neon-detection",
        "MIT; trained on imagery of NEON (public) and boxes of NeonTreeEvaluation (Weecology)",
        "Crowns of trees as boxes in aerial RGB of 10 cm (resampled to 20 cm), learnt on four forests in the "
        "USA. Crowns that touch are often one box; shrubs and shadow are taken for trees.",
    ),
    Ready(
        "landcover_rgb",
        "dubai-segmentation",
        "MIT; trained on scenes of Humans in the Loop and MBRSC (CC0 as the publisher's page states)",
        "Building, land, road, vegetation and water in RGB of a desert city. Green is rare there: woods and "
        "fields of other climates are not known to it, and its scenes state no ground resolution.",
    ),
)


def eo_dl(*arguments: str) -> dict[str, object]:
    """Run a command with `--json`; a failed one ends the script."""
    command = [sys.executable, "-m", "eo_dl_cli", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(arguments)}\n{done.stderr[-2000:]}")
    result: dict[str, object] = json.loads(done.stdout)
    return result


def train_onto(shelf: Path, ready: Ready, minutes: float) -> None:
    """Cut the chips of a model, train it, and leave it on the shelf."""
    case = next(case for case in CASES if case.name == ready.case)
    with tempfile.TemporaryDirectory() as folder:
        chips, model = Path(folder) / "chips", Path(folder) / f"{ready.name}.eodl"
        eo_dl("tile", *_inputs(case), "-o", str(chips), *_words(case.tile))
        eo_dl(
            "train",
            str(chips),
            "--task",
            case.task,
            "--minutes",
            str(minutes),
            "-o",
            str(model),
            "--set",
            f"licence={json.dumps(ready.licence)}",
        )
        model.replace(shelf / model.name)


def _inputs(case: Case) -> list[str]:
    labels = [word for path in case.labels for word in ("--labels", path.format(data=DATA))]
    return [*(path.format(data=DATA) for path in case.scenes), *labels]


def _words(options: str) -> list[str]:
    return [word.format(data=DATA) for word in options.split()]


def main() -> None:
    """Train what is asked for, list all, and say how good each is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("shelf", type=Path)
    parser.add_argument("--model", action="append", choices=[ready.name for ready in MODELS])
    parser.add_argument("--minutes", type=float, default=8.0)
    options = parser.parse_args()
    options.shelf.mkdir(parents=True, exist_ok=True)
    for ready in MODELS:
        if options.model is None or ready.name in options.model:
            train_onto(options.shelf, ready, options.minutes)
    index = write_shelf(options.shelf, {ready.name: ready.about for ready in MODELS})
    for model in index.models:
        print(f"{model.name}: {describe(model)}; {model.size / 1e6:.0f} MB; {model.licence}")


if __name__ == "__main__":
    main()
