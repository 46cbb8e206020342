"""Ground that is still to be labelled: windows of scenes that no labels and no chip set have annotated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from ...chips.chipset import ChipSet
from ...chips.chipwindows import grid_windows, touching
from ...chips.layerframe import LayerFrame
from ...chips.measure import Candidate
from ...chips.sameground import on_ground_of
from ...chips.tileinputs import region_in
from ...chips.truth import SceneTruth
from ...core.arraytypes import GeometryArray, Int64Array
from ...core.classes import IGNORE_ID
from ...core.gridwindow import GridWindow, between_grids, window_outlines
from ...core.labelset import LabelSet
from ...core.window import Window
from ...errors import InputError
from ...io.scene import Scene

_ANNOTATED_SHARE = 0.1
"""A window counts as annotated if more than this share of it is."""

WindowsPerScene = list[list[GridWindow]]


@dataclass(frozen=True)
class OpenGround:
    """The chips of a regular grid over each scene, sorted by whether they are annotated."""

    candidates: WindowsPerScene
    """For each scene the windows that may be queued: inside the AOI and not annotated."""

    annotated: WindowsPerScene
    """For each scene the windows that the labels have annotated."""

    notes: tuple[str, ...]
    """What was left out, in words."""


def find_open_ground(
    scenes: Sequence[Scene],
    size_px: int,
    *,
    aoi: str | Path | None,
    labels: LabelSet | None,
    chips: ChipSet | None,
) -> OpenGround:
    """Cut scenes by a grid and keep the windows in the AOI that are not annotated.

    Args:
        scenes: The scenes, on the grid that the model reads.
        size_px: Side of a window, pixels.
        aoi: Polygons outside of which nothing is queued; None: all of each scene.
        labels: Labels whose ground is annotated.
        chips: A chip set whose ground is annotated, whether its chips are kept or not.

    Raises:
        InputError: No window remains.
    """
    regions = region_in(aoi, scenes)
    grids = [_windows(scene, size_px) for scene in scenes]
    in_aoi = [list(touching(windows, region)) for windows, region in zip(grids, regions, strict=True)]
    annotated: WindowsPerScene = [[] for _ in scenes]
    if labels is not None:
        annotated = [
            _annotated_windows(SceneTruth.of(labels, scene), windows)
            for scene, windows in zip(scenes, grids, strict=True)
        ]
    candidates = []
    for scene, windows, labelled in zip(scenes, in_aoi, map(set, annotated), strict=True):
        unlabelled = [window for window in windows if window not in labelled]
        if chips is not None:
            unlabelled = _not_covered(unlabelled, _chip_footprints(chips, scene))
        candidates.append(unlabelled)
    return OpenGround(candidates, annotated, _notes(in_aoi, candidates))


def annotated_share(truth: SceneTruth, window: Window) -> float:
    """The share of a window that is annotated.

    Labels that do not state where they are complete count as complete in every window that shows one.
    """
    labels = truth.chip(window)
    if labels.mask is not None:
        return float((labels.mask != IGNORE_ID).mean())
    if labels.annotated is None:
        return float(len(labels) > 0)
    return float(labels.annotated.area / window.area_px)


def neighbourhoods(candidates: Sequence[Candidate], count: int) -> Int64Array:
    """(N,) a number for the neighbourhood of each candidate: squares of one scene that hold about
    N / `count` candidates each.
    """
    chips_per_side = max(1, round((len(candidates) / max(count, 1)) ** 0.5))
    side_px = candidates[0].window.width * chips_per_side
    squares = [(c.scene_index, c.window.row // side_px, c.window.col // side_px) for c in candidates]
    numbers = {square: number for number, square in enumerate(dict.fromkeys(squares))}
    return np.array([numbers[square] for square in squares], np.int64)


def chip_outlines(
    scenes: Sequence[Scene], candidates: Sequence[Candidate]
) -> tuple[GeometryArray, LayerFrame]:
    """(N,) outlines of the candidates, clipped to their scenes, in one frame for all scenes."""
    frame = LayerFrame.of(scenes)
    outlines = np.empty(len(candidates), dtype=object)
    for number, candidate in enumerate(candidates):
        scene = scenes[candidate.scene_index]
        inside = candidate.window.intersection(scene.grid.window) or candidate.window
        outline = window_outlines([inside])
        outlines[number] = frame.to_layer(outline, scene.grid, scene.native, candidate.scene_index)[0]
    return outlines, frame


def _windows(scene: Scene, size_px: int) -> list[GridWindow]:
    return [GridWindow.of(window, scene.grid) for window in grid_windows(scene.grid, size_px, 0)]


def _annotated_windows(truth: SceneTruth, windows: Sequence[GridWindow]) -> list[GridWindow]:
    return [window for window in windows if annotated_share(truth, window) > _ANNOTATED_SHARE]


def _chip_footprints(chips: ChipSet, scene: Scene) -> GeometryArray:
    """The footprints of all chips of a set, kept or not, in pixels of a scene.

    Images without a CRS share ground with images of the same name only.
    """
    footprints = [np.empty(0, dtype=object)]
    for index in on_ground_of(scene.path, scene.grid, chips.scenes, str(chips.path)):
        windows = [record.window for record in chips.records if record.scene_index == index]
        chip_grid = chips.scenes[index].grid
        footprints.append(between_grids(window_outlines(windows), chip_grid, scene.grid, str(chips.path)))
    return np.concatenate(footprints)


def _not_covered(windows: Sequence[GridWindow], footprints: GeometryArray) -> list[GridWindow]:
    """The windows of which footprints cover at most `_ANNOTATED_SHARE`."""
    tree = shapely.STRtree(footprints)
    kept = []
    for window, outline in zip(windows, window_outlines(windows), strict=True):
        near = footprints[tree.query(outline)]
        covered_px = shapely.union_all(shapely.intersection(near, outline)).area if len(near) else 0.0
        if covered_px <= _ANNOTATED_SHARE * window.area_px:
            kept.append(window)
    return kept


def _notes(in_aoi: WindowsPerScene, candidates: WindowsPerScene) -> tuple[str, ...]:
    """What was left out. Raises `InputError` if that is everything."""
    total, open_count = sum(map(len, in_aoi)), sum(map(len, candidates))
    if total == 0:
        raise InputError("`aoi`: no chip lies inside it; choose other scenes, or a larger AOI")
    if open_count == 0:
        raise InputError(
            f"`scenes`: all {total} chips are annotated already; choose other scenes, or a larger `aoi`"
        )
    if open_count < total:
        return (f"{total - open_count} of {total} chips are annotated already and are not queued",)
    return ()
