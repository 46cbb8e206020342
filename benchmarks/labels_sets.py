"""The real label sets on which `eo-dl labels check` is tried, and what reading each needs to be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eo_dl import open_scene
from eo_dl.io.discover import scene_paths
from eo_dl.io.scene import Scene


@dataclass(frozen=True)
class Case:
    """One label set: its labels and scenes (paths in its folder), and options of `check_labels`."""

    folder: str
    labels: str
    scenes: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For headings."""
        return f"{self.folder}: {self.labels}"

    def opened(self, root: Path) -> list[Scene]:
        """The scenes."""
        return [
            open_scene(path)
            for path in scene_paths([str(root / self.folder / scene) for scene in self.scenes])
        ]


ONE = {"class_field": "none"}
# of the scene; the GeoJSON does not say it
ALBERS = "+proj=aea +lat_0=23 +lon_0=-96 +lat_1=29.5 +lat_2=45.5 +datum=WGS84 +units=m"
CASES = (
    Case("mass-buildings", "22978945_15.gpkg", ("22978945_15.tif",), ONE),
    Case("banepa-buildings", "osm", ("banepa_oam_3072x4096.vrt",), {"class_field": "roof:material"}),
    Case("banepa-buildings", "detection_labels.json", ("oam",)),
    Case(
        "boadella-water",
        "Boadella_2020-06-21_labels.geojson",
        ("Boadella_2020-06-21.tif",),
        {"class_field": "none", "buffer_m": 20.0},
    ),
    Case(
        "baker-landcover",
        "BakerLake_2017_clipped.gpkg",
        ("*_1of2.tif", "*_2of2.tif"),
        {"class_field": "Niveau_2"},
    ),
    Case("landsat-sparse", "training_data.shp", ("LE70220491999322EDC01_stack.gtif",)),
    Case("lyon-rgbmask", "labels", ("images",)),
    Case("nrcan-tiles", "tiled_label_1.tif", ("tiled_image_1.tif",)),
    Case("nrcan-tiles", "tiled_label_2.tif", ("tiled_image_2.tif",)),
    Case(
        "orthoseg-fields",
        "fields_BEFL-s2-fields-2023_polygons.gpkg",
        ("BEFL-TEST-s2_2023-05-01_2023-07-01_B08-B04-B03_min_byte.tif",),
        ONE,
    ),
    Case("lidar-buildings", "buildings.geojson", ("hag.tif",), ONE),
    Case("soap-alive-dead", "SOAP_061.xml", ("SOAP_061.png",)),
    Case("soap-alive-dead", "testfile_multi.csv", ("SOAP_061.png",)),
    *(Case("neon-trees", f"{site}/annotations", (site,)) for site in ("TEAK", "OSBS", "SJER", "HARV")),
    Case("vegas-multiclass", "tiff_3channel_uint8.geojson", ("tiff_3channel_uint8.tif",)),
    Case("vegas-multiclass", "jpeg_3channel_uint8.xml", ("jpeg_3channel_uint8.jpeg",)),
    Case(
        "spacenet-samples", "sn4_buildings/geotiff_labels.geojson", ("sn4_buildings/sample_geotiff.tif",), ONE
    ),
    Case(
        "spacenet-samples",
        "custom_proj/geotiff_custom_proj_labels.geojson",
        ("custom_proj/sample_geotiff_custom_proj.tif",),
        {**ONE, "crs": ALBERS},
    ),
    Case("dubai-semseg", "Tile 1/masks", ("Tile 1/images",)),
    Case("detectree-zurich", "response_img", ("img",)),
    Case("fair-xyz-regions", "nairobi/labels", ("nairobi/images",), ONE),
    Case("eurosat-small", "rgb", ("rgb/*/*",)),
    Case("jaca-grass", "Jaca_1_labels.geojson", ("Jaca_1.tif",), {"buffer_m": 5.0, "class_field": "none"}),
    Case("s2-ships", "ship_209075000_2022-08-12_labels.geojson", ("ship_209075000_2022-08-12.tif",), ONE),
)
