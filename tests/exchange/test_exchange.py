"""Chips out, corrected labels in: every format brings map geometry back, and conversion goes both ways."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image
from pyproj import CRS
from shapely.affinity import rotate

from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.sampling import Sampling
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.core.window import Window
from eo_dl.errors import ConfigError, LabelError, OutputExistsError
from eo_dl.exchange import convert_labels, import_labels
from eo_dl.exchange.exporting import export_labels
from eo_dl.exchange.imageindex import INDEX_NAME, read_index
from eo_dl.labels.formats import WRITTEN_FORMATS
from eo_dl.labels.formats.formatlist import format_of_written, written_format, written_formats
from eo_dl.labels.labeloptions import LabelOptions, ReadingOptions
from eo_dl.labels.reading import labels_of, read_labels
from tests.making import write_geotiff, write_raster

PIXEL_M = 0.25
GRID = PixelGrid(CRS.from_epsg(32633), Affine(PIXEL_M, 0.05, 500_000, 0.05, -PIXEL_M, 5_400_000), 96, 192)
BACK = [
    name
    for name, info in written_formats().items()
    if info.write_images is not None and info.holds.shape not in ("pixels", "classes")
]
MAP_FORMATS = [name for name, info in written_formats().items() if info.write_map is not None]


def outlines() -> list[shapely.Geometry]:
    """In pixels: two inside chips, one over the seam at column 64, one ring with a hole, one of two parts."""
    return [
        rotate(shapely.box(5, 5, 25.25, 14.5), 30),
        shapely.box(70.125, 20, 90, 30.375),
        shapely.box(55, 40, 75.5, 50),
        shapely.box(100, 10, 120, 30).difference(shapely.box(105, 15, 112, 22)),
        shapely.MultiPolygon([shapely.box(140, 70, 150, 80), shapely.box(153, 70, 160, 80)]),
    ]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ChipSet]:
    folder = tmp_path_factory.mktemp("exchange")
    pixels = np.arange(4 * 96 * 192, dtype=np.uint16).reshape(4, 96, 192)
    write_geotiff(folder / "scene.tif", pixels, GRID, descriptions=("red", "green", "blue", "nir"))
    features = [
        {"type": "Feature", "properties": {"kind": name}, "geometry": shapely.geometry.mapping(g)}
        for g, name in zip(
            GRID.geometries_to_map(np.array(outlines(), dtype=object)),
            ["roof", "roof", "pool", "roof", "pool"],
            strict=True,
        )
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    (folder / "labels.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "crs": crs, "features": features})
    )
    chips = tile(
        folder / "scene.tif",
        read_labels(folder / "labels.geojson"),
        out=folder / "chips",
        size_px=32,
        sampling=Sampling(min_valid=0),
        split=Split((1, 0, 0), guard_px=0),
    )
    return folder, chips


def labels_in(folder: Path, name: str) -> Path:
    """The annotation file or folder of an export, as its tool would save it."""
    places = {
        "yolo": "data.yaml",
        "voc": "Annotations",
        "labelme": ".",
        "dota": "train/labelTxt",
        "coco": "annotations",
    }
    info = written_format(name)
    return folder / places.get(format_of_written(name).name, info.single_file or ".")


@pytest.mark.parametrize("name", BACK)
def test_map_geometry_comes_back(name: str, project: tuple[Path, ChipSet], tmp_path: Path) -> None:
    _, chips = project
    info = written_format(name)
    made = export_labels(chips, out=tmp_path / "out", out_format=name)
    assert made.images == len(chips.split("train"))
    written = import_labels(
        labels_in(tmp_path / "out", name), index=tmp_path / "out" / INDEX_NAME, out=tmp_path / "back.gpkg"
    )
    labels = read_labels(tmp_path / "back.gpkg")
    found = GRID.geometries_to_pixel(labels.features.geometries)
    assert labels.annotated is not None and labels.crs == GRID.crs
    assert set(labels.classes.names) == {"roof", "pool"}
    if info.holds.shape == "polygons" and info.holds.holes == "pixels":
        for wanted in outlines():
            holes = any(part.interiors for part in shapely.get_parts(wanted))
            near = found[np.argmin(shapely.hausdorff_distance(found, wanted))]
            assert shapely.hausdorff_distance(near, wanted) < (1.5 if holes else 1e-6), (
                name,
                wanted.wkt,
                near.wkt,
            )
        assert any("were joined" in note for note in written.notes)
    inside = outlines()[1]
    boxes = [shapely.box(*g.bounds) for g in found]
    assert (
        min(shapely.hausdorff_distance(g, inside) for g in boxes) < 1e-6 or info.holds.shape == "turned boxes"
    )


@pytest.mark.parametrize("name", [name for name in WRITTEN_FORMATS if name not in ("image-csv", "folders")])
def test_the_folder_of_an_export_is_enough(name: str, project: tuple[Path, ChipSet], tmp_path: Path) -> None:
    """Nothing is guessed from what lies in it: images, masks beside masks, several files of labels."""
    _, chips = project
    export_labels(chips, out=tmp_path / "out", out_format=name)
    written = import_labels(tmp_path / "out", out=tmp_path / "back.gpkg")
    labels = labels_of(tmp_path / "back.gpkg", ReadingOptions(attributes=True))
    assert labels.crs == GRID.crs and set(labels.classes.names) == {"roof", "pool"}
    assert not any("not taken for labels" in note for note in written.notes)
    assert labels.annotated is not None
    ground = shapely.union_all(GRID.geometries_to_pixel(labels.annotated.geometries))
    assert shapely.symmetric_difference(ground, shapely.box(0, 0, 192, 96)).area < 1e-3
    if written_format(name).holds.attributes:
        assert len(labels) == len(outlines()) and set(labels.features.attributes["feature_id"]) == {
            f"#{n}" for n in range(5)
        }


@pytest.mark.parametrize("name", [name for name in WRITTEN_FORMATS if name not in ("image-csv", "folders")])
def test_images_without_a_split_come_back_beside_those_of_a_split(
    name: str, project: tuple[Path, ChipSet], tmp_path: Path
) -> None:
    _, chips = project
    records = list(chips.records)
    for number in range(0, len(records), 3):
        records[number] = replace(records[number], split="none")
    mixed = replace(chips, records=tuple(records))
    for out, exported in (("whole", chips), ("mixed", mixed)):
        export_labels(exported, out=tmp_path / out, out_format=name, splits=("train", "none"))
        import_labels(tmp_path / out, out=tmp_path / f"{out}.gpkg")
    whole, found = (read_labels(tmp_path / f"{out}.gpkg") for out in ("whole", "mixed"))
    assert len(found) == len(whole)
    ground = [shapely.area(shapely.union_all(labels.annotated.geometries)) for labels in (whole, found)]
    assert ground[0] == pytest.approx(ground[1])


@pytest.mark.parametrize("name", ["image-csv", "folders", "cvat", "labelstudio"])
def test_classes_of_whole_images_come_back_as_their_frames(name: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(3):
        grid = GRID.crop(Window(number * 32, 0, 32, 32))
        write_geotiff(
            tmp_path / "images" / f"i{number}.tif",
            np.full((3, 32, 32), number + 1, np.uint8),
            grid,
            descriptions=("red", "green", "blue"),
        )
    (tmp_path / "classes.csv").write_text("file,label\ni0.tif,water\ni1.tif,old/town\ni2.tif,water\n")
    scenes = sorted((tmp_path / "images").glob("*.tif"))
    chips = tile(
        scenes,
        read_labels(tmp_path / "classes.csv"),
        out=tmp_path / "chips",
        sampling=Sampling(min_valid=0),
        split=Split((1, 0, 0), guard_px=0, by="scene"),
    )
    export_labels(chips, out=tmp_path / "out", out_format=name)
    import_labels(tmp_path / "out", out=tmp_path / "back.gpkg")
    labels = read_labels(tmp_path / "back.gpkg", class_field="class_name")
    names = {info.id: info.name for info in labels.classes}
    found = {
        int(g.bounds[0] // 32): (names[int(i)], g.area)
        for g, i in zip(
            GRID.geometries_to_pixel(labels.features.geometries), labels.features.class_ids, strict=True
        )
    }
    assert {place: told[0] for place, told in found.items()} == {0: "water", 1: "old/town", 2: "water"}
    assert all(abs(area - 32 * 32) < 1e-3 for _, area in found.values())


def test_folders_keep_images_of_no_split_beside_those_of_a_split(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(3):
        grid = GRID.crop(Window(number * 32, 0, 32, 32))
        pixels = np.full((3, 32, 32), number + 1, np.uint8)
        write_geotiff(tmp_path / "images" / f"i{number}.tif", pixels, grid)
    (tmp_path / "classes.csv").write_text("file,label\ni0.tif,water\ni1.tif,town\ni2.tif,water\n")
    chips = tile(
        sorted((tmp_path / "images").glob("*.tif")),
        read_labels(tmp_path / "classes.csv"),
        out=tmp_path / "chips",
        sampling=Sampling(min_valid=0),
        split=Split((1, 0, 0), guard_px=0, by="scene"),
    )
    without_split = replace(chips.records[0], split="none")
    chips = replace(chips, records=(without_split, *chips.records[1:]))
    export_labels(chips, out=tmp_path / "out", out_format="folders", splits=("train", "none"))
    import_labels(tmp_path / "out", out=tmp_path / "back.gpkg")
    assert len(read_labels(tmp_path / "back.gpkg", class_field="class_name")) == 3


def test_a_corrected_file_beside_the_exported_one_is_not_passed_over(
    project: tuple[Path, ChipSet], tmp_path: Path
) -> None:
    _, chips = project
    export_labels(chips, out=tmp_path / "out", out_format="labelstudio")
    (tmp_path / "out" / "project-1-at-noon.json").write_text((tmp_path / "out" / "tasks.json").read_text())
    with pytest.raises(LabelError, match=r"project-1-at-noon\.json"):
        import_labels(tmp_path / "out", out=tmp_path / "back.gpkg")
    import_labels(tmp_path / "out" / "project-1-at-noon.json", out=tmp_path / "back.gpkg")


def test_ground_of_which_masks_say_nothing_is_not_annotated(tmp_path: Path) -> None:
    ids = np.zeros((96, 192), np.uint8)
    ids[10:20, 10:20], ids[40:, :] = 1, 255
    write_geotiff(
        tmp_path / "scene.tif", np.ones((3, 96, 192), np.uint8), GRID, descriptions=("red", "green", "blue")
    )
    write_geotiff(tmp_path / "mask.tif", ids[None], GRID, nodata=255, descriptions=("class",))
    chips = tile(
        tmp_path / "scene.tif",
        read_labels(tmp_path / "mask.tif", classes=["roof=1", "background=0"]),
        out=tmp_path / "chips",
        size_px=32,
        sampling=Sampling(min_valid=0),
        split=Split((1, 0, 0), guard_px=0),
    )
    made = export_labels(chips, out=tmp_path / "out", out_format="masks")
    import_labels(tmp_path / "out", out=tmp_path / "back.gpkg")
    labels = read_labels(tmp_path / "back.gpkg")
    assert made.images and labels.annotated is not None
    covered = [
        GRID.geometries_to_pixel(np.array([one.grid.footprint()], dtype=object))[0]
        for one in read_index(tmp_path / "out" / INDEX_NAME).images
    ]
    known = shapely.union_all(covered).intersection(shapely.box(0, 0, 192, 40))
    assert (
        shapely.symmetric_difference(
            shapely.union_all(GRID.geometries_to_pixel(labels.annotated.geometries)), known
        ).area
        < 1e-3
    )
    assert abs(shapely.area(GRID.geometries_to_pixel(labels.features.geometries)).sum() - 100) < 1e-3


@pytest.mark.parametrize("name", ["masks", "voc-masks"])
def test_masks_come_back_as_pixels(name: str, project: tuple[Path, ChipSet], tmp_path: Path) -> None:
    _, chips = project
    export_labels(chips, out=tmp_path / "out", out_format=name)
    place = "masks" if name == "masks" else "SegmentationClass"
    import_labels(tmp_path / "out" / place, index=tmp_path / "out" / INDEX_NAME, out=tmp_path / "back.gpkg")
    labels = read_labels(tmp_path / "back.gpkg")
    area = shapely.area(GRID.geometries_to_pixel(labels.features.geometries)).sum()
    assert abs(area - sum(g.area for g in outlines())) < 30 and set(labels.classes.names) == {"roof", "pool"}


@pytest.mark.parametrize("name", MAP_FORMATS)
def test_map_files_of_chips_hold_the_whole_objects(
    name: str, project: tuple[Path, ChipSet], tmp_path: Path
) -> None:
    _, chips = project
    export_labels(chips, out=tmp_path / "out", out_format=name)
    labels = read_labels(tmp_path / "out" / f"labels.{name}", class_field="class_name")
    back = labels.for_grid(GRID, "scene.tif")
    for wanted in outlines():
        assert min(shapely.hausdorff_distance(g, wanted) for g in back.geometries) < 1e-6
    assert len(back) == len(outlines())


def test_the_index_says_place_split_and_stretch(project: tuple[Path, ChipSet], tmp_path: Path) -> None:
    _, chips = project
    export_labels(chips, out=tmp_path / "out", out_format="labelme", bands=["nir", "red", "green"])
    index = read_index(tmp_path / "out" / INDEX_NAME)
    assert index.stretch["bands"] == ["nir", "red", "green"] and len(index.stretch["low"]) == 3
    record = next(r for r in chips.records if r.chip_id == index.images[0].chip_id)
    assert index.images[0].grid == GRID.crop(record.window) and index.images[0].split == "train"
    with Image.open(tmp_path / "out" / index.images[0].file) as picture:
        assert picture.size == (32, 32) and picture.mode == "RGB"
    assert (tmp_path / "out" / f"{record.chip_id}.json").is_file()


def test_geotiffs_keep_bands_values_and_place(project: tuple[Path, ChipSet], tmp_path: Path) -> None:
    _, chips = project
    export_labels(chips, out=tmp_path / "out", out_format="yolo")
    index = read_index(tmp_path / "out" / INDEX_NAME)
    with rasterio.open(tmp_path / "out" / index.images[0].file) as dataset:
        assert (
            dataset.count == 4
            and dataset.dtypes[0] == "uint16"
            and dataset.transform == index.images[0].grid.transform
        )
    assert "channels: 4" in (tmp_path / "out" / "data.yaml").read_text()


def test_folders_of_objects_say_that_they_lose_them(project: tuple[Path, ChipSet], tmp_path: Path) -> None:
    _, chips = project
    made = export_labels(chips, out=tmp_path / "out", out_format="folders")
    assert any("objects became the class of their whole image" in note for note in made.notes)
    back = import_labels(tmp_path / "out", out=tmp_path / "back.gpkg")
    assert len(back.labels) == made.images


def test_map_files_of_images_without_a_place_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)).save(tmp_path / "plain.png")
    (tmp_path / "boxes.csv").write_text(
        "image_path,xmin,ymin,xmax,ymax,label\nplain.png,4,4,20,30,tree\nplain.png,40,4,60,50,tree\n"
    )
    chips = tile(
        tmp_path / "plain.png",
        read_labels(tmp_path / "boxes.csv"),
        out=tmp_path / "chips",
        size_px=32,
        sampling=Sampling(min_valid=0),
        split=Split((1, 0, 0), guard_px=0),
    )
    with pytest.raises(LabelError, match=r"no CRS.*`out_format` to one in pixels"):
        export_labels(chips, out=tmp_path / "out", out_format="gpkg")
    assert not (tmp_path / "out").exists()
    export_labels(chips, out=tmp_path / "out", out_format="labelstudio")
    import_labels(tmp_path / "out", out=tmp_path / "back.json")
    labels = read_labels(tmp_path / "back.json")
    assert sorted(g.bounds for g in labels.features.geometries) == [
        (4, 4, 20, 30),
        (40, 4, 60, 50),
    ] and labels.image_names == ("plain.png",)


def test_wrong_requests_are_refused(project: tuple[Path, ChipSet], tmp_path: Path) -> None:
    _, chips = project
    with pytest.raises(ConfigError, match=r"unknown output format .kitti.*coco, yolo"):
        export_labels(chips, out=tmp_path / "a", out_format="kitti")
    with pytest.raises(LabelError, match="whole images"):
        export_labels(chips, out=tmp_path / "a", out_format="image-csv")
    with pytest.raises(ConfigError, match="GeoTIFFs keep all bands"):
        export_labels(chips, out=tmp_path / "a", out_format="coco", bands=["red"])
    export_labels(chips, out=tmp_path / "b", out_format="coco")
    with pytest.raises(OutputExistsError):
        export_labels(chips, out=tmp_path / "b", out_format="coco")
    assert not (tmp_path / "a").exists()
    (tmp_path / "other.json").write_text(
        '{"images": [{"id": 1, "file_name": "x.tif"}], "annotations": [{"id": 1, "image_id": 1, '
        '"category_id": 1, "bbox": [0, 0, 1, 1]}], "categories": [{"id": 1, "name": "a"}]}'
    )
    with pytest.raises(LabelError, match="not in the index"):
        import_labels(tmp_path / "other.json", index=tmp_path / "b" / INDEX_NAME, out=tmp_path / "c.gpkg")
    with pytest.raises(LabelError, match="`index`"):
        import_labels(tmp_path / "other.json", out=tmp_path / "c.gpkg")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../x.tif"},
        {"transform": [0, 0, 0, 0, 0, 0]},
        {"transform": [1, 0, float("inf"), 0, 1, 0]},
        {"width": 10**9},
        {"crs": 7},
    ],
)
def test_a_damaged_index_is_refused_in_one_line(
    change: dict[str, object], project: tuple[Path, ChipSet], tmp_path: Path
) -> None:
    _, chips = project
    export_labels(chips, out=tmp_path / "out", out_format="dota")
    path = tmp_path / "out" / INDEX_NAME
    data = json.loads(path.read_text())
    data["images"][0].update(change)
    path.write_text(json.dumps(data))
    with pytest.raises(LabelError, match="image 1") as caught:
        read_index(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["coco", "yolo-seg", "voc", "labelstudio", "cvat", "labelme", "dota", "csv"])
def test_converting_there_and_back(name: str, project: tuple[Path, ChipSet], tmp_path: Path) -> None:
    folder, _ = project
    info = written_format(name)
    out = tmp_path / (f"out{Path(info.single_file).suffix}" if info.single_file else "out")
    convert_labels(folder / "labels.geojson", out=out, out_format=name, images=[folder / "scene.tif"])
    source = (
        out
        / {"yolo": "data.yaml", "voc": "Annotations", "dota": "labelTxt"}.get(
            format_of_written(name).name, "."
        )
        if out.is_dir()
        else out
    )
    made = convert_labels(source, out=tmp_path / "back.gpkg", images=[folder / "scene.tif"])
    labels = read_labels(tmp_path / "back.gpkg")
    back = GRID.geometries_to_pixel(labels.features.geometries)
    if info.holds.shape == "polygons":
        assert min(shapely.hausdorff_distance(g, outlines()[0]) for g in back) < 1e-6
    assert made.counts.keys() == {"roof", "pool"} and not list(tmp_path.glob("*.files*"))


def test_scores_and_fields_are_carried_to_the_formats_that_hold_them(
    tmp_path: Path, project: tuple[Path, ChipSet]
) -> None:
    folder, _ = project
    data = json.loads((folder / "labels.geojson").read_text())
    for number, feature in enumerate(data["features"]):
        feature["properties"] |= {"score": number / 8, "storeys": number}
    (tmp_path / "found.geojson").write_text(json.dumps(data))
    convert_labels(
        tmp_path / "found.geojson",
        out=tmp_path / "found.json",
        out_format="coco",
        images=[folder / "scene.tif"],
        label_options=LabelOptions(class_field="kind"),
    )
    labels = read_labels(tmp_path / "found.json")
    assert labels.features.scores is not None and labels.features.scores.tolist() == [
        0,
        0.125,
        0.25,
        0.375,
        0.5,
    ]
    assert list(labels.features.attributes["storeys"]) == [0, 1, 2, 3, 4]


def test_labels_of_resized_images_are_not_imported(project: tuple[Path, ChipSet], tmp_path: Path) -> None:
    """As a tool that resizes on upload exports them: everything is half as large, and fits itself."""
    out = export_labels(project[1].path, out=tmp_path / "out", out_format="coco").path
    (path,) = (out / "annotations").glob("*_train.json")
    data = json.loads(path.read_text())
    for image in data["images"]:
        image["width"], image["height"] = image["width"] // 2, image["height"] // 2
    for item in data["annotations"]:
        item["bbox"] = [value / 2 for value in item["bbox"]]
        del item["segmentation"]
    resized = tmp_path / "back.json"
    resized.write_text(json.dumps(data))
    with pytest.raises(LabelError, match=r"another size than the exported ones.*turn off resizing"):
        import_labels(resized, out=tmp_path / "back.gpkg", index=out / "eo_dl_index.json")


def test_renamed_images_are_found_unless_they_are_copies(
    project: tuple[Path, ChipSet], tmp_path: Path
) -> None:
    out = export_labels(project[1].path, out=tmp_path / "out", out_format="coco").path
    (path,) = (out / "annotations").glob("*_train.json")
    data = json.loads(path.read_text())
    data["annotations"] = [one for one in data["annotations"] if isinstance(one["segmentation"], list)]
    for image in data["images"]:
        image["file_name"] = image["file_name"].replace(".tif", f"_tif.rf.{'0a1b2c3d' * 4}.jpg")
    renamed = tmp_path / "renamed.json"
    renamed.write_text(json.dumps(data))
    made = import_labels(renamed, out=tmp_path / "back.gpkg", index=out / "eo_dl_index.json")
    assert any("before a tool renamed it" in note for note in made.notes)
    assert made.values()["label_report"]["read"] == len(data["annotations"])  # type: ignore[index]
    again = {**data["images"][0], "id": 999}
    again["file_name"] = again["file_name"].replace("0a1b", "ffff", 1)
    renamed.write_text(json.dumps({**data, "images": [*data["images"], again]}))
    with pytest.raises(LabelError, match="without augmentation"):
        import_labels(renamed, out=tmp_path / "b2.gpkg", index=out / "eo_dl_index.json")


@pytest.mark.parametrize("target", ["l.gpkg", "l.json"])
def test_converting_compares_the_sizes_of_images(target: str, tmp_path: Path) -> None:
    data = {
        "images": [{"id": 1, "file_name": "a.tif", "width": 512, "height": 512}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]}],
        "categories": [{"id": 1, "name": "roof"}],
    }
    (tmp_path / "c.json").write_text(json.dumps(data))
    scene = write_raster(tmp_path / "a.tif", np.ones((3, 64, 64), np.uint8))
    with pytest.raises(LabelError, match="another size"):
        convert_labels(tmp_path / "c.json", out=tmp_path / target, images=[scene])
    data["images"] = [{"id": 1, "file_name": "a.tif", "width": 64, "height": 64}]
    (tmp_path / "c.json").write_text(json.dumps(data))
    made = convert_labels(tmp_path / "c.json", out=tmp_path / target, images=[scene])
    assert made.report.line == "labels: 1 object read, 1 used"


def test_converting_refuses_objects_outside_all_images(tmp_path: Path) -> None:
    """As boxes in map coordinates; what a CSV file does not say of sizes, the images do."""
    header = "image_path,xmin,ymin,xmax,ymax,label\n"
    table = tmp_path / "b.csv"
    scene = write_raster(tmp_path / "a.tif", np.ones((3, 64, 64), np.uint8))
    table.write_text(header + "a.tif,500010,5399980,500020,5399990,roof\n")
    with pytest.raises(LabelError, match="none of 1 objects lies in its image"):
        convert_labels(table, out=tmp_path / "l.json", images=[scene])
    table.write_text(header + "a.tif,10,10,20,20,roof\na.tif,100,10,120,20,roof\n")
    made = convert_labels(table, out=tmp_path / "l.json", images=[scene])
    assert made.report.used == 1 and made.report.outside == 1
    table.write_text(header + "other.tif,10,10,20,20,roof\n")
    with pytest.raises(LabelError, match="none of 1 labelled images"):
        convert_labels(table, out=tmp_path / "m.json", images=[scene])
