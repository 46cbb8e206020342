"""labels export, import and convert from the command line: there and back, and every mistake in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import pytest
import shapely

from tests.making import CommandOutput, refused

if TYPE_CHECKING:
    from tests.cli.conftest import World

    Cli = Callable[..., CommandOutput]

INDEX = "eo_dl_index.json"


@pytest.fixture(scope="module")
def made(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of each kind that the mistakes below are made with."""
    from eo_dl_cli.main import run

    folder = tmp_path_factory.mktemp("made")
    for name in ("coco", "yolo-seg", "cvat", "labelstudio", "labelme", "voc", "dota", "csv"):
        assert (
            run(["labels", "export", str(world.chips), "--format", name, "-o", str(folder / name), "-q"]) == 0
        )
    return folder


@pytest.mark.parametrize(
    "name", ["coco", "cvat", "labelstudio", "labelme", "csv", "yolo-seg", "voc", "dota", "masks", "gpkg"]
)
def test_out_and_back(eo_dl_cli: Cli, world: World, tmp_path: Path, name: str) -> None:
    said = eo_dl_cli("labels", "export", world.chips, "--format", name, "-o", tmp_path / "out", "--json")
    assert said.code == 0, said.err
    images = said.result["images"]
    said = eo_dl_cli("labels", "import", tmp_path / "out", "-o", tmp_path / "back.gpkg", "--json")
    assert said.code == 0, said.err
    found = gpd.read_file(tmp_path / "back.gpkg", layer="labels")
    truth = gpd.read_file(world.labels)
    ground = gpd.read_file(tmp_path / "back.gpkg", layer="annotated").union_all()
    inside = truth[truth.within(ground)]
    tree = shapely.STRtree(found.geometry.values)
    for outline, kind in zip(inside.geometry, inside.kind, strict=True):
        near = found.iloc[tree.query(outline, predicate="intersects")]
        assert [shapely.hausdorff_distance(g, outline) < 1e-6 for g in near.geometry] == [
            True
        ] and near.class_name.tolist() == [kind]
    assert len(found) == int(truth.intersects(ground.buffer(-1e-6)).sum()) == said.result["objects"]
    assert abs(ground.area - images * 32 * 32) < 1e-3 or name == "masks"


def test_labels_and_predictions_of_a_model_go_along(eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
    truth = gpd.read_file(world.labels)
    truth["score"] = np.linspace(0, 1, len(truth))
    truth.to_file(tmp_path / "found.gpkg")
    words = ("--labels", tmp_path / "found.gpkg")
    assert (
        eo_dl_cli(
            "labels", "export", world.chips, "--format", "coco", "-o", tmp_path / "coco", *words, "-q"
        ).code
        == 0
    )
    said = eo_dl_cli("labels", "import", tmp_path / "coco", "-o", tmp_path / "back.gpkg", "-q")
    back = gpd.read_file(tmp_path / "back.gpkg", layer="labels")
    assert said.code == 0 and set(np.round(back.score, 9)) <= set(np.round(truth.score, 9))
    words = ("--predictions", tmp_path / "found.gpkg")
    assert (
        eo_dl_cli(
            "labels", "export", world.chips, "--format", "labelstudio", "-o", tmp_path / "ls", *words, "-q"
        ).code
        == 0
    )
    tasks = json.loads((tmp_path / "ls" / "tasks.json").read_text())
    assert sum(len(task["predictions"][0]["result"]) for task in tasks if "predictions" in task) >= len(back)
    assert all(
        region["score"] >= 0
        for task in tasks
        for one in task.get("predictions", [])
        for region in one["result"]
    )


def test_convert_there_and_back(eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
    said = eo_dl_cli(
        "labels", "convert", world.labels, "-o", tmp_path / "found.json", "--images", world.scene, "--json"
    )
    assert said.code == 0 and said.result["classes"] == {"roof": 41, "shed": 40}, said.err
    said = eo_dl_cli("labels", "convert", tmp_path / "found.json", "-o", tmp_path / "found.xml", "--json")
    assert said.code == 0 and said.result["objects"] == 81, said.err
    said = eo_dl_cli(
        "labels",
        "convert",
        tmp_path / "found.xml",
        "-o",
        tmp_path / "found.geojson",
        "--images",
        world.scene,
        "--json",
    )
    assert said.code == 0, said.err
    back = gpd.read_file(tmp_path / "found.geojson").to_crs("EPSG:32633")
    truth = gpd.read_file(world.labels)
    distance = [
        min(shapely.hausdorff_distance(g, outline) for g in back.geometry) for outline in truth.geometry
    ]
    assert max(distance) < 1e-5


def test_mistakes_of_export_are_one_line(eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for words, told in (
        ((tmp_path / "none", "--format", "coco"), ("none",)),
        ((world.chips, "--format", "image-csv"), ("whole images", "--format csv")),
        ((world.chips, "--format", "coco", "--bands", "red"), ("--images png",)),
        ((world.chips, "--format", "cvat", "--bands", "red,nir,blue"), ("no band 'nir'", "red, green, blue")),
        ((world.chips, "--format", "coco", "--split", "train,dev"), ("dev", "val")),
        ((world.chips, "--format", "coco", "--predictions", world.labels), ("--predictions", "--labels")),
        ((world.chips, "--format", "coco", "--labels", tmp_path / "none.gpkg"), ("none.gpkg",)),
    ):
        refused(eo_dl_cli("labels", "export", *words, "-o", out), *told, out=out)
    said = eo_dl_cli("labels", "export", world.chips, "--format", "kitti", "-o", out)
    assert said.code == 2 and "coco" in said.err and not out.exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    said = eo_dl_cli(
        "labels", "export", world.chips, "--format", "coco", "-o", tmp_path / "mine", "--overwrite", "-q"
    )
    assert (
        said.code == 2 and "is not overwritten" in said.err and (tmp_path / "mine" / "thesis.txt").is_file()
    )


def changed(folder: Path, name: str, old: str, new: str, out: Path) -> Path:
    """A copy of the first file of a pattern with one text in it changed."""
    source = next(path for path in sorted(folder.glob(name)) if old in path.read_text())
    path = out / source.name
    path.write_text(source.read_text().replace(old, new, 1))
    return path


# What is wrong, in which export and file, the text that is changed into what, and what the one line says: the
# record by its line or id, and the cause.
BROKEN = (
    (
        "an outline that is no number",
        "coco",
        "annotations/instances_train.json",
        '"segmentation": [[',
        '"segmentation": [["a", ',
        ("#1", "ring"),
    ),
    (
        "a category that is not listed",
        "coco",
        "annotations/instances_train.json",
        '"category_id": 1',
        '"category_id": 77',
        ("#", "category 77"),
    ),
    (
        "an image that is not listed",
        "coco",
        "annotations/instances_train.json",
        '"image_id": 1,',
        '"image_id": 99,',
        ("#", "image 99"),
    ),
    ("JSON that ends early", "coco", "annotations/instances_train.json", '"categories"', "", ("JSON",)),
    (
        "an image name that is no file name",
        "coco",
        "annotations/instances_train.json",
        '"file_name": "',
        '"file_name": "a\\u0007',
        ("image 1", "safe file name"),
    ),
    (
        "an image of another export",
        "coco",
        "annotations/instances_train.json",
        '"file_name": "',
        '"file_name": "other_',
        ("not in the index", "--index"),
    ),
    ("a shape without a side", "cvat", "annotations.xml", ' xbr="', ' xyz="', ("box 1", "xbr")),
    ("a coordinate that is no number", "cvat", "annotations.xml", ' xtl="', ' xtl="nan', ("box 1",)),
    ("XML that is cut", "cvat", "annotations.xml", "</annotations>", "", ("XML",)),
    (
        "a region without a label",
        "labelstudio",
        "tasks.json",
        '"rectanglelabels": [',
        '"rectanglelabels": [7, ',
        ("task 1", "region eo-", "label"),
    ),
    (
        "a shape of two points too few",
        "labelme",
        "*.json",
        '"shape_type": "rectangle"',
        '"shape_type": "circles"',
        ("shape 1", "circles"),
    ),
    (
        "a class that the names do not have",
        "yolo-seg",
        "labels/train/*.txt",
        "0 ",
        "7 ",
        ("line 1", "class 7", "2 classes"),
    ),
    ("a line of words", "yolo-seg", "labels/train/*.txt", "0 ", "roof ", ("line 1", "class number")),
    ("a box without a side", "voc", "Annotations/*.xml", "<xmax>", "<xmux>", ("XML",)),
    ("a box with a word", "voc", "Annotations/*.xml", "<xmax>", "<xmax>a", ("object 1", "xmax")),
    (
        "a corner that is infinite",
        "dota",
        "train/labelTxt/*.txt",
        "\n",
        "\n1 1 2 inf 3 3 4 4 roof 0\n",
        ("line 2",),
    ),
    ("a row with half a box", "csv", "labels.csv", ".tif,", ".tif,x", ("line 2", "four numbers")),
    ("a score that is none", "csv", "labels.csv", "roof,", "roof,high", ("line 2", "high")),
)


@pytest.mark.parametrize(
    ("what", "name", "file", "old", "new", "told"), BROKEN, ids=[item[0].replace(" ", "-") for item in BROKEN]
)
def test_a_broken_file_is_refused_by_its_record(
    eo_dl_cli: Cli,
    made: Path,
    tmp_path: Path,
    what: str,
    name: str,
    file: str,
    old: str,
    new: str,
    told: tuple[str, ...],
) -> None:
    path = changed(made / name, file, old, new, tmp_path)
    extra = ("--format", "yolo") if name == "yolo-seg" else ("--format", "dota") if name == "dota" else ()
    if name == "yolo-seg":
        (tmp_path / "classes.txt").write_text("roof\nshed\n")
    out = tmp_path / "back.gpkg"
    refused(
        eo_dl_cli("labels", "import", path, "--index", made / name / INDEX, "-o", out, *extra),
        path.name,
        *told,
        out=out,
    )


def test_mistakes_of_import_are_one_line(eo_dl_cli: Cli, world: World, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "back.gpkg"
    alone = tmp_path / "annotations.xml"
    alone.write_text((made / "cvat" / "annotations.xml").read_text())
    (tmp_path / "empty").mkdir()
    for words, told in (
        ((alone,), (INDEX, "--index")),
        ((alone, "--index", tmp_path / "none.json"), ("none.json",)),
        (
            (alone, "--index", made / "coco" / "annotations" / "instances_train.json"),
            ("not an index of exported labels",),
        ),
        ((tmp_path / "none.xml", "--index", made / "cvat" / INDEX), ("none.xml", "no such file")),
        ((tmp_path / "empty", "--index", made / "cvat" / INDEX), ("no label files",)),
        ((alone, "--index", made / "cvat" / INDEX, "--format", "coco"), ("annotations.xml",)),
        (
            (alone, made / "labelstudio" / "tasks.json", "--index", made / "cvat" / INDEX),
            ("several formats",),
        ),
        ((alone, "--index", made / "cvat" / INDEX, "--classes", "roof"), ("shed", "--classes")),
    ):
        refused(eo_dl_cli("labels", "import", *words, "-o", out), *told, out=out)
    refused(
        eo_dl_cli("labels", "import", alone, "--index", made / "cvat" / INDEX, "-o", tmp_path / "back.shp2"),
        ".geojson",
        out=tmp_path / "back.shp2",
    )
    out.write_text("mine")
    said = eo_dl_cli("labels", "import", alone, "--index", made / "cvat" / INDEX, "-o", out)
    assert said.code == 2 and "--overwrite" in said.err and out.read_text() == "mine"


def test_classes_that_were_not_exported_are_new_and_said(eo_dl_cli: Cli, made: Path, tmp_path: Path) -> None:
    path = changed(made / "cvat", "annotations.xml", '<box label="roof"', '<box label="pool"', tmp_path)
    said = eo_dl_cli(
        "labels", "import", path, "--index", made / "cvat" / INDEX, "-o", tmp_path / "back.gpkg", "--json"
    )
    assert (
        said.code == 0
        and said.result["classes"]["pool"] == 1
        and "1 classes were not exported and are new: pool" in said.err
    )


def test_ignored_objects_stay_ignored(eo_dl_cli: Cli, world: World, made: Path, tmp_path: Path) -> None:
    from eo_dl.labels import read_labels

    path = changed(made / "voc", "Annotations/*.xml", "<difficult>0", "<difficult>1", tmp_path)
    assert (
        eo_dl_cli(
            "labels", "import", path, "--index", made / "voc" / INDEX, "-o", tmp_path / "back.gpkg", "-q"
        ).code
        == 0
    )
    labels = read_labels(tmp_path / "back.gpkg")
    assert labels.features.ignore is not None and int(labels.features.ignore.sum()) == 1 and len(labels) > 1


def test_mistakes_of_convert_are_one_line(eo_dl_cli: Cli, world: World, made: Path, tmp_path: Path) -> None:
    coco = made / "coco" / "annotations" / "instances_train.json"
    for words, out, told in (
        ((world.labels,), "a.json", ("--images",)),
        ((coco,), "a.gpkg", ("--images",)),
        ((coco, "--images", world.scene), "a.gpkg", ("is among the scenes",)),
        ((world.labels,), "a.xyz", ("--format",)),
        ((world.labels, "--format", "gpkg"), "a.json", (".gpkg",)),
        ((world.labels, "--class-field", "species", "--images", world.scene), "a.json", ("species", "kind")),
        ((tmp_path / "none.gpkg",), "a.json", ("none.gpkg",)),
        ((world.labels, "--images", tmp_path / "none*.tif"), "a.json", ("none*.tif",)),
        ((world.labels, "--images", world.scene, "--format", "image-csv"), "a.csv", ("whole images",)),
    ):
        said = eo_dl_cli("labels", "convert", *words, "-o", tmp_path / out)
        assert any(word in said.err for word in told), said.err
        refused(said, out=tmp_path / out)


def test_convert_overwrites_its_own_folders_only(eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
    for name, mine in (("labelme", "photo.png"), ("yolo", "images")):
        out = tmp_path / name
        words = (
            "labels",
            "convert",
            world.labels,
            "--images",
            world.scene,
            "--format",
            name,
            "-o",
            out,
            "-q",
        )
        assert eo_dl_cli(*words).code == 0
        assert eo_dl_cli(*words).code == 2
        assert eo_dl_cli(*words, "--overwrite").code == 0
        (out / mine).mkdir()
        said = eo_dl_cli(*words, "--overwrite")
        assert said.code == 2 and mine in said.err and (out / mine).is_dir()


def test_convert_tells_the_format_of_its_input_from_that_of_its_output(
    eo_dl_cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text('{"images": 3, "annotations": [], "categories": []}')
    (tmp_path / "b.csv").write_text("file,label\na.tif,water\n")
    unreadable = ("labels", "convert", tmp_path / "a.json", "--from", "coco", "-o", tmp_path / "b.gpkg")
    assert "set another --from" in eo_dl_cli(*unreadable).err
    unwritable = ("labels", "convert", tmp_path / "b.csv", "-o", tmp_path / "b.dat")
    assert "choose one with --format" in eo_dl_cli(*unwritable).err


def test_one_line_says_what_became_of_the_labels(eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
    data = {
        "images": [{"id": 1, "file_name": Path(world.scene).name}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 30, 30], "iscrowd": 1},
            {"id": 2, "image_id": 1, "category_id": 1, "bbox": [50, 50, 30, 30]},
            {"id": 3, "image_id": 1, "category_id": 1, "bbox": [90.1, 10.2, 30, 0.2]},
        ],
        "categories": [{"id": 1, "name": "roof"}],
    }
    path = tmp_path / "c.json"
    path.write_text(json.dumps(data))
    line = (
        "labels: 3 objects read, 3 used, whose outlines cover 7.05% of the scenes, 1 ignored (1 crowds), "
        "1 without a pixel's centre"
    )
    said = eo_dl_cli(
        "tile", world.scene, "--labels", path, "-o", tmp_path / "chips", "--size", "32", "--json"
    )
    assert said.code == 0 and line in said.err and "--crowds use" in said.err, said.err
    assert said.result["label_report"]["ignored"] == {"crowds": 1}
    said = eo_dl_cli(
        "labels",
        "convert",
        path,
        "-o",
        tmp_path / "l.gpkg",
        "--images",
        world.scene,
        "--crowds",
        "use",
        "--json",
    )
    assert said.code == 0 and "labels: 3 objects read, 3 used, 1 without" in said.err, said.err
    assert said.result["label_report"]["line"] in said.err
