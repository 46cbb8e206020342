"""The methods of sampling: for each, what it draws from a scene and which options it has, in one object.

Another method is another function and another entry of `METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely

from ..core.window import Window
from ..errors import ConfigError
from .chipwindows import (
    PointsOfClass,
    balanced_windows,
    points_in_polygons,
    random_windows,
    touching,
    windows_around_objects,
    windows_around_single_objects,
)
from .maskpoints import points_in_mask
from .truth import SceneTruth

MethodName = Literal["grid", "random", "objects", "single", "balanced"]
SamplingOption = Literal["overlap_px", "count", "keep_empty", "add_empty"]

_MOST_DRAWS = 12


@dataclass(frozen=True)
class SceneDraw:
    """What a method draws windows from: one scene."""

    truth: SceneTruth
    """The scene with its labels."""

    region: shapely.Geometry | None
    """Where chips may lie, in pixels of the scene; None: everywhere."""

    on_grid: tuple[Window, ...]
    """The windows of a regular grid that touch the region."""

    chip_px: int
    """Side of a chip."""

    count: int | None
    """How many windows are wanted; None: as many as the objects need."""

    rng: np.random.Generator
    """Where chance comes from."""


@dataclass(frozen=True)
class DrawnWindows:
    """What a method drew."""

    windows: Sequence[Window]
    """The windows; one may occur twice."""

    crowded: int = 0
    """Number of objects that have no window because others are too close."""


@dataclass(frozen=True)
class SamplingMethod:
    """One method of sampling."""

    name: MethodName
    """What it is called."""

    draw: Callable[[SceneDraw], DrawnWindows]
    """Draws the windows of one scene."""

    options: frozenset[SamplingOption]
    """The options of `Sampling` that it has."""

    around_objects: bool = False
    """True if chips are cut around objects: scenes get chips by their objects rather than by their ground."""

    def has(self, option: SamplingOption) -> bool:
        """True if the option applies to this method."""
        return option in self.options


def draw_until(
    draw: Callable[[int], Sequence[Window]], region: shapely.Geometry | None, count: int
) -> list[Window]:
    """Draw until `count` windows touch a region, or until it is clear that they do not.

    Args:
        draw: Draws the given number of windows.
        region: What the windows must share area with; None: nothing.
        count: How many windows are wanted.
    """
    windows: list[Window] = []
    for _ in range(_MOST_DRAWS):
        if len(windows) >= count:
            break
        windows += touching(draw(count - len(windows)), region)
    return windows[:count]


def _grid(scene: SceneDraw) -> DrawnWindows:
    return DrawnWindows(scene.on_grid)


def _random(scene: SceneDraw) -> DrawnWindows:
    def draw(count: int) -> Sequence[Window]:
        """Windows anywhere in the scene."""
        return random_windows(scene.truth.scene.grid, scene.chip_px, count, scene.rng)

    return DrawnWindows(draw_until(draw, scene.region, scene.count or 0))


def _balanced(scene: SceneDraw) -> DrawnWindows:
    classes = scene.truth.labels.classes
    class_ids = [info.id for info in classes.foreground] or list(classes.ids)
    points_of = _points_of(scene.truth)

    def draw(count: int) -> Sequence[Window]:
        """Windows with a random point of each class in turn."""
        return balanced_windows(
            scene.truth.scene.grid, scene.chip_px, class_ids, points_of, count=count, rng=scene.rng
        )

    return DrawnWindows(draw_until(draw, scene.region, scene.count or 0))


def _objects(scene: SceneDraw) -> DrawnWindows:
    _refuse_masks(scene.truth, "objects")
    windows = windows_around_objects(
        scene.truth.scene.grid, scene.truth.labels, scene.chip_px, scene.rng, scene.count
    )
    return DrawnWindows(touching(windows, scene.region))


def _single(scene: SceneDraw) -> DrawnWindows:
    _refuse_masks(scene.truth, "single")
    windows, crowded = windows_around_single_objects(
        scene.truth.scene.grid, scene.truth.labels, scene.chip_px, scene.rng, scene.count
    )
    return DrawnWindows(touching(windows, scene.region), crowded)


def _points_of(truth: SceneTruth) -> PointsOfClass:
    if truth.raster is not None:
        return points_in_mask(truth)
    frame = shapely.box(0, 0, truth.scene.grid.width, truth.scene.grid.height)
    return points_in_polygons(truth.labels, frame)


def _refuse_masks(truth: SceneTruth, name: MethodName) -> None:
    if truth.raster is not None:
        raise ConfigError(
            f"{truth.scene.path}: its labels are a raster, which has no objects to cut chips around; "
            f"choose balanced instead of {name} as `sampling`"
        )


_ALL = (
    SamplingMethod("grid", _grid, frozenset({"overlap_px", "keep_empty"})),
    SamplingMethod("random", _random, frozenset({"count", "keep_empty"})),
    SamplingMethod("objects", _objects, frozenset({"count", "add_empty"}), around_objects=True),
    SamplingMethod("single", _single, frozenset({"count", "add_empty"}), around_objects=True),
    SamplingMethod("balanced", _balanced, frozenset({"count", "add_empty"})),
)

METHODS: dict[str, SamplingMethod] = {method.name: method for method in _ALL}
"""All methods by name."""
