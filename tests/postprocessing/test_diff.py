"""What `diff` says of two dates, against a plain comparison of every pair and every pixel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from eo_dl.core.classes import ClassSet
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.errors import ConfigError, LabelError, SceneError
from eo_dl.io.classmap import open_class_map
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.vectorlayers import layer_names, read_layer, read_metadata, read_styles, write_layer
from eo_dl.postprocessing.cleanup import Cleanup
from eo_dl.postprocessing.differences import DiffOptions, diff
from eo_dl.postprocessing.objectmatching import CHANGES, DatedObjects, MatchRules, match_objects
from tests.making import write_geotiff

UTM = "EPSG:32633"
Geometries = Sequence[shapely.Geometry]


def objects(geometries: Geometries, class_ids: Sequence[int] | None = None) -> DatedObjects:
    array = np.array(list(geometries), dtype=object)
    ids = np.zeros(len(array), np.int64) if class_ids is None else np.array(class_ids, np.int64)
    return DatedObjects(array, ids, lambda some: shapely.get_coordinates(shapely.centroid(some)))


def kinds(old: Geometries, new: Geometries, rules: MatchRules = MatchRules()) -> tuple[list[str], list[str]]:
    found = match_objects(objects(old), objects(new), rules)
    return [CHANGES[kind] for kind in found.old_change], [CHANGES[kind] for kind in found.new_change]


def plain_kinds(old: Geometries, new: Geometries, rules: MatchRules) -> tuple[list[str], list[str]]:
    """Every pair is looked at."""
    linked = np.zeros((len(old), len(new)), np.bool_)
    for one, before in enumerate(old):
        for other, after in enumerate(new):
            common = before.intersection(after).area
            linked[one, other] = common > 0 and common >= rules.overlap * min(before.area, after.area) - 1e-9
    groups = [({one}, set[int]()) for one in range(len(old))] + [
        (set[int](), {one}) for one in range(len(new))
    ]
    for one, other in np.argwhere(linked).tolist():
        first = next(group for group in groups if one in group[0])
        second = next(group for group in groups if other in group[1])
        if first is not second:
            groups.remove(second)
            first[0].update(second[0])
            first[1].update(second[1])
    of_old, of_new = [""] * len(old), [""] * len(new)
    for olds, news in groups:
        kind = {(1, 0): "gone", (0, 1): "new"}.get((len(olds), len(news)), "changed")
        if len(olds) == 1 and len(news) > 1:
            kind = "split"
        if len(olds) > 1 and len(news) == 1:
            kind = "merged"
        if (len(olds), len(news)) == (1, 1):
            before, after = old[next(iter(olds))], new[next(iter(news))]
            iou = before.intersection(after).area / before.union(after).area
            kind = "same" if iou >= rules.same_iou else "changed"
        for one in olds:
            of_old[one] = kind
        for other in news:
            of_new[other] = kind
    return of_old, of_new


boxes = st.builds(
    lambda col, row, width, height: shapely.box(col, row, col + width, row + height),
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(1, 6),
    st.integers(1, 6),
)


@settings(max_examples=60)
@given(st.lists(boxes, max_size=7), st.lists(boxes, max_size=7), st.sampled_from([0.25, 0.5, 0.9]))
def test_changes_are_those_of_every_pair(old: Geometries, new: Geometries, overlap: float) -> None:
    rules = MatchRules(overlap=overlap, same_iou=0.63)
    assert kinds(old, new, rules) == plain_kinds(old, new, rules)
    backwards = {"gone": "new", "new": "gone", "split": "merged", "merged": "split"}
    of_new, of_old = kinds(new, old, rules)
    assert [backwards.get(kind, kind) for kind in of_old] == kinds(old, new, rules)[0]
    assert [backwards.get(kind, kind) for kind in of_new] == kinds(old, new, rules)[1]


@settings(max_examples=40)
@given(
    st.floats(0, 9),
    st.floats(0, 9),
    st.sampled_from([0.3, 0.5, 0.8]),
    st.sampled_from([0.4, 0.7]),
    st.booleans(),
)
def test_shifted_copies_are_one_to_one(
    cols: float, rows: float, overlap: float, same_iou: float, by_distance: bool
) -> None:
    """Squares of 10 m, 20 m apart: the share that is left decides, the same for each."""
    copies = [
        shapely.box(20 * col, 20 * row, 20 * col + 10, 20 * row + 10) for col in range(4) for row in range(3)
    ]
    moved = list(shapely.transform(np.array(copies), lambda xy: np.add(xy, (cols, rows))))
    rules = MatchRules(overlap, same_iou, 13.0 if by_distance else None)
    share = (10 - cols) * (10 - rows) / 100
    iou = share / (2 - share)
    expected = "same" if iou >= same_iou else "changed"
    if share < overlap - 1e-9 and not by_distance:
        expected = "gone"
    if min(abs(share - overlap), abs(iou - same_iou)) > 1e-6:
        assert Counter(kinds(copies, moved, rules)[0]) == {expected: 12}


def test_of_objects_apart_the_nearest_become_partners_once() -> None:
    old = [shapely.Point(0, 0), shapely.Point(10, 0)]
    new = [shapely.Point(1, 0), shapely.Point(2, 0), shapely.Point(30, 0)]
    assert kinds(old, new, MatchRules(distance_m=5)) == (["same", "gone"], ["same", "new", "new"])


def layer(path: Path, geometries: Geometries, crs: str | None = UTM, **columns: object) -> Path:
    moved = shapely.transform(np.array(list(geometries)), lambda xy: np.add(xy, (500_000, 5_200_000)))
    write_layer(path, gpd.GeoDataFrame(columns, geometry=list(moved), crs=crs))
    return path


@pytest.fixture
def dates(tmp_path: Path) -> tuple[Path, Path]:
    """A kept, a moved and a demolished house, one that was divided, two that were joined, and a new one."""
    box = shapely.box
    old = [
        box(0, 0, 10, 10),
        box(20, 0, 30, 10),
        box(200, 0, 210, 10),
        box(40, 0, 60, 10),
        box(80, 0, 90, 10),
    ]
    new = [box(0, 0, 10, 10), box(24, 0, 34, 10), box(40, 0, 50, 10), box(50, 0, 60, 10), box(80, 0, 100, 10)]
    before = layer(
        tmp_path / "old.gpkg",
        [*old, box(90, 0, 100, 10)],
        parcel=["a", "b", "c", "d", "e", "f"],
        score=np.arange(6) / 10,
    )
    after = layer(
        tmp_path / "new.gpkg", [*new, box(300, 0, 320, 10)], class_name=["roof"] * 6, score=np.arange(6) / 5
    )
    return before, after


def test_a_cadastre_against_a_map(tmp_path: Path, dates: tuple[Path, Path]) -> None:
    options = DiffOptions(old_id="parcel")
    found = diff(*dates, out=tmp_path / "c.gpkg", options=options, page=tmp_path / "c.html")
    rows = {row.change: (row.old_count, row.new_count) for row in found.rows}
    assert rows == {
        "gone": (1, 0),
        "new": (0, 1),
        "changed": (1, 1),
        "split": (1, 2),
        "merged": (2, 1),
        "same": (1, 1),
    }
    assert layer_names(found.path) == ("changes", "before")
    changes = read_layer(found.path, layer="changes")
    assert changes["rank"].tolist() == list(range(1, 7)) and not changes["reviewed"].any()
    assert changes["change"].tolist() == ["gone", "new", "changed", "split", "split", "merged"]
    assert changes["id_old"].tolist() == ["c", "", "b", "d", "d", "e; f"]
    assert changes["score_old"].round(3).tolist()[2:] == [0.1, 0.3, 0.3, 0.45]
    assert changes["score_new"].dropna().tolist() == [1.0, 0.2, 0.4, 0.6, 0.8]
    assert changes["area_m2"].tolist() == pytest.approx([100, 200, 100, 100, 100, 200], rel=2e-3)
    assert changes["moved_m"].iloc[2] == pytest.approx(4, rel=2e-3)
    assert sorted(read_layer(found.path, layer="before")["id_old"]) == ["b", "d", "e", "f"]
    assert {"changes", "before"} == set(read_styles(found.path))
    assert read_metadata(found.path, "changes")["split"] == "1 > 2"
    text = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert "merged" in text and "<script" not in text and found.page == tmp_path / "c.html"


def test_the_same_objects_in_another_crs_are_the_same(tmp_path: Path, dates: tuple[Path, Path]) -> None:
    write_layer(tmp_path / "degrees.gpkg", read_layer(dates[0]).to_crs("EPSG:4326"))
    found = diff(
        dates[0], tmp_path / "degrees.gpkg", out=tmp_path / "c.fgb", options=DiffOptions(with_same=True)
    )
    assert {row.change for row in found.rows if row.new_count} == {"same"}
    frame = read_layer(found.path)
    assert len(frame) == 6 and (frame["iou"] > 0.999).all() and (frame["moved_m"] < 0.01).all()


def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path: Path, dates: tuple[Path, Path]) -> None:
    points = layer(tmp_path / "points.gpkg", [shapely.Point(0, 0)])
    with pytest.raises(LabelError, match="holds points, which have no overlap; say with `distance_m`"):
        diff(dates[0], points, out=tmp_path / "c.gpkg")
    plain = layer(tmp_path / "plain.gpkg", [shapely.box(0, 0, 1, 1)], crs=None)
    with pytest.raises(LabelError, match="has no CRS"):
        diff(plain, dates[1], out=tmp_path / "c.gpkg")
    with pytest.raises(LabelError, match="has no field 'plot'"):
        diff(*dates, out=tmp_path / "c.gpkg", options=DiffOptions(old_id="plot"))
    with pytest.raises(ConfigError, match="are for class maps"):
        diff(*dates, out=tmp_path / "c.gpkg", options=DiffOptions(cleanup=Cleanup(sieve_px=2)))
    raster = class_map(tmp_path / "map.tif", np.zeros((4, 4), np.uint8))
    with pytest.raises(ConfigError, match="convert it first"):
        diff(raster, dates[1], out=tmp_path / "c.gpkg")
    assert not (tmp_path / "c.gpkg").exists()


CLASSES = ClassSet.of_names(["wood", "water"], background=True)
GRID = Affine.translation(500_000, 5_000_000) @ Affine.scale(2, -2)


def class_map(
    path: Path, labels: npt.NDArray[np.uint8], transform: Affine = GRID, crs: str | None = UTM
) -> Path:
    grid = PixelGrid(None if crs is None else CRS.from_user_input(crs), transform, *labels.shape)
    with RasterWriter(path, grid, nodata=255, classes=CLASSES) as writer:
        writer.write(0, labels)
    return path


def test_class_maps_give_every_transition(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    old = random.choice(np.array([0, 1, 2, 255], np.uint8), (37, 41))
    new = random.choice(np.array([0, 1, 2, 255], np.uint8), (37, 41))
    paths = class_map(tmp_path / "old.tif", old), class_map(tmp_path / "new.tif", new)
    found = diff(*paths, out=tmp_path / "c.tif")
    names = [info.name for info in CLASSES]
    area = found.transitions[0].area_m2 / max(
        int(((old == one) & (new == other)).sum()) for one in range(3) for other in range(3)
    )
    assert area == pytest.approx(4, rel=2e-3)
    for one in found.transitions:
        count = ((old == names.index(one.old)) & (new == names.index(one.new))).sum()
        assert one.area_m2 == pytest.approx(count * area, rel=1e-6)
    changes = open_class_map(found.path)
    ids = np.concatenate([part for _, part in changes.row_strips()])
    assert ((ids == 255) == ((old == 255) | (new == 255))).all()
    for info in changes.classes.foreground:
        before, after = info.name.split(" > ")
        expected = (old == names.index(before)) & (new == names.index(after))
        assert ((ids == info.id) == expected).all()
    assert (ids[(old == new) & (old != 255)] == 0).all()


def test_the_earlier_map_may_lie_on_another_grid_and_ground(tmp_path: Path) -> None:
    old = np.array([[1, 2], [2, 1]], np.uint8)
    coarse = class_map(tmp_path / "old.tif", old, GRID @ Affine.translation(2, 1) @ Affine.scale(3))
    new = class_map(tmp_path / "new.tif", np.full((9, 10), 1, np.uint8))
    found = diff(coarse, new, out=tmp_path / "c.gpkg", options=DiffOptions(cleanup=Cleanup(min_area_m2=1)))
    areas = {one.name: one.area_m2 / 4 for one in found.transitions}
    assert areas == pytest.approx({"wood > wood": 18, "water > wood": 18}, rel=2e-3)
    frame = read_layer(found.path)
    assert frame["class_old"].tolist() == ["water", "water"] and frame["class_new"].tolist() == [
        "wood",
        "wood",
    ]
    with pytest.raises(SceneError, match="has no CRS"):
        diff(class_map(tmp_path / "x.tif", old, Affine.identity(), None), new, out=tmp_path / "d.gpkg")


def test_small_changes_are_left_out_of_the_list_and_scores_of_both_dates_are_carried(tmp_path: Path) -> None:
    old, new = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    old[2:10, 2:10] = 1
    new[2:10, 2:10] = 2
    new[15, 15] = 1
    paths = class_map(tmp_path / "old.tif", old), class_map(tmp_path / "new.tif", new)
    planes = np.zeros((3, 20, 20), np.uint8)
    planes[1, 2:10, 2:10] = 127
    planes[2, 2:10, 2:10] = 254
    for name in ("p_old.tif", "p_new.tif"):
        write_geotiff(
            tmp_path / name,
            planes,
            PixelGrid(CRS.from_user_input(UTM), GRID, 20, 20),
            descriptions=CLASSES.names,
            scales=[1 / 254] * 3,
            nodata=255,
        )
    options = DiffOptions(
        cleanup=Cleanup(sieve_px=4),
        old_probabilities=tmp_path / "p_old.tif",
        new_probabilities=tmp_path / "p_new.tif",
    )
    found = diff(*paths, out=tmp_path / "c.gpkg", options=options, page=tmp_path / "c.html")
    frame = read_layer(found.path)
    assert frame["change"].tolist() == ["wood > water"] and frame["rank"].tolist() == [1]
    assert (frame["score_old"].iloc[0], frame["score_new"].iloc[0]) == pytest.approx((0.5, 1.0))
    assert {one.name for one in found.transitions} >= {"background > wood"}  # the matrix is of all ground
    assert "Transition matrix" in (tmp_path / "c.html").read_text(encoding="utf-8")
