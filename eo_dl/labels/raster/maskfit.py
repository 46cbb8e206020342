"""Whether label rasters and scenes belong together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import shapely

from ...core.rasterlabels import LabelRaster, RasterLabels
from ...core.wording import count_of, listed
from ...errors import LabelError
from ...io.scene import Scene
from ..placement import PlacedLabels
from .maskgrid import check_fit
from .maskvalues import source_of
from .rasterchoice import footprint_in

_WHOLE = 0.9999  # of a scene: a raster may lie a fraction of a pixel beside it


def raster_notes(labels: RasterLabels, placed: Sequence[PlacedLabels]) -> list[str]:
    """Notes on scenes without label rasters and label rasters without a scene.

    Args:
        labels: The label rasters.
        placed: The scenes with the raster of each.

    Raises:
        LabelError: No raster belongs to a scene, or one does not fit its scene.
    """
    used: set[str] = set()
    without: list[str] = []
    labelled_px = 0.0
    partial: list[str] = []
    for part in placed:
        if part.raster is None:
            without.append(part.scene.name)
            continue
        share = _covered_share(part.raster, part.scene)
        labelled_px += share * part.scene.grid.width * part.scene.grid.height
        if share < _WHOLE:
            partial.append(f"{part.scene.name} {share:.2%}")
        used.add(part.raster.path)
    if not used:
        files = listed([Path(raster.path).name for raster in labels.rasters])
        scenes = listed([part.scene.name for part in placed])
        raise LabelError(
            f"{labels.source}: no label raster ({files}) fits a scene ({scenes}) by name or place; name them "
            "alike"
        )
    scenes_px = sum(part.scene.grid.width * part.scene.grid.height for part in placed)
    count = f"{len(used)} of {count_of(len(labels.rasters), 'label raster')}"
    notes = [f"{count} used, on {labelled_px / scenes_px:.2%} of the scenes"]
    if partial:
        notes.append(
            "label rasters cover a part of their scenes, and ground beside them does not count: "
            f"{listed(partial)}"
        )
    if without:
        notes.append(
            f"{len(without)} of {len(placed)} scenes have no label raster and are not used as background: "
            f"{listed(without)}"
        )
    unused = [Path(raster.path).name for raster in labels.rasters if raster.path not in used]
    if unused:
        notes.append(
            f"{len(unused)} of {len(labels.rasters)} label rasters belong to no scene: {listed(unused)}"
        )
    return notes


def _covered_share(raster: LabelRaster, scene: Scene) -> float:
    """The share of the scene that lies on its label raster. Raises `LabelError` where that is none."""
    source = source_of(raster)
    check_fit(source, scene)
    if source.grid.crs is None or scene.grid.crs is None:
        return 1.0  # of the same size, pixel by pixel
    labelled, whole = footprint_in(raster, scene), scene.grid.footprint()
    if not shapely.intersects(labelled, whole):
        raise LabelError(
            f"{raster.path}: is named like {scene.name} but lies elsewhere on the ground; check its CRS and "
            "transform"
        )
    return float(shapely.area(shapely.intersection(labelled, whole)) / whole.area)
