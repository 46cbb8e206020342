"""Whether label rasters and scenes belong together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import shapely

from ...core.rasterlabels import LabelRaster, RasterLabels
from ...core.wording import listed
from ...errors import LabelError
from ...io.scene import Scene
from ..placement import PlacedLabels
from .maskgrid import check_fit
from .maskvalues import open_mask
from .rasterchoice import footprint_in


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
    for part in placed:
        if part.raster is None:
            without.append(part.scene.name)
            continue
        _check_place(part.raster, part.scene)
        used.add(part.raster.path)
    if not used:
        files = listed([Path(raster.path).name for raster in labels.rasters])
        scenes = listed([part.scene.name for part in placed])
        raise LabelError(
            f"{labels.source}: no label raster ({files}) fits a scene ({scenes}) by name or place; name them "
            "alike"
        )
    notes = []
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


def _check_place(raster: LabelRaster, scene: Scene) -> None:
    source = open_mask(raster.path)
    check_fit(source, scene)
    if source.grid.crs is None or scene.grid.crs is None:
        return
    if not shapely.intersects(footprint_in(raster.path, scene), scene.grid.footprint()):
        raise LabelError(
            f"{raster.path}: is named like {scene.name} but lies elsewhere on the ground; check its CRS and "
            "transform"
        )
