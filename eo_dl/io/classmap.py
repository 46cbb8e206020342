"""Reading class maps: rasters of one band whose values are class ids, by us or by others.

Class names come from the `classes` tag, else from the category names in `.aux.xml` (what GDAL, QGIS and
ArcGIS write); without either the classes are called by their ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from ..core.arraytypes import AnyArray, BoolArray, UInt8Array
from ..core.bands import canonical_name
from ..core.classes import BACKGROUND, IGNORE_ID, ClassInfo, ClassSet, default_color
from ..core.pixelgrid import PixelGrid
from ..core.window import Window
from ..errors import SceneError
from .gdal import open_dataset
from .qgisstyles import CLASSES_TAG, PROBABILITIES_TAG
from .scene import Scene, SceneReader, open_scene

PARTITION_KEY = "every_pixel_has_a_class"
"""What polygons of a class map say of it ("true"): there is no background, so ground that is not of one class is of another, and which is not known."""

QUANTA = 254
"""Probabilities are written as whole numbers of 1/254; 255 means not known."""

_BAND_PIXELS = 4_000_000


@dataclass(frozen=True)
class ClassMap:
    """A raster of class ids. `classes` is None where the file names none."""

    scene: Scene
    classes: ClassSet | None

    @property
    def grid(self) -> PixelGrid:
        """Its grid."""
        return self.scene.grid

    def row_bands(self) -> Iterator[tuple[int, UInt8Array]]:
        """(row0, class ids (rows, W) uint8) from top to bottom, a few million pixels at a time; 255 where not
        valid.

        Raises `SceneError` for values that are no class ids (whole numbers 0 to 254).
        """
        height, width = self.grid.height, self.grid.width
        block = self.scene.block_px[0]
        rows = max(1, _BAND_PIXELS // width // block) * block
        with SceneReader(self.scene) as reader:
            for row0 in range(0, height, rows):
                chip = reader.read(Window(0, row0, width, min(rows, height - row0)))
                yield row0, self._ids(chip.pixels[0], chip.valid)

    def _ids(self, values: AnyArray, valid: BoolArray) -> UInt8Array:
        ids = values.astype(np.uint8)
        if values.dtype != np.uint8:
            wrong = valid & ((ids != values) | (ids == IGNORE_ID))
            if wrong.any():
                raise SceneError(
                    f"{self.scene.path}: holds the value {values[wrong][0]}, and class ids are whole numbers 0 to 254; is this a class map?"
                )
        return np.where(valid, ids, np.uint8(IGNORE_ID))


def open_class_map(path: str | Path) -> ClassMap:
    """A class map with its classes. Raises `SceneError` for a raster with several bands."""
    scene = open_scene(path)
    if len(scene.bands) != 1:
        raise SceneError(
            f"{path}: a class map has one band, this raster has {len(scene.bands)} ({scene.bands.describe()}); is it the scene itself?"
        )
    tags = _tags(scene)
    return ClassMap(scene, _classes(scene, tags))


def raster_tags(path: str | Path) -> dict[str, str]:
    """What a raster says of itself. Raises `SceneError`."""
    return _tags(open_scene(path))


def probability_bands(scene: Scene, classes: ClassSet) -> Scene:
    """A raster of probabilities with its bands in the order of `classes`. Raises `SceneError` where one is
    missing.
    """
    places = {name: place for place, name in enumerate(scene.bands.names)}
    missing = [info.name for info in classes if canonical_name(info.name) not in places]
    if missing:
        raise SceneError(
            f"{scene.path}: has no probabilities of {', '.join(missing)}; its bands are {scene.bands.describe()}"
        )
    return scene.reordered([places[canonical_name(info.name)] for info in classes])


def probability_classes(scene: Scene) -> ClassSet | None:
    """The classes of a raster of probabilities as we write it (uint8, a band a class), in the order of its
    bands; None for any other raster.
    """
    text = _tags(scene).get(PROBABILITIES_TAG)
    found = _from_tag(text)
    if found is None or len(found) != len(scene.bands) or {band.dtype for band in scene.bands} != {"uint8"}:
        return None
    return ClassSet(tuple(found.by_id(int(key)) for key in json.loads(text or "{}")))


def _classes(scene: Scene, tags: dict[str, str]) -> ClassSet | None:
    tagged = _from_tag(tags.get(CLASSES_TAG))
    listed = None if scene.remote else _from_side_file(Path(scene.path + ".aux.xml"))
    if tagged is None or listed is None:
        return listed or tagged
    colors = {info.id: info.color for info in listed}
    return ClassSet(tuple(ClassInfo(info.id, info.name, colors.get(info.id, info.color)) for info in tagged))


def _tags(scene: Scene) -> dict[str, str]:
    dataset = open_dataset(scene.path, scene.driver)
    try:
        return {str(name): str(value) for name, value in dataset.tags().items()}
    finally:
        dataset.close()


def _from_tag(text: str | None) -> ClassSet | None:
    try:
        names = {int(key): str(name) for key, name in json.loads(text or "").items()}
    except (ValueError, AttributeError):
        return None  # none, or somebody else's tag of that name
    return (
        ClassSet(tuple(ClassInfo(i, name, default_color(i)) for i, name in sorted(names.items())))
        if names
        else None
    )


def _from_side_file(path: Path) -> ClassSet | None:
    if not path.is_file():
        return None
    try:
        root = ElementTree.parse(path).getroot()
    except (ParseError, DefusedXmlException) as cause:
        raise SceneError(f"{path}: cannot be read as XML ({cause}); repair or remove it") from cause
    band = (
        None
        if root is None
        else next((b for b in root.iter("PAMRasterBand") if b.get("band") in (None, "1")), None)
    )
    names = [] if band is None else [(category.text or "").strip() for category in band.iter("Category")]
    known = {i: name for i, name in enumerate(names[:IGNORE_ID]) if name}
    if band is None or not known:
        return None
    known = {
        i: (BACKGROUND if i == 0 and name.casefold() == BACKGROUND else name) for i, name in known.items()
    }
    colors = [_color(entry) for entry in band.iter("Entry")]
    return ClassSet(
        tuple(
            ClassInfo(i, name, colors[i] if i < len(colors) else default_color(i))
            for i, name in known.items()
        )
    )


def _color(entry: Element) -> str:
    red, green, blue = (min(max(int(entry.get(f"c{channel}", "0")), 0), 255) for channel in (1, 2, 3))
    return f"#{red:02x}{green:02x}{blue:02x}"
