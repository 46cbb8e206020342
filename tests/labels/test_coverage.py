from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine

from eo_dl.core.labelset import LabelSet
from eo_dl.errors import LabelError
from eo_dl.io.scene import Scene, open_scene
from eo_dl.labels.coverage import match_labels
from eo_dl.labels.labelsources import find_sources
from eo_dl.labels.pairing import best_named, core_name
from eo_dl.labels.reading import read_labels
from tests.making import CRS, NORTH_UP, square, write_polygons, write_raster


def scene(path: Path, crs: str | None = CRS) -> Scene:
    return open_scene(write_raster(path, np.ones((50, 100), np.uint8), crs=crs))


def labels(path: Path, boxes: list[shapely.Geometry]) -> Path:
    return write_polygons(path, boxes, kind=["a"] * len(boxes))


def notes_of(labels: LabelSet, scenes: list[Scene]) -> tuple[str, ...]:
    """What matching adds to the notes of labels."""
    return match_labels(labels, scenes).labels.notes[len(labels.notes) :]


INSIDE = square(10, 30)
OUTSIDE = square(100_010, 30)


def test_labels_outside_every_scene_are_counted(tmp_path: Path) -> None:
    found = read_labels(labels(tmp_path / "l.gpkg", [INSIDE, OUTSIDE, OUTSIDE]))
    assert notes_of(found, [scene(tmp_path / "a.tif")]) == ("2 of 3 labels lie outside the scenes: #2, #3",)


@pytest.mark.parametrize(
    ("west", "east", "share"), [(99, 199, "1.00%"), (100, 120, "0.00%"), (-30, 10, "25.00%"), (0, 100, "")]
)
def test_labels_that_meet_a_scene_in_a_part_say_how_much(
    tmp_path: Path, west: int, east: int, share: str
) -> None:
    """A scene 100 px wide; the last label touches its edge from inside."""
    outline = shapely.box(500_000 + west, 5_199_960, 500_000 + east, 5_199_990)
    notes = notes_of(read_labels(labels(tmp_path / "l.gpkg", [INSIDE, outline])), [scene(tmp_path / "a.tif")])
    expected = f"1 of 2 labels lies partly outside the scenes: {share} of them on average is inside"
    assert notes == ((expected,) if share else ())


def test_a_label_on_two_scenes_side_by_side_is_whole(tmp_path: Path) -> None:
    both = shapely.box(500_090, 5_199_960, 500_110, 5_199_990)
    west = scene(tmp_path / "a.tif")
    east = open_scene(
        write_raster(
            tmp_path / "b.tif", np.ones((50, 100), np.uint8), transform=NORTH_UP @ Affine.translation(100, 0)
        )
    )
    notes = notes_of(read_labels(labels(tmp_path / "l.gpkg", [both])), [west, east])
    assert not any("partly" in note for note in notes)


def test_a_label_raster_of_a_part_of_the_scene_says_which_part(tmp_path: Path) -> None:
    write_raster(tmp_path / "mask.tif", np.tile(np.array([0, 1], np.uint8), (25, 20)))
    notes = notes_of(read_labels(tmp_path / "mask.tif"), [scene(tmp_path / "a.tif")])
    assert notes == (
        "1 of 1 label raster used, on 20.00% of the scenes",
        "label rasters cover a part of their scenes, and ground beside them does not count: a.tif 20.00%",
    )


def test_no_overlap_shows_both_extents_and_sees_swapped_axes(tmp_path: Path) -> None:
    image = scene(tmp_path / "a.tif")
    far = read_labels(labels(tmp_path / "l.gpkg", [OUTSIDE]))
    with pytest.raises(
        LabelError, match=r"labels are at longitude 16\.\d+ to .* scenes at longitude 15\.0000 .*`label_crs`"
    ):
        match_labels(far, [image])
    swapped = read_labels(labels(tmp_path / "s.gpkg", [shapely.transform(INSIDE, lambda xy: xy[:, ::-1])]))
    with pytest.raises(LabelError, match="with x and y swapped they would overlap"):
        match_labels(swapped, [image])


def test_a_scene_without_crs_takes_no_map_labels(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="scene has no CRS"):
        match_labels(
            read_labels(labels(tmp_path / "l.gpkg", [INSIDE])), [scene(tmp_path / "a.tif", crs=None)]
        )


def test_files_named_like_scenes_belong_to_them_alone(tmp_path: Path) -> None:
    """One place on three dates, two of them labelled."""
    scenes = [scene(tmp_path / f"lake_{month}.tif") for month in ("june", "july", "august")]
    labels(tmp_path / "lake_june_labels.gpkg", [INSIDE])
    labels(tmp_path / "lake_july_labels.gpkg", [INSIDE, square(50, 30)])
    read = read_labels(f"{tmp_path}/*.gpkg")
    matched = match_labels(read, scenes)
    bound = matched.labels
    assert [len(bound.for_grid(s.grid, s.name)) for s in scenes] == [1, 2, 0]
    assert [len(placed.labels) for placed in matched.placed] == [1, 2, 0]
    unlabelled = bound.for_grid(scenes[2].grid, scenes[2].name).annotated
    assert unlabelled is not None and unlabelled.is_empty, "an unlabelled date is not background"
    assert bound.for_grid(scenes[0].grid, scenes[0].name).annotated is None
    sparse = match_labels(read_labels(f"{tmp_path}/*.gpkg", unlabelled="ignore"), scenes).labels
    assert sparse.for_grid(scenes[1].grid, scenes[1].name).annotated.area == 200


def test_files_named_like_no_scene_belong_to_their_ground(tmp_path: Path) -> None:
    labels(tmp_path / "roofs.gpkg", [INSIDE])
    labels(tmp_path / "pools.gpkg", [INSIDE])
    image = scene(tmp_path / "ortho.tif")
    bound = match_labels(
        read_labels([tmp_path / "roofs.gpkg", tmp_path / "pools.gpkg"], class_field="file"), [image]
    ).labels
    assert len(bound.for_grid(image.grid, image.name)) == 2 and bound.classes.names == ("pools", "roofs")


def test_pixel_labels_go_by_name_and_what_is_left_over_is_told(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text(
        "image_path,xmin,ymin,xmax,ymax,label\na.png,1,2,3,4,x\nzzz.png,1,2,3,4,x\na.png,900,2,950,9,x\n"
    )
    found = read_labels(tmp_path / "b.csv")
    notes = notes_of(found, [scene(tmp_path / "a.tif", crs=None), scene(tmp_path / "c.tif", crs=None)])
    assert notes == (
        "1 of 2 scenes have no labels and are not used as background: c.tif",
        "1 of 2 labelled images are not among the scenes: zzz.png",
        "the labels do not say the size of 1 of 1 image, so it is not compared: a.tif",
        "1 of 3 objects lies wholly outside their images: b.csv:4",
    )
    with pytest.raises(LabelError, match="none of 2 labelled images"):
        notes_of(found, [scene(tmp_path / "c.tif", crs=None)])


def test_labels_of_images_of_another_size_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        "<annotation><filename>a.tif</filename><size><width>400</width><height>200</height></size><object><name>x</name>"
        "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
    )
    with pytest.raises(LabelError, match=r"1 of 1 image: a.tif is 100x50 px, its labels say 400x200"):
        notes_of(read_labels(tmp_path / "a.xml"), [scene(tmp_path / "a.tif", crs=None)])


def test_annotated_areas_are_counted_too(tmp_path: Path) -> None:
    apart = square(80, 35, 5)
    labels(tmp_path / "l.gpkg", [INSIDE, apart])
    areas = labels(tmp_path / "areas.gpkg", [INSIDE.buffer(5), OUTSIDE])
    notes = notes_of(read_labels(tmp_path / "l.gpkg", annotated=areas), [scene(tmp_path / "a.tif")])
    assert notes == (
        "1 of 2 annotated areas lies outside the scenes",
        "1 of 2 labels lies outside the annotated areas and do not count",
    )
    wrong = labels(tmp_path / "wrong.gpkg", [OUTSIDE])
    with pytest.raises(LabelError, match="none of 1 annotated areas"):
        notes_of(read_labels(tmp_path / "l.gpkg", annotated=wrong), [scene(tmp_path / "a.tif")])


def test_names_pair_by_stem_then_without_label_words() -> None:
    assert core_name("x/tiled_label_1.tif") == core_name("tiled_image_1.tif") == "tiled 1"
    assert best_named("s/a_1.tif", ["m/a_1_mask.png", "m/a_2_mask.png"], "mask") == 0
    assert best_named("a.tif", ["m/a_mask.png", "m/a.png"], "mask") == 1, "the same stem comes first"
    assert best_named("mask.tif", ["labels.png"], "mask") is None, "nothing is left of these names"
    with pytest.raises(LabelError, match="two masks fit"):
        best_named("s/a.tif", ["m/a.png", "m/a.tif"], "mask")


def test_a_folder_is_taken_for_what_it_holds(tmp_path: Path) -> None:
    labels(tmp_path / "l.gpkg", [INSIDE])
    scene(tmp_path / "a.tif")
    found = find_sources(tmp_path)
    assert (
        found.format.name == "vector"
        and found.paths == (str(tmp_path / "l.gpkg"),)
        and "1 raster " in found.notes[0]
    )
    (tmp_path / "a.xml").write_text("<annotation/>")
    with pytest.raises(LabelError, match="several formats"):
        find_sources(tmp_path)
    assert find_sources(tmp_path, "voc").paths == (str(tmp_path / "a.xml"),)
    empty = tmp_path / "empty"
    empty.mkdir()
    sources: list[str | Path | list[str]] = [empty, f"{tmp_path}/*.nothing", tmp_path / "missing.json", []]
    for wrong in sources:
        with pytest.raises(LabelError):
            find_sources(wrong)


def test_options_of_another_format_are_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("image_path,xmin,ymin,xmax,ymax,label\na.png,1,2,3,4,x\n")
    with pytest.raises(LabelError, match="`layer` does not apply to labels of the format csv"):
        read_labels(tmp_path / "b.csv", layer="x")
