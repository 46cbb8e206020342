"""The main job on real scenes: tile, train, predict, evaluate on held-out blocks, beside the baselines.

    python benchmarks/real_data.py [NAME ...]     (default: all)

Runs the same commands as a person would, one after the other, and writes benchmarks/real_data.md with
commands, scores with their 95 % intervals, baselines, minutes and peak memory. Scenes: EO_DL_REAL_DATA,
default ../shared/data. Pictures of every map over its scene land in benchmarks/cache/real_data/NAME/.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("EO_DL_REAL_DATA", ROOT.parent / "shared" / "data"))
WORK = ROOT / "benchmarks" / "cache" / "real_data"
RESULTS = WORK / "results.json"
REPORT = ROOT / "benchmarks" / "real_data.md"


@dataclass(frozen=True)
class Case:
    """One data set and one task.

    Options are written as they are typed; `{data}` in them and in paths is the folder of the real scenes.
    """

    name: str
    task: str
    scenes: tuple[str, ...]
    labels: tuple[str, ...]
    tile: str = ""
    train: str = ""
    predict: str = ""
    suffix: str = ".tif"
    evaluate: str = ""


# The defaults, with a stated time.
SHORT = "--minutes 8"
IMAGES = "--minutes 3"

# One small scene has few blocks; smaller and more blocks for testing make intervals that mean something.
# Chips of two splits share no ground, but may touch (--guard-px 0): a guard as wide as a chip around small
# blocks would leave hardly any chips.
SMALL_BLOCKS = "--guard-px 0 --split 55,15,30"


def _ships() -> tuple[str, ...]:
    """Stems of the scenes with a single ship; those with several are for detection."""
    found = {
        path: json.loads(path.read_text())["features"]
        for path in sorted((DATA / "s2-ships").glob("*_labels.geojson"))
    }
    return tuple(
        path.name.removesuffix("_labels.geojson")
        for path, features in found.items()
        if [f["geometry"]["type"] for f in features] == ["Polygon"]
    )


BANEPA = "--gsd 0.26 --size 192 --block-m 80"
BUILDINGS = "--class-field none --classes building"
WATER_LABELS = "--class-field labels --where tasks=segmentation"
WATER_DATES = ("2020-06-21", "2020-09-14", "2021-07-16")
WATER_SCENES = tuple(f"{{data}}/boadella-water/Boadella_{date}.tif" for date in WATER_DATES)
WATER = tuple(f"{{data}}/boadella-water/Boadella_{date}_labels.geojson" for date in WATER_DATES)
VISIBLE = "-b blue=2,green=3,red=4"
NEON_SITES = ("HARV", "OSBS", "SJER", "TEAK")
ROOFS = "--class-field roof:material --classes concrete=concrete|concerte,tin=tin|metal,clay=clay_tiles"
FIELDS = "{data}/orthoseg-fields/fields_BEFL-s2-fields-2023"
DUBAI_TILES = (1, 2, 3, 4, 6)
DUBAI_CLASSES = (
    "--classes building=#3C1098,land=#8429F6,road=#6EC1E4,vegetation=#FEDD3A,water=#E2A929,-#9B9B9B"
)

CASES = (
    Case(
        "banepa-segmentation",
        "segmentation",
        scenes=("{data}/banepa-buildings/banepa_oam_3072x4096.vrt",),
        labels=("{data}/banepa-buildings/osm",),
        tile=f"{BUILDINGS} {BANEPA} --nodata none --overlap 96 {SMALL_BLOCKS}",
        train=SHORT,
        evaluate=BUILDINGS,
    ),
    Case(
        "mass-segmentation",
        "segmentation",
        scenes=("{data}/mass-buildings/22978945_15.tif",),
        labels=("{data}/mass-buildings/22978945_15.gpkg",),
        tile=f"{BUILDINGS} --size 128 --overlap 64 --block-m 192 {SMALL_BLOCKS}",
        train=SHORT,
        evaluate=BUILDINGS,
    ),
    Case(
        "boadella-segmentation",
        "segmentation",
        scenes=WATER_SCENES,
        labels=WATER,
        tile=f"{WATER_LABELS} --size 64 --overlap 32 --block-m 960 {SMALL_BLOCKS}",
        train=SHORT,
        evaluate=WATER_LABELS,
    ),
    # With twelve bands a single pixel says all that a network could learn. With the visible ones, water must
    # be distinguished from shadow and dark woods.
    Case(
        "boadella-visible",
        "segmentation",
        scenes=WATER_SCENES,
        labels=WATER,
        tile=f"{VISIBLE} {WATER_LABELS} --size 64 --overlap 32 --block-m 960 {SMALL_BLOCKS}",
        train="--minutes 5",
        predict=VISIBLE,
        evaluate=WATER_LABELS,
    ),
    Case(
        "neon-detection",
        "detection",
        scenes=tuple(f"{{data}}/neon-trees/{site}" for site in NEON_SITES),
        labels=tuple(f"{{data}}/neon-trees/{site}/annotations" for site in NEON_SITES),
        tile="--classes Tree=Tree|Tree\\ --gsd 0.2 --size 100 --split 60,20,20",
        train=SHORT,
        suffix=".gpkg",
        evaluate="--classes Tree=Tree|Tree\\",
    ),
    Case(
        "banepa-detection",
        "detection",
        scenes=("{data}/banepa-buildings/oam",),
        labels=("{data}/banepa-buildings/detection_labels.json",),
        tile=f"{BANEPA} --overlap 64 {SMALL_BLOCKS}",
        train=SHORT,
        suffix=".gpkg",
    ),
    # The ship is in the middle of every scene: windows of 64 px at random offsets, and whole scenes to each
    # split.
    Case(
        "ships-localization",
        "localization",
        scenes=tuple(f"{{data}}/s2-ships/{stem}.tif" for stem in _ships()),
        labels=tuple(f"{{data}}/s2-ships/{stem}_labels.geojson" for stem in _ships()),
        tile=f"--class-field labels --sampling single --size 64 --count 460 --split-by scene {SMALL_BLOCKS}",
        train=SHORT,
        suffix=".gpkg",
        evaluate="--class-field labels",
    ),
    # One image with 37 trees: whether two classes of boxes are read and learnt, not how well.
    Case(
        "soap-detection",
        "detection",
        scenes=("{data}/soap-alive-dead/SOAP_061.png",),
        labels=("{data}/soap-alive-dead/testfile_multi.csv",),
        tile="--size 100 --overlap 50 --guard-px 0 --split 50,20,30",
        train="--minutes 4",
        suffix=".gpkg",
    ),
    # Whole images. Only the names of the fAIr tiles say where they lie, so neighbours may be in two splits:
    # with --split-by scene every tile is its own ground.
    Case(
        "fair-classification",
        "classification",
        scenes=("{data}/fair-xyz-regions",),
        labels=("{data}/fair-xyz-regions/tiles.csv",),
        tile="--class-field region --split-by scene --split 60,20,20",
        train=IMAGES,
        suffix=".csv",
        evaluate="--class-field region",
    ),
    Case(
        "fair-building",
        "classification",
        scenes=("{data}/fair-xyz-regions",),
        labels=("{data}/fair-xyz-regions/tiles.csv",),
        tile="--class-field building_presence --split-by scene --split 60,20,20",
        train=IMAGES,
        suffix=".csv",
        evaluate="--class-field building_presence",
    ),
    Case(
        "neon-classification",
        "classification",
        scenes=("{data}/neon-trees",),
        labels=("{data}/neon-trees",),
        tile="--size 100 --split-by scene --split 60,20,20",
        train=IMAGES,
        suffix=".csv",
    ),
    Case(
        "eurosat-classification",
        "classification",
        scenes=("{data}/eurosat-small/rgb",),
        labels=("{data}/eurosat-small/rgb",),
        tile="--split 60,20,20",
        train=IMAGES,
        suffix=".csv",
    ),
    Case(
        "eurosat-bands-classification",
        "classification",
        scenes=("{data}/eurosat-small/ms",),
        labels=("{data}/eurosat-small/ms",),
        tile="--split 60,0,40",
        train="--network small_cnn --epochs 10",
        suffix=".csv",
    ),
    Case(
        "soap-detection-retinanet",
        "detection",
        scenes=("{data}/soap-alive-dead/SOAP_061.png",),
        labels=("{data}/soap-alive-dead/testfile_multi.csv",),
        tile="--size 100 --overlap 50 --guard-px 0 --split 50,20,30",
        train="--network retinanet --minutes 4",
        suffix=".gpkg",
    ),
    Case(
        "banepa-instances",
        "instances",
        scenes=("{data}/banepa-buildings/banepa_oam_3072x4096.vrt",),
        labels=("{data}/banepa-buildings/osm",),
        tile=f"{ROOFS} {BANEPA} --nodata none --overlap 64 {SMALL_BLOCKS}",
        train="--minutes 5",
        suffix=".gpkg",
        evaluate=ROOFS,
    ),
    Case(
        "mass-instances",
        "instances",
        scenes=("{data}/mass-buildings/22978945_15.tif",),
        labels=("{data}/mass-buildings/22978945_15.gpkg",),
        tile=f"{BUILDINGS} --size 128 --overlap 32 --block-m 192 {SMALL_BLOCKS}",
        train="--minutes 5",
        suffix=".gpkg",
        evaluate=BUILDINGS,
    ),
    Case(
        "orthoseg-instances",
        "instances",
        scenes=("{data}/orthoseg-fields/BEFL-TEST-s2_2023-05-01_2023-07-01_B08-B04-B03_min_byte.tif",),
        labels=(f"{FIELDS}_polygons.gpkg",),
        tile=(
            f"--class-field label_name --annotated {FIELDS}_locations.gpkg "
            f"--size 64 --overlap 32 --block-m 640 {SMALL_BLOCKS}"
        ),
        train="--minutes 5",
        suffix=".gpkg",
        evaluate=f"--class-field label_name --aoi {FIELDS}_locations.gpkg",
    ),
    Case(
        "dubai-segmentation",
        "segmentation",
        scenes=tuple(f"{{data}}/dubai-semseg/Tile {number}/images" for number in DUBAI_TILES),
        labels=tuple(f"{{data}}/dubai-semseg/Tile {number}/masks" for number in DUBAI_TILES),
        tile=f"{DUBAI_CLASSES} --size 192 --split 60,15,25 --split-by scene",
        train=SHORT,
        evaluate=DUBAI_CLASSES,
    ),
    Case(
        "baker-segmentation",
        "segmentation",
        scenes=(
            "{data}/baker-landcover/23322E759967N_clipped_1m_1of2.tif",
            "{data}/baker-landcover/23322E759967N_clipped_1m_2of2.tif",
        ),
        labels=("{data}/baker-landcover/BakerLake_2017_clipped.gpkg",),
        tile=f"--class-field Quatreclasses --size 64 --overlap 32 --block-m 48 {SMALL_BLOCKS}",
        train="--minutes 5",
        evaluate="--class-field Quatreclasses",
    ),
)


@dataclass(frozen=True)
class Done:
    """One finished command: what it was, its result, wall seconds and peak memory of the process, MB."""

    command: str
    result: dict[str, object]
    seconds: float
    peak_mb: float


def run(arguments: Sequence[str]) -> Done:
    """Run `eo-dl ARGUMENTS --json`; a failed command ends the benchmark."""
    command = [str(Path(sys.executable).parent / "eo-dl"), *arguments, "--json"]
    shown = "eo-dl " + " ".join(a.replace(str(DATA), "$DATA").replace(str(WORK), "$WORK") for a in arguments)
    print(shown, flush=True)
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed ({process.returncode}): {shown}")
    return Done(shown, json.loads(output), time.monotonic() - started, usage.ru_maxrss / 1024)


def _paths(paths: Sequence[str]) -> list[str]:
    return [path.format(data=DATA) for path in paths]


def _words(options: str) -> list[str]:
    # Split first: the folder of the data may have a space in its name.
    return _paths(options.split())


def walk(case: Case) -> dict[str, object]:
    """All four commands for one case; returns what the report needs."""
    folder = WORK / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    chips, model, report = str(folder / "chips"), str(folder / "model.eodl"), str(folder / "report")
    scenes, labels = _paths(case.scenes), _paths(case.labels)
    label_options = [word for path in labels for word in ("--labels", path)]
    tiled = run(["tile", *scenes, *label_options, "-o", chips, *_words(case.tile)])
    trained = run(["train", chips, "--task", case.task, "-o", model, *_words(case.train)])
    one_file = case.suffix == ".csv" or (len(scenes) == 1 and Path(scenes[0]).is_file())
    out = str(folder / (f"map{case.suffix}" if one_file else "maps"))
    predicted = run(["predict", model, *scenes, "-o", out, *_words(case.predict)])
    test_chips = ["--chips", chips, "--split", "test"]
    evaluated = run(["evaluate", out, *labels, "-o", report, *test_chips, *_words(case.evaluate)])
    draw(case, predicted.result, folder)
    steps = (tiled, trained, predicted, evaluated)
    return {"name": case.name, "steps": [vars(step) for step in steps]}


def draw(case: Case, predicted: dict[str, object], folder: Path) -> None:
    """Pictures of the first maps: scene, truth, prediction. Of images that are classified as wholes training
    has drawn some already.
    """
    if case.suffix == ".csv":
        shutil.copy(folder / "model.run" / "preview.png", folder / "picture.png")
        return
    import eo_dl as eo
    from eo_dl.evaluation.pictures import side_by_side

    words = _words(case.evaluate)
    options = dict(zip(words[::2], words[1::2], strict=True))
    truth = eo.read_labels(
        _paths(case.labels),
        class_field=options.get("--class-field"),
        classes=options.get("--classes"),
        where=options.get("--where"),
    )
    classes = eo.load_model(folder / "model.eodl").classes
    parts: list[Any] = predicted.get("parts") or [predicted]  # type: ignore[assignment]
    for number, part in enumerate(parts[:6]):
        scene = eo.open_scene(part["scene"])
        side_by_side(
            scene,
            part["output"],
            classes,
            truth=truth,
            out=folder / f"picture_{number}_{scene.stem}.png",
            overwrite=True,
        )


def machine() -> str:
    """The machine in words."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}"


def main(names: Sequence[str]) -> None:
    """Run the cases named (default all), keep what earlier runs found of the others, write the report."""
    WORK.mkdir(parents=True, exist_ok=True)
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for case in CASES:
        if not names or case.name in names:
            found[case.name] = {**walk(case), "date": datetime.date.today().isoformat(), "machine": machine()}
            RESULTS.write_text(json.dumps(found, indent=1))
    from real_data_report import write_report  # beside this file

    write_report(found, REPORT)


if __name__ == "__main__":
    main(sys.argv[1:])
