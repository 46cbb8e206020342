"""Whether splits of a chip set leak into each other: the same ground, or the same image twice.

An object that extends from a chip of one split into a chip of another is no leak: the guard between them is
at least one chip wide, so what they see of it differs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import shapely

from ...chips.chiprecord import ChipRecord
from ...chips.chipset import ChipSet, chip_ground, open_chip_set
from ...chips.conflicts import ChipGround
from ...chips.places import shared_areas_m2
from ...core.gridwindow import between_grids, window_outlines
from ...core.progress import OnProgress, silent
from ...io.scene import Scene
from .copies import Copy, find_copies
from .finding import Finding

_SPLITS = ("train", "val", "test")
_SHOWN = 3

Pair = tuple[int, int]


def check_leakage(chips: ChipSet | str | Path, *, on_progress: OnProgress = silent) -> tuple[Finding, ...]:
    """Find what two splits share.

    Args:
        chips: The chip set. One that was edited so that its splits share ground, which training refuses, is
            checked as well.
        on_progress: Called with the number of chips read and their total.

    Returns:
        For each pair of splits a finding per scene (ground) or pair of scenes (copies), with the names of the
        chips.

    Raises:
        ChipSetError: The folder is not a chip set.
    """
    opened = open_chip_set(chips, allow_shared=True)
    records = [record for record in opened.records if record.counted_split in _SPLITS]
    ground = chip_ground(opened.scenes, records, opened.chip_px)
    pairs = _pairs_across_splits(ground, records)
    copies = [
        copy
        for copy in find_copies(opened, records, on_progress)
        if (min(copy.first, copy.second), max(copy.first, copy.second)) not in pairs
    ]
    return (*_shared_ground(opened, records, ground, pairs), *_shared_images(opened, records, copies))


def _pairs_across_splits(ground: ChipGround, records: Sequence[ChipRecord]) -> set[Pair]:
    """Pairs (i < j) of chips of two splits that share ground."""
    first, second = ground.near_pairs(0, [record.split for record in records])
    return set(zip(first.tolist(), second.tolist(), strict=True))


def _shared_ground(
    chips: ChipSet, records: Sequence[ChipRecord], ground: ChipGround, pairs: set[Pair]
) -> Iterator[Finding]:
    for split, other_split in combinations(_SPLITS, 2):
        by_scene: dict[int, list[Pair]] = defaultdict(list)
        for pair in sorted(pairs):
            i, j = sorted(pair, key=lambda index: _SPLITS.index(records[index].split))
            if (records[i].split, records[j].split) == (split, other_split):
                by_scene[records[i].scene_index].append((i, j))
        for scene_index, pairs_of_scene in sorted(by_scene.items()):
            first, second = [i for i, _ in pairs_of_scene], [j for _, j in pairs_of_scene]
            common = shapely.intersection(ground.outlines[first], ground.outlines[second])
            place = ground.places[int(ground.place_of[first[0]])]
            area = shared_areas_m2(place, np.asarray(common, dtype=object))
            names, other_names = _names(records, first), _names(records, second)
            scene = chips.scenes[scene_index]
            text = (
                f"{len(names)} {split} chips in {scene.name} ({_examples(names)}) share {area:.1f} "
                f"{chips.area_unit} of ground with {len(other_names)} {other_split} chips "
                f"({_examples(other_names)}): scores are too optimistic there; tile again, or set one of "
                "each pair to 'none' in chips.gpkg"
            )
            yield _finding(text, (*names, *other_names), scene, [records[i] for i in first])


def _shared_images(
    chips: ChipSet, records: Sequence[ChipRecord], copies: Sequence[Copy]
) -> Iterator[Finding]:
    groups: dict[tuple[int, int, str, str], list[Copy]] = defaultdict(list)
    for copy in copies:
        first, second = records[copy.first], records[copy.second]
        groups[first.scene_index, second.scene_index, first.split, second.split].append(copy)
    for (scene_index, other_index, split, other_split), group in sorted(groups.items()):
        names = _names(records, [copy.first for copy in group])
        other_names = _names(records, [copy.second for copy in group])
        least = min(copy.similarity for copy in group)
        relation = "the same pixels as"
        if least < 1:
            relation = f"nearly the same pixels (correlation of detail {least:.2f}) as"
        scene, other_scene = chips.scenes[scene_index], chips.scenes[other_index]
        text = (
            f"{len(other_names)} {other_split} chips in {other_scene.name} ({_examples(other_names)}) have "
            f"{relation} {split} chips in {scene.name} ({_examples(names)}): one image under two names; keep "
            "one, or set the chips of one to 'none' in chips.gpkg"
        )
        shown = [records[copy.second] for copy in group]
        yield _finding(text, (*names, *other_names), other_scene, shown)


def _finding(text: str, names: tuple[str, ...], scene: Scene, records: Sequence[ChipRecord]) -> Finding:
    """An error that shows chips of a scene, in pixels of its file."""
    outlines = window_outlines([record.window for record in records])
    in_file = between_grids(outlines, scene.grid, scene.native, scene.name)
    return Finding(
        "leakage",
        "error",
        text,
        feature_ids=names,
        geometry=shapely.union_all(in_file),
        image=scene.name,
    )


def _names(records: Sequence[ChipRecord], index: Sequence[int]) -> tuple[str, ...]:
    """The names of chips, each once."""
    return tuple(dict.fromkeys(records[i].chip_id for i in index))


def _examples(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
