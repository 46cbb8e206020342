"""Every format gives back what was written into it, exactly where it can, and counts what it cannot; hostile
files are refused in one line.
"""

from __future__ import annotations

import base64
import json
import struct
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from shapely.affinity import rotate

from eo_dl.core.classes import ClassInfo, ClassSet
from eo_dl.core.labelset import LabelSet
from eo_dl.errors import LabelError
from eo_dl.labels.formats.annotations import Annotations, LabelledImage, LabelledObject, Losses
from eo_dl.labels.formats.brush import brush_code, brush_mask
from eo_dl.labels.formats.formatlist import written_formats
from eo_dl.labels.formats.labelformat import WrittenFormat
from eo_dl.labels.reading import read_labels

WIDTH, HEIGHT = 96, 64
CLASSES = ClassSet.of_names(["roof", "Größe <&>", "pool"])
EXACT_PX = 1e-6
PIXEL_FORMATS = {
    name: info
    for name, info in written_formats().items()
    if info.write_images is not None and not info.needs_images
}
BY_FORMAT = pytest.mark.parametrize(
    "info",
    [i for i in PIXEL_FORMATS.values() if i.holds.shape not in ("pixels", "classes")],
    ids=lambda i: i.name,
)

Side = st.floats(0.5, 9.5, allow_nan=False)


@st.composite
def outlines(draw: st.DrawFn, col: float, row: float) -> shapely.Geometry:
    """A box, a turned box, an L, two parts, or a ring with a hole, inside a cell of 20 px."""
    wide, high = draw(Side), draw(Side)
    box = shapely.box(col, row, col + wide, row + high)
    kind = draw(st.sampled_from(["box", "turned", "corner", "parts", "hole"]))
    if kind == "turned":
        return rotate(box, draw(st.floats(5, 85)), origin=(col + wide / 2, row + high / 2))
    if kind == "corner":
        return shapely.Polygon(
            [
                (col, row),
                (col + wide, row),
                (col + wide, row + high),
                (col + wide / 2, row + high),
                (col + wide / 2, row + high / 2),
                (col, row + high / 2),
            ]
        )
    if kind == "parts":
        return shapely.MultiPolygon([box, shapely.box(col + wide + 1, row, col + wide + 2.25, row + high)])
    if kind == "hole":
        return shapely.box(col, row, col + 12, row + 12).difference(
            shapely.box(col + 3, row + 3, col + 3 + wide / 2, row + 3 + high / 2)
        )
    return box


@st.composite
def annotation_sets(draw: st.DrawFn) -> Annotations:
    images = []
    for number in range(draw(st.integers(1, 2))):
        objects = []
        for place in range(draw(st.integers(0 if number else 1, 4))):
            outline = draw(outlines(2.0 + 23 * place, 5.0 + 3 * place))
            score = draw(st.none() | st.floats(0, 1))
            attributes = draw(st.sampled_from([{}, {"height": "12"}, {"note": "a <b> & c"}]))
            objects.append(
                LabelledObject(
                    outline, draw(st.sampled_from(CLASSES.names)), f"f{number}_{place}", score, attributes
                )
            )
        images.append(LabelledImage(f"chip {number}.tif", WIDTH, HEIGHT, tuple(objects)))
    return Annotations(CLASSES, tuple(images), "test")


def write(found: Annotations, info: WrittenFormat, folder: Path) -> Losses:
    losses = Losses()
    assert info.write_images is not None
    info.write_images(found, folder, losses)
    return losses


def read_back(info: WrittenFormat, folder: Path) -> LabelSet:
    places = {"voc": "Annotations", "dota": "labelTxt", "masks": "masks", "voc-masks": "SegmentationClass"}
    source = folder / (
        info.single_file or places.get(info.name, "data.yaml" if info.name.startswith("yolo") else ".")
    )
    return read_labels(source, sizes_px={f"chip {n}.tif": (WIDTH, HEIGHT) for n in range(2)})


def held(outline: shapely.Geometry, info: WrittenFormat) -> list[shapely.Geometry]:
    """What a format is left with of an outline: the definition in a few lines."""
    parts = list(shapely.get_parts(outline))
    if info.holds.shape == "boxes":
        return [shapely.box(*outline.bounds)]
    if info.holds.shape == "turned boxes":
        four = len(parts) == 1 and not parts[0].interiors and len(parts[0].exterior.coords) == 5
        return [outline if four else shapely.minimum_rotated_rectangle(outline)]
    filled = [shapely.Polygon(part.exterior) for part in parts]
    if info.holds.parts == "no":
        return filled
    return (
        [outline if info.holds.holes == "yes" else shapely.union_all(filled)]
        if not any(p.interiors for p in parts)
        else [outline]
    )


def expected(
    found: Annotations, info: WrittenFormat
) -> list[tuple[str, str, shapely.Geometry, float | None]]:
    objects = [(image, one) for image in found.images for one in image.objects]
    if info.name == "labelstudio":  # where a person has drawn, predictions beside it are not read
        drawn = {image.name for image, one in objects if one.score is None}
        objects = [(image, one) for image, one in objects if one.score is None or image.name not in drawn]
    return [
        (image.stem, one.class_name, part, one.score)
        for image, one in objects
        for part in held(one.outline, info)
    ]


def far_apart(first: shapely.Geometry, second: shapely.Geometry) -> float:
    return float(shapely.hausdorff_distance(first, second))


@BY_FORMAT
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(found=annotation_sets())
def test_what_is_written_comes_back(info: WrittenFormat, found: Annotations) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(found, info, Path(folder))
        labels = read_back(info, Path(folder))
    wanted = expected(found, info)
    assert len(labels) == len(wanted)
    assert labels.images is not None
    for place, (stem, name, outline, score) in enumerate(wanted):
        assert str(labels.images[place]).rsplit(".", 1)[0] == stem
        told = labels.classes.by_id(int(labels.features.class_ids[place])).name
        assert told == ("-".join(name.split()) if info.name == "dota" else name)
        got = labels.features.geometries[place]
        if any(part.interiors for part in shapely.get_parts(outline)):
            assert info.holds.holes == "pixels"
            assert abs(got.area - outline.area) <= outline.length
        else:
            assert far_apart(got, outline) < EXACT_PX
            assert abs(got.area - outline.area) < EXACT_PX * max(outline.length, 1)
        if info.holds.scores and score is not None:
            assert labels.features.scores is not None and labels.features.scores[place] == score
        if info.holds.attributes:
            one = next(
                o
                for image in found.images
                for o in image.objects
                if f"{image.stem}/{o.feature_id}"
                == f"{stem}/{labels.features.attributes['feature_id'][place]}"
            )
            assert all(
                labels.features.attributes[key][place] == value for key, value in one.attributes.items()
            )
    assert {name.rsplit(".", 1)[0] for name in labels.image_names} == {image.stem for image in found.images}


@BY_FORMAT
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(found=annotation_sets())
def test_what_is_lost_is_counted(info: WrittenFormat, found: Annotations) -> None:
    with tempfile.TemporaryDirectory() as folder:
        notes = " | ".join(write(found, info, Path(folder)).notes)
    objects = [one for image in found.images for one in image.objects]
    holes = sum(any(part.interiors for part in shapely.get_parts(one.outline)) for one in objects)
    parts = sum(len(shapely.get_parts(one.outline)) > 1 for one in objects)
    scores = sum(one.score is not None for one in objects)
    if info.holds.shape == "polygons":
        assert (f"{holes} objects with holes" in notes) == bool(holes)
        assert (f"{parts} objects of several parts" in notes) == bool(parts and info.holds.parts == "no")
    elif holes or parts:
        assert "became the" in notes
    assert (f"{scores} scores left out" in notes) == bool(scores and not info.holds.scores)
    assert ("without their attributes" in notes) == (
        not info.holds.attributes and any(one.attributes for one in objects)
    )


@pytest.mark.parametrize("name", ["masks", "voc-masks"])
@settings(max_examples=15)
@given(found=annotation_sets())
def test_masks_come_back_pixel_by_pixel(name: str, found: Annotations) -> None:
    assume(any((image.class_mask(CLASSES) > 0).any() for image in found.images))
    info = PIXEL_FORMATS[name]
    with tempfile.TemporaryDirectory() as folder:
        write(found, info, Path(folder))
        labels = read_back(info, Path(folder))
        for image in found.images:
            mask = next(m for m in labels.rasters if Path(m.path).stem == image.stem)
            with Image.open(mask.path) as picture:
                stored = np.array(picture)
            assert (stored == image.class_mask(CLASSES)).all()
    assert set(labels.classes.names) <= {"background", *CLASSES.names}


@given(st.integers(1, 40), st.integers(1, 40), st.randoms(use_true_random=False))
def test_brush_code_is_undone(width: int, height: int, random: Any) -> None:
    mask = np.array([random.random() < 0.4 for _ in range(width * height)]).reshape(height, width)
    assert (brush_mask(brush_code(mask), width, height) == mask).all()


def test_ignored_objects_are_said_or_counted(tmp_path: Path) -> None:
    objects = (
        LabelledObject(shapely.box(1, 1, 5, 5), "roof", "a"),
        LabelledObject(shapely.box(8, 8, 12, 12), "roof", "b", ignore=True),
    )
    found = Annotations(CLASSES, (LabelledImage("chip 0.tif", WIDTH, HEIGHT, objects),), "test")
    for info in PIXEL_FORMATS.values():
        if info.holds.shape in ("classes", "pixels"):
            continue
        folder = tmp_path / info.name
        notes = " | ".join(write(found, info, folder).notes)
        labels = read_back(info, folder)
        assert (
            (labels.features.ignore.tolist() == [False, True])
            if info.holds.ignore
            else (len(labels) == 1 and "1 ignored objects left out" in notes)
        )


SPLIT = Annotations(
    CLASSES,
    tuple(
        LabelledImage(
            f"{s}.tif",
            WIDTH,
            HEIGHT,
            (LabelledObject(shapely.box(1, 2, 30, 40), "pool", s),),
            bands=8,
            split=s,
        )
        for s in ("train", "val", "test")
    ),
    "test",
)


def test_yolo_tells_splits_names_and_bands(tmp_path: Path) -> None:
    import yaml

    write(SPLIT, PIXEL_FORMATS["yolo-seg"], tmp_path)
    data = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert data["channels"] == 8 and data["names"] == dict(enumerate(CLASSES.names))
    assert [data[split] for split in ("train", "val", "test")] == [
        "images/train",
        "images/val",
        "images/test",
    ]
    assert (tmp_path / "labels" / "val" / "val.txt").read_text().startswith("2 ")


def test_label_studio_config_knows_every_name_the_tasks_use(tmp_path: Path) -> None:
    from defusedxml.ElementTree import parse

    scored = LabelledObject(shapely.box(1, 1, 9, 9), "roof", "p", 0.75)
    drawn = LabelledObject(shapely.Polygon([(1, 1), (9, 1), (5, 8)]), "pool", "d")
    write(
        Annotations(CLASSES, (LabelledImage("a.png", WIDTH, HEIGHT, (scored, drawn)),), "test"),
        PIXEL_FORMATS["labelstudio"],
        tmp_path,
    )
    config = parse(tmp_path / "labelling_config.xml").getroot()
    task = json.loads((tmp_path / "tasks.json").read_text())[0]
    controls = {
        node.get("name"): (node.tag.lower(), node.get("toName"), {label.get("value") for label in node})
        for node in config
        if node.get("toName")
    }
    for result in task["annotations"][0]["result"] + task["predictions"][0]["result"]:
        tag, target, names = controls[result["from_name"]]
        assert (
            tag == result["type"]
            and target == result["to_name"] == "image"
            and set(result["value"][result["type"]]) <= names
        )
    assert task["predictions"][0]["score"] == 0.75 and len(task["annotations"][0]["result"]) == 1


# Files of other tools, by their documentation


def test_a_label_studio_export_of_uploaded_images(tmp_path: Path) -> None:
    value = {"x": 10, "y": 20, "width": 50, "height": 25, "rotation": 90, "rectanglelabels": ["Ship"]}
    region = {
        "id": "a1",
        "type": "rectanglelabels",
        "from_name": "l",
        "to_name": "i",
        "original_width": 200,
        "original_height": 100,
        "value": value,
    }
    relation = {"type": "relation", "from_id": "a1", "to_id": "a1"}
    task = {
        "id": 7,
        "data": {"image": "/data/upload/3/0a1b2c3d-port.png"},
        "annotations": [{"was_cancelled": True, "result": []}, {"result": [region, relation]}],
        "predictions": [],
    }
    skipped = {"id": 8, "data": {"image": "s3://bucket/b.png"}, "annotations": [], "predictions": []}
    (tmp_path / "export.json").write_text(json.dumps([task, skipped]))
    labels = read_labels(tmp_path / "export.json")
    assert labels.image_names == ("port.png",) and labels.covered[0].size_px == (200, 100)
    # turned by 90 degrees about its corner
    assert np.allclose(labels.features.geometries[0].bounds, (20 - 25, 20, 20, 120))
    assert any("1 tasks without annotation" in note for note in labels.notes)


def test_a_cvat_export_with_turned_box_mask_and_tag(tmp_path: Path) -> None:
    (tmp_path / "annotations.xml").write_text(
        '<?xml version="1.0"?><annotations><version>1.1</version><meta><task><labels><label>'
        "<name>car</name></label><label><name>town</name></label></labels></task></meta>"
        '<image id="0" name="sub/a.png" width="20" height="10">'
        '<box label="car" xtl="2" ytl="2" xbr="6" ybr="4" rotation="90" occluded="0"/>'
        '<mask label="car" rle="1, 2, 2, 1" left="10" top="3" width="3" height="2"/>'
        '<points label="car" points="1,1"/><tag label="town"/></image></annotations>'
    )
    labels = read_labels(tmp_path / "annotations.xml")
    assert np.allclose(labels.features.geometries[0].bounds, (3, 1, 5, 5))
    assert labels.features.geometries[1].area == 3 and labels.features.geometries[1].bounds == (11, 3, 13, 5)
    assert len(labels) == 2 and labels.classes.names == ("car", "town")
    assert any("1 tags of whole images (town) are left out" in note for note in labels.notes)
    assert any("left out: 1 points" in note for note in labels.notes)


def test_yolo_without_names_takes_sizes_of_the_images_beside(tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    Image.new("RGB", (40, 20)).save(tmp_path / "images" / "a.png")
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.25 0.5 0.9\n1 0 0 1 0 1 1\n")
    (tmp_path / "labels" / "b.txt").write_text("")
    Image.new("RGB", (40, 20)).save(tmp_path / "images" / "b.png")
    labels = read_labels(tmp_path / "labels")
    assert labels.features.geometries[0].bounds == (15, 5, 25, 15) and labels.classes.names == (
        "class_0",
        "class_1",
    )
    assert (
        labels.features.scores is not None
        and labels.features.scores[0] == 0.9
        and labels.image_names == ("a.png", "b.png")
    )
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    (tmp_path / "images" / "a.png").unlink()
    with pytest.raises(LabelError, match="its image is not found"):
        read_labels(tmp_path / "labels")


# Hostile files

BOMB = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;">]>'
    "<annotations>&y;</annotations>"
)
IMAGE = '<annotations><image id="0" name="{name}" width="9" height="9">{body}</image></annotations>'
TASK: Mapping[str, Any] = {"data": {"image": "a.png"}, "annotations": [{"result": []}]}


def task(region: Mapping[str, Any]) -> str:
    return json.dumps(
        [
            {
                **TASK,
                "annotations": [
                    {"result": [{"id": "r1", "original_width": 10, "original_height": 10, **region}]}
                ],
            }
        ]
    )


def labelme(**shape: Any) -> str:
    return json.dumps(
        {
            "imagePath": "a.png",
            "shapes": [{"label": "x", "shape_type": "polygon", "points": [[0, 0], [1, 0], [1, 1]], **shape}],
        }
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.xml", BOMB, "entities"),
        ("a.xml", IMAGE.format(name="../..", body=""), "safe file name"),
        (
            "a.xml",
            IMAGE.format(name="a.png", body='<box label="x" xtl="nan" ytl="0" xbr="2" ybr="2"/>'),
            "box 1",
        ),
        ("a.xml", IMAGE.format(name="a.png", body='<box label="x" xtl="1" ytl="0" xbr="2"/>'), "ybr"),
        (
            "a.xml",
            IMAGE.format(
                name="a.png",
                body='<mask label="x" rle="1,999999999999" left="0" top="0" width="3" height="3"/>',
            ),
            "runs add up",
        ),
        (
            "a.xml",
            IMAGE.format(
                name="a.png", body='<mask label="x" rle="1" left="0" top="0" width="999999" height="999999"/>'
            ),
            "too large",
        ),
        (
            "a.xml",
            "<annotations><image id='0' name='a.png'/><image id='1' name='a.png'/></annotations>",
            "two images",
        ),
        ("a.xml", "<annotations><track/></annotations>", "tracks"),
        (
            "a.json",
            json.dumps([{"data": {"image": "../.."}, "annotations": [{"result": []}]}]),
            "safe file name",
        ),
        ("a.json", json.dumps([TASK, TASK]), "as one before it"),
        (
            "a.json",
            task(
                {
                    "type": "polygonlabels",
                    "value": {"points": [[0, 0], [1e300, 0], [1, 1]], "polygonlabels": ["x"]},
                }
            ),
            "region r1",
        ),
        (
            "a.json",
            task(
                {
                    "type": "rectanglelabels",
                    "value": {"x": float("nan"), "y": 0, "width": 1, "height": 1, "rectanglelabels": ["x"]},
                }
            ),
            "region r1",
        ),
        (
            "a.json",
            task({"type": "brushlabels", "value": {"rle": [255] * 20, "brushlabels": ["x"]}}),
            "the rle has",
        ),
        (
            "a.json",
            task({"type": "polygonlabels", "value": {"points": [[0, 0]], "polygonlabels": []}}),
            "no label",
        ),
        ("a.json", labelme(points=[[0, 0], [float("inf"), 1], [1, 1]]), "shape 1"),
        ("a.json", labelme(shape_type="mask", points=[[0, 0], [1, 1]], mask="!!!"), "shape 1"),
        ("a.json", labelme(shape_type="spline"), "shape_type"),
        ("a.json", labelme(shape_type="rectangle"), "two or four points"),
        ("a.txt", "0 0.5 0.5 0.1 0.1\n0 nan 0.5 0.1 0.1\n", "line 2"),
        ("a.txt", "0 0.5 0.5 0.1 0.1\n0 0.1 0.1 0.2\n", "line 2"),
        ("a.txt", "1 1 5 1 5 5 1 5 ship 0\n1 1 5 1 5 inf 1 5 ship 0\n", "line 2"),
        ("data.yaml", "path: .\ntrain: ../../secrets\nnames: [a]\n", "secrets not there"),
        ("data.yaml", "path: .\ntrain: /etc\nnames: [a]\n", "/etc not there"),
        ("data.yaml", "path: .\ntrain: images\nnames: [a, a]\n", "the same"),
    ],
)
def test_hostile_files_are_refused_in_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    if name == "a.txt":
        Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    with pytest.raises(LabelError, match=message) as caught:
        read_labels(tmp_path / name)
    assert "\n" not in str(caught.value) and str(tmp_path / name) in str(caught.value)


VOC = (
    "<annotation><filename>{name}</filename><size><width>9</width><height>9</height>"
    "</size>{body}</annotation>"
)
COCO: Mapping[str, Any] = {
    "images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}],
    "annotations": [{"id": 5, "image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 3]}] * 3,
    "categories": [{"id": 1, "name": "x"}],
}


def coco(part: str, **change: Any) -> str:
    items = [{**item, "id": place, **change} for place, item in enumerate(COCO[part], start=1)]
    return json.dumps({**COCO, part: items})


def png_of(width: int, height: int) -> str:
    """The head of a PNG that promises a picture of this size and holds none."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + head
        + struct.pack(">I", zlib.crc32(head))
        + struct.pack(">I", 0)
        + b"IDAT"
    )
    return base64.b64encode(data + struct.pack(">I", zlib.crc32(b"IDAT"))).decode()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.xml", BOMB.replace("annotations", "annotation"), "entities"),
        ("a.xml", '<!DOCTYPE a SYSTEM "file:///etc/passwd">' + VOC.format(name="a.png", body=""), "entities"),
        ("a.xml", VOC.format(name="../..", body=""), "safe file name"),
        (
            "a.xml",
            VOC.format(name="a.png", body="<object><name>x</name><bndbox><xmin>1</xmin></bndbox></object>"),
            "object 1",
        ),
        (
            "a.xml",
            IMAGE.format(name="a.png", body='<polygon label="x" points="1,1;2,1e300;3,3"/>'),
            "polygon 1",
        ),
        (
            "a.xml",
            IMAGE.format(name="a.png", body='<ellipse label="x" cx="1" cy="inf" rx="3" ry="3"/>'),
            "ellipse 1",
        ),
        ("a.json", coco("images", file_name="..\\.."), "safe file name"),
        ("a.json", coco("images", file_name="a\u0000.png"), "safe file name"),
        ("a.json", coco("annotations", segmentation={"size": [10**9, 10**9], "counts": [1, 10**17]}), "#1"),
        (
            "a.json",
            coco("annotations", segmentation={"size": [9, 9], "counts": "zzzzzzzzzzzzzzzzzzzz"}),
            "#1",
        ),
        ("a.json", coco("annotations", bbox=[0, 0, 1e300, 1]), "#1"),
        ("a.json", "[" * 100_000, "JSON"),
        (
            "a.json",
            labelme(shape_type="mask", points=[[0, 0], [1, 1]], mask=png_of(60_000, 60_000)),
            "shape 1.*too large",
        ),
        (
            "a.json",
            labelme(shape_type="mask", points=[[0, 0], [1, 1]], mask=png_of(9500, 9500)),
            "shape 1.*too large",
        ),
        ("a.json", json.dumps({"imagePath": "../..", "shapes": []}), "safe file name"),
        ("a.csv", "image_path,xmin,ymin,xmax,ymax,label\n../..,1,1,2,2,x\n", "line 2.*safe file name"),
        ("a.csv", "image_path,xmin,ymin,xmax,ymax,label\na.png,1,1,2,inf,x\n", "line 2"),
        ("a.csv", "file,label\na.png,x\n../..,x\n", "line 3.*safe file name"),
    ],
)
def test_more_hostile_files_are_refused_in_one_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(LabelError, match=message) as caught:
        read_labels(tmp_path / name)
    assert "\n" not in str(caught.value) and str(tmp_path / name) in str(caught.value)


BOX = '<box label="x" xtl="0" ytl="0" xbr="2" ybr="2"/>'
OBJECT = (
    "<object><name>x</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></object>"
)


@pytest.mark.parametrize(
    ("limit", "most", "name", "text", "message"),
    [
        ("safefile.MAX_RECORDS", 2, "a.json", coco("annotations"), "lists 3 annotations"),
        (
            "safefile.MAX_RECORDS",
            2,
            "a.json",
            json.dumps([{**TASK, "data": {"image": f"{n}.png"}} for n in range(3)]),
            "lists 3 tasks",
        ),
        ("safefile.MAX_RECORDS", 0, "a.json", labelme(), "lists 1 shapes"),
        ("safefile.MAX_JSON_BYTES", 1, "a.json", coco("annotations"), "larger than"),
        ("safefile._MAX_TEXT_BYTES", 1, "a.txt", "0 0.5 0.5 0.1 0.1\n", "larger than"),
        ("cvat.MAX_RECORDS", 1, "a.xml", IMAGE.format(name="a.png", body=BOX * 2), "more than 1 shapes"),
        ("cvat._MAX_BYTES", 1, "a.xml", IMAGE.format(name="a.png", body=BOX), "larger than"),
        ("voc._MAX_OBJECTS", 1, "a.xml", VOC.format(name="a.png", body=OBJECT * 2), "holds 2 objects"),
        ("yolo._MAX_LINES", 1, "a.txt", "0 0.5 0.5 0.1 0.1\n" * 2, "holds 2 lines"),
        ("dota._MAX_LINES", 1, "a.txt", "1 1 5 1 5 5 1 5 ship 0\n" * 2, "holds 2 lines"),
        (
            "csvtable.MAX_BYTES",
            1,
            "a.csv",
            "image_path,xmin,ymin,xmax,ymax,label\na.png,1,1,2,2,x\n",
            "larger than",
        ),
    ],
)
def test_absurd_counts_and_sizes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int, name: str, text: str, message: str
) -> None:
    monkeypatch.setattr(f"eo_dl.labels.formats.{limit}", most)
    (tmp_path / name).write_text(text)
    Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    with pytest.raises(LabelError, match=message) as caught:
        read_labels(tmp_path / name)
    assert "\n" not in str(caught.value) and str(tmp_path / name) in str(caught.value)


def test_labelmaps_part_names_from_colours(tmp_path: Path) -> None:
    """Names with the signs that part columns, and classes of one colour, come back as they were."""
    own = ClassSet(
        tuple(
            ClassInfo(place, name, "#ff0000")
            for place, name in enumerate(["a:b", "c=d", "-e", "f,g"], start=1)
        )
    )
    objects = tuple(
        LabelledObject(shapely.box(20 * n, 5, 20 * n + 10, 15), info.name, str(n))
        for n, info in enumerate(own)
    )
    write(
        Annotations(own, (LabelledImage("chip 0.tif", WIDTH, HEIGHT, objects),), "test"),
        PIXEL_FORMATS["voc-masks"],
        tmp_path,
    )
    labels = read_labels(tmp_path / "SegmentationClass")
    assert set(own.names) <= set(labels.classes.names)
    names = {info.id: info.name for info in labels.classes}
    with Image.open(tmp_path / "SegmentationClass" / "chip 0.png") as picture:
        colors = np.array(picture.convert("RGB"))
    for n, info in enumerate(own):
        color = "#" + "".join(f"{channel:02x}" for channel in colors[10, 20 * n + 5])
        assert names[labels.rasters[0].values[color]] == info.name
