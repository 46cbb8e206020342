"""Pascal VOC and CSV boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.labelset import LabelSet
from eo_dl.errors import LabelError
from eo_dl.labels.reading import read_labels

Box = tuple[float, float, float, float]


def voc(boxes: list[Box], name: str = "tree", image: str = "a.tif", extra: str = "") -> str:
    objects = "".join(
        (
            f"<object><name>{name}</name>{extra}<bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax>"
            f"<ymax>{y1}</ymax></bndbox></object>"
        )
        for x0, y0, x1, y1 in boxes
    )
    return (
        f"<annotation><filename>{image}</filename><size><width>100</width><height>80</height>"
        f"<depth>3</depth></size>{objects}</annotation>"
    )


def read(folder: Path, text: str, name: str = "a.xml", origin: int | None = None) -> LabelSet:
    (folder / name).write_text(text)
    return read_labels(folder / name, voc_origin=origin)


def test_the_first_pixel_is_one_and_the_last_belongs_to_the_box(tmp_path: Path) -> None:
    labels = read(tmp_path, voc([(1, 1, 100, 80)]))
    assert labels.features.geometries[0].bounds == (0, 0, 100, 80)
    assert (
        labels.images is not None and labels.images[0] == "a.tif" and labels.covered[0].size_px == (100, 80)
    )


def test_a_zero_among_the_coordinates_gives_away_edges(tmp_path: Path) -> None:
    labels = read(tmp_path, voc([(0, 3, 10, 20), (5, 5, 9, 9)]))
    assert labels.features.geometries[1].bounds == (5, 5, 9, 9)
    assert any("counted from 0" in note for note in labels.notes)
    assert read(tmp_path, voc([(5, 5, 9, 9)]), origin=0).features.geometries[0].bounds == (5, 5, 9, 9)


@given(
    st.lists(
        st.tuples(st.integers(1, 90), st.integers(1, 70), st.integers(0, 9), st.integers(0, 9)),
        min_size=1,
        max_size=8,
    )
)
def test_boxes_come_back_as_written(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[tuple[int, int, int, int]]
) -> None:
    boxes: list[Box] = [(x, y, x + w, y + h) for x, y, w, h in sizes]
    labels = read(tmp_path_factory.mktemp("voc"), voc(boxes))
    found = shapely.bounds(labels.features.geometries) + np.array([1, 1, 0, 0])
    assert found.tolist() == [list(map(float, box)) for box in boxes]


def test_difficult_and_nameless_objects_are_ignored(tmp_path: Path) -> None:
    first = voc([(1, 1, 5, 5)], extra="<difficult>1</difficult>").removesuffix("</annotation>")
    second = (
        "<object><name> </name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>12</xmax><ymax>12</ymax></bndbox>"
        "</object></annotation>"
    )
    labels = read(tmp_path, first + second)
    assert labels.features.ignore.tolist() == [True, True] and labels.features.class_ids.tolist() == [1, 255]


def test_images_without_objects_are_covered(tmp_path: Path) -> None:
    (tmp_path / "b.xml").write_text(voc([], image="b.tif"))
    (tmp_path / "a.xml").write_text(voc([(1, 1, 5, 5)]))
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset/>")
    labels = read_labels(tmp_path)
    assert labels.image_names == ("a.tif", "b.tif") and len(labels) == 1


def test_a_box_turned_inside_out_is_dropped_by_name(tmp_path: Path) -> None:
    labels = read(tmp_path, voc([(50, 50, 40, 60), (1, 1, 5, 5)]))
    assert len(labels) == 1 and any("a.xml#1" in note for note in labels.notes)


BOMB = (
    '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><annotation>'
    "<filename>&b;</filename></annotation>"
)
EXTERNAL = (
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>'
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "declares XML entities"),
        (EXTERNAL, "declares XML entities"),
        ("<annotation><object>", "is not well-formed XML"),
        ("<html/>", "voc .<annotation> as its root"),
        (voc([(1, 1, 5, 5)], image="images/.."), "not a safe file name"),
        (voc([(1, 1, 5, 5)], image="..\\.."), "not a safe file name"),
        (voc([(1, 1, 5, float("nan"))]), "not a finite number"),
        (voc([]), "holds no labelled area"),
        ("<annotation><object><name>a</name></object></annotation>", "object 1 has no complete <bndbox>"),
    ],
)
def test_hostile_and_broken_files_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LabelError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_two_files_for_one_image_are_refused(tmp_path: Path) -> None:
    for name in ("a.xml", "b.xml"):
        (tmp_path / name).write_text(voc([(1, 1, 5, 5)]))
    with pytest.raises(LabelError, match=r"two images called 'a.tif'"):
        read_labels(tmp_path)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_csv_of_spreadsheets_that_separate_by_semicolons_or_tabs(separator: str, tmp_path: Path) -> None:
    rows = ["image_path,xmin,ymin,xmax,ymax,label", "a.png,1,2,3,4,Dead"]
    (tmp_path / "b.csv").write_text("\n".join(row.replace(",", separator) for row in rows))
    labels = read_labels(tmp_path / "b.csv")
    assert labels.features.geometries[0].bounds == (1, 2, 3, 4) and labels.classes.names == ("Dead",)


def test_csv_boxes_are_edges_from_zero_and_empty_rows_are_empty_images(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("image_path,xmin,ymin,xmax,ymax,label\na.png,1,2,3,4,Dead\nb.png,,,,,\n")
    labels = read_labels(tmp_path / "b.csv")
    assert labels.features.geometries[0].bounds == (1, 2, 3, 4) and labels.image_names == ("a.png", "b.png")
    (tmp_path / "b.csv").write_text("image_path,xmin,ymin,xmax,ymax,label\na.png,1,2,3,x,Dead\n")
    with pytest.raises(LabelError, match="line 2"):
        read_labels(tmp_path / "b.csv")
    (tmp_path / "b.csv").write_text("filename,xmin,class_name\na.png,3,building\n")
    with pytest.raises(LabelError, match="image_path, xmin"):
        read_labels(tmp_path / "b.csv")
