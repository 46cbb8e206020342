"""Tags of outputs: the grid and further facts, so that `evaluate` knows which area was predicted."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import get_args
from xml.etree.ElementTree import ParseError

import shapely
from affine import Affine
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from pyproj import CRS
from pyproj.exceptions import CRSError

from ..core.chiprules import ChipClassRule, Crowded, OneObjectRule
from ..core.classes import ClassSet
from ..core.pixelgrid import PixelGrid
from ..core.valueinfo import ValueInfo
from ..errors import EoDlError
from .discover import own_path
from .sceneaddress import address_below

GRID_TAG = "grid"
SCENE_TAG, SCENE_PATH_TAG = "scene", "scene_path"
"""Tags: file name of the scene that an output was made from, and its path relative to the output's folder.

Several folders may hold a scene of one name.
"""
BANDS_TAG = "bands"
"""Tag: the bands that were used, NAME=NUMBER with commas between."""
VALID_TAG = "valid"
"""Tag: the rule by which pixels of the scene were valid (`SceneOptions.valid`); none: "all"."""
MASK_TAG = "mask"
"""Tag: the rules of ground that was not used (`SceneOptions.mask`), their files relative to the
output's folder.
"""
DERIVE_TAG = "derive"
"""Tag: how bands were made from others (`SceneOptions.derive`)."""
KIND_TAG = "output"
"""Tag: what a prediction holds, if not classes of pixels or objects: "chips" or "values"."""
VALUES_TAG = "values"
"""Tag of a map of values: a JSON list of name, unit and valid range of each value, in the order of the bands.
The ends of their intervals follow, if there are any."""
UNLIKE_TAG = "unlike_training"
"""Tag: how the scene differs from what the model was trained on."""
TRAINED_TAG = "trained_ground"
"""Tag: ground of the scene that the model was trained on, WKT in whole pixels of `GRID_TAG`."""
_MOST_CHARACTERS = 2_000_000
COMMAND_TAG = "command"
"""Tag: the command line that made the output."""
PARQUET_TAGS = b"eo_dl"
"""Where the schema of a GeoParquet file has the tags, as JSON."""
MIN_SCORE_TAG = "min_score"
"""Tag: objects below this score were left out of a prediction."""
TEMPERATURE_TAG = "temperature"
"""Tag: the temperature that calibrated the probabilities in a raster; none: they are the network's own."""
EXTRA_TAG = "beside_map"
"""Tag of a raster that lies beside a map and is none: what it holds, e.g. "certainty"."""
SET_COVERAGE_TAG = "set_coverage"
"""Tag: the share of the ground that sets of classes were made to cover."""
_MULTI_LABEL_TAG, _MIN_COVER_TAG = "multi_label", "min_cover"
_CROWDED_TAG, _MIN_VISIBLE_TAG = "one_object", "min_visible"


def values_tag(classes: ClassSet) -> str:
    """The value of `VALUES_TAG`."""
    named = zip(classes.names, classes.value_infos, strict=True)
    return json.dumps([{"name": name, **asdict(info)} for name, info in named], ensure_ascii=False)


def read_values_tag(text: str | None) -> ClassSet | None:
    """The values in a tag; None if it is missing, or a tag of that name by other software."""
    try:
        items = json.loads(text or "")
        values = {str(item.pop("name")): ValueInfo(**item) for item in items}
        return ClassSet.of_values(values)
    except (ValueError, TypeError, KeyError, AttributeError, EoDlError):
        return None


def class_rule_tags(rule: ChipClassRule) -> dict[str, str]:
    """The rule by which chips got their classes, as tags."""
    return {_MULTI_LABEL_TAG: "true" if rule.multi_label else "false", _MIN_COVER_TAG: f"{rule.min_cover:g}"}


def read_class_rule(tags: Mapping[str, str]) -> ChipClassRule | None:
    """The rule in the tags of an output of whole chips; None where the file keeps no tags."""
    if _MULTI_LABEL_TAG not in tags:
        return None
    min_cover = tags.get(_MIN_COVER_TAG)
    return ChipClassRule.of(tags[_MULTI_LABEL_TAG] == "true", None if min_cover is None else float(min_cover))


def one_object_tags(rule: OneObjectRule) -> dict[str, str]:
    """The rule by which the one object of a chip is chosen, as tags."""
    return {_CROWDED_TAG: rule.crowded, _MIN_VISIBLE_TAG: f"{rule.min_visible:g}"}


def read_one_object_rule(tags: Mapping[str, str]) -> OneObjectRule | None:
    """The rule in the tags of an output; None for a model that may find any number of objects per chip."""
    for crowded in get_args(Crowded):
        if tags.get(_CROWDED_TAG) == crowded:
            return OneObjectRule(crowded, float(tags.get(_MIN_VISIBLE_TAG, OneObjectRule.min_visible)))
    return None


def scene_of_output(path: str | Path, tags: Mapping[str, str]) -> str:
    """The scene that the output at `path` was made from, by its tags: its path, else its name, else ""."""
    relative = tags.get(SCENE_PATH_TAG, "")
    if relative:
        return address_below(relative, Path(path).parent)
    return tags.get(SCENE_TAG, "")


def grid_tag(grid: PixelGrid) -> str:
    """The value of `GRID_TAG`: a grid as JSON."""
    values = {
        "height": grid.height,
        "width": grid.width,
        "transform": list(grid.transform)[:6],
        "crs": None if grid.crs is None else grid.crs.to_string(),
    }
    return json.dumps(values)


def read_grid_tag(text: str | None) -> PixelGrid | None:
    """The grid of a tag; None if it is missing, or a tag of that name by other software."""
    try:
        values = json.loads(text or "")
        crs = None if values["crs"] is None else CRS.from_user_input(values["crs"])
        return PixelGrid(crs, Affine(*values["transform"]), int(values["height"]), int(values["width"]))
    except (ValueError, KeyError, TypeError, CRSError, EoDlError):
        return None


def trained_ground_tag(area: shapely.Geometry) -> dict[str, str]:
    """The tag of an area in pixels of the scene; no tag for an empty one."""
    if area.area == 0:
        return {}
    return {TRAINED_TAG: shapely.to_wkt(area, rounding_precision=0, trim=True)}


def read_trained_ground(tags: Mapping[str, str]) -> shapely.Geometry | None:
    """The area of the tag, in pixels of the scene; None if it is missing, or no area."""
    text = tags.get(TRAINED_TAG, "")
    if not text or len(text) > _MOST_CHARACTERS:
        return None
    try:
        return shapely.make_valid(shapely.from_wkt(text))
    except shapely.errors.GEOSException:
        return None


def layer_metadata(path: str | Path) -> dict[str, str]:
    """The tags of a vector output; empty where a file has none."""
    suffix = Path(path).suffix.lower()
    tags: object = {}
    if suffix == ".geojson":
        with contextlib.suppress(ValueError, OSError, AttributeError):
            tags = json.loads(Path(path).read_text(encoding="utf-8")).get("eo_dl", {})
    if suffix == ".gpkg":
        with contextlib.suppress(sqlite3.Error, ParseError, DefusedXmlException):
            tags = _geopackage_metadata(Path(path))
    if suffix == ".fgb":
        with contextlib.suppress(ValueError, OSError, RuntimeError):
            tags = _flatgeobuf_metadata(Path(path))
    if suffix == ".parquet":
        with contextlib.suppress(ImportError, ValueError, OSError):
            tags = _parquet_metadata(Path(path))
    if not isinstance(tags, dict):
        return {}
    return {str(key): str(value) for key, value in tags.items()}


def _flatgeobuf_metadata(path: Path) -> object:
    """The metadata in the header of a FlatGeobuf file."""
    import pyogrio  # lazy: loads numpy's and GDAL's vector parts, which rasters do not need

    return pyogrio.read_info(str(own_path(path)))["layer_metadata"]


def _parquet_metadata(path: Path) -> object:
    """The tags in the schema of a GeoParquet file."""
    from pyarrow import parquet  # lazy: an extra

    metadata = parquet.read_schema(path).metadata or {}
    return json.loads(metadata.get(PARQUET_TAGS, b"{}"))


def _geopackage_metadata(path: Path) -> dict[str, str]:
    """Dataset metadata, which GDAL stores as XML in the table gpkg_metadata."""
    with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT metadata FROM gpkg_metadata WHERE mime_type = 'text/xml'").fetchall()
    tags: dict[str, str] = {}
    for (text,) in rows:
        for item in ElementTree.fromstring(text).iter("MDI"):
            tags[item.get("key", "")] = item.text or ""
    return tags
