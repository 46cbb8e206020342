from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely

from eo_dl.chips.sampling import Sampling
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.classes import ClassSet
from eo_dl.curation.project.merge import merge_labels
from eo_dl.curation.project.prelabel import prelabel
from eo_dl.errors import InputError
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.scene import open_scene
from eo_dl.io.vectorlayers import read_layer, write_layers
from eo_dl.labels.labeloptions import LabelOptions
from eo_dl.labels.reading import read_labels
from tests.making import CRS, noise, rectangle, square, write_polygons, write_raster


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "s.tif", noise(3, 128, 160))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Six proposed trees in a row."""
    shapes = [square(20 * place, 40) for place in range(6)]
    write_polygons(
        tmp_path / "found.gpkg",
        shapes,
        layer="objects",
        class_name=["tree"] * 6,
        class_id=[1] * 6,
        score=[0.9, 0.8, 0.7, 0.6, 0.5, 0.1],
        area_m2=[100.0] * 6,
        reviewed=[False] * 6,
    )
    made = prelabel(tmp_path / "found.gpkg", out=tmp_path / "fix.gpkg", min_score=0.2)
    assert made.count == 5 and any("1 of 6 left out" in note for note in made.notes)
    return made.path


def corrected(project: Path) -> Path:
    """The first accepted, the second moved, the third rejected, the fourth deleted, the fifth not looked at,
    one added.
    """
    layers = {name: read_layer(project, layer=name) for name in ("labels", "proposals", "annotated")}
    table = layers["labels"].drop(index=layers["labels"].index[3]).reset_index(drop=True)
    table.loc[0, "reviewed"] = True
    table.loc[1, "geometry"] = square(22, 41)
    table.loc[2, "status"] = "rejected"
    new = gpd.GeoDataFrame({"class_name": ["shrub"]}, geometry=[square(130, 90)], crs=CRS)
    import pandas as pd

    layers["labels"] = gpd.GeoDataFrame(
        pd.concat([table.astype(object), new.astype(object)], ignore_index=True), geometry="geometry", crs=CRS
    )
    layers["labels"]["reviewed"] = [value is True or value == 1 for value in layers["labels"]["reviewed"]]
    write_layers(project, layers, overwrite=True)
    return project


def test_what_became_of_every_proposal_is_counted(project: Path, tmp_path: Path) -> None:
    made = merge_labels(None, corrected(project), out=tmp_path / "m.gpkg")
    assert {name: n for name, n in made.counts.items() if n} == {
        "accepted": 1,
        "changed": 1,
        "added": 1,
        "rejected": 2,
        "proposed": 1,
    }
    labels = read_labels(made.path)
    assert len(labels) == 4 and labels.classes.names == ("shrub", "tree")
    assert (
        labels.features.ignore.sum() == 1
        and labels.rejected is not None
        and len(labels.rejected.geometries) == 2
    )
    assert labels.features.geometries[labels.features.ignore][0].equals(square(80, 40)), (
        "nobody looked at it: it counts neither way"
    )
    assert {shape.bounds for shape in labels.rejected.geometries} == {
        square(40, 40).bounds,
        square(60, 40).bounds,
    }
    assert any("status: " in note and "2 rejected" in note for note in labels.notes)


def test_old_labels_give_way_to_what_was_corrected_and_outlive_a_rejection(
    project: Path, tmp_path: Path
) -> None:
    old = [square(0, 41), square(40, 40), square(140, 10)]
    write_polygons(tmp_path / "old.gpkg", old, kind=["tree", "tree", "house"])
    made = merge_labels(tmp_path / "old.gpkg", corrected(project), out=tmp_path / "m.gpkg")
    assert {name: n for name, n in made.counts.items() if n} == {
        "kept": 2,
        "replaced": 1,
        "accepted": 1,
        "changed": 1,
        "added": 1,
        "rejected": 1,
        "proposed": 1,
    }
    labels = read_labels(made.path)
    assert (
        labels.classes.names == ("house", "shrub", "tree")
        and len(labels) == 6
        and labels.rejected is not None
        and len(labels.rejected.geometries) == 1
    )


def test_rejected_ground_is_background_that_chips_are_cut_around(
    project: Path, scene: Path, tmp_path: Path
) -> None:
    made = merge_labels(None, corrected(project), out=tmp_path / "m.gpkg")
    write_polygons(tmp_path / "done.gpkg", [square(0, 0, 35)])
    chips = tile(
        scene,
        read_labels(made.path),
        out=tmp_path / "chips",
        size_px=32,
        annotated=tmp_path / "done.gpkg",
        split=Split(guard_px=0),
    )
    assert chips.labels.annotated is not None and sum(
        shapely.area(chips.labels.annotated.geometries)
    ) == pytest.approx(35**2 + 2 * 100)
    around = tile(
        scene,
        read_labels(made.path),
        out=tmp_path / "around",
        size_px=32,
        sampling=Sampling("objects"),
        split=Split(guard_px=0),
    )
    windows = [record.window for record in around.records]
    for col, row in ((40, 40), (60, 40)):
        assert any(
            w.col <= col and w.col1 >= col + 10 and w.row <= row and w.row1 >= row + 10 for w in windows
        )


def test_a_class_map_becomes_polygons_to_correct(scene: Path, tmp_path: Path) -> None:
    ids = np.zeros((128, 160), np.uint8)
    ids[10:20, 10:30], ids[50:52, 50:52] = 1, 2
    with RasterWriter(
        tmp_path / "map.tif",
        open_scene(scene).grid,
        nodata=255,
        classes=ClassSet.of_names(["house", "road"], background=True),
    ) as writer:
        writer.write(0, ids)
    made = prelabel(tmp_path / "map.tif", out=tmp_path / "fix.gpkg", min_area_m2=50)
    table = read_layer(made.path, layer="labels")
    assert (
        made.count == 1
        and table["class_name"].tolist() == ["house"]
        and table["status"].tolist() == ["proposed"]
        and table["source"].tolist() == ["map.tif"]
    )


def test_what_is_rejected_in_a_map_without_background_is_ignored_not_background(
    scene: Path, tmp_path: Path
) -> None:
    ids = np.ones((128, 160), np.uint8)
    ids[:, 80:], ids[:, 120:] = 2, 3
    with RasterWriter(
        tmp_path / "map.tif",
        open_scene(scene).grid,
        nodata=255,
        classes=ClassSet.of_names(["field", "grass", "road"]),
    ) as writer:
        writer.write(0, ids)
    made = prelabel(tmp_path / "map.tif", out=tmp_path / "fix.gpkg")
    assert any("change the class" in note for note in made.notes)
    table = gpd.read_file(made.path, layer="labels")
    table.loc[table["class_name"] == "grass", "status"] = "rejected"
    table.loc[table["class_name"] != "grass", "status"] = "accepted"
    table.to_file(made.path, layer="labels")
    merged = merge_labels(None, made.path, out=tmp_path / "m.gpkg")
    assert (
        merged.counts["rejected"] == 1
        and merged.counts["accepted"] == 2
        and any("the 1 rejected features are ignored" in note for note in merged.notes)
    )
    labels = read_labels(merged.path)
    assert labels.rejected is None and labels.features.ignore.sum() == 1
    assert labels.features.geometries[labels.features.ignore][0].equals(rectangle(80, 0, 120, 128))
    told = gpd.read_file(merged.path, layer="labels")
    assert told.loc[told["class_name"] == "grass", "note"].tolist() == ["rejected: not grass"]


def test_a_status_of_somebody_else_says_nothing(tmp_path: Path) -> None:
    write_polygons(
        tmp_path / "l.gpkg",
        [square(0, 0), square(20, 0)],
        kind=["a", "a"],
        status=["rejected", "built 1990"],
    )
    labels = read_labels(tmp_path / "l.gpkg", class_field="kind")
    assert len(labels) == 2 and labels.rejected is None and not labels.features.ignore.any()


def edited(project: Path, **changes: Any) -> Path:
    """The project after changes to its layer `labels`: columns by name, or `frame`, what becomes of the
    table.
    """
    layers = {name: read_layer(project, layer=name) for name in ("labels", "proposals", "annotated")}
    table = layers["labels"]
    for name, values in changes.items():
        table = values(table) if name == "frame" else table.assign(**{name: values})
    write_layers(project, {**layers, "labels": table}, overwrite=True)
    return project


def test_how_a_tool_writes_an_untouched_proposal_does_not_change_it(project: Path, tmp_path: Path) -> None:
    def rewritten(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        # polygons for multipolygons, the other way round
        shapes = [shapely.get_parts(shape)[0].reverse() for shape in table.geometry]
        return table.set_geometry(gpd.GeoSeries(shapes, table.index, crs=CRS)).assign(
            prelabel_id=table["prelabel_id"].astype(float)
        )

    made = merge_labels(None, edited(project, frame=rewritten, status="accepted"), out=tmp_path / "m.gpkg")
    assert made.counts["accepted"] == 5 and made.counts["changed"] == made.counts["added"] == 0


def test_an_emptied_outline_is_a_deletion(project: Path, tmp_path: Path) -> None:
    shapes = [shapely.Polygon() if place == 1 else square(20 * place, 40) for place in range(5)]
    made = merge_labels(
        None,
        edited(project, frame=lambda t: t.set_geometry(gpd.GeoSeries(shapes, t.index, crs=CRS))),
        out=tmp_path / "m.gpkg",
    )
    assert (
        made.counts["rejected"] == 1
        and made.counts["proposed"] == 4
        and any("no outline" in note for note in made.notes)
    )
    (rejected,) = read_labels(edited_none_left(made.path)).rejected.geometries
    assert rejected.equals(square(20, 40))


def edited_none_left(path: Path) -> Path:
    """Merged labels of which none is proposed any more: with proposed ones alone there is nothing to read."""
    table = read_layer(path, layer="labels")
    write_layers(
        path,
        {"annotated": read_layer(path, layer="annotated"), "labels": table.assign(reviewed=True)},
        overwrite=True,
    )
    return path


def test_labels_outside_annotated_ground_are_said(project: Path, tmp_path: Path) -> None:
    layers = {name: read_layer(project, layer=name) for name in ("labels", "proposals")}
    layers["labels"]["status"] = "accepted"
    layers["annotated"] = gpd.GeoDataFrame({"note": [None]}, geometry=[square(0, 30, 45)], crs=CRS)
    write_layers(project, layers, overwrite=True)
    made = merge_labels(None, project, out=tmp_path / "m.gpkg")
    assert any("2 of 5 labels lie outside annotated" in note for note in made.notes), made.notes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"status": ["acepted", "Rejected", None, "proposed", "accepted"]},
            "found features 1, 2 with the status 'Rejected', 'acepted'; use one of",
        ),
        ({"frame": lambda t: t.drop(columns="status")}, "lost the field status"),
        ({"frame": lambda t: t.drop(columns="reviewed")}, "lost the field reviewed"),
        (
            {"prelabel_id": ["1", "2", "x", "4", "5"]},
            "found feature 3 with a prelabel_id that is not a number",
        ),
        (
            {"class_name": ["tree", None, "tree", "tree", "tree"], "status": "accepted"},
            "found feature 2 without a class",
        ),
        ({"frame": lambda t: t.to_crs(25832)}, "correct it in its original CRS"),
        (
            {"frame": lambda t: t.set_geometry(t.geometry.centroid)},
            "found features 1, 2, 3, 4, 5 that is not a Polygon or MultiPolygon",
        ),
    ],
)
def test_a_correction_that_cannot_be_understood_is_refused(
    project: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as error:
        merge_labels(None, edited(project, **changes), out=tmp_path / "m.gpkg")
    assert (
        said in str(error.value)
        and "fix.gpkg" in str(error.value)
        and "\n" not in str(error.value)
        and not (tmp_path / "m.gpkg").exists()
    )


def test_bad_input_is_one_line(project: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="labels prelabel"):
        merge_labels(None, tmp_path / "found.gpkg", out=tmp_path / "m.gpkg")
    with pytest.raises(InputError, match="overwrite=True"):
        prelabel(tmp_path / "found.gpkg", out=project)
    with pytest.raises(InputError, match="nothing to correct"):
        prelabel(tmp_path / "found.gpkg", out=tmp_path / "x.gpkg", min_score=0.95)
    with pytest.raises(InputError, match=r"\.gpkg"):
        prelabel(tmp_path / "found.gpkg", out=tmp_path / "x.shp")
    found = gpd.read_file(tmp_path / "found.gpkg")
    found.assign(score=["high"] * 6).to_file(tmp_path / "words.gpkg")
    with pytest.raises(InputError, match="has the score 'high', a number was expected"):
        prelabel(tmp_path / "words.gpkg", out=tmp_path / "x.gpkg", min_score=0.5)
    found.set_geometry(found.geometry.centroid).to_file(tmp_path / "points.gpkg")
    with pytest.raises(InputError, match="points or lines"):
        prelabel(tmp_path / "points.gpkg", out=tmp_path / "x.gpkg")


def reviewed(folder: Path) -> Path:
    """A prediction, itself gone through: accepted, changed, rejected, ticked only, and one that nobody looked
    at.
    """
    return write_polygons(
        folder / "seen.gpkg",
        [square(20 * index, 40) for index in range(5)],
        layer="objects",
        class_name=["tree", "shrub", "tree", "tree", "tree"],
        score=[0.9, 0.8, 0.7, 0.6, 0.5],
        status=["accepted", "changed", "rejected", None, None],
        reviewed=[True, True, True, True, False],
    )


def test_a_reviewed_prediction_is_merged_like_pre_labels(tmp_path: Path) -> None:
    made = merge_labels(None, reviewed(tmp_path), out=tmp_path / "m.gpkg")
    assert {name: n for name, n in made.counts.items() if n} == {
        "accepted": 2,
        "changed": 1,
        "rejected": 1,
        "proposed": 1,
    }
    labels = read_labels(made.path)
    assert labels.classes.names == ("shrub", "tree") and labels.features.ignore.sum() == 1
    assert labels.rejected is not None and [shape.bounds for shape in labels.rejected.geometries] == [
        square(40, 40).bounds
    ]


def test_pre_labels_keep_what_a_review_of_the_prediction_has_said(tmp_path: Path) -> None:
    table = read_layer(prelabel(reviewed(tmp_path), out=tmp_path / "fix.gpkg").path, layer="labels")
    assert table["status"].tolist() == ["accepted", "changed", "rejected", "accepted", "proposed"]
    assert table["reviewed"].tolist() == [True, True, True, True, False]
    made = merge_labels(None, tmp_path / "fix.gpkg", out=tmp_path / "m.gpkg")
    assert {name: n for name, n in made.counts.items() if n} == {
        "accepted": 2,
        "changed": 1,
        "rejected": 1,
        "proposed": 1,
    }


def test_a_prediction_that_nobody_looked_at_is_no_correction(tmp_path: Path) -> None:
    table = read_layer(reviewed(tmp_path))
    for name, values, why in (
        ("status", None, "nothing in it has been reviewed"),
        ("status", "fine", "with the status 'fine'"),
    ):
        changed = table.assign(**{name: values}, reviewed=False)
        changed["status"] = changed["status"].astype(object)
        write_layers(tmp_path / "seen.gpkg", {"objects": changed}, overwrite=True)
        with pytest.raises(InputError, match=why):
            merge_labels(None, tmp_path / "seen.gpkg", out=tmp_path / "m.gpkg")


def test_the_layer_of_the_old_labels_can_be_named(tmp_path: Path) -> None:
    layers = {
        name: gpd.GeoDataFrame(
            {"kind": ["tree"] * n}, geometry=[square(100 + 15 * i, 90) for i in range(n)], crs=CRS
        )
        for name, n in (("a", 1), ("b", 3))
    }
    write_layers(tmp_path / "old.gpkg", layers)
    made = merge_labels(
        tmp_path / "old.gpkg",
        reviewed(tmp_path),
        out=tmp_path / "m.gpkg",
        label_options=LabelOptions(layer="b"),
    )
    assert made.counts["kept"] == 3
