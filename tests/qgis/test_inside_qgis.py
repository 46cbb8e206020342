"""The plug-in in a real QGIS without a screen; the child is a stub, so no network is trained."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import geopandas
import numpy as np
import pytest
import shapely
from eo_dl_qgis import commands, menu, texts
from PIL import Image

from eo_dl.chips.tile import tile
from eo_dl.core.classes import ClassInfo, ClassSet, rgb_of
from eo_dl.curation.checks.checking import check_labels
from eo_dl.io.qgisstyles import ranks_qml
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.scene import open_scene
from eo_dl.io.vectorlayers import write_layer, write_layers
from eo_dl.labels.labeloptions import LabelOptions
from eo_dl.labels.reading import read_labels
from eo_dl_cli.main import cli

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
Stub = Callable[[str], str]

ECHO = """
import json, sys
print(json.dumps({"event": "result", "words": sys.argv[1:]}))
"""


def test_every_option_of_the_command_line_is_a_parameter(inside: Callable[..., Any]) -> None:
    found, known = inside("parameters"), commands.load()
    assert found.keys() == {entry.id for entry in menu.ENTRIES}
    for entry in menu.ENTRIES:
        own = found[entry.id]
        expected = {
            one["name"].upper()
            for one in known[entry.command]["parameters"]
            if one["name"] not in menu.NOT_ASKED
        }
        assert own["parameters"].keys() - {"EXTENT", "FURTHER_SCENES"} == expected, entry.id
        plain = [
            name
            for name in own["order"]
            if not own["parameters"][name][2] and name not in ("OUT", "EXTENT", "FURTHER_SCENES")
        ]
        assert plain[: len(entry.shown)] == [name.upper() for name in entry.shown], entry.id
        for one in known[entry.command]["parameters"]:
            if one["help"] and one["name"] not in menu.NOT_ASKED:
                assert html.escape(texts.label(entry.command, one)) in own["help"] or one["name"] == "out"
    assert found["predict"]["parameters"]["SCENES"][0] == "raster"
    assert found["predict"]["parameters"]["BANDS"][0] == "band"
    assert found["predict"]["parameters"]["EXTENT"][0] == "extent"
    assert found["tile"]["parameters"]["CLASS_FIELD"][0] == "field"
    assert found["predict"]["parameters"]["MODEL"][0] == "file"


def test_a_filled_in_dialog_becomes_the_command_line(
    inside: Callable[..., Any], stub: Stub, sample: Path, tmp_path: Path
) -> None:
    answer = inside(
        "words", stub(ECHO), sample / "train.tif", sample / "train_labels.gpkg", tmp_path / "chips"
    )
    said = json.loads(answer["results"]["RESULT"])["words"]
    assert said[7] == "tile"
    options = dict(
        word.removeprefix("--").partition("=")[::2]
        for word in said[8:]
        if word.startswith("--") and word != "--"
    )
    assert options["labels"] == str(sample / "train_labels.gpkg")
    assert options["layer"] == "buildings"
    assert options["class-field"] == "roof"
    assert (options["size"], options["keep-empty"], options["out"]) == (
        "128",
        "0.25",
        str(tmp_path / "chips"),
    )
    assert "read-scenes" in options
    assert options["colors"] == "tile=#123456", "as its layer is drawn in QGIS"
    assert said[-2:] == ["--", str(sample / "train.tif")]


def test_a_dialog_opens_with_what_suits_and_lists_what_may_be_chosen(
    inside: Callable[..., Any], stub: Stub, sample: Path, tmp_path: Path
) -> None:
    """The newest prediction against the labels used last; weights by name or file."""
    shutil.copy(sample / "train_labels.gpkg", tmp_path / "trees.gpkg")
    found = inside("opened", sample / "train.tif", sample / "train_labels.gpkg", tmp_path / "trees.gpkg")
    assert found["evaluate"] == ["prediction", "labels"]
    assert found["predict"] == ["/models/trees.eodl", "scene"]
    assert found["train"] == "/data/chips"
    assert found["task"] == ["as the labels say", ["as the labels say", "classification"]]
    assert found["lists"]["DEVICE"][:3] == ["auto", "auto", "cpu"], "the value, then the list"
    assert {"tf_efficientnet_lite0", "resnet18"} <= set(found["lists"]["BACKBONE"])
    assert any(text.startswith("sentinel2-all-moco (13 bands") for text in found["lists"]["WEIGHTS"])
    assert found["weights"] == ["sentinel2-all-moco", "/data/start.safetensors", ""]
    assert (
        found["same layer"]
        == "The prediction and the reference are the same layer. Choose another reference."
    )
    assert found["failed"] == ["2.2 Train model: failed."]
    assert found["rasters for a class map"] == ["scene"], "no vector layer"


def test_several_scenes_go_into_a_folder(inside: Callable[..., Any], stub: Stub, sample: Path) -> None:
    got = parsed(
        inside("several_scenes", stub(ECHO), sample / "train.tif", sample / "test.tif", sample / "model.eodl")
    )
    assert got["SCENES"] == [str(sample / "train.tif"), str(sample / "test.tif")]
    assert got["OUT"] == str(sample / "maps")


def parsed(words: list[str]) -> dict[str, Any]:
    """What click makes of the words of a child, by the names of the plug-in."""
    found: click.Command = cli
    rest = words[words.index("--end-with-stdin") + 1 :]
    while isinstance(found, click.Group):
        command = found.get_command(click.Context(cli), rest.pop(0))
        assert command is not None
        found = command
    return {
        name.upper(): list(value) if isinstance(value, tuple) else value
        for name, value in found.make_context(found.name, rest).params.items()
    }


@pytest.mark.slow
def test_whatever_is_filled_in_reaches_the_command_line_by_script_history_and_dialog(
    inside: Callable[..., Any], stub: Stub, sample: Path
) -> None:
    """Every parameter of every algorithm; the dialog and the batch table of each open, too."""
    geopandas.GeoDataFrame(
        {"roof": ["flat"]}, geometry=[shapely.box(13, 48, 14, 49)], crs="EPSG:4326"
    ).to_file(sample / "ground.geojson")
    found = inside("every", stub(ECHO), sample)
    assert found.keys() == {entry.id for entry in menu.ENTRIES}
    for name, said in found.items():
        for way in ("run", "history", "dialog"):
            got = parsed(said[way])
            for key, value in said["expected"].items():
                wanted = [value] if isinstance(got[key], list) and not isinstance(value, list) else value
                assert got[key] == wanted or (
                    isinstance(value, float) and float(got[key]) == pytest.approx(value)
                ), (name, way, key)
        assert said["batch columns"] >= len(said["expected"]), (
            f"{name}: the batch table has not every parameter"
        )


def test_a_model_of_the_modeller_hands_results_on(
    inside: Callable[..., Any], stub: Stub, sample: Path
) -> None:
    found = inside("modelled", stub(ECHO), sample)
    assert found["valid"] == [True, []]
    assert found["ok"] and found["results"]["predict:map"] == str(sample / "map.tif"), found["errors"]
    tile, train, predict = (parsed(words) for words in found["words"])
    assert train["CHIPS"] == tile["OUT"]
    assert predict["MODEL"] == train["OUT"] and train["OUT"].endswith(".eodl")


def test_a_rectangle_of_the_canvas_reaches_the_child_as_ground(
    inside: Callable[..., Any], stub: Stub, sample: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.eodl").write_bytes(b"")
    found = inside(
        "extent", stub(ECHO), tmp_path / "model.eodl", sample / "test.tif", sample / "train_labels.gpkg"
    )
    (feature,) = found["aoi"]["features"]
    assert shapely.equals_exact(
        shapely.box(*shapely.geometry.shape(feature["geometry"]).bounds),
        shapely.box(13.930, 48.670, 13.936, 48.674),
        1e-9,
    )
    scene = open_scene(sample / "test.tif")
    outline = (
        geopandas.GeoSeries(
            [shapely.geometry.shape(found["whole"]["features"][0]["geometry"])], crs="EPSG:4326"
        )
        .to_crs(scene.grid.crs)
        .iloc[0]
    )
    corners = scene.grid.geometries_to_map(
        np.array([shapely.box(0, 0, scene.grid.width, scene.grid.height)], dtype=object)
    )[0]
    assert outline.symmetric_difference(corners).area < 1e-3 * corners.area, (
        "its edges stay straight on the ground"
    )
    assert "not both" in found["both"]


def test_of_files_with_several_layers_the_chosen_one_is_meant(
    inside: Callable[..., Any], stub: Stub, sample: Path, tmp_path: Path
) -> None:
    """--layer is that of the truth, not of the prediction; a layer that no option names becomes a file of its
    own; one that is alone stays where it is.
    """
    boxes = open_scene(sample / "train.tif").grid.geometries_to_map(
        np.array([shapely.box(9, 9, 20, 20)], dtype=object)
    )
    frame = geopandas.GeoDataFrame({"class_name": ["tree"], "score": [0.9]}, geometry=boxes, crs="EPSG:32633")
    write_layer(tmp_path / "made.gpkg", frame, classes=ClassSet.of_names(["tree"]))
    (sample / "rules.yaml").write_text("")
    found = inside("several_layers", stub(ECHO), sample, tmp_path / "made.gpkg")
    counts = {
        name: len(geopandas.read_file(sample / "train_labels.gpkg", layer=name))
        for name in ("landcover", "buildings")
    }

    def options(name: str) -> dict[str, str]:
        return {
            key: value for key, _, value in (word.partition("=") for word in found[name]["words"]) if value
        }

    assert options("evaluate")["--layer"] == "trees" and found["evaluate"]["words"][-2:] == [
        str(tmp_path / "made.gpkg"),
        str(sample / "train_labels.gpkg"),
    ]
    assert options("tile")["--layer"] == "trees" and options("tile")["--aoi"] == str(tmp_path / "made.gpkg")
    assert (options("export_labels")["--layer"], options("export_labels")["--predictions"]) == (
        "trees",
        str(tmp_path / "made.gpkg"),
    )
    assert found["evaluate"]["held"] == {"--aoi": [["landcover", counts["landcover"]]]}
    assert found["tile"]["held"]["--annotated"] == [["buildings", counts["buildings"]]]
    assert found["weak_labels"]["held"] == {"--truth": [["buildings", counts["buildings"]]]}
    assert any(
        "'landcover'" in text and options("evaluate")["--aoi"] in text for text in found["evaluate"]["infos"]
    ), "the log says so"


def test_what_a_command_found_is_shown_in_columns(
    inside: Callable[..., Any], stub: Stub, sample: Path, tmp_path: Path
) -> None:
    lines = ["class  objects", "tree        12"]
    python = stub(
        f"import json\nfor line in {lines!r}: print(json.dumps({{'event': 'text', 'message': "
        "line}))\nprint(json.dumps({'event': 'result', 'words': []}))"
    )
    said = inside("words", python, sample / "train.tif", sample / "train_labels.gpkg", tmp_path / "chips")
    assert [line.replace("\N{NO-BREAK SPACE}", " ") for line in said["shown"]] == lines
    assert not any(" " in line for line in said["shown"]), "blanks that HTML would make one"


def test_what_the_child_could_not_see_is_refused_with_the_way_out(
    inside: Callable[..., Any], stub: Stub, sample: Path
) -> None:
    said = inside("refused", stub(ECHO), sample / "train.tif", sample / "train_labels.gpkg")
    assert "Save it as a GeoPackage" in said["scratch"]["error"]
    assert "unsaved edits" in said["edited"]["error"]
    assert "has a filter" in said["filtered"]["error"]
    assert "Export > Save As" in said["street map"]["error"]
    for name in ("moved", "moved scene"):
        assert "was given the CRS EPSG:32632 in QGIS" in said[name]["error"]
    assert "nodata value changed in QGIS" in said["scene with gaps"]["error"]


def test_cancel_stops_the_child_and_says_so(
    inside: Callable[..., Any], stub: Stub, sample: Path, tmp_path: Path
) -> None:
    python = stub(
        """
import json, os, signal
print(json.dumps({"event": "log", "message": f"pid {os.getpid()}"}), flush=True)
signal.pause()
"""
    )
    (tmp_path / "model.eodl").write_bytes(b"")
    answer = inside("cancelled", python, tmp_path / "model.eodl", sample / "test.tif", tmp_path / "map.tif")
    assert answer["error"].startswith("Cancelled")
    pid = next(text for text in answer["infos"] if text.startswith("pid")).split()[1]
    assert not Path(f"/proc/{pid}").exists()


MAKING = """
import json, shutil, sys
from pathlib import Path
out = Path(next(word[6:] for word in sys.argv if word.startswith("--out=")))
for source in map(Path, KNOWN[" ".join(word for word in sys.argv[8:10] if not word.startswith("-"))]):
    copy = shutil.copytree if source.is_dir() else shutil.copy
    copy(source, out.with_name(out.stem + source.name.removeprefix("made")))
print(json.dumps({"event": "result", "output": str(out), "model_sha256": "abc123"}))
"""


def test_results_load_styled_in_their_group_with_their_origin(
    inside: Callable[..., Any], stub: Stub, sample: Path, tmp_path: Path
) -> None:
    """A map, objects, chips, a queue and findings, as the command line writes them."""
    scene, classes = open_scene(sample / "test.tif"), ClassSet.of_names(["tree", "shrub"])
    for folder in ("map", "objects", "tile", "queue", "check", "out"):
        (tmp_path / folder).mkdir()
    with RasterWriter(tmp_path / "map" / "made.tif", scene.grid, nodata=255, classes=classes) as writer:
        writer.write(0, np.ones((scene.grid.height, scene.grid.width), np.uint8))
    boxes = scene.grid.geometries_to_map(
        np.array([shapely.box(9, 9, 20, 20), shapely.box(40, 40, 60, 60)], dtype=object)
    )
    assert scene.grid.crs is not None
    crs = scene.grid.crs.to_wkt()
    write_layer(
        tmp_path / "objects" / "made.gpkg",
        geopandas.GeoDataFrame(
            {"class_name": ["tree", "shrub"], "score": [0.9, 0.4]}, geometry=boxes, crs=crs
        ),
        classes=classes,
    )
    tile(
        sample / "train.tif",
        read_labels(sample / "train_labels.gpkg", layer="trees"),
        out=tmp_path / "tile" / "made",
        size_px=96,
    )
    write_layers(
        tmp_path / "queue" / "made.gpkg",
        {"queue": geopandas.GeoDataFrame({"rank": [1, 2]}, geometry=boxes, crs=crs)},
        {"queue": ranks_qml("rank", 2)},
    )
    gone = geopandas.GeoDataFrame({"class_name": ["tree", None]}, geometry=boxes, crs=crs)
    gone.to_file(tmp_path / "labels.gpkg")
    check_labels(
        tmp_path / "labels.gpkg", sample / "test.tif", label_options=LabelOptions(class_field="class_name")
    ).write(tmp_path / "check" / "made.gpkg")
    made = {
        "predict": "map",
        "labels queue": "queue",
        "labels check": "check",
        "tile": "tile",
        "vectorize": "objects",
    }
    known = {
        command: [str(path) for path in sorted((tmp_path / folder).iterdir())]
        for command, folder in made.items()
    }
    (tmp_path / "m.eodl").write_bytes(b"")
    model, image, labels, out = (
        str(path)
        for path in (tmp_path / "m.eodl", sample / "test.tif", tmp_path / "labels.gpkg", tmp_path / "out")
    )
    jobs = [
        ("predict", {"MODEL": model, "SCENES": image, "OUT": f"{out}/map.tif"}),
        ("vectorize", {"SOURCE": image, "OUT": f"{out}/polygons.gpkg"}),
        ("tile", {"SCENES": [image], "LABELS": labels, "OUT": f"{out}/chips"}),
        ("next_to_label", {"MODEL": model, "SCENES": [image], "OUT": f"{out}/queue.gpkg"}),
        ("check_labels", {"LABELS": labels, "OUT": f"{out}/findings.gpkg"}),
    ]
    found = inside("loaded", stub(f"KNOWN = {known!r}\n{MAKING}"), json.dumps(jobs))
    colours = [[info.name, info.color] for info in classes]
    assert [(one["algorithm"], one["name"]) for one in found] == [
        ("predict", "map"),
        ("vectorize", "polygons"),
        ("tile", "chips by split"),
        ("next_to_label", "label next"),
        ("check_labels", "findings"),
    ]
    for one in found:
        assert (
            one["ok"] and one["in group"] and one["renderer"] != "singleSymbol" and len(one["legend"]) > 1
        ), one
        assert one["abstract"].startswith("eo-dl ") and "abc123" in one["abstract"], (
            "the command and what it answered"
        )
        assert not one["editing"]
    raster, polygons, chips, queue, findings = found
    assert (raster["renderer"], raster["legend"]) == ("paletted", colours)
    assert polygons["renderer"] == "categorizedSymbol" and polygons["legend"][:2] == colours
    assert {"train", "val", "test"} <= {text.split(" ")[0] for text, _ in chips["legend"]}
    assert (
        raster["origin"] == [model, image]
        and queue["origin"] == [model, image]
        and findings["origin"] == ["", ""]
    )


def test_review_goes_from_the_least_certain_and_saves_each_decision(
    inside: Callable[..., Any], tmp_path: Path
) -> None:
    boxes = [shapely.box(i, 0, i + 1, 1) for i in range(5)]
    frame = geopandas.GeoDataFrame(
        {
            "class_name": ["tree"] * 5,
            "class_id": [1] * 5,
            "score": [0.9, 0.2, 0.5, 0.3, 0.7],
            "reviewed": [False] * 5,
        },
        geometry=boxes,
        crs="EPSG:32633",
    )
    write_layer(tmp_path / "trees.gpkg", frame, classes=ClassSet.of_names(["tree"]))
    found = inside("reviewed", f"{tmp_path / 'trees.gpkg'}|layername=objects")
    assert found["order"] == [0.2, 0.3, 0.5, 0.7, 0.7], "the last one was rejected and taken back"
    assert found["counts"] == {"accepted": 1, "rejected": 1, "changed": 1, "": 2}
    assert not found["edits"], "no edit mode is needed"
    saved = geopandas.read_file(tmp_path / "trees.gpkg", layer="objects").sort_values("score")
    assert saved["status"].fillna("").tolist() == ["accepted", "rejected", "changed", "", ""]
    assert saved["reviewed"].astype(bool).tolist() == [True, True, True, False, False]
    assert saved["class_name"].tolist() == ["tree", "tree", "shrub", "tree", "tree"]


def test_objects_without_a_score_are_reviewed_the_largest_first_as_outlines(
    inside: Callable[..., Any], tmp_path: Path
) -> None:
    """A missed object that is drawn in between counts at once, and the layer keeps its own style and form."""
    sides = [1, 5, 3]
    boxes = [shapely.box(10 * i, 0, 10 * i + side, side) for i, side in enumerate(sides)]
    frame = geopandas.GeoDataFrame(
        {"class_name": ["water"] * 3, "class_id": [1] * 3}, geometry=boxes, crs="EPSG:32633"
    )
    write_layer(tmp_path / "map.gpkg", frame, classes=ClassSet.of_names(["water"]))
    found = inside("without_scores", f"{tmp_path / 'map.gpkg'}|layername=objects")
    assert found["order"] == [25, 9]
    assert found["fills"] == ["SimpleLine"], "the image stays visible"
    assert found["style"] == ["default", ["default"]]
    assert found["counts"] == {"accepted": 2, "rejected": 0, "changed": 0, "": 2}
    assert found["editing"] and found["default"] == ""
    saved = geopandas.read_file(tmp_path / "map.gpkg", layer="objects")
    accepted = saved[saved["status"] == "accepted"]
    assert sorted(accepted.area) == [9, 16]
    assert accepted["class_name"].tolist() == ["water", "water"]
    assert accepted["reviewed"].astype(bool).all()


RETRAINED = """
import json, sys
result = {
    "event": "result",
    "words": sys.argv[1:],
    "model": "/models/trees_2.eodl",
    "chips": "/models/trees_2.chips",
    "labels": "/models/trees_2.labels.gpkg",
    "before": [],
    "after": [],
    "rows": [["ap50", "0.61", "0.72", "+0.11 (0.02 to 0.20)"]],
}
print(json.dumps(result))
"""


def test_the_dock_is_worked_by_keys_and_hands_over_to_the_training(
    inside: Callable[..., Any], stub: Stub, sample: Path, tmp_path: Path
) -> None:
    scene = open_scene(sample / "test.tif")
    assert scene.grid.crs is not None
    outlines = scene.grid.geometries_to_map(
        np.array([shapely.box(40 * i + 20, 50, 40 * i + 30, 60) for i in range(5)], dtype=object)
    )
    columns = {
        "class_name": ["tree"] * 5,
        "class_id": [1] * 5,
        "score": [0.9, 0.2, 0.5, 0.3, 0.7],
        "reviewed": [False] * 5,
    }
    write_layer(
        tmp_path / "trees.gpkg",
        geopandas.GeoDataFrame(columns, geometry=outlines, crs=scene.grid.crs.to_wkt()),
        classes=ClassSet.of_names(["tree", "shrub"]),
    )
    marks = geopandas.GeoDataFrame({"rank": [3, 1, 2]}, geometry=outlines[:3], crs=scene.grid.crs.to_wkt())
    write_layer(tmp_path / "queue.gpkg", marks)
    chips = tmp_path / "chips"
    chips.mkdir()
    (chips / "chips.json").write_text(json.dumps({"scenes": [{"path": str(sample / "train.tif")}]}))
    layers = [f"{tmp_path / name}|layername=objects" for name in ("trees.gpkg", "queue.gpkg")]
    found = inside("dock", stub(RETRAINED), *layers, sample / "test.tif", chips)

    assert "Press Next first" in found["nothing shown"][0]
    assert "Labels from prediction" in found["raster"][0]
    assert "Nothing is reviewed yet" in found["nothing reviewed"][0]
    assert found["status"] == ["tree, score 0.20", "tree, score 0.30", "tree, score 0.50"]
    assert all(seen and 3 < wider < 15 for seen, wider in found["frames"]), (
        "the object is in view, with ground around it"
    )
    assert found["waits"] == "tree, score 0.70"
    assert found["styles"] == ["Review", "categorizedSymbol"]
    two_left = "3 waiting 1 accepted 0 changed 1 rejected"
    assert found["taken back"] == ["tree, score 0.50", two_left]
    assert found["previous"] == "shrub, score 0.50, changed"
    assert found["all above"] == [
        "1 accepted. Undo takes this back.",
        "1 waiting 2 accepted 1 changed 1 rejected",
    ]
    assert found["only shrubs"] == "All objects of the class shrub are reviewed."
    assert found["drawing"] == [True, True]
    saved = geopandas.read_file(tmp_path / "trees.gpkg", layer="objects").sort_values("score")
    assert saved["status"].fillna("").tolist() == ["accepted", "rejected", "changed", "", ""]
    assert saved["class_name"].tolist() == ["tree", "tree", "shrub", "tree", "tree"]

    ((algorithm, filled),) = found["asked"]
    assert algorithm == "eo_dl:retrain"
    assert filled["MODEL"] == "/models/trees.eodl" and filled["OUT"] == "/models/trees_2.eodl"
    assert (filled["CHIPS"], filled["LABELS"], filled["CLASS_FIELD"]) == (
        str(chips),
        "/data/labels.gpkg|layername=trees",
        "kind",
    )
    assert filled["SCENES"] == [str(sample / "test.tif")], "the reviewed scene is not one of the chip set"
    got = parsed(json.loads(found["retrained"]["RESULT"])["words"])
    assert (got["CORRECTED"], got["LABELS"], got["SCENES"]) == (
        str(tmp_path / "trees.gpkg"),
        "none",
        [str(sample / "test.tif")],
    )
    assert all(
        text in found["scores"] for text in ("trees_2.eodl", "before", "after", "0.61", "0.72", "+0.11")
    )
    assert found["recent"] == [
        "/tmp/new.eodl",
        "/models/trees_2.chips",
        "/models/trees_2.labels.gpkg|layername=labels",
        "",
    ], "the next round starts from these"

    assert found["by rank"] == ["rank 1", "rank 2"]
    assert "places to label" in found["queue"][0]
    assert found["hidden"] == {"accepted": 1, "rejected": 0, "changed": 0, "": 2}, (
        "keys are keys of the dock only while it is open"
    )
    assert "Choose a vector layer" in found["gone"][0]
    assert "cannot be edited" in found["locked"][0]


def test_a_cancelled_retraining_is_offered_to_go_on(
    inside: Callable[..., Any], sample: Path, tmp_path: Path
) -> None:
    layer, new = f"{sample / 'train_labels.gpkg'}|layername=trees", tmp_path / "trees_2.eodl"
    assert inside("prefilled", layer, tmp_path / "trees.eodl") == [str(new), False]
    new.with_suffix(".run").mkdir()
    assert inside("prefilled", layer, tmp_path / "trees.eodl") == [str(new), True]


@pytest.mark.slow
def test_the_loop_by_qgis_process(qgis_environment: dict[str, str], sample: Path, tmp_path: Path) -> None:
    """The real thing: the installed plug-in, the real command line, a model trained for a few steps."""
    installed = subprocess.run(
        [sys.executable, "-m", "eo_dl_cli", "qgis", "install"],
        env=qgis_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert installed.returncode == 0, installed.stderr

    def process(name: str, *arguments: str) -> dict[str, Any]:
        command = ["qgis_process.bin", "run", f"eo_dl:{name}", "--json", "--", *arguments]
        done = subprocess.run(command, env=qgis_environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-1500:]
        return dict(json.loads(done.stdout)["results"])

    listed = subprocess.run(
        ["qgis_process.bin", "list"], env=qgis_environment, capture_output=True, text=True, check=True
    ).stdout
    assert all(f"eo_dl:{entry.id}\t" in listed for entry in menu.ENTRIES), (
        "the installed plug-in is loaded, with all it has"
    )
    chips, model, out = (str(tmp_path / name) for name in ("chips", "model.eodl", "map.tif"))
    labels = f"{sample / 'train_labels.gpkg'}|layername=landcover"
    process(
        "tile",
        f"SCENES={sample / 'train.tif'}",
        f"LABELS={labels}",
        "CLASS_FIELD=class_name",
        "SIZE=96",
        f"OUT={chips}",
    )
    quick = (
        "min_steps=1\nbaselines=false\n"
        "task_options.decoder_channels=[16,16,16,16,16]\ntask_options.backbone=test_resnet"
    )
    process("train", f"CHIPS={chips}", "TASK=segmentation", "EPOCHS=1", f"SETTINGS={quick}", f"OUT={model}")
    result = process("predict", f"MODEL={model}", f"SCENES={sample / 'test.tif'}", f"OUT={out}")
    assert result["OUT"] == out
    assert json.loads(result["RESULT"])["task"] == "segmentation"
    assert Path(out).with_suffix(".qml").exists()
    _the_steps_around_them(process, sample, Path(out))


def _the_steps_around_them(process: Callable[..., dict[str, Any]], sample: Path, made: Path) -> None:
    """Start labelling, Check labels, Evaluate and Vectorize, on the same files."""
    project, findings, report, polygons = (
        str(made.with_name(name)) for name in ("labels.gpkg", "findings.gpkg", "report", "polygons.gpkg")
    )
    started = process(
        "start_labelling", f"SCENES={sample / 'train.tif'}", "CLASSES=house,tree", f"OUT={project}"
    )
    assert json.loads(started["RESULT"])["classes"] == ["house", "tree"]
    assert {"labels", "annotated"} <= set(geopandas.list_layers(project).name)

    labels = f"LABELS={sample / 'train_labels.gpkg'}|layername=landcover"
    checked = json.loads(
        process(
            "check_labels",
            labels,
            f"SCENES={sample / 'train.tif'}",
            "CLASS_FIELD=class_name",
            f"OUT={findings}",
        )["RESULT"]
    )
    assert sum(checked["classes"].values()) == len(
        geopandas.read_file(sample / "train_labels.gpkg", layer="landcover")
    )
    assert Path(findings).exists()

    truth = f"TRUTH={sample / 'test_labels.gpkg'}|layername=landcover"
    scored = process("evaluate", f"PREDICTION={made}", truth, "CLASS_FIELD=class_name", f"OUT={report}")
    said = json.loads(scored["RESULT"])
    confusion, accuracy = (
        np.array(said["confusion"]["pixels"]),
        next(one for one in said["scores"] if one["name"] == "overall_accuracy"),
    )
    assert (
        accuracy["value"] == pytest.approx(np.trace(confusion) / confusion.sum())
        and accuracy["count"] == confusion.sum()
    )
    assert "<html" in Path(scored["REPORT"]).read_text()

    process("vectorize", f"SOURCE={made}", f"OUT={polygons}")
    frame, scene = geopandas.read_file(polygons, layer="objects"), open_scene(made)
    values = np.asarray(Image.open(made))
    assert frame.area.sum() == pytest.approx((values != 255).sum() * abs(scene.grid.transform.determinant)), (
        "seamless: every pixel once"
    )


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("xvfb-run") is None, reason="xvfb is not installed: apt-get install xvfb xauth"
)
def test_a_window_shows_the_result_in_the_colours_of_its_classes(
    qgis_environment: dict[str, str], stub: Stub, sample: Path, tmp_path: Path
) -> None:
    """The whole desktop on a virtual screen: plug-in enabled, a prediction run and loaded, the least certain
    object accepted by key, a new model's dialog run from the dock, its scores shown there.
    """
    scene = open_scene(sample / "test.tif")
    corners = [(60, 60, 180, 180), (250, 60, 390, 200), (100, 260, 300, 400)]
    outlines = scene.grid.geometries_to_map(np.array([shapely.box(*c) for c in corners], dtype=object))
    classes = ClassSet((ClassInfo(1, "tree", "#d81b60"), ClassInfo(2, "shrub", "#1e88e5")))
    assert scene.grid.crs is not None
    frame = geopandas.GeoDataFrame(
        {"class_name": ["tree", "shrub", "tree"], "score": [0.9, 0.4, 0.6]},
        geometry=outlines,
        crs=scene.grid.crs.to_wkt(),
    )
    write_layer(tmp_path / "made.gpkg", frame, classes=classes)
    (tmp_path / "model.eodl").write_bytes(b"")
    subprocess.run(
        [sys.executable, "-m", "eo_dl_cli", "qgis", "install", "-q"],
        env=qgis_environment,
        check=True,
        capture_output=True,
    )
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    made = {"predict": [str(tmp_path / "made.gpkg")]}
    python = stub(
        f"import sys\nKNOWN = {made!r}\nexec({RETRAINED!r} if 'retrain' in sys.argv else {MAKING!r})\n"
    )
    retrain = {"chips": str(tmp_path), "labels": str(sample / "train_labels.gpkg"), "truth": "", "epochs": 0}
    given = {
        "python": python,
        "scene": str(sample / "test.tif"),
        "model": str(tmp_path / "model.eodl"),
        "out": str(tmp_path / "trees.gpkg"),
        "pictures": str(pictures),
        "chips": "",
        "retrain": retrain,
        "pace": 0.4,
    }
    desktop = [
        "xvfb-run",
        "-a",
        "-s",
        "-screen 0 1600x1000x24",
        "qgis.bin",
        "--noversioncheck",
        "--nologo",
        "--profiles-path",
        str(tmp_path / "config"),
        "--profile",
        "default",
        "--code",
        str(HERE / "window.py"),
    ]
    environment = {**qgis_environment, "QT_QPA_PLATFORM": "xcb", "EO_DL_WINDOW": json.dumps(given)}
    done = subprocess.run(desktop, env=environment, capture_output=True, text=True, check=False, timeout=150)
    problem = pictures / "error.txt"
    assert done.returncode == 0 and not problem.exists(), (
        problem.read_text() if problem.exists() else done.stderr[-2000:]
    )
    for name, colors in (("result", [info.color for info in classes]), ("review", ["#f0e442"])):
        found = np.asarray(Image.open(pictures / f"{name}.png").convert("RGB")).reshape(-1, 3).astype(int)
        for color in colors:
            near = (np.abs(found - rgb_of(color)).max(axis=1) <= 40).sum()
            assert near > 200, f"{name}: {color} is not seen"
    scores = (pictures / "scores.html").read_text()
    assert all(text in scores for text in ("before", "after", "0.61", "0.72"))
    saved = geopandas.read_file(tmp_path / "trees.gpkg", layer="objects").sort_values("score")
    assert saved["status"].fillna("").tolist() == ["accepted", "", ""], "by the key, in the window"
