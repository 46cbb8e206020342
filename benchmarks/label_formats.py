"""The real sets out and back in every label format that can carry them, each export opened by programs that
are not ours.

    python benchmarks/label_formats.py [SET ...]     (default: all)

For each set: chips, `export_labels` in each format, the annotations counted by another program (COCO's own
API, datumaro, or a few lines that know nothing of eo_dl), `import_labels` of the folder, and the labels that
came back beside those that went out. Writes benchmarks/label_formats.md. Scenes: EO_DL_REAL_DATA, default
../shared/data. datumaro is asked where EO_DL_DATUMARO names a Python that has it.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import shapely
from defusedxml.ElementTree import parse
from PIL import Image

from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.sampling import Sampling
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.imagelabels import WholeImageLabels
from eo_dl.core.labelset import FeatureLabels, LabelSet
from eo_dl.core.rasterlabels import RasterLabels
from eo_dl.errors import EoDlError
from eo_dl.exchange import import_labels
from eo_dl.exchange.exporting import export_labels
from eo_dl.io.scene import Scene
from eo_dl.labels import read_labels
from eo_dl.labels.formats import WRITTEN_FORMATS
from eo_dl.labels.formats.formatlist import written_format

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("EO_DL_REAL_DATA", ROOT.parent / "shared" / "data"))
REPORT = ROOT / "benchmarks" / "label_formats.md"
DATUMARO = os.environ.get("EO_DL_DATUMARO")
DATUMARO_KINDS = {
    "coco": "coco",
    "voc": "voc_detection",
    "cvat": "cvat",
    "yolo": "yolo",
    "dota": "dota",
    "voc-masks": "voc_segmentation",
}
COUNT = """
import sys, datumaro as dm
data = dm.Dataset.import_from(sys.argv[2], sys.argv[1])
count = 0
for item in data:
    objects = set()
    for number, annotation in enumerate(item.annotations):
        # Parts of one object share an id and a group; masks are counted one by one.
        grouped = annotation.group and annotation.type.name != "mask"
        objects.add((annotation.id, annotation.group) if grouped else number)
    count += len(objects)
print("COUNT", count)
"""


@dataclass(frozen=True)
class Case:
    """A set: its images and labels as patterns below the data folder, how labels are read, and the size of
    chips.
    """

    name: str
    images: str
    labels: str
    size_px: int | None
    read: dict[str, Any] = field(default_factory=dict)


CASES = (
    Case("mass-buildings", "mass-buildings/*.tif", "mass-buildings/22978945_15.gpkg", 256),
    Case("banepa-buildings", "banepa-buildings/oam/*.tif", "banepa-buildings/detection_labels.json", 512),
    Case(
        "vegas polygons",
        "vegas-multiclass/tiff_3channel_uint8.tif",
        "vegas-multiclass/tiff_3channel_uint8.geojson",
        160,
    ),
    Case(
        "vegas boxes",
        "vegas-multiclass/jpeg_3channel_uint8.jpeg",
        "vegas-multiclass/jpeg_3channel_uint8.xml",
        160,
    ),
    Case("neon-trees SJER", "neon-trees/SJER/*.tif", "neon-trees/SJER/annotations", 200),
    Case("soap-alive-dead", "soap-alive-dead/SOAP_061.png", "soap-alive-dead/testfile_multi.csv", 200),
    Case("lidar-buildings", "lidar-buildings/hag.tif", "lidar-buildings/buildings.shp", 128),
    Case(
        "orthoseg-fields",
        "orthoseg-fields/*.tif",
        "orthoseg-fields/fields_BEFL-s2-fields-2023_polygons.gpkg",
        256,
        {"class_field": "none"},
    ),
    Case("dubai-semseg", "dubai-semseg/Tile 1/images/*1.jpg", "dubai-semseg/Tile 1/masks/*1.png", 512),
    Case("lyon-rgbmask", "lyon-rgbmask/images/*.tif", "lyon-rgbmask/labels/*.tif", 256),
    Case("eurosat-small", "eurosat-small/rgb/*/*", "eurosat-small/rgb", None, {"format": "folders"}),
)


@dataclass(frozen=True)
class Row:
    """What became of a set in a format."""

    format: str
    written: str
    counted: str
    back: str
    off_px: str
    notes: str


def main(names: Sequence[str]) -> int:
    """Every set in every format, and the report."""
    parts = []
    for case in (case for case in CASES if not names or case.name in names):
        print(case.name, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            parts.append(section(case, Path(folder)))
    if not names:
        REPORT.write_text(head() + "\n".join(parts))
    else:
        print("\n".join(parts))
    return 0


def head() -> str:
    """The introduction of the report."""
    readers = (
        "COCO's API (faster-coco-eval), datumaro, and otherwise a parser of XML, JSON or text lines"
        if DATUMARO
        else "datumaro is not installed"
    )
    date = datetime.datetime.now(datetime.UTC).date()
    return f"""# Label formats on real sets

Made by `python benchmarks/label_formats.py` on {date}. Each set is cut to chips, exported, opened by another
program ({readers}), and imported from its folder.

- "written": annotations in the files; an object over several chips has one in each.
- "others count": what the other program finds; more than written where parts of one object are annotations
  of their own there.
- "back": objects after import, joined over chips.
- "off": the largest distance of an outline (of box formats: its box) from its original, px, of objects
  without holes that lie entirely inside the chips. Formats in pixels and turned boxes are approximations and
  are not measured.

Formats for other kinds of labels (whole images or objects) are left out. Notes are those of export and
import, without those of reading the set itself.
"""


def section(case: Case, folder: Path) -> str:
    """The table of one set."""
    images = [path for path in sorted(DATA.glob(case.images)) if path.suffix.lower() not in (".xml", ".csv")]
    labels = sorted(DATA.glob(case.labels)) if "*" in case.labels else [DATA / case.labels]
    source = read_labels(labels if len(labels) > 1 else labels[0], **case.read)
    chips = tile(
        images,
        source,
        out=folder / "chips",
        size_px=case.size_px,
        sampling=Sampling(min_valid=0.0),
        split=Split((1, 0, 0), guard_px=0, by="block" if case.size_px else "scene"),
    )
    rows = [row for name in WRITTEN_FORMATS if (row := one_format(chips, name, folder)) is not None]
    kind = f"{len(source)} objects"
    if isinstance(source, WholeImageLabels):
        kind = "whole images"
    elif isinstance(source, RasterLabels):
        kind = "label rasters"
    lines = [
        f"\n## {case.name}\n",
        (
            f"{kind} of {len(source.classes.foreground)} classes, {len(images)} images, "
            f"{len(chips.split('train'))} chips.\n"
        ),
    ]
    lines += ["| format | written | others count | back | off, px | notes |", "|---|---|---|---|---|---|"]
    return (
        "\n".join(
            [
                *lines,
                *(
                    f"| {r.format} | {r.written} | {r.counted} | {r.back} | {r.off_px} | {r.notes} |"
                    for r in rows
                ),
            ]
        )
        + "\n"
    )


def one_format(chips: ChipSet, name: str, folder: Path) -> Row | None:
    """Export, count with another program, import; None if the format is for other labels.

    Formats are for labels of whole images or for objects.
    """
    out = folder / name
    try:
        made = export_labels(chips, out=out, out_format=name)
    except EoDlError as error:
        if "whole images" in str(error) or "of one class" in str(error):
            return None
        return Row(name, "refused", "", "", "", str(error).split(": ", 1)[1].replace("|", "/"))
    plain = chips.scenes[0].grid.crs is None
    target = folder / f"{name}_back{'.json' if plain else '.gpkg'}"
    try:
        back = import_labels(out, out=target)
    except EoDlError as error:
        return Row(
            name,
            str(made.objects),
            counted(name, out),
            "refused",
            "",
            str(error).split(": ", 1)[1].replace("|", "/"),
        )
    notes = [note for note in (*made.notes, *back.notes) if "label raster" not in note or "patches" in note]
    return Row(
        name,
        str(made.objects),
        counted(name, out),
        str(len(back.labels)),
        off_px(chips, back.labels, name),
        "; ".join(dict.fromkeys(notes)),
    )


def off_px(chips: ChipSet, back: LabelSet, name: str) -> str:
    """The farthest that an outline came back from where it was."""
    source = chips.labels
    shape = written_format(name).holds.shape
    if not isinstance(source, FeatureLabels) or shape not in ("polygons", "boxes"):
        return ""
    worst = [0.0]
    for number, scene in enumerate(chips.scenes):
        frames = [shapely.box(*r.window.box) for r in chips.records if r.scene_index == number and r.keep]
        ground = shapely.union_all(frames)
        was = [
            g
            for g in in_pixels(source, scene)
            if shapely.covers(ground, g) and not any(p.interiors for p in shapely.get_parts(g))
        ]
        now = in_pixels(back, scene)
        if shape == "boxes":
            was, now = [shapely.box(*g.bounds) for g in was], [shapely.box(*g.bounds) for g in now]
        tree = shapely.STRtree(now)
        worst += [
            min((shapely.hausdorff_distance(now[i], g) for i in tree.query(g)), default=np.inf) for g in was
        ]
    return f"{max(worst):.1g}" if np.isfinite(max(worst)) else "lost"


def in_pixels(labels: LabelSet, scene: Scene) -> list[shapely.Geometry]:
    """Outlines in pixels of a scene's file."""
    return list(labels.for_grid(scene.native, scene.name, scene.native).geometries)


# Other readers


def counted(name: str, out: Path) -> str:
    """How many annotations programs that are not ours find."""
    found = []
    if name == "coco":
        from faster_coco_eval import COCO

        total = 0
        for path in coco_files(out):
            total += len(COCO(str(path)).anns)
        found.append(f"{total} (COCO API)")
    elif name in PLAIN:
        found.append(str(PLAIN[name](out)))
    if DATUMARO and name in DATUMARO_KINDS:
        done = subprocess.run(
            [DATUMARO, "-c", COUNT, DATUMARO_KINDS[name], str(out)],
            capture_output=True,
            text=True,
            check=False,
        )
        counts = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("COUNT")]
        if counts:
            found.append(f"{counts[0]} (datumaro)")
        else:
            errors = done.stderr.strip().splitlines() or ["no output"]
            found.append(f"datumaro: {errors[-1][:80]}")
    return ", ".join(found)


def coco_files(out: Path) -> list[Path]:
    """The COCO files of an export."""
    return sorted([*out.glob("annotations.json"), *out.glob("annotations/*.json")])


def _xml(out: Path, pattern: str) -> list[Element]:
    roots = (parse(path).getroot() for path in sorted(out.glob(pattern)))
    return [root for root in roots if root is not None]


def _json(out: Path, pattern: str) -> list[Any]:
    return [
        json.loads(path.read_text()) for path in sorted(out.glob(pattern)) if path.name != "eo_dl_index.json"
    ]


def _lines(out: Path, pattern: str, skip: tuple[str, ...] = ()) -> int:
    return sum(
        bool(line.strip()) and not line.startswith(skip or ("\0",))
        for path in sorted(out.glob(pattern))
        for line in path.read_text().splitlines()
    )


def _objects_of_masks(out: Path) -> int:
    total = 0
    for path in sorted(out.glob("SegmentationObject/*.png")):
        with Image.open(path) as picture:
            total += len(np.unique(np.array(picture))) - int((np.array(picture) == 0).any())
    return total


PLAIN: dict[str, Callable[[Path], int]] = {
    "yolo": lambda out: _lines(out, "labels/**/*.txt"),
    "yolo-seg": lambda out: _lines(out, "labels/**/*.txt"),
    "yolo-obb": lambda out: _lines(out, "labels/**/*.txt"),
    "dota": lambda out: _lines(out, "**/labelTxt/*.txt", ("imagesource", "gsd")),
    "voc": lambda out: sum(len(root.findall("object")) for root in _xml(out, "Annotations/*.xml")),
    "cvat": lambda out: sum(
        len(list(image)) for root in _xml(out, "annotations.xml") for image in root.findall("image")
    ),
    "labelme": lambda out: sum(len(data["shapes"]) for data in _json(out, "*.json")),
    "labelstudio": lambda out: sum(
        len(one["result"])
        for tasks in _json(out, "tasks.json")
        for task in tasks
        for one in task["annotations"]
    ),
    "voc-masks": _objects_of_masks,
    "csv": lambda out: sum(",,,," not in line for line in (out / "labels.csv").read_text().splitlines()[1:]),
    "image-csv": lambda out: _lines(out, "labels.csv") - 1,
    "folders": lambda out: len(list(out.rglob("*.tif"))),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
