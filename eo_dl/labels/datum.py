"""Whether labels in another datum than their scene can be placed on its pixels."""

from __future__ import annotations

import numpy as np
import shapely
from pyproj import CRS

from ..core.datumshift import lonlat_area, rough_shift
from ..errors import LabelError
from ..io.scene import Scene


def shift_note(
    crs: CRS, scene: Scene, source: str, accept_m: float | None, *, can_be_accepted: bool = True
) -> str | None:
    """A note on a change of datum that is rough but good enough; None where there is none.

    Good enough is a change that is accurate to a pixel, or that is worse than the best one by a pixel at
    most: then nobody could place the labels much better.

    Args:
        crs: CRS of the labels.
        scene: The scene.
        source: The labels, for messages.
        accept_m: The accuracy that is good enough, metres; None: a pixel of the scene.
        can_be_accepted: Whether the message may advise `accept_shift_m`, which label rasters do not have.

    Raises:
        LabelError: The change is not accurate to that, or nobody knows how accurate it is.
    """
    if scene.grid.crs is None or scene.grid.crs == crs:
        return None
    corners = np.asarray(shapely.get_coordinates(scene.grid.footprint()), np.float64)
    shift = rough_shift(crs, scene.grid.crs, lonlat_area(corners, scene.grid.crs))
    if shift is None:
        return None
    gsd_m = scene.grid.gsd_m
    said = shift.describe(crs, scene.grid.crs, gsd_m)
    if accept_m is None and (shift.within(gsd_m or 0.0) or shift.loses_at_most(gsd_m or 0.0)):
        return said
    if accept_m is not None and (shift.accuracy_m is None or shift.within(accept_m)):
        return f"{said}; accepted by `accept_shift_m`"
    advice = "transform the labels with a program that has it"
    if can_be_accepted:
        advice += ", or accept this with `accept_shift_m`"
    raise LabelError(f"{source}: {said}; {advice}")
