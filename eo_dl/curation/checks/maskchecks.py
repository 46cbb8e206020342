"""Label rasters: how much of each class, on what ground, patches under 3 px, and their outlines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely

from ...core.arraytypes import GeometryArray
from ...core.geometries import shifted
from ...core.labelset import LabelSet
from ...core.window import Window
from ...io.rasterize import polygonize
from ...io.scene import Scene, SceneReader
from ...labels.raster.masks import has_mask, mask_of, read_mask
from .finding import Finding
from .placechecks import LEAST_PX

_BLOCK_PX = 2048
_NODATA_SHARE = 0.01
_STEPS_PX = 0.8  # outlines of pixels are stairs
# of the whole scene, spread over its blocks: registration looks at 240 places, and memory stays what it is
_MOST_OUTLINES = 20_000
_MOST_SMALL = 500


@dataclass
class MaskFacts:
    """What the label raster of one scene holds: pixels per class id, labelled pixels that were not measured,
    small patches (of many the first), outlines (of many the largest of each block).
    """

    pixels: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    over_nodata: int = 0
    small_count: int = 0
    small: list[shapely.Geometry] = field(default_factory=list)
    outlines: list[GeometryArray] = field(default_factory=list)


def mask_facts(labels: LabelSet, scene: Scene) -> MaskFacts | None:
    """Facts of the label raster of a scene, None where it has none. Raises `LabelError` where it does not
    fit.
    """
    mask = mask_of(labels, scene)
    if mask is None or not has_mask(mask):
        return None
    own = scene.resized(scene.native.height, scene.native.width)
    facts = MaskFacts()
    foreground = [info.id for info in labels.classes.foreground]
    blocks = -(-own.grid.height // _BLOCK_PX) * -(-own.grid.width // _BLOCK_PX)
    with SceneReader(own) as reader:
        for row in range(0, own.grid.height, _BLOCK_PX):
            for col in range(0, own.grid.width, _BLOCK_PX):
                window = Window(
                    col, row, min(_BLOCK_PX, own.grid.width - col), min(_BLOCK_PX, own.grid.height - row)
                )
                ids, valid = read_mask(mask, own, window), reader.read_valid(window)
                facts.pixels += np.bincount(ids[valid], minlength=256)
                facts.over_nodata += int(np.isin(ids[~valid], foreground).sum())
                _patches(facts, ids, np.isin(ids, foreground), window, max(1, _MOST_OUTLINES // blocks))
    return facts


def _patches(
    facts: MaskFacts, ids: npt.NDArray[np.uint8], labelled: npt.NDArray[np.bool_], window: Window, most: int
) -> None:
    if not labelled.any():
        return
    patches, _ = polygonize(ids, labelled)
    bounds = shapely.bounds(patches)
    at_edge = (bounds[:, :2] <= 0).any(axis=1) | (bounds[:, 2:] >= (window.width, window.height)).any(axis=1)
    small = (shapely.area(patches) < LEAST_PX**2) & ~at_edge
    moved = shifted(patches, window.col, window.row)
    facts.small_count += int(small.sum())
    facts.small += list(moved[small][: _MOST_SMALL - len(facts.small)])
    large = moved[~small]
    chosen = np.sort(np.argsort(-shapely.area(large), kind="stable")[:most])
    facts.outlines.append(np.asarray(shapely.simplify(large[chosen], _STEPS_PX), dtype=object))


def check_mask(scene: Scene, facts: MaskFacts) -> Iterator[Finding]:
    """What the facts of one scene's label raster tell."""
    if facts.small:
        text = f"{facts.small_count} patches of fewer than {LEAST_PX**2:g} px in the labels of {scene.name}: nothing can be learnt from them; sieve the raster (gdal_sieve.py)"
        shown = shapely.union_all(np.array(facts.small, dtype=object))
        yield Finding(
            "too small", "warning" if facts.small_count > 20 else "note", text, (), "", shown, scene.name
        )
    labelled = int(facts.pixels[1:255].sum())
    if facts.over_nodata > _NODATA_SHARE * max(labelled, 1):
        text = f"{facts.over_nodata} labelled px of {scene.name} were not measured (nodata); they are ignored"
        yield Finding(
            "over nodata",
            "warning",
            text,
            (),
            "",
            shapely.box(0, 0, scene.native.width, scene.native.height),
            scene.name,
        )
    if not facts.pixels[:255].any():
        yield Finding(
            "unreadable",
            "warning",
            f"{scene.name}: its label raster says nothing on measured ground",
            (),
            "",
            None,
            scene.name,
        )
