"""Whether two splits of a chip set know of each other: the same ground, or the same image twice.

An object that reaches from a chip of one split into one of another is none: the guard between them is at
least a chip wide, so what they see of it differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from ...chips.chiprecord import ChipRecord
from ...chips.chipset import ChipSet, chip_ground, open_chip_set
from ...chips.conflicts import ChipGround
from ...chips.places import shared_areas_m2
from ...core.progress import OnProgress, silent
from ...io.scene import Scene
from .copies import Copy, find_copies
from .finding import Finding

_SPLITS = ("train", "val", "test")
_NAMED = 3

Index = npt.NDArray[np.int64]


def check_leakage(chips: ChipSet | str | Path, *, on_progress: OnProgress = silent) -> tuple[Finding, ...]:
    """What two splits share: a finding for each scene (ground) or pair of scenes (copies) and pair of splits,
    with the ids of the chips.

    A chip set that was edited so that its splits share ground, which training refuses, is looked at all the
    same. Raises `ChipSetError` where it is none at all.
    """
    opened = open_chip_set(chips, allow_shared=True)
    records = [record for record in opened.records if record.keep and record.split in _SPLITS]
    ground = chip_ground(opened.scenes, records, opened.chip_px)
    first, second = ground.near_pairs(0)
    splits = np.array([record.split for record in records], dtype=object)
    across = splits[first] != splits[second]
    first, second = first[across], second[across]
    known = set(zip(first.tolist(), second.tolist(), strict=True))
    copies = [
        copy
        for copy in find_copies(opened, records, on_progress)
        if (min(copy.first, copy.second), max(copy.first, copy.second)) not in known
    ]
    return (*_ground(opened, records, ground, first, second), *_copies(opened, records, copies))


def _ground(
    chips: ChipSet, records: Sequence[ChipRecord], ground: ChipGround, first: Index, second: Index
) -> Iterator[Finding]:
    for one, other in combinations(_SPLITS, 2):
        pairs = [
            (i, j) if records[i].split == one else (j, i)
            for i, j in zip(first.tolist(), second.tolist(), strict=True)
        ]
        pairs = [(i, j) for i, j in pairs if (records[i].split, records[j].split) == (one, other)]
        for scene_index in sorted({records[i].scene_index for i, _ in pairs}):
            mine = [(i, j) for i, j in pairs if records[i].scene_index == scene_index]
            common = np.asarray(
                shapely.intersection(
                    ground.outlines[[i for i, _ in mine]], ground.outlines[[j for _, j in mine]]
                ),
                dtype=object,
            )
            area = shared_areas_m2(ground.places[int(ground.place_of[mine[0][0]])], common)
            own, others = _ids(records, [i for i, _ in mine]), _ids(records, [j for _, j in mine])
            scene = chips.scenes[scene_index]
            text = (
                f"{len(own)} chips of {one} in {scene.name} ({_some(own)}) share {area:.1f} {chips.area_unit} of ground with {len(others)} of {other} ({_some(others)}): "
                "scores there are too good; tile again, or set one of each to 'none' in chips.gpkg"
            )
            yield Finding(
                "leakage",
                "error",
                text,
                (*own, *others),
                "",
                _outline(scene, [records[i] for i, _ in mine]),
                scene.name,
            )


def _copies(chips: ChipSet, records: Sequence[ChipRecord], copies: Sequence[Copy]) -> Iterator[Finding]:
    grouped: dict[tuple[int, int, str, str], list[Copy]] = {}
    for copy in copies:
        one, other = records[copy.first], records[copy.second]
        grouped.setdefault((one.scene_index, other.scene_index, one.split, other.split), []).append(copy)
    for (first, second, split, other_split), found in sorted(grouped.items()):
        own, others = (
            _ids(records, [copy.first for copy in found]),
            _ids(records, [copy.second for copy in found]),
        )
        least = min(copy.similarity for copy in found)
        same = (
            "the same pixels as"
            if least == 1
            else f"nearly the pixels (correlation of detail {least:.2f}) of"
        )
        scene, other_scene = chips.scenes[first], chips.scenes[second]
        text = (
            f"{len(others)} chips of {other_split} in {other_scene.name} ({_some(others)}) have {same} {split} chips in {scene.name} ({_some(own)}): "
            "one image under two names; keep one, or set the chips of one to 'none' in chips.gpkg"
        )
        yield Finding(
            "leakage",
            "error",
            text,
            (*own, *others),
            "",
            _outline(other_scene, [records[copy.second] for copy in found]),
            other_scene.name,
        )


def _ids(records: Sequence[ChipRecord], places: Sequence[int]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(records[place].chip_id for place in places))


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_NAMED]) + (" ..." if len(ids) > _NAMED else "")


def _outline(scene: Scene, records: Sequence[ChipRecord]) -> shapely.Geometry:
    """Chips of a scene in pixels of its file."""
    boxes = np.array([record.window.box for record in records], np.float64).reshape(-1, 4)
    boxes *= np.tile([scene.native.width / scene.grid.width, scene.native.height / scene.grid.height], 2)
    return shapely.union_all(shapely.box(*boxes.T))
