"""Signs in the files of other tools that labels mean something else than they seem to: refused, or said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from eo_dl.errors import LabelError
from eo_dl.labels.coverage import match_labels
from eo_dl.labels.labelsources import find_sources
from eo_dl.labels.reading import read_labels
from tests.labels.test_othertools import (
    BOX,
    SIDE,
    bounds,
    coco,
    cvat,
    cvat_box,
    image,
    label_studio,
    labelme,
    matched,
    region,
    said,
    shape,
    text,
    voc,
)
from tests.making import write_raster

# CSV as spreadsheets write it


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("first", ["", "sep={separator}\r\n"])
def test_csv_in_the_encodings_and_with_the_separators_of_spreadsheets(
    encoding: str, separator: str, first: str, tmp_path: Path
) -> None:
    rows = first + "image_path,xmin,ymin,xmax,ymax,label\r\na.tif,10,20,40,50,Grün\r\n".replace(
        ",", "{separator}"
    )
    (tmp_path / "b.csv").write_bytes(rows.replace("{separator}", separator).encode(encoding))
    labels = read_labels(tmp_path / "b.csv")
    assert bounds(labels) == [BOX] and labels.classes.names == ("Grün",)
    rows = rows.replace("a.tif{separator}10{separator}20{separator}40{separator}50", "a.tif").replace(
        "image_path{separator}xmin{separator}ymin{separator}xmax{separator}ymax", "image"
    )
    (tmp_path / "c.csv").write_bytes(rows.replace("{separator}", separator).encode(encoding))
    assert find_sources(tmp_path / "c.csv").format.name == "image-csv"
    assert read_labels(tmp_path / "c.csv").classes.names == ("Grün",)


def test_numbers_with_decimal_commas(tmp_path: Path) -> None:
    header = "image_path;xmin;ymin;xmax;ymax;label;score\n"
    labels = read_labels(text(tmp_path / "b.csv", f"{header}a.tif;10,5;20;40,25;50;roof;0,5\n"))
    assert bounds(labels) == [(10.5, 20, 40.25, 50)]
    with pytest.raises(LabelError, match="box of four numbers"):
        read_labels(text(tmp_path / "b.csv", f"{header}a.tif;1.010,5;20;40,25;50;roof;0,5\n"))
    with pytest.raises(LabelError, match="box of four numbers"):
        read_labels(text(tmp_path / "c.csv", 'image_path,xmin,ymin,xmax,ymax\na.tif,"1,5",2,3,4\n'))


def test_tables_separated_by_tabs_have_a_suffix_of_their_own(tmp_path: Path) -> None:
    table = text(
        tmp_path / "b.tsv", "image_path\txmin\tymin\txmax\tymax\tlabel\na.tif\t10\t20\t40\t50\troof\n"
    )
    assert bounds(read_labels(table)) == [BOX]


# Classes of whole images beside objects


def test_classes_of_whole_images_beside_objects_are_left_out_and_counted(tmp_path: Path) -> None:
    tag = '<tag label="cloudy" source="manual"></tag>'
    choice = region("choices", "q", choices=["cloudy"])
    files = {
        "c.xml": (cvat(cvat_box(), tag), "1 tags of whole images (cloudy)"),
        "s.json": (
            label_studio(region(rectanglelabels=["roof"]), choice),
            "1 choices of whole images (cloudy)",
        ),
        "l.json": ({**labelme(shape()), "flags": {"cloudy": True, "snow": False}}, "1 flags of whole images"),
    }
    for name, (content, note) in files.items():
        labels = read_labels(text(tmp_path / name, content))
        assert bounds(labels) == [BOX] and note in said(labels), name
        assert labels.classes.names[0] == "roof" and sum(labels.report.dropped.values()) == 1
        assert labels.report.read == 2


def test_flags_of_labelme_are_classes_of_images_without_shapes(tmp_path: Path) -> None:
    text(tmp_path / "a.json", {**labelme(), "flags": {"forest": True, "water": False}})
    text(tmp_path / "b.json", {**labelme(image_path="b.tif"), "flags": {"forest": False, "water": True}})
    labels = read_labels(tmp_path)
    assert bounds(labels) == [(0, 0, 100, 100)] * 2 and labels.classes.names == ("forest", "water")
    with pytest.raises(LabelError, match="no imageWidth"):
        read_labels(
            text(tmp_path / "c.json", {"imagePath": "c.tif", "shapes": [], "flags": {"forest": True}})
        )


def test_a_taxonomy_of_label_studio_is_counted(tmp_path: Path) -> None:
    taxonomy: dict[str, object] = {
        "id": "t",
        "type": "taxonomy",
        "value": {"taxonomy": [["land", "water"]]},
    }
    labels = read_labels(text(tmp_path / "s.json", label_studio(region(rectanglelabels=["roof"]), taxonomy)))
    assert "1 taxonomy" in said(labels)


# Images that are not as their labels suppose


def test_regions_drawn_on_a_turned_image_are_refused(tmp_path: Path) -> None:
    turned = {**region(rectanglelabels=["roof"]), "image_rotation": 90}
    with pytest.raises(LabelError, match="turned by 90 degrees"):
        read_labels(text(tmp_path / "s.json", label_studio(turned)))
    straight = {**region(rectanglelabels=["roof"]), "image_rotation": 0}
    assert bounds(read_labels(text(tmp_path / "s.json", label_studio(straight)))) == [BOX]


@pytest.mark.parametrize("more", [{"to_name": "second"}, {"item_index": 1}])
def test_regions_of_several_images_of_a_task_are_refused(more: dict[str, object], tmp_path: Path) -> None:
    first = {**region(rectanglelabels=["roof"]), "to_name": "image"}
    with pytest.raises(LabelError, match="several images"):
        read_labels(text(tmp_path / "s.json", label_studio(first, {**first, "id": "z", **more})))


@pytest.mark.parametrize("size", ["<size><width>0</width><height>0</height></size>", ""])
def test_a_size_that_labels_do_not_say_is_said(size: str, tmp_path: Path) -> None:
    stated = "<size><width>100</width><height>100</height></size>"
    scene = image(tmp_path / "a.tif")
    assert "do not say the size" not in said(matched(read_labels(text(tmp_path / "v.xml", voc())), scene))
    labels = matched(read_labels(text(tmp_path / "v.xml", voc().replace(stated, size))), scene)
    assert "the labels do not say the size of 1 of 1 image, so it is not compared: a.tif" in said(labels)


# What numbers mean


def test_boxes_of_coco_that_may_be_corners_are_refused(tmp_path: Path) -> None:
    data = coco()
    corners = [[60, 60, 90, 95], [10, 20, 40, 50]]
    data["annotations"] = [{**data["annotations"][0], "id": n, "bbox": box} for n, box in enumerate(corners)]  # type: ignore[index]
    with pytest.raises(
        LabelError, match="1 of 2 boxes leave their image, while all fit if bbox is x0, y0, x1"
    ):
        read_labels(text(tmp_path / "c.json", data))
    one = {**data["annotations"][0], "bbox": [80, 80, 40, 30]}  # type: ignore[index]
    data["annotations"].append(one)
    assert len(read_labels(text(tmp_path / "c.json", data))) == 3


def test_a_box_of_coco_elsewhere_than_its_segmentation_is_said(tmp_path: Path) -> None:
    ring = [10, 20, 40, 20, 40, 50, 10, 50]
    assert "elsewhere" not in said(read_labels(text(tmp_path / "c.json", coco(segmentation=[ring]))))
    labels = read_labels(text(tmp_path / "c.json", coco(segmentation=[[value / 2 for value in ring]])))
    assert "1 of 1 annotations have a box elsewhere than their segmentation" in said(labels)


@pytest.mark.parametrize("mark", [{"iscrowd": "1"}, {"iscrowd": True}, {"ignore": 1}])
def test_marks_of_crowds_in_other_spellings(mark: dict[str, Any], tmp_path: Path) -> None:
    labels = read_labels(text(tmp_path / "c.json", coco(**mark)))
    assert labels.report.ignored == {"crowds": 1}


def test_parts_of_voc_objects_are_counted(tmp_path: Path) -> None:
    part = "<part><name>chimney</name><bndbox><xmin>11</xmin></bndbox></part>"
    labels = read_labels(text(tmp_path / "v.xml", voc(more=part)))
    assert "1 parts of objects" in said(labels) and labels.report.dropped == {"parts of objects": 1}


def test_key_points_of_yolo_that_nothing_states_are_refused(tmp_path: Path) -> None:
    image(tmp_path / "images/a.tif")
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(2):
        centre, size = rng.uniform(0.4, 0.6, 2), rng.uniform(0.1, 0.2, 2)
        points = centre + (rng.random((4, 2)) - 0.5) * size
        points[:2] = centre - 0.4 * size, centre + 0.4 * size
        lines.append(" ".join(map(str, [0, *centre, *size, *points.ravel()])))
    text(tmp_path / "labels/a.txt", "\n".join(lines))
    with pytest.raises(LabelError, match="all 2 long lines look like boxes followed by key points"):
        read_labels(tmp_path / "labels")
    text(tmp_path / "labels/a.txt", "0 0.5 0.5 0.5 0.52 0.48 0.52\n0 0.3 0.5 0.3 0.52 0.28 0.52\n")
    assert len(read_labels(tmp_path / "labels")) == 2  # small objects are no key points
    polygon = "0 0.1 0.1 0.3 0.1 0.3 0.3 0.1 0.3 0.05 0.2"
    text(tmp_path / "labels/a.txt", "\n".join([*lines, polygon]))
    assert len(read_labels(tmp_path / "labels")) == 3


def test_a_number_of_classes_that_is_not_that_of_the_names_is_said(tmp_path: Path) -> None:
    scene = image(tmp_path / "images/train/a.tif")
    text(tmp_path / "labels/train/a.txt", "0 0.25 0.35 0.3 0.3\n")
    text(tmp_path / "data.yaml", "train: images/train\nnc: 1\nnames: [roof, tree]\n")
    labels = match_labels(read_labels(tmp_path / "data.yaml"), [scene]).labels
    assert "says nc: 1 but names 2 classes" in said(labels)


def test_boxes_of_yolo_that_may_be_corners_are_refused(tmp_path: Path) -> None:
    image(tmp_path / "images/a.tif")
    corners = "0 0.7 0.7 0.9 0.9\n0 0.1 0.1 0.3 0.3\n"
    text(tmp_path / "labels/a.txt", corners)
    with pytest.raises(LabelError, match="2 of 2 boxes leave their image, while all fit if"):
        read_labels(tmp_path / "labels")
    text(tmp_path / "labels/a.txt", corners + "0 0.9 0.9 0.2 0.2\n")
    assert len(read_labels(tmp_path / "labels")) == 3


# Classes


def test_categories_of_one_name_are_said(tmp_path: Path) -> None:
    data = coco()
    data["categories"] = [{"id": 1, "name": "roof"}, {"id": 2, "name": "roof "}]
    assert "several categories are called roof" in said(read_labels(text(tmp_path / "c.json", data)))


def test_files_of_labelme_for_another_image_are_said(tmp_path: Path) -> None:
    labels = read_labels(text(tmp_path / "b.json", labelme(shape())))
    assert "1 files have another name than their image: b.json is for a.tif" in said(labels)


@pytest.mark.parametrize("value", ["-1", "-9999", "65535"])
def test_numbers_that_mark_gaps_are_a_question(value: str, tmp_path: Path) -> None:
    named = ((1, "1"), (9, "2"), (20, value))
    boxes = "".join(f"a.tif,{n},{n},{n + 5},{n + 5},{name}\n" for n, name in named)
    table = text(tmp_path / "b.csv", f"image_path,xmin,ymin,xmax,ymax,label\n{boxes}")
    with pytest.raises(LabelError, match=f"'class_1=1,class_2=2,-{value}' ignores it"):
        read_labels(table)
    ignored = read_labels(table, classes=f"a=1,b=2,-{value}")
    assert ignored.classes.names == ("a", "b") and ignored.report.ignored == {"of ignored classes": 1}
    assert read_labels(table, classes=f"a=1,b=2,c={value}").classes.names == ("a", "b", "c")


def test_classes_inside_an_object_have_its_name(tmp_path: Path) -> None:
    """As QuPath writes them."""
    features = [
        {
            "type": "Feature",
            "properties": {"classification": {"name": name, "color": [1, 2, 3]}},
            "geometry": json.loads(shapely.to_geojson(shapely.box(n, 0, n + 1, 1))),
        }
        for n, name in enumerate(["tree", "roof", "tree"])
    ]
    path = text(tmp_path / "l.geojson", {"type": "FeatureCollection", "features": features})
    assert read_labels(path).classes.names == ("roof", "tree")


# Label rasters


def test_255_beside_a_single_value_is_a_question(tmp_path: Path) -> None:
    mask = np.full((SIDE, SIDE), 1, np.uint8)
    mask[:50] = 255
    path = write_raster(tmp_path / "m.tif", mask)
    with pytest.raises(LabelError, match="holds nothing but 1 and 255"):
        read_labels(path)
    assert read_labels(path, classes="a=1,b=255").classes.names == ("a", "b")
    assert read_labels(path, classes="a=1,-255").classes.names == ("a",)


def test_rasters_that_number_objects_are_a_question(tmp_path: Path) -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for number in range(25):
        row, col = 20 * (number // 5), 20 * (number % 5)
        mask[row : row + 12, col : col + 12] = number + 1
    path = write_raster(tmp_path / "m.tif", mask)
    with pytest.raises(LabelError, match="each of its 25 values is one patch, as where objects are numbered"):
        read_labels(path)
    assert read_labels(path, classes="roof=*,background=0").classes.names == ("background", "roof")
    scattered = np.random.default_rng(0).integers(0, 26, (SIDE // 4, SIDE // 4)).repeat(4, 0).repeat(4, 1)
    assert len(read_labels(write_raster(tmp_path / "s.tif", scattered.astype(np.uint8))).classes) == 26


def test_a_scale_of_a_label_raster_is_said(tmp_path: Path) -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:50] = 10
    path = write_raster(tmp_path / "m.tif", mask)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales = (0.1,)
    assert "the scale or offset of the file is left aside" in said(read_labels(path))


# Shapefiles


@pytest.mark.parametrize("encoding", ["UTF-8", "cp1252"])
def test_a_shapefile_that_states_no_encoding(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "l.shp"
    names = ["Gebäude", "Straße", "Gebäude"]
    outlines = [shapely.box(n, 0, n + 1, 1) for n in range(3)]
    frame = geopandas.GeoDataFrame({"class": names}, geometry=outlines, crs="EPSG:32633")
    frame.to_file(path, encoding=encoding)
    assert "states no encoding" not in said(read_labels(path))
    path.with_suffix(".cpg").unlink()
    labels = read_labels(path)
    assert labels.classes.names == ("Gebäude", "Straße")
    assert f"states no encoding (.cpg), its texts are read as {encoding}" in said(labels)
    frame.assign(**{"class": ["a", "b", "a"]}).to_file(path, encoding=encoding)
    path.with_suffix(".cpg").unlink()
    assert "states no encoding" not in said(read_labels(path))
