"""The grid and further facts that a vector output carries, so that `evaluate` knows which ground was looked
at.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import ParseError

from affine import Affine
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from pyproj import CRS
from pyproj.exceptions import CRSError

from ..core.pixelgrid import PixelGrid
from ..errors import EoDlError
from .discover import own_path

GRID_TAG = "grid"
SCENE_TAG, SCENE_PATH_TAG = "scene", "scene_path"
"""The file name of the scene that an output was made of, and where it lay as seen from the output's folder: several folders may hold a scene of that name."""
KIND_TAG = "output"
"""What the features of a prediction are, where that is not objects: "chips"."""
ONE_OBJECT_TAG, MIN_VISIBLE_TAG = "one_object", "min_visible"
"""Of objects whose model gives one a chip at most: what a chip's object is where there are several ("largest", "ignore"), and from which visible share on."""


def made_of(path: str | Path, said: Mapping[str, str]) -> str:
    """The scene that the output at `path` was made of, by what it says: with its folder where that is told;
    "" where nothing is.
    """
    where = said.get(SCENE_PATH_TAG, "")
    return str(own_path(Path(path).parent / where)) if where else said.get(SCENE_TAG, "")


def grid_tag(grid: PixelGrid) -> str:
    """A grid as the value of `GRID_TAG`: JSON."""
    crs = None if grid.crs is None else grid.crs.to_string()
    return json.dumps(
        {"height": grid.height, "width": grid.width, "transform": list(grid.transform)[:6], "crs": crs}
    )


def read_grid_tag(text: str | None) -> PixelGrid | None:
    """The grid of a tag; None where there is none, or somebody else's."""
    try:
        found = json.loads(text or "")
        crs = None if found["crs"] is None else CRS.from_user_input(found["crs"])
        return PixelGrid(crs, Affine(*found["transform"]), int(found["height"]), int(found["width"]))
    except (ValueError, KeyError, TypeError, CRSError, EoDlError):
        return None


def layer_metadata(path: str | Path) -> dict[str, str]:
    """What was written as `metadata` of a vector output; empty for formats that keep none (FlatGeobuf,
    GeoParquet).
    """
    suffix = Path(path).suffix.lower()
    found: object = {}
    if suffix == ".geojson":
        with contextlib.suppress(ValueError, OSError, AttributeError):
            found = json.loads(Path(path).read_text(encoding="utf-8")).get("eo_dl", {})
    if suffix == ".gpkg":
        with contextlib.suppress(sqlite3.Error, ParseError, DefusedXmlException):
            found = _geopackage_metadata(Path(path))
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _geopackage_metadata(path: Path) -> dict[str, str]:
    """GDAL keeps dataset metadata as XML in the table gpkg_metadata."""
    with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        texts = [
            row[0]
            for row in database.execute("SELECT metadata FROM gpkg_metadata WHERE mime_type = 'text/xml'")
        ]
    found: dict[str, str] = {}
    for text in texts:
        for item in ElementTree.fromstring(text).iter("MDI"):
            found[item.get("key", "")] = item.text or ""
    return found
