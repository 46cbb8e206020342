"""Splits taken over from another chip set, so that two models are scored on the same held-out ground.

After labels were corrected, chips are cut anew; were the blocks dealt anew as well, the old model could have
learned from what is test now. So ground stays what it was: a chip whose centre lies on a kept val or test
chip of the old set is val or test, as long as it touches no ground of the other; whatever else touches
held-out ground is in no split; all other ground, new ground too, is for training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely

from ..core.gridwindow import between_grids, window_outlines
from ..errors import ConfigError
from ..io.scene import Scene
from .chiprecord import ChipRecord, SplitName
from .chipset import ChipSet
from .conflicts import ChipGround, gave_way
from .sameground import on_ground_of
from .splits import Dealt

_SHARED = 0.02  # square pixels: less is rounding between two grids


def inherited(
    scenes: Sequence[Scene],
    records: Sequence[ChipRecord],
    ground: ChipGround,
    keep: npt.NDArray[np.bool_],
    old: ChipSet,
) -> Dealt:
    """A split for each of `records`, by the ground of the kept chips of `old`; its guard is kept to.

    Raises `ConfigError` where no chip lies on held-out ground of the old set, or none is left for training.
    """
    tentative = _tentative(scenes, records, old)
    pairs = ground.near_pairs(old.guard_px)
    gone = gave_way(tentative, keep, pairs)
    splits: tuple[SplitName, ...] = tuple("none" if g else s for s, g in zip(tentative, gone, strict=True))
    counts = {
        name: sum(s == name and bool(k) for s, k in zip(splits, keep, strict=True))
        for name in ("train", "val", "test")
    }
    missing = [name for name in ("train", "val", "test") if old.split(name) and not counts[name]]
    if missing:
        raise ConfigError(
            f"{old.path}: no chip of the new set is {' or '.join(missing)} on its ground; give the same scenes and chip size, or leave --splits-of out"
        )
    lost = sum(s == "none" and bool(k) for s, k in zip(splits, keep, strict=True))
    note = f"splits are those of {old.path.name}: {counts['val']} val and {counts['test']} test chips on the ground that it held out"
    left_out = (f"{lost} chips on the edge of held-out ground are in no split",) if lost else ()
    return Dealt(splits, (None,) * len(splits), old.guard_px, lost, (note, *left_out))


def _tentative(scenes: Sequence[Scene], records: Sequence[ChipRecord], old: ChipSet) -> tuple[SplitName, ...]:
    held = [_held_out(scene, old) for scene in scenes]
    found: list[SplitName] = []
    for record in records:
        areas = held[record.scene_index]
        outline = shapely.box(*record.window.box)
        touched = [
            name
            for name, area in areas.items()
            if shapely.area(shapely.intersection(area, outline)) > _SHARED
        ]
        if not touched:
            found.append("train")
        elif len(touched) == 1 and shapely.intersects(areas[touched[0]], shapely.centroid(outline)):
            found.append(touched[0])
        else:
            found.append("none")
    return tuple(found)


def _held_out(scene: Scene, old: ChipSet) -> dict[SplitName, shapely.Geometry]:
    """The val and test ground of the old set, in pixels of a scene."""
    found: dict[SplitName, shapely.Geometry] = {}
    names: tuple[SplitName, ...] = ("val", "test")
    shared = on_ground_of(scene.path, scene.grid, old.scenes, str(old.path))
    for name in names:
        parts = [
            _in_pixels(old.scenes[r.scene_index], r, scene)
            for r in old.split(name)
            if r.scene_index in shared
        ]
        found[name] = shapely.union_all(np.array(parts, dtype=object)) if parts else shapely.Polygon()
    return found


def _in_pixels(old_scene: Scene, record: ChipRecord, scene: Scene) -> shapely.Geometry:
    box = window_outlines([record.window])
    return between_grids(box, old_scene.grid, scene.grid, old_scene.name)[0]
