"""The label files of shared/data, with their traps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eo_dl.core.labelset import LabelSet
from eo_dl.core.rasterlabels import RasterLabels
from eo_dl.core.window import Window
from eo_dl.errors import LabelError
from eo_dl.io.rasterize import burn
from eo_dl.io.scene import Scene, open_scene
from eo_dl.labels.coverage import match_labels
from eo_dl.labels.raster.masks import read_mask
from eo_dl.labels.raster.rasterchoice import raster_of
from eo_dl.labels.reading import read_labels


def scenes(folder: Path, pattern: str) -> list[Scene]:
    return [open_scene(path) for path in sorted(folder.glob(pattern))]


def said(labels: LabelSet, text: str) -> bool:
    return any(text in note for note in labels.notes)


def test_mass_buildings_lie_partly_outside(real_data: Path) -> None:
    folder = real_data / "mass-buildings"
    labels = match_labels(read_labels(folder / "22978945_15.gpkg"), scenes(folder, "*.tif")).labels
    assert (
        len(labels) == 441 and labels.class_field == "class" and said(labels, "36 of 441 labels lie outside")
    )


def test_banepa_materials_have_a_typo_and_gaps(real_data: Path) -> None:
    folder = real_data / "banepa-buildings"
    with pytest.raises(LabelError, match="roof:material"):
        read_labels(folder / "osm")
    labels = read_labels(folder / "osm", class_field="roof:material")
    assert int(labels.features.ignore.sum()) == 150 and said(
        labels, "'concerte' (22) looks like 'concrete' (746)"
    )
    merged = read_labels(
        folder / "osm",
        class_field="roof:material",
        classes="concrete=concrete|concerte,tin,other=clay_tiles|metal",
    )
    assert (
        merged.classes.names == ("concrete", "tin", "other")
        and int((merged.features.class_ids == 1).sum()) == 768
    )


def test_banepa_boxes_count_categories_from_zero(real_data: Path) -> None:
    folder = real_data / "banepa-buildings"
    labels = match_labels(
        read_labels(folder / "detection_labels.json"), scenes(folder / "oam", "*.tif")
    ).labels
    assert len(labels) == 1847 and labels.classes.ids == (1,) and len(labels.image_names) == 48


def test_boadella_dates_keep_apart(real_data: Path) -> None:
    folder = real_data / "boadella-water"
    with pytest.raises(LabelError, match=r"points or lines.*`where"):
        read_labels(folder)
    labels = match_labels(read_labels(folder, where="tasks=segmentation"), scenes(folder, "*.tif")).labels
    counts = {scene.stem: len(labels.for_grid(scene.grid, scene.name)) for scene in scenes(folder, "*.tif")}
    assert (
        sum(counts.values()) == 3
        and counts["Boadella_2020-06-21"] == 1
        and labels.classes.names == ("water",)
    )


def test_baker_text_ids_keep_their_number(real_data: Path) -> None:
    labels = read_labels(
        real_data / "baker-landcover" / "BakerLake_2017_clipped.gpkg", class_field="Quatreclasses"
    )
    assert labels.classes.ids == (1, 2, 3, 4) and int(labels.features.ignore.sum()) == 1


def test_landsat_class_is_taken_where_the_id_disagrees(real_data: Path) -> None:
    labels = read_labels(real_data / "landsat-sparse" / "training_data.shp", unlabelled="ignore")
    assert labels.class_field == "class" and len(labels.classes) == 5 and labels.annotated is not None


def test_orthoseg_skips_styles_and_a_null_geometry(real_data: Path) -> None:
    folder = real_data / "orthoseg-fields"
    name = "fields_BEFL-s2-fields-2023"
    labels = match_labels(
        read_labels(folder / f"{name}_polygons.gpkg", annotated=folder / f"{name}_locations.gpkg"),
        scenes(folder, "*.tif"),
    ).labels
    assert (
        len(labels) == 198
        and said(labels, "1 missing or empty geometry dropped")
        and said(labels, "5 of 16 annotated areas")
    )


def test_neon_boxes_with_backslash_gap_and_a_box_outside(real_data: Path) -> None:
    folder = real_data / "neon-trees"
    labels = match_labels(read_labels(f"{folder}/*/annotations/*.xml"), scenes(folder, "*/*.tif")).labels
    assert (
        len(labels) == 674
        and said(labels, "looks like 'Tree'")
        and said(labels, "6 of 674 features have no class")
    )
    assert (
        said(labels, "12 of 44 scenes have no labels")
        and said(labels, "SJER_047.xml#1")
        and said(labels, "83x400")
    )
    boxes = np.array(
        [
            g.bounds
            for g, image in zip(labels.features.geometries, labels.images, strict=True)
            if image != "SJER_047.tif"
        ]
    )
    assert boxes.min() == 0 and boxes.max() == 400, "counted from 1, all boxes lie in their images"


def test_soap_xml_and_csv_agree_but_for_the_count_of_pixels(real_data: Path) -> None:
    folder = real_data / "soap-alive-dead"
    voc, table = read_labels(folder / "SOAP_061.xml"), read_labels(folder / "testfile_multi.csv")
    assert voc.classes.names == table.classes.names == ("Alive", "Dead") and len(voc) == len(table) == 37


def test_vegas_polygons_and_mask_are_the_same_truth(real_data: Path) -> None:
    folder = real_data / "vegas-multiclass"
    image = open_scene(folder / "tiff_3channel_uint8.tif")
    polygons = read_labels(folder / "tiff_3channel_uint8.geojson", classes="building,road,tree")
    raster = match_labels(
        read_labels(folder / "mask_tiff_3channel_uint8.png", classes="building,road,tree"), [image]
    ).labels
    assert polygons.classes.names == raster.classes.without_background().names
    mask = read_mask(raster.rasters[0], image, image.grid.window)
    placed = polygons.for_grid(image.grid, image.name)
    burnt = burn(placed.geometries, placed.class_ids, image.grid.height, image.grid.width)
    assert (burnt == mask).mean() > 0.9, (
        "two drawings of one truth differ at their edges and where roofs and trees overlap"
    )
    with pytest.raises(LabelError, match="not recognised as labels"):
        read_labels(folder / "bboxes.json")


def test_lidar_shapefile_and_geojson_agree(real_data: Path) -> None:
    folder = real_data / "lidar-buildings"
    shp, geojson = read_labels(folder / "buildings.shp"), read_labels(folder / "buildings.geojson")
    assert len(shp) == len(geojson) == 84 and shp.classes.names == ("object",)


def test_dubai_colours_and_palettes_are_one_set(real_data: Path) -> None:
    folder = real_data / "dubai-semseg"
    classes = "Building=#3C1098,Land=#8429F6,Road=#6EC1E4,Vegetation=#FEDD3A,Water=#E2A929,-#9B9B9B"
    labels = read_labels([folder / "Tile 1" / "masks", folder / "Tile 2" / "masks"], classes=classes)
    images = scenes(folder, "Tile [12]/images/*.jpg")
    match_labels(labels, images)
    assert isinstance(labels, RasterLabels)
    for image in images[::9]:
        mask = raster_of(labels, image)
        assert mask is not None and Path(mask.path).parent.parent == Path(image.path).parent.parent
        assert set(np.unique(read_mask(mask, image, Window(0, 0, 200, 200)))) <= {1, 2, 3, 4, 5, 255}


def test_lyon_masks_are_found_by_place(real_data: Path) -> None:
    folder = real_data / "lyon-rgbmask"
    labels = read_labels(folder / "labels", classes="building=#ffffff,vegetation=#009600")
    assert isinstance(labels, RasterLabels)
    for image in scenes(folder / "images", "*.tif"):
        mask = raster_of(labels, image)
        assert (
            mask is not None and Path(mask.path).stem.split("-label")[0] == image.stem.split("-tile_0x0")[0]
        )


def test_roads_and_projected_geojson(real_data: Path) -> None:
    folder = real_data / "spacenet-samples"
    roads = read_labels(
        folder / "sn3_roads" / "sample_roads_for_masking.geojson",
        buffer_m=4,
        class_field="none",
        classes="road",
    )
    assert len(roads) == 9 and roads.classes.names == ("road",)
    with pytest.raises(LabelError, match="`label_crs`"):
        read_labels(folder / "custom_proj" / "geotiff_custom_proj_labels.geojson")
    crs = open_scene(folder / "custom_proj" / "sample_geotiff_custom_proj.tif").grid.crs
    assert crs is not None
    assert (
        len(
            read_labels(folder / "custom_proj" / "geotiff_custom_proj_labels.geojson", label_crs=crs.to_wkt())
        )
        == 19
    )


def test_masks_without_or_with_a_local_crs(real_data: Path) -> None:
    folder = real_data / "detectree-zurich"
    labels = read_labels(folder / "response_img")
    matched = match_labels(labels, scenes(folder / "img", "*.tif")).labels
    assert said(matched, "21 of 25 scenes have no label raster") and labels.classes.ids == (0, 1)
    bad = read_labels(folder / "bad_response_img")
    image = open_scene(folder / "img" / "1091-322_00.tif")
    assert set(np.unique(read_mask(bad.rasters[0], image, image.grid.window))) == {0, 5, 255}
