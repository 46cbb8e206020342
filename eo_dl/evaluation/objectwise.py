"""Found objects against true ones, on the grid of the scene they were found on.

IoU does not change under an affine map, so pixels of the scene serve as the frame; where a file does not say
which scene that was, a grid along its boxes is laid over its CRS. Where every prediction is a box of that
frame, boxes are compared (of polygons in the truth: the box around each, as for training); else outlines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import geopandas
import numpy as np
import shapely
from affine import Affine
from pyproj import CRS

from ..core.arrays import Objects
from ..core.arraytypes import BoolArray, Float64Array, GeometryArray, Int64Array
from ..core.boxes import centre_pixels, centres
from ..core.classes import IGNORE_ID, ClassSet
from ..core.geometries import missing_or_empty, reproject
from ..core.labelset import FeatureLabels, LabelSet
from ..core.pixelgrid import PixelGrid, map_coordinates
from ..core.pixellabels import PixelLabels
from ..core.window import Window
from ..errors import LabelError
from ..io.scene import SceneReader, open_scene
from ..io.vectorlayers import read_layer
from ..scores.objectscores import ObjectScorer
from .classmatch import ClassMatch
from .limits import Blocks, Limits
from .predictionfiles import Part

CLASS_FIELD = "class_name"
_BOX = 1e-3
_DEGREE_PX = 1e-5


@dataclass
class ObjectTally:
    """Objects that were left out, and why; `unlimited`: files that do not say which ground was looked at."""

    truth_outside: int = 0
    predicted_outside: int = 0
    truth_not_measured: int = 0
    truth_left_out: int = 0
    unlimited: int = 0


@dataclass(frozen=True)
class Found:
    """The objects of one file: outlines in its own frame, names of classes, scores (NaN: none)."""

    part: Part
    crs: CRS | None
    outlines: GeometryArray
    names: GeometryArray
    scores: Float64Array

    @property
    def scored(self) -> bool:
        """True where every object has a score."""
        return bool(np.isfinite(self.scores).all())


@dataclass(frozen=True)
class Compared:
    """What was compared: true and predicted objects in pixels of `grid`, those that are scored. `labels`: all
    of the truth there, as it was given.
    """

    predicted: Objects
    truth: Objects
    grid: PixelGrid
    name: str
    made_of: str
    labels: PixelLabels


def read_found(part: Part, only_class: str | None) -> Found:
    """The objects of a file; `only_class` is the class of all where the file names none. Raises `LabelError`."""
    frame = read_layer(part.path)
    outlines = np.asarray(frame.geometry.values, dtype=object)
    if CLASS_FIELD not in frame.columns and only_class is None:
        fields = ", ".join(repr(name) for name in frame.columns if name != frame.geometry.name)
        raise LabelError(
            f"{part.path}: a prediction needs the field '{CLASS_FIELD}' with the class of each object; it has {fields or 'no fields'}"
        )
    names = (
        frame[CLASS_FIELD].astype(str).to_numpy(object)
        if CLASS_FIELD in frame.columns
        else np.full(len(frame), only_class, dtype=object)
    )
    scores = _scores(frame, part)
    kept = ~missing_or_empty(outlines) & (shapely.get_dimensions(outlines) == 2)
    if (~kept).any():
        raise LabelError(
            f"{part.path}: {int((~kept).sum())} of {len(kept)} predicted objects are no polygons; polygons or boxes were expected"
        )
    return Found(
        part,
        frame.crs if frame.crs is None else CRS.from_user_input(frame.crs),
        shapely.force_2d(outlines),
        names,
        scores,
    )


def _scores(frame: geopandas.GeoDataFrame, part: Part) -> Float64Array:
    if "score" not in frame.columns:
        return np.full(len(frame), np.nan)
    try:
        return np.asarray(frame["score"].to_numpy(np.float64, na_value=np.nan))
    except (TypeError, ValueError) as cause:
        raise LabelError(
            f"{part.path}: the field 'score' holds something else than numbers ({cause}); rename it"
        ) from cause


def score_objects(
    found: Found,
    labels: LabelSet,
    match: ClassMatch,
    limits: Limits,
    *,
    scorer: ObjectScorer,
    tally: ObjectTally,
) -> Compared:
    """Add one file of objects to the scorer. Raises `LabelError`, `InputError`."""
    grid, outlines = _common_frame(found, labels)
    areas = limits.areas(grid, found.part.made_of)
    placed = labels.for_grid(grid, found.part.made_of)
    truth = _true_objects(placed, match, tally)
    predicted = _objects(
        outlines, _class_ids(found, match.classes), np.where(np.isfinite(found.scores), found.scores, 1.0)
    )
    tests = [area.area for area in areas] + ([placed.annotated] if placed.annotated is not None else [])
    if found.part.grid is not None:
        tests.append(shapely.box(0, 0, grid.width, grid.height))
    elif not tests:
        tally.unlimited += 1
    kept_truth, kept_predicted = _inside(truth, tests), _inside(predicted, tests)
    tally.truth_outside += int((~kept_truth).sum())
    tally.predicted_outside += int((~kept_predicted).sum())
    truth, predicted = truth.take(kept_truth), predicted.take(kept_predicted)
    measured = _measured(found.part, truth)
    tally.truth_not_measured += int((~measured).sum())
    truth = truth.take(measured)
    blocks = Blocks.of(grid, f"{found.part.path}:")
    scorer.update(predicted, truth, blocks=(blocks.names(predicted.boxes), blocks.names(truth.boxes)))
    return Compared(predicted, truth, grid, found.part.path.name, found.part.made_of, placed)


def are_boxes(found: Found, labels: LabelSet) -> bool:
    """True where every predicted outline is a box in the frame of comparison."""
    outlines = _common_frame(found, labels)[1]
    bounds = shapely.bounds(outlines).reshape(-1, 4)
    boxes = (bounds[:, 2] - bounds[:, 0]) * (bounds[:, 3] - bounds[:, 1])
    return bool((shapely.area(outlines) >= boxes * (1 - _BOX)).all())


def _common_frame(found: Found, labels: LabelSet) -> tuple[PixelGrid, GeometryArray]:
    """The grid on which both are compared, and the predicted outlines in its pixels."""
    grid = found.part.grid
    if grid is None and found.crs is not None and labels.crs is None and len(labels):
        raise LabelError(
            f"{labels.source}: labels are in pixels of an image, the prediction is in map coordinates; name the scene it was made of with `scene`"
        )
    if grid is None:
        grid = _laid_grid(found, labels)
    if found.crs is None or grid.crs is None:
        if found.crs is not None:
            raise LabelError(
                f"{found.part.path}: is in map coordinates ({found.crs.name}), but the scene {found.part.scene_name} has no CRS; name the right `scene`"
            )
        return grid, found.outlines
    outlines = reproject(found.outlines, found.crs, grid.crs, str(found.part.path))
    return grid, np.asarray(grid.geometries_to_pixel(outlines), dtype=object)


def _laid_grid(found: Found, labels: LabelSet) -> PixelGrid:
    """A grid over the ground of prediction and truth, along the sides of the predicted boxes.

    Raises `LabelError` for a truth without outlines.
    """
    if not isinstance(labels, FeatureLabels):
        raise LabelError(
            f"{labels.source}: the truth has no outlines; name the scene of the prediction with `scene`"
        )
    true_outlines = labels.features.geometries
    if found.crs is None:
        bounds = (
            shapely.total_bounds(np.concatenate([found.outlines, true_outlines]))
            if len(found.outlines) + len(true_outlines)
            else np.array([0, 0, 1, 1])
        )
        return PixelGrid(
            None, Affine.identity(), max(1, int(np.ceil(bounds[3]))), max(1, int(np.ceil(bounds[2])))
        )
    # GeoJSON is always in degrees; the truth then knows better in which frame the boxes were boxes.
    crs = labels.crs if found.crs.is_geographic and labels.crs is not None else found.crs
    outlines = reproject(found.outlines, found.crs, crs, str(found.part.path))
    if labels.crs is not None:
        true_outlines = reproject(true_outlines, labels.crs, crs, labels.source)
    size = _DEGREE_PX if crs.is_geographic else 1.0
    turn = Affine.rotation(_common_angle(outlines))
    everything = map_coordinates(
        np.concatenate([outlines, true_outlines]), ~(turn @ Affine.scale(size, -size))
    )
    col0, row0, col1, row1 = shapely.total_bounds(everything) if len(everything) else (0, 0, 1, 1)
    transform = (
        turn @ Affine.scale(size, -size) @ Affine.translation(float(np.floor(col0)), float(np.floor(row0)))
    )
    return PixelGrid(
        crs, transform, max(1, int(np.ceil(row1 - row0)) + 1), max(1, int(np.ceil(col1 - col0)) + 1)
    )


def _common_angle(outlines: GeometryArray) -> float:
    """The direction (degrees, -45 to 45) along which all outlines are rectangles; 0 where there is none."""
    if not len(outlines) or not (shapely.get_num_coordinates(outlines) == 5).all():
        return 0.0
    corners = shapely.get_coordinates(outlines).reshape(-1, 5, 2)
    sides = corners[:, 1] - corners[:, 0]
    angles = np.degrees(np.arctan2(sides[:, 1], sides[:, 0]))
    quarter = np.angle(np.mean(np.exp(4j * np.radians(angles)))) / 4
    away = (angles - np.degrees(quarter) + 45) % 90 - 45
    return float(np.degrees(quarter)) if np.abs(away).max() < 0.5 else 0.0


def _true_objects(labels: PixelLabels, match: ClassMatch, tally: ObjectTally) -> Objects:
    """With classes of the prediction; those of no class that counts become ignored ones, which excuse
    predictions of any class.
    """
    ids = match.truth_ids[labels.class_ids].astype(np.int64)
    left_out = ids == IGNORE_ID
    tally.truth_left_out += int((left_out | labels.ignore).sum())
    made = _objects(labels.geometries, ids, np.ones(len(ids)))
    return replace(made, ignore=labels.ignore | left_out)


def _objects(outlines: GeometryArray, class_ids: Int64Array, scores: Float64Array) -> Objects:
    valid = np.asarray(shapely.make_valid(outlines), dtype=object)
    return Objects(shapely.bounds(valid).reshape(-1, 4), class_ids, scores.astype(np.float32), valid)


def _class_ids(found: Found, classes: ClassSet) -> Int64Array:
    ids = {info.name: info.id for info in classes}
    return np.array([ids[name] for name in found.names.tolist()], np.int64)


def _inside(objects: Objects, areas: list[shapely.Geometry]) -> BoolArray:
    """(N,) whose box centre lies in each of the areas."""
    kept = np.ones(len(objects), np.bool_)
    cols, rows = centres(objects.boxes).T
    for area in areas:
        shapely.prepare(area)
        kept &= np.asarray(shapely.intersects_xy(area, cols, rows), np.bool_)
    return kept


def _measured(part: Part, truth: Objects) -> BoolArray:
    """(N,) whose centre lies on a pixel of the scene that was measured; all where the scene is not at hand."""
    measured = np.ones(len(truth), np.bool_)
    if part.scene_path is None or part.grid is None or not len(truth):
        return measured
    scene = open_scene(part.scene_path)
    rows, cols = centre_pixels(truth.boxes, scene.grid.height, scene.grid.width)
    step = max(1, scene.file.block_px[0])
    with SceneReader(scene) as reader:
        for band in np.unique(rows // step).tolist():
            mine = np.flatnonzero(rows // step == band)
            first, last = int(cols[mine].min()), int(cols[mine].max()) + 1
            height = min(step, scene.grid.height - band * step)
            valid = reader.read_valid(Window(first, band * step, last - first, height))
            measured[mine] = valid[rows[mine] - band * step, cols[mine] - first]
    return measured
