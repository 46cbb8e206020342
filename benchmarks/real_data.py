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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("EO_DL_REAL_DATA", ROOT.parent / "shared" / "data"))
WORK = ROOT / "benchmarks" / "cache" / "real_data"
RESULTS = WORK / "results.json"
REPORT = ROOT / "benchmarks" / "real_data.md"


@dataclass(frozen=True)
class Case:
    """One data set and one task; `{data}` in arguments is the folder of the real scenes."""

    name: str
    task: str
    scenes: tuple[str, ...]
    labels: tuple[str, ...]
    tile: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    predict: tuple[str, ...] = ()
    suffix: str = ".tif"
    evaluate: tuple[str, ...] = field(default=())


# A small backbone and a thin decoder: on two CPU cores more steps in the minutes given are worth more than a
# larger network.
SHORT = ("--set", "max_minutes=8", "--backbone", "resnet10t", "--lr", "0.002", "--epochs", "60")
LIGHT = (*SHORT, "--set", "task_options.decoder_channels=[64,48,32,16,16]")
BOXES = (
    *SHORT,
    "--batch-size",
    "4",
    "--set",
    "patience=null",
    "--set",
    "task_options.pyramid_channels=64",
    "--set",
    "task_options.proposals=200",
)
OUTLINES = (
    *BOXES,
    "--set",
    "task_options.mask_channels=64",
    "--set",
    "task_options.mask_layers=2",
    "--set",
    "max_minutes=5",
)
IMAGES = (*SHORT, "--set", "max_minutes=3")


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


# One small scene has few blocks; smaller ones, and more of them for testing, make intervals that say
# something. Chips of two splits share no
# ground, but may touch (--guard-px 0): a guard of a chip around small blocks would leave hardly any chip.
CASES = (
    Case("banepa-segmentation", "segmentation", ("{data}/banepa-buildings/banepa_oam_3072x4096.vrt",), ("{data}/banepa-buildings/osm",),
         ("--class-field", "none", "--classes", "building", "--gsd", "0.26", "--nodata", "none", "--size", "192", "--overlap", "96", "--block-m", "80", "--guard-px", "0", "--split", "55,15,30"), LIGHT, evaluate=("--class-field", "none", "--classes", "building")),
    Case("mass-segmentation", "segmentation", ("{data}/mass-buildings/22978945_15.tif",), ("{data}/mass-buildings/22978945_15.gpkg",),
         ("--class-field", "none", "--classes", "building", "--size", "128", "--overlap", "64", "--block-m", "192", "--guard-px", "0", "--split", "55,15,30"), LIGHT, evaluate=("--class-field", "none", "--classes", "building")),
    Case("boadella-segmentation", "segmentation",
         tuple(f"{{data}}/boadella-water/Boadella_{d}.tif" for d in ("2020-06-21", "2020-09-14", "2021-07-16")),
         tuple(f"{{data}}/boadella-water/Boadella_{d}_labels.geojson" for d in ("2020-06-21", "2020-09-14", "2021-07-16")),
         ("--class-field", "labels", "--where", "tasks=segmentation", "--size", "64", "--overlap", "32", "--block-m", "960", "--guard-px", "0", "--split", "55,15,30"), LIGHT, evaluate=("--class-field", "labels", "--where", "tasks=segmentation")),
    # Twelve bands leave nothing to a network that one pixel does not say; with the visible ones water must be
    # told from shadow and dark woods.
    Case("boadella-visible", "segmentation",
         tuple(f"{{data}}/boadella-water/Boadella_{d}.tif" for d in ("2020-06-21", "2020-09-14", "2021-07-16")),
         tuple(f"{{data}}/boadella-water/Boadella_{d}_labels.geojson" for d in ("2020-06-21", "2020-09-14", "2021-07-16")),
         ("-b", "blue=2,green=3,red=4", "--class-field", "labels", "--where", "tasks=segmentation", "--size", "64", "--overlap", "32", "--block-m", "960", "--guard-px", "0", "--split", "55,15,30"), (*LIGHT, "--set", "max_minutes=5"), ("-b", "blue=2,green=3,red=4"), evaluate=("--class-field", "labels", "--where", "tasks=segmentation")),
    Case("neon-detection", "detection", tuple(f"{{data}}/neon-trees/{site}" for site in ("HARV", "OSBS", "SJER", "TEAK")),
         tuple(f"{{data}}/neon-trees/{site}/annotations" for site in ("HARV", "OSBS", "SJER", "TEAK")), ("--classes", "Tree=Tree|Tree\\", "--gsd", "0.2", "--size", "100", "--split", "60,20,20"), BOXES, suffix=".gpkg", evaluate=("--classes", "Tree=Tree|Tree\\")),
    Case("banepa-detection", "detection", ("{data}/banepa-buildings/oam",), ("{data}/banepa-buildings/detection_labels.json",),
         ("--gsd", "0.26", "--size", "192", "--overlap", "64", "--block-m", "80", "--guard-px", "0", "--split", "55,15,30"), BOXES, suffix=".gpkg"),
    # The ship is in the middle of every scene: windows of 64 px at random offsets, and whole scenes to each
    # split.
    Case("ships-localization", "localization", tuple(f"{{data}}/s2-ships/{stem}.tif" for stem in _ships()), tuple(f"{{data}}/s2-ships/{stem}_labels.geojson" for stem in _ships()),
         ("--class-field", "labels", "--sampling", "single", "--size", "64", "--count", "460", "--split-by", "scene", "--guard-px", "0", "--split", "55,15,30"),
         (*SHORT, "--set", "patience=null"), suffix=".gpkg", evaluate=("--class-field", "labels")),
    # One image with 37 trees: whether two classes of boxes are read and learnt, not how well.
    Case("soap-detection", "detection", ("{data}/soap-alive-dead/SOAP_061.png",), ("{data}/soap-alive-dead/testfile_multi.csv",),
         ("--size", "100", "--overlap", "50", "--guard-px", "0", "--split", "50,20,30"), (*BOXES, "--set", "max_minutes=4"), suffix=".gpkg"),
    # Whole images. Places of the fAIr tiles lie in their names only, so neighbours may be in two splits: by
    # --split-by scene every tile is its own ground.
    Case("fair-classification", "classification", ("{data}/fair-xyz-regions",), ("{data}/fair-xyz-regions/tiles.csv",),
         ("--class-field", "region", "--split-by", "scene", "--split", "60,20,20"), IMAGES, suffix=".csv", evaluate=("--class-field", "region")),
    Case("fair-building", "classification", ("{data}/fair-xyz-regions",), ("{data}/fair-xyz-regions/tiles.csv",),
         ("--class-field", "building_presence", "--split-by", "scene", "--split", "60,20,20"), IMAGES, suffix=".csv", evaluate=("--class-field", "building_presence")),
    Case("neon-classification", "classification", ("{data}/neon-trees",), ("{data}/neon-trees",),
         ("--size", "100", "--split-by", "scene", "--split", "60,20,20"), IMAGES, suffix=".csv"),
    Case("eurosat-classification", "classification", ("{data}/eurosat-small/rgb",), ("{data}/eurosat-small/rgb",), ("--split", "60,20,20"), IMAGES, suffix=".csv"),
    Case("eurosat-bands-classification", "classification", ("{data}/eurosat-small/ms",), ("{data}/eurosat-small/ms",), ("--split", "60,0,40"),
         ("--set", "max_minutes=1", "--network", "small_cnn", "--epochs", "10"), suffix=".csv"),
    Case("soap-detection-retinanet", "detection", ("{data}/soap-alive-dead/SOAP_061.png",), ("{data}/soap-alive-dead/testfile_multi.csv",),
         ("--size", "100", "--overlap", "50", "--guard-px", "0", "--split", "50,20,30"), (*BOXES, "--network", "retinanet", "--set", "max_minutes=4"), suffix=".gpkg"),
    Case("banepa-instances", "instances", ("{data}/banepa-buildings/banepa_oam_3072x4096.vrt",), ("{data}/banepa-buildings/osm",),
         ("--class-field", "roof:material", "--classes", "concrete=concrete|concerte,tin=tin|metal,clay=clay_tiles", "--gsd", "0.26", "--nodata", "none", "--size", "192", "--overlap", "64", "--block-m", "80", "--guard-px", "0", "--split", "55,15,30"), OUTLINES, suffix=".gpkg",
         evaluate=("--class-field", "roof:material", "--classes", "concrete=concrete|concerte,tin=tin|metal,clay=clay_tiles")),
    Case("mass-instances", "instances", ("{data}/mass-buildings/22978945_15.tif",), ("{data}/mass-buildings/22978945_15.gpkg",),
         ("--class-field", "none", "--classes", "building", "--size", "128", "--overlap", "32", "--block-m", "192", "--guard-px", "0", "--split", "55,15,30"), OUTLINES, suffix=".gpkg", evaluate=("--class-field", "none", "--classes", "building")),
    Case("orthoseg-instances", "instances", ("{data}/orthoseg-fields/BEFL-TEST-s2_2023-05-01_2023-07-01_B08-B04-B03_min_byte.tif",), ("{data}/orthoseg-fields/fields_BEFL-s2-fields-2023_polygons.gpkg",),
         ("--class-field", "label_name", "--annotated", "{data}/orthoseg-fields/fields_BEFL-s2-fields-2023_locations.gpkg", "--size", "64", "--overlap", "32", "--block-m", "640", "--guard-px", "0", "--split", "55,15,30"), OUTLINES, suffix=".gpkg", evaluate=("--class-field", "label_name", "--aoi", "{data}/orthoseg-fields/fields_BEFL-s2-fields-2023_locations.gpkg")),
    Case("dubai-segmentation", "segmentation", tuple(f"{{data}}/dubai-semseg/Tile {n}/images" for n in (1, 2, 3, 4, 6)), tuple(f"{{data}}/dubai-semseg/Tile {n}/masks" for n in (1, 2, 3, 4, 6)),
         ("--classes", "building=#3C1098,land=#8429F6,road=#6EC1E4,vegetation=#FEDD3A,water=#E2A929,-#9B9B9B", "--size", "192", "--split", "60,15,25", "--split-by", "scene"), LIGHT, evaluate=("--classes", "building=#3C1098,land=#8429F6,road=#6EC1E4,vegetation=#FEDD3A,water=#E2A929,-#9B9B9B")),
    Case("baker-segmentation", "segmentation", ("{data}/baker-landcover/23322E759967N_clipped_1m_1of2.tif", "{data}/baker-landcover/23322E759967N_clipped_1m_2of2.tif"), ("{data}/baker-landcover/BakerLake_2017_clipped.gpkg",),
         ("--class-field", "Quatreclasses", "--size", "64", "--overlap", "32", "--block-m", "48", "--guard-px", "0", "--split", "55,15,30"), (*LIGHT, "--set", "max_minutes=5"), evaluate=("--class-field", "Quatreclasses")),
)  # fmt: skip


@dataclass(frozen=True)
class Done:
    """One finished command: what it was, its result, wall seconds and peak memory of the process, MB."""

    command: str
    result: dict[str, object]
    seconds: float
    peak_mb: float


def run(arguments: Sequence[str]) -> Done:
    """Run `eo-dl ARGUMENTS --json`; stops with what it said when it fails."""
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


def walk(case: Case) -> dict[str, object]:
    """The whole road for one case; returns what the report needs."""
    folder = WORK / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    fill = lambda texts: [text.format(data=DATA) for text in texts]  # noqa: E731 - one word for a long expression
    chips, model = str(folder / "chips"), str(folder / "model.eodl")
    labels = [part for path in fill(case.labels) for part in ("--labels", path)]
    steps = [run(["tile", *fill(case.scenes), *labels, "-o", chips, *fill(case.tile)])]
    steps.append(run(["train", chips, "--task", case.task, "-o", model, *fill(case.train)]))
    scenes = fill(case.scenes)
    single = len(scenes) == 1 and Path(scenes[0]).is_file()
    out = str(folder / (f"map{case.suffix}" if single or case.suffix == ".csv" else "maps"))
    steps.append(run(["predict", model, *scenes, "-o", out, *fill(case.predict)]))
    steps.append(
        run(
            [
                "evaluate",
                out,
                *fill(case.labels),
                "-o",
                str(folder / "report"),
                "--chips",
                chips,
                "--split",
                "test",
                *fill(case.evaluate),
            ]
        )
    )
    draw(case, steps[2].result, folder)
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

    options = dict(zip(case.evaluate[::2], case.evaluate[1::2], strict=True))
    labels = [path.format(data=DATA) for path in case.labels]
    truth = eo.read_labels(
        labels,
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
