"""Exports opened by programs that are not ours: COCO by its own API, and all that datumaro knows by datumaro,
in an environment of its own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from PIL import Image
from pyproj import CRS
from shapely.affinity import rotate

from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.sampling import Sampling
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.exchange.exporting import export_labels
from eo_dl.exchange.imageindex import INDEX_NAME, read_index
from eo_dl.io.rasterize import burn
from eo_dl.labels.formats.formatlist import format_of_written
from eo_dl.labels.reading import read_labels
from tests.making import write_geotiff

GRID = PixelGrid(CRS.from_epsg(32633), Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000), 96, 192)
OUTLINES = [
    (rotate(shapely.box(5, 5, 25, 14), 30), "roof"),
    (shapely.box(70.25, 20, 90, 30.5), "roof"),
    (shapely.box(55, 40, 75, 50), "pool"),
    (shapely.box(100, 10, 120, 30).difference(shapely.box(105, 15, 112, 22)), "green house"),
    (shapely.MultiPolygon([shapely.box(140, 70, 150, 80), shapely.box(153, 70, 159, 80)]), "pool"),
]
DATUMARO = {
    "coco": "coco",
    "voc": "voc_detection",
    "voc-masks": "voc_segmentation",
    "cvat": "cvat",
    "yolo": "yolo",
    "dota": "dota",
}


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> ChipSet:
    folder = tmp_path_factory.mktemp("readers")
    write_geotiff(
        folder / "scene.tif",
        np.arange(4 * 96 * 192, dtype=np.uint16).reshape(4, 96, 192),
        GRID,
        descriptions=("red", "green", "blue", "nir"),
    )
    ground = GRID.geometries_to_map(np.array([outline for outline, _ in OUTLINES], dtype=object))
    features = [
        {"type": "Feature", "properties": {"kind": kind}, "geometry": shapely.geometry.mapping(g)}
        for g, (_, kind) in zip(ground, OUTLINES, strict=True)
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    (folder / "labels.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "crs": crs, "features": features})
    )
    return tile(
        folder / "scene.tif",
        read_labels(folder / "labels.geojson"),
        out=folder / "chips",
        size_px=64,
        sampling=Sampling(min_valid=0),
        split=Split((1, 0, 0), guard_px=0),
    )


def boxes_of(folder: Path) -> dict[str, list[tuple[str, list[float]]]]:
    """(class, bounds) of the objects of each image, as we read the export."""
    index = read_index(folder / INDEX_NAME)
    labels = read_labels(
        [folder / place for place in index.labels],
        format=format_of_written(index.format).name,
        sizes_px=index.sizes_px,
    )
    assert labels.images is not None
    found: dict[str, list[tuple[str, list[float]]]] = {one.stem: [] for one in index.images}
    for image, class_id, outline in zip(
        labels.images, labels.features.class_ids, labels.features.geometries, strict=True
    ):
        found[str(image).rsplit(".", 1)[0]].append(
            (labels.classes.by_id(int(class_id)).name, list(outline.bounds))
        )
    return found


def test_the_coco_api_reads_outlines_boxes_and_masks(chips: ChipSet, tmp_path: Path) -> None:
    from faster_coco_eval import COCO, mask

    export_labels(chips, out=tmp_path / "out", out_format="coco")
    coco = COCO(str(tmp_path / "out" / "annotations" / "instances_train.json"))
    wanted = boxes_of(tmp_path / "out")
    names = {key: value["name"] for key, value in coco.cats.items()}
    for image in coco.loadImgs(coco.getImgIds()):
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        assert sorted(names[a["category_id"]] for a in annotations) == sorted(
            name for name, _ in wanted[image["file_name"].rsplit(".", 1)[0]]
        )
        with_holes = [a for a in annotations if isinstance(a["segmentation"], dict)]
        for one in annotations:
            painted = coco.annToMask(one)
            assert (
                painted.shape == (64, 64)
                and abs(int(painted.sum()) - one["area"])
                <= shapely.box(*np.cumsum(np.reshape(one["bbox"], (2, 2)), 0).ravel()).length
            )
        for one in with_holes:
            index = read_index(tmp_path / "out" / INDEX_NAME)
            place = next(one for one in index.images if one.name == image["file_name"])
            assert place is not None
            moved = place.grid.geometries_to_pixel(
                GRID.geometries_to_map(np.array([OUTLINES[3][0]], dtype=object))
            )
            assert (mask.decode(coco.annToRLE(one)) == burn(list(moved), [1], 64, 64)).all()


@pytest.fixture(scope="module")
def datumaro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with datumaro; skips, saying so, where it cannot be made."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        pytest.skip("datumaro cannot be installed: uv is not there")
    folder = tmp_path_factory.mktemp("datumaro")
    python = folder / "env" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    for words in (
        ["venv", "-q", "--python", sys.executable, str(folder / "env")],
        ["pip", "install", "-q", "--python", str(python), "datumaro>=1.10,<2"],
    ):
        try:
            made = subprocess.run([uv, *words], capture_output=True, text=True, timeout=240, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip("datumaro cannot be installed here: it takes too long")
        if made.returncode:
            pytest.skip(f"datumaro cannot be installed here: {made.stderr.strip()[-200:]}")
    return python


READ = """
import json, sys
import datumaro as dm
said = {}
for kind, path in json.loads(sys.argv[1]).items():
    data = dm.Dataset.import_from(path, kind)
    names = [label.name for label in data.categories()[dm.AnnotationType.label]]
    said[kind] = {}
    for item in data:
        boxes = [[a.type.name, names[a.label], [float(v) for v in a.get_bbox()]] for a in item.annotations]
        said[kind][item.id.split("/")[-1]] = boxes
print("SAID" + json.dumps(said))
"""


def agrees(kind: str, name: str, box: list[float], found: list[list[Any]]) -> bool:
    """True where datumaro has the box too, or parts that fill it. It keeps two decimals, takes 1-based VOC
    numbers as they are, and measures masks between pixels.
    """
    told = "-".join(name.split()) if kind == "dota" else name
    mine = [
        (which, [col, row, col + wide, row + high])
        for which, label, (col, row, wide, high) in found
        if label == told
    ]
    parts = np.array(
        [
            one
            for _, one in mine
            if box[0] - 1 <= one[0] and one[2] <= box[2] + 1 and box[1] - 1 <= one[1] and one[3] <= box[3] + 1
        ]
    ).reshape(-1, 4)
    if len(parts):
        mine.append(("parts", [*parts[:, :2].min(axis=0), *parts[:, 2:].max(axis=0)]))
    coarse = kind in ("voc_detection", "voc_segmentation")
    return any(
        np.abs(np.array(one) - box).max() <= (1.01 if coarse or which == "mask" else 0.02)
        for which, one in mine
    )


@pytest.mark.slow
def test_datumaro_reads_what_we_write(chips: ChipSet, datumaro: Path, tmp_path: Path) -> None:
    for name in DATUMARO:
        export_labels(chips, out=tmp_path / name, out_format=name)
    given = json.dumps({kind: str(tmp_path / name) for name, kind in DATUMARO.items()})
    done = subprocess.run(
        [str(datumaro), "-c", READ, given], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.split("SAID")[1])
    for name, kind in DATUMARO.items():
        wanted = boxes_of_masks(tmp_path / name) if name == "voc-masks" else boxes_of(tmp_path / name)
        assert set(said[kind]) == set(wanted), kind
        for stem, objects in wanted.items():
            for label, box in objects:
                assert agrees(kind, label, box, said[kind][stem]), (kind, stem, label, box, said[kind][stem])


def boxes_of_masks(folder: Path) -> dict[str, list[tuple[str, list[float]]]]:
    """(class, bounds) of the numbered objects of SegmentationObject, as Pillow reads them."""
    labels = read_labels(folder / "SegmentationClass", format="masks")
    found: dict[str, list[tuple[str, list[float]]]] = {}
    for path in sorted((folder / "SegmentationObject").glob("*.png")):
        with Image.open(path) as objects, Image.open(folder / "SegmentationClass" / path.name) as classes:
            numbers, ids = np.array(objects), np.array(classes)
        found[path.stem] = []
        for number in sorted(set(np.unique(numbers).tolist()) - {0}):
            rows, cols = np.nonzero(numbers == number)
            name = labels.classes.by_id(int(ids[rows[0], cols[0]])).name
            found[path.stem].append(
                (name, [float(cols.min()), float(rows.min()), float(cols.max() + 1), float(rows.max() + 1)])
            )
    return found
