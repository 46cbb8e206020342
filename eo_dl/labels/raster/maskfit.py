"""Whether label rasters and scenes belong together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import shapely

from ...core.labelset import LabelSet
from ...errors import LabelError
from ...io.scene import Scene
from ..geometry import named
from .maskgrid import check_fit
from .masks import footprint_in, has_mask, mask_of
from .maskvalues import open_mask


def match_masks(labels: LabelSet, scenes: Sequence[Scene]) -> list[str]:
    """Remarks on scenes without label rasters and the other way round. Raises `LabelError` where none fits,
    or one does not fit its scene.
    """
    used: set[str] = set()
    without: list[str] = []
    for scene in scenes:
        mask = mask_of(labels, scene)
        if mask is None or not has_mask(mask):
            without.append(scene.name)
            continue
        source = open_mask(mask.path)
        check_fit(source, scene)
        if (
            source.grid.crs is not None
            and scene.grid.crs is not None
            and not shapely.intersects(footprint_in(mask.path, scene), scene.grid.footprint())
        ):
            raise LabelError(
                f"{mask.path}: is named like {scene.name} but lies elsewhere on the ground; check its CRS and transform"
            )
        used.add(mask.path)
    if not used:
        raise LabelError(
            f"{labels.source}: no label raster ({named([Path(m.path).name for m in labels.masks])}) fits a scene ({named([s.name for s in scenes])}) by name or place; name them alike"
        )
    notes = []
    if without:
        notes.append(
            f"{len(without)} of {len(scenes)} scenes have no label raster and are not used as background: {named(without)}"
        )
    left = [Path(mask.path).name for mask in labels.masks if mask.path not in used]
    if left:
        notes.append(f"{len(left)} of {len(labels.masks)} label rasters belong to no scene: {named(left)}")
    return notes
