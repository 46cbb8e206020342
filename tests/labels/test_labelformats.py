"""A label format is one module with one `FORMAT`; everything else reads the list."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from eo_dl.errors import LabelError
from eo_dl.labels.formats import FORMAT_NAMES, READ_FORMATS, WRITTEN_FORMATS
from eo_dl.labels.formats.formatlist import format_of_written, label_formats, written_formats
from eo_dl.labels.formats.labelfile import json_outline
from eo_dl.labels.formats.labelformat import VECTOR_OPTIONS, WrittenFormat
from eo_dl.labels.labelsources import find_sources

DOCS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "label-formats.md"


def test_the_light_list_has_the_names_of_the_modules() -> None:
    for names, label_format in zip(FORMAT_NAMES, label_formats(), strict=True):
        assert names.reads == label_format.name
        assert names.writes == tuple(written.name for written in label_format.written)
    assert tuple(written_formats()) == WRITTEN_FORMATS
    assert len(set(READ_FORMATS)) == len(READ_FORMATS) and len(set(WRITTEN_FORMATS)) == len(WRITTEN_FORMATS)


def test_every_module_with_a_format_is_listed() -> None:
    folder = Path(__file__).resolve().parents[2] / "eo_dl" / "labels" / "formats"
    modules = {path.stem for path in folder.glob("*.py") if re.search(r"^FORMAT = ", path.read_text(), re.M)}
    assert modules == {names.module for names in FORMAT_NAMES}


def test_formats_say_consistent_things() -> None:
    assert sum(known.recognition.remote for known in label_formats()) == 1
    assert sum(known.recognition.other_suffixes for known in label_formats()) == 1
    suffixes = [written.default_suffix for written in written_formats().values() if written.default_suffix]
    assert len(set(suffixes)) == len(suffixes)
    for known in label_formats():
        assert known.options <= set(VECTOR_OPTIONS)
        assert all(
            suffix == suffix.lower() and suffix.startswith(".") for suffix in known.recognition.suffixes
        )


def _row(written: WrittenFormat) -> str:
    """The row of a format in the table of docs/reference/label-formats.md."""
    holds = written.holds
    flags = (holds.scores, holds.attributes, holds.ignore, holds.partial, holds.bands)
    cells = [
        written.name,
        written.title,
        format_of_written(written.name).name,
        holds.shape,
        holds.holes,
        holds.parts,
        *("yes" if flag else "no" for flag in flags),
        written.image_kind,
    ]
    return f"| {' | '.join(cells)} |"


def test_the_documented_table_is_the_list() -> None:
    first_table = DOCS.read_text().split("\n\n| ")[1].split("\n\n")[0]
    rows = [line for line in f"| {first_table}".splitlines() if line.startswith("| ")]
    assert rows[1:] == [_row(written) for written in written_formats().values()]


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"type": "Feature", "properties": {"categories": ["a"]}, "geometry": None}, "vector"),
        ({"name": "x", "features": [{"type": "Feature", "properties": {"images": ["a"]}}]}, "vector"),
        ({"type": "Polygon", "coordinates": []}, "vector"),
        ({"images": [], "annotations": [{"attributes": {"type": "Point"}}], "categories": []}, "coco"),
        ([{"id": 1, "annotations": [], "data": {"image": "a.png"}}], "labelstudio"),
        ({"version": "5", "shapes": [{"label": "a"}], "imagePath": "a.png"}, "labelme"),
    ],
)
def test_json_is_told_by_its_outermost_keys(document: object, name: str, tmp_path: Path) -> None:
    """Attributes of objects may be called anything, so keys further in do not count."""
    (tmp_path / "labels.json").write_text(json.dumps(document))
    assert find_sources(tmp_path / "labels.json").format.name == name
    assert find_sources(tmp_path).format.name == name


def test_a_long_labelme_file_names_its_image_at_the_end(tmp_path: Path) -> None:
    shapes = [{"label": "a", "points": [[0.0, 0.0]] * 20}] * 4000
    document = {"version": "5", "shapes": shapes, "imagePath": "a.png"}
    (tmp_path / "a.json").write_text(json.dumps(document))
    assert (tmp_path / "a.json").stat().st_size > 1 << 20
    assert find_sources(tmp_path).format.name == "labelme"


def test_the_outline_of_json_stands_truncation_and_escapes() -> None:
    outline = json_outline(
        rb'  {"a\"b": [1, {"c": 2}], "type": "x", "n": 1, "o": {"type": "y"}, "images": [{"fi'
    )
    assert outline.outer == "{" and outline.texts == {"type": "x"}
    assert outline.members == {r"a\"b": "[", "type": "", "n": "", "o": "{", "images": "["}
    assert json_outline(b"not json").outer == ""
    assert json_outline(b'[{"data": {"annotations": 1}}, {"predictions": []}]').members == {"data": "{"}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("0 0.5 0.5 0.1 0.1", "yolo"),
        ("3 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9", "yolo"),
        ("10 10 20 10 20 20 10 20 ship", "dota"),
        ("10 10 20 10 20 20 10 20 large-vehicle 1", "dota"),
        ("10 10 20 10 20 20 10 20 1 0", "dota"),
        ("0 0 1 0 1 1 0 1 ship 0", "dota"),
    ],
)
def test_a_line_of_text_fits_one_format(line: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(line + "\n")
    assert find_sources(tmp_path / "a.txt").format.name == name


def test_a_file_that_fits_two_formats_is_refused_with_both(tmp_path: Path) -> None:
    both = {"type": "FeatureCollection", "features": [], "annotations": []}
    (tmp_path / "both.json").write_text(json.dumps(both))
    for source in (tmp_path, tmp_path / "both.json"):
        with pytest.raises(LabelError, match=r"both.json: fits several formats, coco and vector; .*`format`"):
            find_sources(source)
    assert find_sources(tmp_path, "coco").format.name == "coco"


def test_tables_give_way_to_rasters_and_rasters_to_labels(tmp_path: Path) -> None:
    (tmp_path / "stats.csv").write_text("file,mean\na.png,1\n")
    assert find_sources(tmp_path).format.name == "image-csv"
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    sources = find_sources(tmp_path)
    assert sources.format.name == "masks" and "1 table in" in sources.notes[0]
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    sources = find_sources(tmp_path)
    assert sources.format.name == "yolo" and len(sources.notes) == 2
    (tmp_path / "data.yaml").write_text("names: [a]\ntrain: images\n")
    assert find_sources(tmp_path).paths == (str(tmp_path / "data.yaml"),)


def test_two_kinds_of_csv_in_one_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("file,label\na.png,roof\n")
    (tmp_path / "boxes.csv").write_text("image_path,xmin,ymin,xmax,ymax,label\na.png,1,1,2,2,roof\n")
    with pytest.raises(LabelError, match=r"\(1 csv, 1 image-csv\)|\(1 image-csv, 1 csv\)"):
        find_sources(tmp_path)
    assert find_sources(tmp_path, "csv").paths == (str(tmp_path / "boxes.csv"),)


def test_a_raster_is_recognised_without_its_suffix(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "mask", format="PNG")
    assert find_sources(tmp_path / "mask").format.name == "masks"


def test_a_spelling_that_two_classes_share_is_not_turned_back() -> None:
    from eo_dl.core.classes import ClassSet

    classes = ClassSet.of_names(["small car", "small-car", "big boat", "tree"])
    assert written_formats()["dota"].original_names(classes) == {"big-boat": "big boat"}
