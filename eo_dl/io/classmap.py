"""Reading class maps: rasters with one band of class ids, written by eo_dl or by other software.

Class names come from the `classes` tag, else from the category names in `.aux.xml` (which GDAL, QGIS and
ArcGIS write). Without either, classes are called by their ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from ..core.arrays import Chip
from ..core.arraytypes import AnyArray, BoolArray, UInt8Array
from ..core.bands import canonical_name
from ..core.classes import BACKGROUND, IGNORE_ID, ClassSet
from ..core.pixelgrid import PixelGrid
from ..core.window import Window
from ..errors import SceneError
from .gdal import open_dataset, small_cache
from .outputtags import EXTRA_TAG
from .qgisstyles import CLASSES_TAG, PROBABILITIES_TAG
from .scene import Scene, SceneReader, open_scene

PARTITION_KEY = "every_pixel_has_a_class"
"""Metadata of polygons made from a class map without background ("true").

An area without a polygon of one class is then of another class, which is not known.
"""

QUANTA = 254
"""Probabilities are stored in steps of 1/254; 255 means nodata."""

_STRIP_PIXELS = 4_000_000
_CACHE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class ClassMap:
    """A raster of class ids."""

    scene: Scene
    """The raster."""
    classes: ClassSet | None
    """Its classes, or None if the file names none."""
    nodata: float | None = None
    """The nodata value of the file, also where it is not taken as one."""
    notes: tuple[str, ...] = ()
    """What was decided on opening."""

    @cached_property
    def binary(self) -> bool:
        """Whether a raster of another program holds nothing but 0 and 255, so that 255 is its only class."""
        foreign = self.classes is None and self.nodata != IGNORE_ID
        if not foreign or self.scene.dtype != "uint8":
            return False
        has_class = False
        with SceneReader(self.scene) as reader:
            for window in self._windows():
                chip = reader.read(window)
                values = chip.pixels[0][chip.valid]
                if ((values != 0) & (values != IGNORE_ID)).any():
                    return False
                has_class = has_class or bool((values == IGNORE_ID).any())
        return has_class

    @cached_property
    def value_notes(self) -> tuple[str, ...]:
        """What the stored values of a map of another program are taken for."""
        if self.binary:
            return (f"{self.scene.name}: 255 is the only value besides 0, so it is the class 1",)
        if self._holds_nothing_but_nodata():
            return (
                f"{self.scene.name}: holds nothing but 0 and its nodata value 255, so no class was predicted "
                "anywhere; if 255 is the class, remove the tag (gdal_edit.py -unsetnodata)",
            )
        return ()

    def _holds_nothing_but_nodata(self) -> bool:
        """Whether a raster of another program holds nothing but 0 and the nodata value 255."""
        if self.classes is not None or self.nodata != IGNORE_ID or self.scene.dtype != "uint8":
            return False
        has_nodata = False
        with SceneReader(self.scene) as reader:
            for window in self._windows():
                chip = reader.read(window)
                if chip.pixels[0][chip.valid].any():
                    return False
                has_nodata = has_nodata or not chip.valid.all()
        return has_nodata

    @property
    def grid(self) -> PixelGrid:
        """Its grid."""
        return self.scene.grid

    def row_strips(self) -> Iterator[tuple[int, UInt8Array]]:
        """(row0, class ids (rows, W)) from top to bottom, a few million pixels at a time; 255 = nodata. The
        only class of a `binary` raster has the id 1.

        Raises `SceneError` for values that are no class ids (whole numbers from 0 to 254).
        """
        with small_cache(_CACHE_BYTES), SceneReader(self.scene) as reader:  # each block is read once
            for window in self._windows():
                yield window.row, self.ids_of(reader.read(window))

    def ids_of(self, chip: Chip) -> UInt8Array:
        """(H, W) class ids of a chip of the map; see `row_strips`."""
        ids = self._ids(chip.pixels[0], chip.valid)
        if self.binary:
            ids[chip.valid & (chip.pixels[0] == IGNORE_ID)] = 1
        return ids

    def _windows(self) -> Iterator[Window]:
        """Strips of whole blocks, from top to bottom."""
        height, width = self.grid.height, self.grid.width
        block_rows = self.scene.file.block_px[0]
        rows = max(1, _STRIP_PIXELS // width // block_rows) * block_rows
        for row0 in range(0, height, rows):
            yield Window(0, row0, width, min(rows, height - row0))

    def _ids(self, values: AnyArray, valid: BoolArray) -> UInt8Array:
        ids = values.astype(np.uint8)
        if values.dtype != np.uint8:
            wrong = valid & ((ids != values) | (ids == IGNORE_ID))
            if wrong.any():
                raise SceneError(
                    f"{self.scene.path}: holds the value {values[wrong][0]}, but class ids are whole numbers "
                    "from 0 to 254; is this a class map?"
                )
        return np.where(valid, ids, np.uint8(IGNORE_ID))


def open_class_map(path: str | Path, *, zero_is_background: bool = True) -> ClassMap:
    """A class map with its classes.

    Maps of other programs often have 0 both for the background and as their nodata value; as in label
    rasters, it is the background then.

    Args:
        path: The file.
        zero_is_background: False: a nodata value of 0 means what it says, as where there is no background.

    Raises:
        SceneError: The raster has several bands.
    """
    scene = open_scene(path)
    if len(scene.bands) != 1:
        raise SceneError(
            f"{path}: a class map has one band, this raster has {len(scene.bands)} "
            f"({scene.bands.describe()}); is it the scene itself?"
        )
    nodata, notes = scene.bands[0].nodata, list[str]()
    classes = _classes(scene, _tags(scene))
    has_background = classes is None or classes.has_background
    if nodata == 0 and zero_is_background and has_background:
        scene = open_scene(path, nodata="none")
        notes.append(
            f"{scene.name}: 0 is the nodata value of the map and counts as background; where it means that "
            "nothing was predicted, limit the ground with `aoi`"
        )
    return ClassMap(scene, classes, nodata, tuple(notes))


def raster_tags(path: str | Path) -> dict[str, str]:
    """The metadata of a raster file. Raises `SceneError` if it cannot be read."""
    return _tags(open_scene(path))


def probability_bands(scene: Scene, classes: ClassSet) -> Scene:
    """A probability raster with bands in the order of `classes`. Raises `SceneError` if one is missing."""
    index_of_band = {name: index for index, name in enumerate(scene.bands.names)}
    missing = [info.name for info in classes if canonical_name(info.name) not in index_of_band]
    if missing:
        raise SceneError(
            f"{scene.path}: has no probabilities of {', '.join(missing)}; its bands are "
            f"{scene.bands.describe()}"
        )
    return scene.reordered([index_of_band[canonical_name(info.name)] for info in classes])


def probability_classes(scene: Scene) -> ClassSet | None:
    """The classes of a probability raster written by eo_dl (uint8, one band per class), in order of its
    bands.

    None for any other raster.
    """
    text = _tags(scene).get(PROBABILITIES_TAG)
    classes = _from_tag(text)
    if classes is None or len(classes) != len(scene.bands):
        return None
    if {band.dtype for band in scene.bands} != {"uint8"}:
        return None
    return ClassSet(tuple(classes.by_id(int(key)) for key in json.loads(text or "{}")))


def lies_beside_map(scene: Scene) -> bool:
    """True for a raster that `predict` writes beside a map: probabilities, certainty, sets of classes."""
    return probability_classes(scene) is not None or EXTRA_TAG in _tags(scene)


def _classes(scene: Scene, tags: dict[str, str]) -> ClassSet | None:
    tagged = _from_tag(tags.get(CLASSES_TAG))
    listed = None if scene.remote else _from_side_file(Path(scene.path + ".aux.xml"))
    if tagged is None or listed is None:
        return listed or tagged
    colors = {info.id: info.color for info in listed}
    return ClassSet.of_ids({info.id: info.name for info in tagged}, colors)


def _tags(scene: Scene) -> dict[str, str]:
    dataset = open_dataset(scene.path, scene.file.driver, trust_vrt=scene.file.trust_vrt)
    try:
        return {str(name): str(value) for name, value in dataset.tags().items()}
    finally:
        dataset.close()


def _from_tag(text: str | None) -> ClassSet | None:
    """The classes of a tag; None if it is missing, or a tag of that name by other software."""
    try:
        names = {int(key): str(name) for key, name in json.loads(text or "").items()}
    except (ValueError, AttributeError):
        return None
    if not names:
        return None
    return ClassSet.of_ids(dict(sorted(names.items())))


def _from_side_file(path: Path) -> ClassSet | None:
    """The categories and colours that a `.aux.xml` gives the first band."""
    if not path.is_file():
        return None
    try:
        root = ElementTree.parse(path).getroot()
    except (ParseError, DefusedXmlException) as cause:
        raise SceneError(f"{path}: cannot be read as XML ({cause}); repair or remove it") from cause
    band = None if root is None else _first_band(root)
    if band is None:
        return None
    listed = dict(enumerate(_color(entry) for entry in band.iter("Entry")))
    names = {}
    for class_id, category in enumerate(band.iter("Category")):
        name = (category.text or "").strip()
        if not name or class_id >= IGNORE_ID:
            continue
        if class_id == 0 and name.casefold() == BACKGROUND:
            name = BACKGROUND
        names[class_id] = name
    return ClassSet.of_ids(names, listed) if names else None


def _first_band(root: Element) -> Element | None:
    for band in root.iter("PAMRasterBand"):
        if band.get("band") in (None, "1"):
            return band
    return None


def _color(entry: Element) -> str:
    channels = [int(entry.get(f"c{channel}", "0")) for channel in (1, 2, 3)]
    red, green, blue = (min(max(value, 0), 255) for value in channels)
    return f"#{red:02x}{green:02x}{blue:02x}"
