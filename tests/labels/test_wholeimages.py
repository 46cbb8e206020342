"""Labels of whole images: by folder and by CSV, matched with their images and cut to chips."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eo_dl.chips.chipset import open_chip_set
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.imagelabels import ImageLabels, WholeImageLabels
from eo_dl.core.labelset import LabelSet
from eo_dl.errors import LabelError
from eo_dl.evaluation.evaluate import evaluate
from eo_dl.exchange.converting import convert_labels
from eo_dl.io.discover import scene_paths
from eo_dl.io.scene import open_scene
from eo_dl.labels.coverage import match_labels
from eo_dl.labels.reading import read_labels


def _image(path: Path, side: int = 16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side + 4, 3), 90, np.uint8)).save(path)
    return path


def _csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return path


def _classes_of(labels: LabelSet) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    assert labels.images is not None
    for image, class_id in zip(labels.images, labels.rows.class_ids, strict=True):
        found.setdefault(str(image), []).append(
            "" if class_id == 255 else labels.classes.by_id(int(class_id)).name
        )
    return found


def test_a_folder_is_a_class_and_images_lie_anywhere_in_it(tmp_path: Path) -> None:
    for name in ("pond/a.png", "pond/more/b.jpg", "roof/c.png", ".hidden/d.png"):
        _image(tmp_path / name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "README.md").write_text("nothing")
    labels = read_labels(tmp_path)
    assert _classes_of(labels) == {"a.png": ["pond"], "b.jpg": ["pond"], "c.png": ["roof"]}
    assert isinstance(labels, WholeImageLabels)
    scenes = [open_scene(path) for path in scene_paths([tmp_path], below=True)]
    matched = match_labels(labels, scenes).labels
    assert isinstance(matched, ImageLabels)
    for scene in scenes:
        for found in (labels.for_grid(scene.grid, scene.name), matched.for_grid(scene.grid, scene.name)):
            assert [geometry.bounds for geometry in found.geometries] == [
                (0, 0, scene.grid.width, scene.grid.height)
            ]


def test_classes_may_be_merged_and_ignored(tmp_path: Path) -> None:
    for name in ("pond", "lake", "roof"):
        _image(tmp_path / name / f"{name}.png")
    labels = read_labels(tmp_path, classes="water=pond|lake,-roof")
    assert _classes_of(labels) == {"lake.png": ["water"], "pond.png": ["water"], "roof.png": [""]}


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    """As many collections number their images, in each class anew."""
    for name in ("pond/1.png", "roof/1.png", "roof/2.png"):
        _image(tmp_path / "data" / name)
    by_folder = read_labels(tmp_path / "data")
    assert _classes_of(by_folder) == {"pond/1.png": ["pond"], "roof/1.png": ["roof"], "2.png": ["roof"]}
    by_line = read_labels(
        _csv(tmp_path, "file,label\npond/1.png,pond\nroof/1.png,roof\nelsewhere/2.png,roof\n")
    )
    assert _classes_of(by_line) == _classes_of(by_folder)
    scenes = [open_scene(path) for path in scene_paths([tmp_path / "data"], below=True)]
    for labels in (by_folder, by_line):
        matched = match_labels(labels, scenes).labels
        for scene in scenes:
            found = matched.for_grid(scene.grid, scene.place)
            assert [labels.classes.by_id(int(i)).name for i in found.class_ids] == [
                Path(scene.path).parent.name
            ]
    with pytest.raises(LabelError, match="two scenes are called 1"):
        match_labels(read_labels(_csv(tmp_path, "file,label\n1.png,pond\n2.png,roof\n")), scenes)


def test_chips_of_images_of_one_name_keep_their_classes(tmp_path: Path) -> None:
    """Through the chip set on disk, a new file of labels, and a table of predictions scored on one split."""
    for kind in ("pond", "roof"):
        for number in range(8):
            _image(tmp_path / "data" / kind / f"{number}.png")
    labels, scenes = read_labels(tmp_path / "data"), scene_paths([tmp_path / "data"], below=True)
    tile(list(scenes), labels, out=tmp_path / "chips", split=Split((0.5, 0.0, 0.5)))
    chips = open_chip_set(tmp_path / "chips")
    for record in chips.records:
        (class_id,) = (class_id for class_id, count in record.object_counts.items() if count)
        assert labels.classes.by_id(class_id).name == Path(chips.scenes[record.scene_index].path).parent.name
    convert_labels(tmp_path / "data", out=tmp_path / "again.csv", out_format="image-csv", images=list(scenes))
    assert _classes_of(read_labels(tmp_path / "again.csv")) == _classes_of(labels)
    rows = [
        f"{Path(path).name},{float('pond' in path)},{float('roof' in path)},20,16,{path}" for path in scenes
    ]
    (tmp_path / "table.csv").write_text("\n".join(["image,p_pond,p_roof,width_px,height_px,file", *rows]))
    report = evaluate(tmp_path / "table.csv", labels, chips=chips)
    assert report.score("overall_accuracy").value == 1.0
    assert sum(count["truth"] for count in report.counts.values()) == len(chips.split("test")) == 8


def test_a_folder_without_rasters_below_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pond").mkdir()
    with pytest.raises(LabelError, match="no label files"):
        read_labels(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "file,label\nx/a.tif,roof\nb.tif,pond\n",
        "﻿Label,Filename\nroof,a.tif\npond,b.tif\n",
        "image,id,label\na.tif,1,roof\nb.tif,2,pond\nb.tif,2,pond\n",
    ],
)
def test_a_csv_of_file_and_class(tmp_path: Path, text: str) -> None:
    assert _classes_of(read_labels(_csv(tmp_path, text))) == {"a.tif": ["roof"], "b.tif": ["pond"]}


@pytest.mark.parametrize(
    "text",
    [
        "file,labels\na.tif,roof; pond\nb.tif,pond\nc.tif,\n",
        "file,tags\na.tif,roof pond\nb.tif,pond\nc.tif,\n",
        "file,label\na.tif,roof\na.tif,pond\nb.tif,pond\nc.tif,\n",
    ],
)
def test_several_classes_of_an_image(tmp_path: Path, text: str) -> None:
    labels = read_labels(_csv(tmp_path, text))
    assert _classes_of(labels) == {"a.tif": ["roof", "pond"], "b.tif": ["pond"]}
    assert [image.name for image in labels.covered] == ["a.tif", "b.tif", "c.tif"]
    assert any("1 of 3 images have several classes" in note for note in labels.notes)


def test_an_image_without_a_class_is_ignored_where_each_has_one(tmp_path: Path) -> None:
    labels = read_labels(_csv(tmp_path, "file,label\na.tif,roof\nb.tif,pond\nc.tif,\n"))
    assert _classes_of(labels)["c.tif"] == [""]
    assert any("1 of 3 features have no class" in note for note in labels.notes)


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("file,region,kind\na.tif,x,y\n", None, "several columns could be the class: region, kind"),
        ("file,region,kind\na.tif,x,y\n", "colour", "no column 'colour'"),
        ("name,region\na.tif,x\n", None, "image_path, image"),
        ("file,label\n", None, "no rows"),
        ("file,label\n../..,roof\n", None, "line 2"),
        ('file,label\na.tif,"[{""x"": 1}]"\n', None, "holds JSON"),
    ],
)
def test_a_wrong_csv_is_one_line(tmp_path: Path, text: str, field: str | None, said: str) -> None:
    with pytest.raises(LabelError, match=said) as caught:
        read_labels(_csv(tmp_path, text), class_field=field)
    assert "\n" not in str(caught.value)


def test_real_layouts(real_data: Path) -> None:
    rgb = read_labels(real_data / "eurosat-small" / "rgb")
    assert (len(rgb), len(rgb.classes)) == (100, 10)
    regions = read_labels(real_data / "fair-xyz-regions" / "tiles.csv", class_field="region")
    counts: Counter[int] = Counter(regions.rows.class_ids.tolist())
    assert {regions.classes.by_id(int(i)).name: int(n) for i, n in counts.items()} == {
        "zanzibar": 136,
        "nairobi": 108,
        "catanduanes": 60,
        "banepa_east": 68,
    }
