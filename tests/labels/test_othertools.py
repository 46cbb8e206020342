"""Labels as other tools write them and as people keep them in folders: nothing is guessed without a reason,
and what does not fit is said.
"""

from __future__ import annotations

import base64
import io
import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image

from eo_dl.core.imagelabels import ImageLabels
from eo_dl.core.labelset import LabelSet
from eo_dl.errors import LabelError
from eo_dl.io.scene import Scene, open_scene
from eo_dl.labels.coverage import match_labels
from eo_dl.labels.labelsources import find_sources
from eo_dl.labels.reading import read_labels
from tests.making import noise, write_raster

BOX = (10.0, 20.0, 40.0, 50.0)
SIDE = 100


def image(path: Path, bands: int = 3, seed: int = 0) -> Scene:
    path.parent.mkdir(parents=True, exist_ok=True)
    return open_scene(write_raster(path, noise(bands, SIDE, SIDE, seed=seed)))


def text(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def coco(file_name: str = "a.tif", side: int = SIDE, **annotation: object) -> dict[str, object]:
    box = {"bbox": [BOX[0], BOX[1], BOX[2] - BOX[0], BOX[3] - BOX[1]]}
    return {
        "images": [{"id": 1, "file_name": file_name, "width": side, "height": side}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, **box, **annotation}],
        "categories": [{"id": 1, "name": "roof"}],
    }


def voc(side: int = SIDE, box: tuple[float, ...] = BOX, more: str = "", source: str = "") -> str:
    sides = "".join(
        f"<{name}>{value:g}</{name}>"
        for name, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return (
        f"<annotation><filename>a.tif</filename>{source}<size><width>{side}</width><height>{side}</height></size>"
        f"<object><name>roof</name>{more}<bndbox>{sides}</bndbox></object></annotation>"
    )


def labelme(*shapes: dict[str, object], image_path: str = "a.tif", side: int = SIDE) -> dict[str, object]:
    return {"imagePath": image_path, "imageHeight": side, "imageWidth": side, "shapes": list(shapes)}


def shape(
    kind: str = "rectangle", points: object = ((10, 20), (40, 50)), **more: object
) -> dict[str, object]:
    return {"label": "roof", "shape_type": kind, "points": points, **more}


def cvat(*shapes: str, name: str = "a.tif", side: int = SIDE) -> str:
    return (
        f'<annotations><version>1.1</version><image id="0" name="{name}" width="{side}" height="{side}">'
        f"{''.join(shapes)}</image></annotations>"
    )


def cvat_box(box: tuple[float, ...] = BOX, label: str = "roof", **more: object) -> str:
    sides = zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True)
    attributes = "".join(f' {name}="{value}"' for name, value in (*sides, *more.items()))
    return f'<box label="{label}"{attributes}></box>'


def label_studio(*results: dict[str, object], side: int = SIDE) -> list[dict[str, object]]:
    size = {"original_width": side, "original_height": side}
    annotation = {"result": [{**size, **result} for result in results]}
    return [{"data": {"image": "/data/local-files/?d=images/a.tif"}, "annotations": [annotation]}]


def region(kind: str = "rectanglelabels", key: str = "r", **value: object) -> dict[str, object]:
    sides = {"x": 10.0, "y": 20.0, "width": 30.0, "height": 30.0, "rotation": 0}
    return {"id": key, "type": kind, "value": {**sides, **value}}


def csv_boxes(side: int = SIDE) -> str:
    return f"filename,width,height,class,xmin,ymin,xmax,ymax\na.tif,{side},{side},roof,10,20,40,50\n"


def matched(labels: LabelSet, *scenes: Scene) -> LabelSet:
    return match_labels(labels, scenes).labels


def bounds(labels: LabelSet) -> list[tuple[float, ...]]:
    assert isinstance(labels, ImageLabels)
    return [tuple(one.bounds) for one in labels.features.geometries]


def said(labels: LabelSet) -> str:
    return "\n".join(labels.notes)


# The size of the image

SIZED = {
    "c.json": lambda side: coco(side=side),
    "v.xml": lambda side: voc(side),
    "c.xml": lambda side: cvat(cvat_box(), side=side),
    "l.json": lambda side: labelme(shape(), side=side),
    "s.json": lambda side: label_studio(region(rectanglelabels=["roof"]), side=side),
    "b.csv": csv_boxes,
}


@pytest.mark.parametrize("name", SIZED)
def test_labels_of_an_image_of_another_size_are_refused(name: str, tmp_path: Path) -> None:
    scene = image(tmp_path / "a.tif")
    assert len(matched(read_labels(text(tmp_path / name, SIZED[name](SIDE))), scene)) == 1
    with pytest.raises(
        LabelError, match=r"another size \(1 of 1 image: a.tif is 100x100 px, its labels say 640"
    ):
        matched(read_labels(text(tmp_path / name, SIZED[name](640))), scene)


def test_an_image_that_was_cut_after_labelling_is_said(tmp_path: Path) -> None:
    """As at the edge of a scene: one side agrees and the other is shorter. Objects beyond it are outside."""
    scene = open_scene(write_raster(tmp_path / "a.tif", noise(3, SIDE, 45)))
    assert "cut after labelling" in said(matched(read_labels(text(tmp_path / "c.json", coco())), scene))
    (tmp_path / "b").mkdir()
    (tmp_path / "longer").mkdir()
    short = open_scene(write_raster(tmp_path / "b" / "a.tif", noise(3, SIDE, 35)))
    assert "cut after labelling" in said(matched(read_labels(tmp_path / "c.json"), short))
    longer = open_scene(write_raster(tmp_path / "longer" / "a.tif", noise(3, SIDE, SIDE + 5)))
    with pytest.raises(LabelError, match="another size"):
        matched(read_labels(tmp_path / "c.json"), longer)


def test_one_image_of_another_size_among_others_is_refused(tmp_path: Path) -> None:
    scenes = [image(tmp_path / f"{name}.tif") for name in "ab"]
    data = coco()
    data["images"] = [
        {"id": 1, "file_name": "a.tif", "width": SIDE, "height": SIDE},
        {"id": 2, "file_name": "b.tif", "width": 50, "height": 50},
    ]
    with pytest.raises(LabelError, match=r"1 of 2 images: b.tif is 100x100 px, its labels say 50x50"):
        matched(read_labels(text(tmp_path / "c.json", data)), *scenes)


@pytest.mark.parametrize("orientation", [3, 6])
def test_labels_of_a_picture_that_viewers_turn_are_a_question(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(np.zeros((80, SIDE, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    scene = open_scene(tmp_path / "a.jpg")
    assert any("EXIF orientation" in note for note in scene.notes)
    data = coco("a.jpg")
    shown = (80, SIDE) if orientation == 6 else (SIDE, 80)
    data["images"] = [{"id": 1, "file_name": "a.jpg", "width": shown[0], "height": shown[1]}]
    with pytest.raises(LabelError, match=r"EXIF orientation .* -auto-orient"):
        matched(read_labels(text(tmp_path / "c.json", data)), scene)
    mask = Image.fromarray(np.eye(80, SIDE, dtype=np.uint8) + 1)
    mask.save(tmp_path / "a_mask.png")
    with pytest.raises(LabelError, match="EXIF orientation"):
        matched(read_labels(tmp_path / "a_mask.png"), scene)


def test_a_size_may_show_that_a_picture_was_labelled_as_stored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 8
    Image.fromarray(np.zeros((80, SIDE, 3), np.uint8)).save(tmp_path / "a.png", exif=exif)
    data = coco("a.png")
    data["images"] = [{"id": 1, "file_name": "a.png", "width": SIDE, "height": 80}]
    assert len(matched(read_labels(text(tmp_path / "c.json", data)), open_scene(tmp_path / "a.png"))) == 1


# Names


def test_names_agree_in_any_form_of_unicode(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFC", "Grünfläche.tif")
    scene = image(tmp_path / name)
    labels = read_labels(text(tmp_path / "c.json", coco(unicodedata.normalize("NFD", name))))
    assert len(matched(labels, scene)) == 1


@pytest.mark.parametrize("name", ["A.TIF", "a_tif.rf.0a1b2c3d4e5f60718293a4b5c6d7e8f9.jpg", "0a1b2c3d-a.png"])
def test_names_that_tools_change_are_found_and_said(name: str, tmp_path: Path) -> None:
    labels = matched(read_labels(text(tmp_path / "c.json", coco(name))), image(tmp_path / "a.tif"))
    assert ("renamed" in said(labels)) == (name != "A.TIF")
    stem = Path(name).stem
    text(tmp_path / "labels" / f"{stem}.txt", "0 0.5 0.5 0.2 0.1\n")
    assert len(read_labels(tmp_path / "labels", sizes_px={"a.tif": (SIDE, SIDE)})) == 1


@pytest.mark.parametrize("name", ["20230501-a.png", "b_a.png"])
def test_other_names_are_other_images(name: str, tmp_path: Path) -> None:
    """A date in front of a name is none of the digits that Label Studio puts there."""
    with pytest.raises(LabelError, match="none of 1 labelled images"):
        matched(read_labels(text(tmp_path / "c.json", coco(name))), image(tmp_path / "a.tif"))


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    scenes = [
        image(tmp_path / "images" / part / "a.tif", seed=number) for number, part in enumerate(("x", "y"))
    ]
    boxes = [(10.0, 10.0, 20.0, 20.0), (50.0, 50.0, 60.0, 60.0)]
    two = cvat(cvat_box(boxes[0]), name="x/a.tif").replace(
        "</annotations>", cvat(cvat_box(boxes[1]), name="y/a.tif").split("</version>")[1]
    )
    for part, box in zip(("x", "y"), boxes, strict=True):
        text(tmp_path / "labelme" / part / "a.json", labelme(shape(points=[box[:2], box[2:]])))
        text(tmp_path / "voc" / part / "Annotations/a.xml", voc(box=(box[0] + 1, box[1] + 1, *box[2:])))
        centre = " ".join(str((box[side] + box[side + 2]) / 2 / SIDE) for side in (0, 1))
        text(tmp_path / "labels" / part / "a.txt", f"0 {centre} 0.1 0.1\n")
    text(tmp_path / "cvat.xml", two)
    sources = [
        tmp_path / "cvat.xml",
        [tmp_path / "labelme" / part / "a.json" for part in ("x", "y")],
        [tmp_path / "voc" / part / "Annotations/a.xml" for part in ("x", "y")],
        tmp_path / "labels",
    ]
    for source in sources:
        found = match_labels(read_labels(source), scenes).placed  # type: ignore[arg-type]
        assert [np.round(one.labels.bounds, 6).tolist() for one in found] == [[list(box)] for box in boxes], (
            source
        )


@pytest.mark.parametrize("path", ["..\\images\\a.tif", "../images/a.tif", "C:\\data\\a.tif", "/home/x/a.tif"])
def test_paths_of_other_folders_and_machines_name_the_image(path: str, tmp_path: Path) -> None:
    scene = image(tmp_path / "images" / "a.tif")
    for name, content in (("l/a.json", labelme(shape(), image_path=path)), ("c/c.json", coco(path))):
        assert bounds(matched(read_labels(text(tmp_path / name, content)), scene)) == [BOX]


def test_label_rasters_in_a_tree_like_that_of_the_images(tmp_path: Path) -> None:
    scenes = []
    for number, part in enumerate(("train", "val"), start=1):
        scenes.append(image(tmp_path / "images" / part / "001.tif"))
        (tmp_path / "masks" / part).mkdir(parents=True)
        write_raster(tmp_path / "masks" / part / "001.tif", np.full((SIDE, SIDE), number, np.uint8))
    placed = match_labels(read_labels(str(tmp_path / "masks/*/001.tif")), scenes).placed
    assert [Path(one.raster.path).parent.name for one in placed if one.raster] == ["train", "val"]


# Folders


def test_the_labels_of_a_data_set_are_found_below_its_folder(tmp_path: Path) -> None:
    image(tmp_path / "voc/JPEGImages/a.tif")
    text(tmp_path / "voc/Annotations/a.xml", voc())
    image(tmp_path / "yolo/images/train/a.tif")
    text(tmp_path / "yolo/labels/train/a.txt", "0 0.5 0.5 0.1 0.1\n")
    text(tmp_path / "yolo/classes.txt", "roof\n")
    for number, split in enumerate(("train", "valid")):
        image(tmp_path / "coco" / split / f"{number}.tif")
        text(tmp_path / "coco" / split / "_annotations.coco.json", coco(f"{number}.tif"))
    for name, count in (("voc", 1), ("yolo", 1), ("coco", 2)):
        labels = read_labels(tmp_path / name)
        assert labels.classes.names == ("roof",) and len(labels) == count
        assert f"the labels of {name} ({name})" in said(labels)


@pytest.mark.parametrize(
    ("places", "why"),
    [
        (["images/a.tif", "masks/a.tif"], "images, masks is called like a part"),
        (["train/x/a.tif", "val/x/b.tif"], "train, val is called like a split"),
        (["18/1/2.tif", "19/3/4.tif"], "map tiles"),
        (["area/a.tif"], "area would be the only class"),
    ],
)
def test_folders_that_are_no_classes_are_a_question(places: list[str], why: str, tmp_path: Path) -> None:
    for place in places:
        image(tmp_path / place)
    with pytest.raises(LabelError, match=f"{why}.*`format=folders`"):
        read_labels(tmp_path)
    assert read_labels(tmp_path, format="folders").class_field == "folder"


def test_folders_of_classes_stay_classes(tmp_path: Path) -> None:
    for place in ("0/a.tif", "1/b.tif", "cat/1.tif"):
        image(tmp_path / place)
    assert read_labels(tmp_path).classes.names == ("0", "1", "cat")


def test_a_table_of_boxes_is_about_the_rasters_beside_it(tmp_path: Path) -> None:
    scene = image(tmp_path / "pan.tif", bands=1)
    text(tmp_path / "boxes.csv", "image_path,xmin,ymin,xmax,ymax,label\npan.tif,10,20,40,50,roof\n")
    labels = matched(read_labels(tmp_path), scene)
    assert bounds(labels) == [BOX] and "1 raster in" in said(labels)
    text(tmp_path / "boxes.csv", "file,label\npan.tif,roof\n")
    assert find_sources(tmp_path).format.name == "image-csv"
    text(tmp_path / "boxes.csv", "file,area\nother.tif,3\n")
    assert find_sources(tmp_path).format.name == "masks"


def test_a_scene_is_not_its_own_label_raster(tmp_path: Path) -> None:
    scene = open_scene(write_raster(tmp_path / "a.tif", np.full((SIDE, SIDE), 7, np.uint8)))
    write_raster(tmp_path / "a_mask.tif", np.ones((SIDE, SIDE), np.uint8))
    labels = read_labels([str(tmp_path / "a_mask.tif"), scene.path])
    (placed,) = match_labels(labels, [scene]).placed
    assert placed.raster is not None and Path(placed.raster.path).name == "a_mask.tif"
    assert len(find_sources(tmp_path, images=[scene.path]).paths) == 1


# What objects are


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("c.json", coco(iscrowd=1), "crowds"),
        ("v.xml", voc(more="<difficult>1</difficult>"), "difficult"),
        ("a.txt", "10 20 40 20 40 50 10 50 roof 2\n", "difficult"),
        ("l.json", labelme(shape(difficult=True)), "difficult"),
    ],
)
def test_marked_objects_are_counted_and_may_be_used(
    name: str, content: object, reason: str, tmp_path: Path
) -> None:
    path = text(tmp_path / name, content)
    labels = read_labels(path)
    assert dict(labels.report.ignored) == {reason: 1} and f"1 ignored (1 {reason})" in labels.report.line
    assert "`crowds=use`" in said(labels) and "CVAT" in said(labels)
    assert read_labels(path, crowds="use").report.ignored == {}


def test_cvat_draws_in_the_order_of_z(tmp_path: Path) -> None:
    upper, lower = cvat_box((20, 20, 30, 30), z_order=1), cvat_box((10, 10, 40, 40), "grass", z_order=0)
    labels = matched(read_labels(text(tmp_path / "c.xml", cvat(upper, lower))), image(tmp_path / "a.tif"))
    assert bounds(labels) == [(10, 10, 40, 40), (20, 20, 30, 30)] and labels.report.covered == 0


def test_an_object_under_a_later_one_is_counted(tmp_path: Path) -> None:
    court, park = cvat_box((20, 20, 30, 30), "court"), cvat_box((10, 10, 40, 40), "park")
    labels = matched(read_labels(text(tmp_path / "c.xml", cvat(court, park))), image(tmp_path / "a.tif"))
    assert labels.report.covered == 1
    assert "1 covered by later objects" in labels.report.line and "court 0%" in labels.report.line


def test_shapes_of_cvat_without_an_area_are_counted_by_kind(tmp_path: Path) -> None:
    points = '<points label="roof" points="1,2;3,4"></points><skeleton label="roof"></skeleton>'
    labels = read_labels(text(tmp_path / "c.xml", cvat(cvat_box(group_id="3"), points)))
    assert labels.report.dropped == {"points, without an area": 1, "skeleton, without an area": 1}
    assert labels.report.read == 3 and "1 shapes are grouped" in said(labels)


def bitmask(size: tuple[int, int], mode: str = "RGBA") -> str:
    """A PNG as a data URL, opaque in (10, 20) to (40, 50)."""
    picture = Image.new(mode, size)
    picture.paste((0, 0, 0, 255) if mode == "RGBA" else 0, (10, 20, 40, 50))
    data = io.BytesIO()
    picture.save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def test_bitmasks_of_label_studio_are_read(tmp_path: Path) -> None:
    region_of = {"original_width": SIDE, "original_height": SIDE, "type": "bitmasklabels"}
    for url, message in (
        (bitmask((SIDE, SIDE)), ""),
        (bitmask((SIDE + 1, SIDE)), f"its bitmask has {SIDE + 1}x{SIDE} px, but its image {SIDE}x{SIDE}"),
        (bitmask((SIDE, SIDE), "L"), "no transparency"),
        ("data:image/png;base64,AAAA", "cannot be read as a PNG"),
        ("https://example.org/a.png", "no PNG as a data URL"),
    ):
        value = {"imageDataURL": url, "bitmasklabels": ["roof"]}
        path = text(tmp_path / "t.json", label_studio({**region_of, "id": "b", "value": value}))
        if message:
            with pytest.raises(LabelError, match=message):
                read_labels(path)
        else:
            assert bounds(read_labels(path)) == [BOX]


def test_regions_of_label_studio_are_read_or_counted(tmp_path: Path) -> None:
    labels = read_labels(
        text(
            tmp_path / "t.json",
            label_studio(
                region(rectanglelabels=["roof"]),
                region("rectangle", "p", x=60.0),
                {"id": "p", "type": "labels", "value": {"labels": ["tree"]}},
                region("keypointlabels", "b", keypointlabels=["roof"]),
                region("vectorlabels", "v", vectorlabels=["roof"]),
                {"id": "t", "type": "textarea", "value": {"text": ["a"]}},
            ),
        )
    )
    assert bounds(labels) == [BOX, (60, 20, 90, 50)] and labels.classes.names == ("roof", "tree")
    assert labels.report.dropped == {"keypointlabels, not read": 1, "vectorlabels, not read": 1}
    assert "1 keypointlabels, 1 vectorlabels" in said(labels)


def test_regions_of_two_sizes_of_one_image_are_refused(tmp_path: Path) -> None:
    other = {**region(key="q", rectanglelabels=["roof"]), "original_width": 50, "original_height": 50}
    with pytest.raises(LabelError, match="two sizes of the image, 100x100 and 50x50"):
        read_labels(text(tmp_path / "t.json", label_studio(region(rectanglelabels=["roof"]), other)))


def test_shapes_of_one_group_are_one_object_in_labelme(tmp_path: Path) -> None:
    second = [[60, 60], [70, 70]]
    shapes = [shape(group_id=1), shape(points=second, group_id=1), shape(points=second, group_id=None)]
    labels = read_labels(text(tmp_path / "l.json", labelme(*shapes)))
    assert bounds(labels) == [(10, 20, 70, 70), (60, 60, 70, 70)] and "group_id" in said(labels)


def test_rectangles_of_four_points_and_turned_ones_are_read(tmp_path: Path) -> None:
    corners = [[10, 20], [40, 20], [40, 50], [10, 50]]
    turned = [[60, 50], [70, 60], [60, 70], [50, 60]]
    shapes = [shape(points=corners), shape("rotation", turned, direction=0.7)]
    labels = read_labels(text(tmp_path / "l.json", labelme(*shapes)))
    assert bounds(labels) == [BOX, (50, 50, 70, 70)]
    assert isinstance(labels, ImageLabels) and labels.features.geometries[1].area == pytest.approx(200)


def test_a_category_that_only_groups_others_is_no_class(tmp_path: Path) -> None:
    data = coco()
    data["categories"] = [
        {"id": 0, "name": "roofs", "supercategory": "none"},
        {"id": 1, "name": "roof", "supercategory": "roofs"},
        {"id": 2, "name": "tree", "supercategory": "plants"},
    ]
    labels = read_labels(text(tmp_path / "c.json", data))
    assert labels.classes.names == ("roof", "tree") and "roofs: only the supercategory" in said(labels)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2 0.1 1.2217", "no score from 0 to 1; if it is the angle"),
        ("0 0.5 0.5 0.2 0.1 -0.5", "no score from 0 to 1; if it is the angle"),
        ("0 0.5 0.5 0.2 0.1 0.4 0.4 2 0.6 0.6", "kpt_shape"),
    ],
)
def test_lines_of_yolo_of_other_kinds_are_refused(line: str, message: str, tmp_path: Path) -> None:
    image(tmp_path / "images/a.tif")
    text(tmp_path / "labels/a.txt", f"0 0.5 0.5 0.2 0.1\n{line}\n")
    with pytest.raises(LabelError, match=message):
        read_labels(tmp_path / "labels")


def test_key_points_of_yolo_are_left_out_where_they_are_stated(tmp_path: Path) -> None:
    image(tmp_path / "images/train/a.tif")
    text(tmp_path / "data.yaml", "train: images/train\nkpt_shape: [2, 3]\nnames: [roof]\n")
    text(tmp_path / "labels/train/a.txt", "0 0.25 0.35 0.3 0.3 0.4 0.4 2 0.6 0.6 0\n")
    labels = read_labels(tmp_path / "data.yaml")
    assert bounds(labels) == [pytest.approx(BOX)] and "key points are left out" in said(labels)
    assert isinstance(labels, ImageLabels) and labels.features.scores is None


def test_a_score_after_a_box_of_yolo_is_said(tmp_path: Path) -> None:
    image(tmp_path / "images/a.tif")
    text(tmp_path / "labels/a.txt", "0 0.5 0.5 0.2 0.1 0.75\n")
    labels = read_labels(tmp_path / "labels")
    assert isinstance(labels, ImageLabels) and labels.features.scores is not None
    assert labels.features.scores.tolist() == [0.75] and "read as its score" in said(labels)


@pytest.mark.parametrize(
    "yaml",
    [
        "train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['roof']\n",
        "path: ../datasets/roofs\ntrain: train/images\nnames: {0: roof}\n",
        "path: ./\ntrain: train.txt\nnames:\n  0: roof\n",
        "train: [train/images]\nnames: [roof]\n",
    ],
)
def test_data_yaml_as_exporters_write_it(yaml: str, tmp_path: Path) -> None:
    image(tmp_path / "train/images/a.tif")
    text(tmp_path / "train/labels/a.txt", "0 0.25 0.35 0.3 0.3\n")
    text(tmp_path / "train.txt", "./train/images/a.tif\n")
    text(tmp_path / "data.yaml", yaml)
    labels = read_labels(tmp_path)
    assert bounds(labels) == [pytest.approx(BOX)]
    assert ("valid/images, which is not in its folder" in said(labels)) == ("valid" in yaml)


@pytest.mark.parametrize(
    ("box", "source", "origin", "expected"),
    [
        ((11, 21, 40, 50), "", None, BOX),
        ((10.5, 20, 40, 50), "", None, (10.5, 20, 40, 50)),
        ((0, 20, 40, 50), "", None, (0, 20, 40, 50)),
        ((10, 20, 40, 50), "", 0, BOX),
        ((11.5, 21, 40, 50), "<source><database>eo_dl</database></source>", None, (10.5, 20, 40, 50)),
    ],
)
def test_the_first_pixel_of_voc(
    box: tuple[float, ...],
    source: str,
    origin: int | None,
    expected: tuple[float, ...],
    tmp_path: Path,
) -> None:
    labels = read_labels(text(tmp_path / "a.xml", voc(box=box, source=source)), voc_origin=origin)
    assert bounds(labels) == [expected]
    assert ("`voc_origin" in said(labels)) == (origin is None and not source)


# Coordinates


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.json", coco(bbox=[0.1, 0.1, 0.2, 0.2])),
        ("b.csv", "image_path,xmin,ymin,xmax,ymax,label\na.tif,0.1,0.1,0.3,0.3,roof\n"),
        ("l.json", labelme(shape(points=[[0.1, 0.1], [0.3, 0.3]]))),
    ],
)
def test_fractions_are_no_pixels(name: str, content: object, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"a.tif lie from 0 to 1.*multiply"):
        read_labels(text(tmp_path / name, content))


@pytest.mark.parametrize(
    "table",
    [
        'image_path,label,geometry\na.tif,roof,"POLYGON ((10 20, 40 20, 40 50, 10 50, 10 20))"\n',
        "image_path,label,x1,y1,x2,y2\na.tif,roof,10,20,40,50\n",
        "file,left,top,right,bottom,class\na.tif,10,20,40,50,roof\n",
    ],
)
def test_csv_of_polygons_and_of_other_names_of_sides(table: str, tmp_path: Path) -> None:
    labels = read_labels(text(tmp_path / "b.csv", table))
    assert bounds(labels) == [BOX] and labels.classes.names == ("roof",)


@pytest.mark.parametrize(
    "header", ["image_path,x,y,width,height,label", "image_path,bbox,label", "file,label,x_center,y_center"]
)
def test_coordinates_that_are_not_read_are_no_classes_of_images(header: str, tmp_path: Path) -> None:
    table = f"{header}\n{','.join(['a.tif'] * (header.count(',') + 1))}\n"
    with pytest.raises(LabelError, match="may be coordinates, which are not read"):
        read_labels(text(tmp_path / "b.csv", table))


def test_points_of_a_csv_are_counted(tmp_path: Path) -> None:
    rows = 'a.tif,roof,POINT (3 4)\na.tif,roof,"POLYGON ((10 20, 40 20, 40 50, 10 50, 10 20))"\n'
    labels = read_labels(text(tmp_path / "b.csv", f"image_path,label,geometry\n{rows}"))
    assert len(labels) == 1 and labels.report.dropped == {"points and lines": 1}


def test_numbers_of_a_csv_have_no_fraction_and_codes_keep_their_zeros(tmp_path: Path) -> None:
    rows = "".join(
        f"a.tif,{n},{n},{n + 5},{n + 5},{code}\n" for n, code in ((1, "1.0"), (9, "010"), (20, "01"))
    )
    labels = read_labels(text(tmp_path / "b.csv", f"image_path,xmin,ymin,xmax,ymax,label\n{rows}"))
    assert sorted(labels.classes.names) == ["01", "010", "1"]


def test_the_report_counts_what_a_format_drops_and_ignores(tmp_path: Path) -> None:
    data = coco()
    box = data["annotations"][0]  # type: ignore[index]
    data["annotations"] = [
        box,
        {**box, "id": 2, "bbox": [1, 1, 0, 5]},
        {**box, "id": 3, "bbox": [500, 500, 5, 5]},
        {**box, "id": 4, "bbox": [60.1, 60.1, 0.3, 0.3]},
    ]
    labels = matched(read_labels(text(tmp_path / "c.json", data)), image(tmp_path / "a.tif"))
    report = labels.report
    assert (report.read, report.outside, report.below_a_pixel, report.without_a_pixel) == (4, 1, 1, 1)
    assert report.dropped == {"missing or empty": 1}
    assert report.used == 2 and report.share == pytest.approx(900.09 / SIDE**2)
    assert report.line.startswith(
        "labels: 4 objects read, 2 used, whose outlines cover 9.00% of the scenes, 1 dropped (1 missing or "
        "empty), 1 outside"
    )
    assert report.values()["line"] == report.line
    assert shapely.area(labels.features.geometries).tolist()[0] == 900
