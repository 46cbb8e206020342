"""Splits taken over from another chip set, so that two models are scored on the same held-out ground.

After labels were corrected, chips are cut again. If blocks were assigned again as well, the old model could
have been trained on what is now test. So ground stays what it was: a chip whose centre lies on a kept val or
test chip of the old set is val or test, unless it also touches ground of the other one. Whatever else touches
held-out ground is in no split. All other ground, including new ground, is for training.
"""

from __future__ import annotations

from collections.abc import Sequence

import shapely

from ..core.arraytypes import BoolArray
from ..core.gridwindow import between_grids, window_outlines
from ..errors import ConfigError
from ..io.scene import Scene
from .chiprecord import ChipRecord, SplitName
from .chipset import ChipSet
from .conflicts import ChipGround, gave_way
from .sameground import on_ground_of
from .splits import SplitChips, without

_TOUCHES_PX2 = 0.02  # square pixels; less is rounding between two grids
_HELD_OUT: tuple[SplitName, ...] = ("val", "test")

HeldOut = dict[SplitName, shapely.Geometry]
"""The val and the test ground, in pixels of one scene."""


def inherited(
    scenes: Sequence[Scene], records: Sequence[ChipRecord], ground: ChipGround, keep: BoolArray, old: ChipSet
) -> SplitChips:
    """The split of each chip by the ground of the kept chips of another set; the guard of that set is kept.

    Args:
        scenes: The scenes of the new set.
        records: Its chips.
        ground: Where they lie.
        keep: (N,) chips that count.
        old: The set whose splits are taken over.

    Raises:
        ConfigError: No chip lies on held-out ground of the old set, or none is left for training.
    """
    held_out = [_held_out_ground(scene, old) for scene in scenes]
    tentative = [_split_on(held_out[record.scene_index], record) for record in records]
    gone = gave_way(tentative, keep, ground.near_pairs(old.guard_px, tentative))
    splits = without(tentative, gone)
    kept = [name for name, is_kept in zip(splits, keep, strict=True) if is_kept]
    missing = [name for name in ("train", "val", "test") if old.split(name) and name not in kept]
    if missing:
        raise ConfigError(
            f"{old.path}: no chip of the new set is {' or '.join(missing)} on its ground; use the same "
            "scenes and chip size, or omit `split_like`"
        )
    lost = kept.count("none")
    notes = [
        f"splits are those of {old.path.name}: {kept.count('val')} val and {kept.count('test')} test chips "
        "on the ground that it held out"
    ]
    if lost:
        notes.append(f"{lost} chips on the edge of held-out ground are in no split")
    return SplitChips(splits, (None,) * len(splits), old.guard_px, lost, tuple(notes))


def _split_on(held_out: HeldOut, record: ChipRecord) -> SplitName:
    """The split of a chip by the held-out ground that it touches."""
    (outline,) = window_outlines([record.window])
    touched = [
        name
        for name, area in held_out.items()
        if shapely.area(shapely.intersection(area, outline)) > _TOUCHES_PX2
    ]
    if not touched:
        return "train"
    if len(touched) == 1 and shapely.intersects(held_out[touched[0]], shapely.centroid(outline)):
        return touched[0]
    return "none"


def _held_out_ground(scene: Scene, old: ChipSet) -> HeldOut:
    """The val and test ground of a chip set, in pixels of a scene."""
    shared = on_ground_of(scene.path, scene.grid, old.scenes, str(old.path))
    held_out: HeldOut = {}
    for name in _HELD_OUT:
        parts = [shapely.Polygon()]
        for index in shared:
            windows = [record.window for record in old.split(name) if record.scene_index == index]
            outlines = window_outlines(windows)
            parts += between_grids(outlines, old.scenes[index].grid, scene.grid, str(old.path)).tolist()
        held_out[name] = shapely.union_all(parts)
    return held_out
