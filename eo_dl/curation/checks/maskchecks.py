"""Label rasters: how much there is of each class, on what ground, patches under 3 px, and their outlines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import shapely

from ...core.arraytypes import BoolArray, GeometryArray, Int64Array, UInt8Array
from ...core.classes import ClassSet
from ...core.geometries import shifted
from ...core.pixelpolygons import polygonize
from ...core.rasterlabels import LabelRaster
from ...core.window import Window
from ...io.scene import Scene, SceneReader
from ...labels.raster.masks import read_mask
from .finding import Finding
from .placechecks import LEAST_PX, blocks_of

_BLOCK_PX = 2048
_NODATA_SHARE = 0.01
_STEPS_PX = 0.8  # outlines of pixels are stairs
# Of the whole scene, spread over its blocks: registration looks at 240 cells, and memory stays bounded.
_MOST_OUTLINES = 20_000
_MOST_SMALL = 500
_MANY_SMALL = 20


@dataclass
class MaskFacts:
    """What the label raster of one scene holds."""

    pixels: Int64Array = field(default_factory=lambda: np.zeros(256, np.int64))
    """(256,) measured pixels of each class id."""

    over_nodata: int = 0
    """Labelled pixels that were not measured."""

    small_count: int = 0
    """Number of patches under 3 px."""

    small: list[shapely.Geometry] = field(default_factory=list)
    """The first of them."""

    outlines: list[GeometryArray] = field(default_factory=list)
    """Outlines of the other patches by block; if there are many, the largest of each block."""


def mask_facts(raster: LabelRaster, classes: ClassSet, scene: Scene) -> MaskFacts:
    """The facts about the label raster of a scene.

    Args:
        raster: The label raster of the scene.
        classes: The classes of the labels.
        scene: The scene.

    Raises:
        LabelError: The raster does not fit the scene.
    """
    in_file = scene.resized(scene.native.height, scene.native.width)
    foreground = [info.id for info in classes.foreground]
    blocks = list(blocks_of(scene, _BLOCK_PX))
    outlines_per_block = max(1, _MOST_OUTLINES // len(blocks))
    facts = MaskFacts()
    with SceneReader(in_file) as reader:
        for window in blocks:
            ids, valid = read_mask(raster, in_file, window), reader.read_valid(window)
            facts.pixels += np.bincount(ids[valid], minlength=256)
            facts.over_nodata += int(np.isin(ids[~valid], foreground).sum())
            _add_patches(facts, ids, np.isin(ids, foreground), window, outlines_per_block)
    return facts


def _add_patches(
    facts: MaskFacts, ids: UInt8Array, labelled: BoolArray, window: Window, most_outlines: int
) -> None:
    """Add the patches of one block."""
    if not labelled.any():
        return
    patches, _ = polygonize(ids, labelled)
    bounds = shapely.bounds(patches)
    at_start = (bounds[:, :2] <= 0).any(axis=1)
    at_end = (bounds[:, 2:] >= (window.width, window.height)).any(axis=1)
    # A patch at the edge of the block may go on in the next one.
    small = (shapely.area(patches) < LEAST_PX**2) & ~at_start & ~at_end
    in_scene = shifted(patches, window.col, window.row)
    facts.small_count += int(small.sum())
    facts.small += list(in_scene[small][: _MOST_SMALL - len(facts.small)])
    others = in_scene[~small]
    largest = np.sort(np.argsort(-shapely.area(others), kind="stable")[:most_outlines])
    facts.outlines.append(np.asarray(shapely.simplify(others[largest], _STEPS_PX), dtype=object))


def check_mask(scene: Scene, facts: MaskFacts) -> Iterator[Finding]:
    """What the facts about the label raster of a scene show."""
    if facts.small:
        yield Finding(
            "too small",
            "warning" if facts.small_count > _MANY_SMALL else "note",
            f"{facts.small_count} patches of fewer than {LEAST_PX**2:g} px in the labels of {scene.name}: "
            "nothing can be learnt from them; sieve the raster, for example with gdal_sieve.py",
            geometry=shapely.union_all(np.array(facts.small, dtype=object)),
            image=scene.name,
        )
    labelled = int(facts.pixels[1:255].sum())
    if facts.over_nodata > _NODATA_SHARE * max(labelled, 1):
        yield Finding(
            "over nodata",
            "warning",
            f"{facts.over_nodata} labelled px of {scene.name} were not measured (nodata) and are ignored",
            geometry=shapely.box(*scene.native.window.box),
            image=scene.name,
        )
    if not facts.pixels[:255].any():
        yield Finding(
            "unreadable",
            "warning",
            f"{scene.name}: its label raster labels nothing on measured ground",
            image=scene.name,
        )
