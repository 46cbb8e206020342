"""Where there is something left to label: windows of scenes that nobody has annotated yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from ...chips.chipset import ChipSet
from ...chips.index import LayerFrame
from ...chips.sameground import on_ground_of
from ...chips.sampling import grid_windows, touching
from ...chips.tileinputs import region_in
from ...chips.truth import SceneTruth
from ...core.classes import IGNORE_ID
from ...core.labelset import LabelSet, reproject
from ...core.window import Window
from ...errors import InputError
from ...io.scene import Scene

_DONE = 0.1
"""A window is annotated where more than this share of it is."""


@dataclass(frozen=True)
class Ground:
    """For each scene: the windows of a grid that can be asked for (`open`), and those that labels have
    annotated already (`done`).
    """

    open: list[list[Window]]
    done: list[list[Window]]


def open_windows(
    scenes: Sequence[Scene],
    size_px: int,
    aoi: str | Path | None,
    labels: LabelSet | None,
    chips: ChipSet | None,
    notes: list[str],
) -> Ground:
    """Of the windows of a grid, those in the AOI that are not annotated; what was left out goes to `notes`.
    Raises `InputError` for none.
    """
    regions = region_in(aoi, scenes)
    grids = [grid_windows(scene.grid, size_px, 0) for scene in scenes]
    asked = [list(touching(windows, region)) for windows, region in zip(grids, regions, strict=True)]
    found = asked
    done: list[list[Window]] = [[] for _ in scenes]
    if labels is not None:
        truths = [SceneTruth.of(labels, scene) for scene in scenes]
        done = [
            [window for window in windows if annotated_share(truth, window) > _DONE]
            for truth, windows in zip(truths, grids, strict=True)
        ]
        found = [
            [window for window in windows if window not in taken]
            for windows, taken in zip(found, map(set, done), strict=True)
        ]
    if chips is not None:
        found = [
            _without(windows, _chip_ground(chips, scene))
            for scene, windows in zip(scenes, found, strict=True)
        ]
    total, left = sum(map(len, asked)), sum(map(len, found))
    if left < total:
        notes.append(f"{total - left} of {total} chips are annotated already and not asked for again")
    if not left:
        where = "no chip lies in the AOI" if not total else f"all {total} chips are annotated already"
        raise InputError(f"labels queue: {where}; give other scenes, or a larger --aoi")
    return Ground(found, done)


def annotated_share(truth: SceneTruth, window: Window) -> float:
    """The share of a window that is annotated; where labels do not say on which ground they are complete, all
    of it where anything is labelled.
    """
    part = truth.chip(window)
    if part.mask is not None:
        return float((part.mask != IGNORE_ID).mean())
    if part.annotated is None:
        return float(len(part) > 0)
    return float(part.annotated.area / window.area_px)


def _chip_ground(chips: ChipSet, scene: Scene) -> npt.NDArray[np.object_]:
    """The footprints of a chip set, those not kept too, in pixels of a scene; of plain images those of the
    same name.
    """
    found = []
    for index in on_ground_of(scene.path, scene.grid, chips.scenes, str(chips.path)):
        other = chips.scenes[index]
        boxes = np.array(
            [record.window.box for record in chips.records if record.scene_index == index], np.float64
        ).reshape(-1, 4)
        outlines = np.asarray(shapely.box(*boxes.T), dtype=object).reshape(-1)
        if other.grid.crs is not None and scene.grid.crs is not None:
            on_map = other.grid.geometries_to_map(outlines)
            moved = (
                on_map
                if other.grid.crs == scene.grid.crs
                else reproject(on_map, other.grid.crs, scene.grid.crs, str(chips.path))
            )
            found.append(scene.grid.geometries_to_pixel(moved))
        else:
            scale = np.array([scene.grid.width / other.grid.width, scene.grid.height / other.grid.height])
            found.append(np.asarray(shapely.transform(outlines, lambda xy, by=scale: xy * by), dtype=object))
    return np.concatenate(found) if found else np.empty(0, dtype=object)


def _without(windows: Sequence[Window], ground: npt.NDArray[np.object_]) -> list[Window]:
    tree = shapely.STRtree(ground)
    kept = []
    for window in windows:
        frame = shapely.box(*window.box)
        near = ground[tree.query(frame)]
        common = shapely.union_all(shapely.intersection(near, frame)).area if len(near) else 0.0
        if common <= _DONE * window.area_px:
            kept.append(window)
    return kept


def places_of(
    scenes: Sequence[Scene], found: Sequence[tuple[int, Window]], count: int
) -> npt.NDArray[np.int64]:
    """(N,) a number for the neighbourhood of each window: squares that hold about N / `count` windows each,
    within one scene.
    """
    side_px = found[0][1].width * max(1, round((len(found) / max(count, 1)) ** 0.5))
    names = [(index, window.row // side_px, window.col // side_px) for index, window in found]
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], np.int64)


def outlines_of(
    scenes: Sequence[Scene], found: Sequence[tuple[int, Window]]
) -> tuple[npt.NDArray[np.object_], LayerFrame]:
    """(N,) what windows show of their scenes, in one frame for all."""
    frame = LayerFrame.of(scenes)
    outlines = np.empty(len(found), dtype=object)
    for place, (index, window) in enumerate(found):
        scene = scenes[index]
        inside = window.intersection(scene.grid.window) or window
        outlines[place] = frame.to_layer(
            np.array([shapely.box(*inside.box)], dtype=object), scene.grid, scene.native, index
        )[0]
    return outlines, frame
