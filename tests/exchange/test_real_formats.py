"""Label files that other tools wrote, converted to every format of outlines and boxes and read again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from eo_dl.core.imagelabels import ImageLabels
from eo_dl.core.labelset import LabelSet
from eo_dl.exchange import convert_labels
from eo_dl.io.scene import open_scene
from eo_dl.labels.formats.formatlist import written_format
from eo_dl.labels.reading import read_labels

SETS = {
    "coco": ("banepa-buildings/detection_labels.json", "banepa-buildings/oam/*.tif"),
    "voc": ("neon-trees/SJER/annotations", "neon-trees/SJER/*.tif"),
    "csv": ("soap-alive-dead/testfile_multi.csv", "soap-alive-dead/*.png"),
    "voc-of-a-jpeg": ("vegas-multiclass/jpeg_3channel_uint8.xml", "vegas-multiclass/*.jpeg"),
}
PLACES = {"voc": "Annotations", "dota": "labelTxt", "labelme": "."}


def told(labels: LabelSet) -> Counter[tuple[str, str, tuple[float, ...]]]:
    """(image, class, box to the thousandth of a pixel) of every object that counts."""
    assert labels.images is not None
    names = {info.id: "-".join(info.name.split()) for info in labels.classes}
    kept = np.flatnonzero(~labels.features.ignore)
    return Counter(
        (
            str(labels.images[n]).rsplit(".", 1)[0],
            names[int(labels.features.class_ids[n])],
            tuple(round(value, 3) for value in labels.features.geometries[n].bounds),
        )
        for n in kept
    )


ALL = ("coco", "yolo", "voc", "labelstudio", "cvat", "labelme", "dota", "csv")
# 48 large images: two formats tell enough
CASES = [(name, target) for name in SETS for target in (("yolo", "cvat") if name == "coco" else ALL)]


@pytest.mark.parametrize(("name", "target"), CASES)
def test_boxes_of_other_tools_go_through_every_format(
    real_data: Path, tmp_path: Path, name: str, target: str
) -> None:
    source, images = SETS[name]
    info = written_format(target)
    out = tmp_path / (f"out{Path(info.single_file).suffix}" if info.single_file else "out")
    scenes = sorted(real_data.glob(images))
    made = convert_labels(real_data / source, out=out, out_format=target, images=scenes)
    where = out / PLACES.get(target, "data.yaml" if target == "yolo" else "") if out.is_dir() else out
    sizes = {one.name: size for one, size in ((path, _size(path)) for path in scenes)}
    back = read_labels(where, sizes_px=sizes)
    assert isinstance(made.labels, ImageLabels)
    was = told(_inside(made.labels, sizes))
    assert sum(was.values()) > 15 and told(back) == was


def _size(path: Path) -> tuple[int, int]:
    grid = open_scene(path).native
    return grid.width, grid.height


def _inside(labels: ImageLabels, sizes: dict[str, tuple[int, int]]) -> ImageLabels:
    """Without what lies outside the images, of which the command says that it is cut."""
    assert labels.images is not None
    by_stem = {name.rsplit(".", 1)[0]: size for name, size in sizes.items()}
    frames = [shapely.box(0, 0, *by_stem[str(name).rsplit(".", 1)[0]]) for name in labels.images]
    cut = shapely.intersection(labels.features.geometries, np.array(frames, dtype=object))
    kept = np.flatnonzero(shapely.area(cut) > 1e-9)
    return replace(labels, features=replace(labels.features, geometries=cut).take(kept))
