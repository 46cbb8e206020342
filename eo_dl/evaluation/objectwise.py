"""Predicted objects against true ones, on the grid of the scene.

IoU does not change under an affine map, so pixels of the scene serve as the common frame. If a file does not
name its scene, the frame is a grid along the predicted boxes, in their CRS. If every prediction is a box in
that frame, boxes are compared (of true polygons, the box around each, as in training); otherwise outlines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import geopandas
import numpy as np
import shapely
from affine import Affine
from pyproj import CRS

from ..core.arrays import Objects
from ..core.arraytypes import BoolArray, Float64Array, GeometryArray, Int64Array, ObjectArray
from ..core.boxes import centre_pixels, centres
from ..core.classes import IGNORE_ID, ClassSet
from ..core.geometries import missing_or_empty, reproject
from ..core.labelset import FeatureLabels, LabelSet
from ..core.pixelgrid import PixelGrid, map_coordinates
from ..core.pixellabels import PixelLabels
from ..core.window import Window
from ..errors import LabelError
from ..io.scene import SceneReader
from ..io.vectorlayers import read_layer
from ..labels.imagecoverage import check_size
from ..scores.objectscores import ObjectScorer
from .classmatch import ClassMatch
from .limits import Blocks, Limits
from .predictionfiles import Part, measured_scene
from .trainedshare import trained_area

CLASS_FIELD = "class_name"
_BOX = 1e-3
_DEGREE_PX = 1e-5


@dataclass
class ObjectTally:
    """Counts of objects that are left out."""

    truth_outside: int = 0
    """True objects outside the scored or annotated area."""
    predicted_outside: int = 0
    """Predicted objects outside the scored or annotated area."""
    truth_not_measured: int = 0
    """True objects with their centre on nodata."""
    truth_left_out: int = 0
    """True objects that are ignored, or of a class that is not scored."""
    unlimited: int = 0
    """Files that do not say which area they cover."""
    scored: int = 0
    """True and predicted objects that are scored."""
    trained: int = 0
    """Those of them with their centre on ground that the model was trained on."""


@dataclass(frozen=True)
class Found:
    """The predicted objects of one file."""

    part: Part
    """The file."""
    crs: CRS | None
    """CRS of the outlines; None for pixels."""
    outlines: GeometryArray
    """(N,) polygons in `crs`."""
    names: ObjectArray
    """(N,) class names."""
    scores: Float64Array
    """(N,) scores, NaN without one."""

    @property
    def scored(self) -> bool:
        """True if every object has a score."""
        return bool(np.isfinite(self.scores).all())


@dataclass(frozen=True)
class Compared:
    """The scored objects of one file."""

    predicted: Objects
    """Predicted objects, in pixels of `grid`."""
    truth: Objects
    """True objects, in pixels of `grid`."""
    grid: PixelGrid
    """The common frame."""
    name: str
    """Name of the file."""
    made_of: str
    """The scene, see `Part.made_of`."""
    labels: PixelLabels
    """The whole truth on `grid`, including labels that are not scored."""

    @property
    def pictured(self) -> Pictured:
        """What a picture shows of it."""
        return Pictured(self.predicted, self.truth, self.grid, self.name)


@dataclass(frozen=True)
class Pictured:
    """The scored objects of one file, for the error picture."""

    predicted: Objects
    """Predicted objects, in pixels of `grid`."""
    truth: Objects
    """True objects, in pixels of `grid`."""
    grid: PixelGrid
    """The common frame."""
    name: str
    """Name of the file."""


def read_found(part: Part, only_class: str | None) -> Found:
    """The objects of a file.

    Args:
        part: The file.
        only_class: The class of all objects, used if the file has no class field.

    Raises:
        LabelError: The file cannot be read, or holds no classes or no polygons.
    """
    frame = read_layer(part.path)
    outlines = np.asarray(frame.geometry.values, dtype=object)
    if CLASS_FIELD not in frame.columns and only_class is None:
        fields = ", ".join(repr(name) for name in frame.columns if name != frame.geometry.name)
        raise LabelError(
            f"{part.path}: a prediction needs the field '{CLASS_FIELD}' with the class of each object; it "
            f"has {fields or 'no fields'}"
        )
    names = np.full(len(frame), only_class, dtype=object)
    if CLASS_FIELD in frame.columns:
        names = frame[CLASS_FIELD].astype(str).to_numpy(object)
    scores = _scores(frame, part)
    is_polygon = ~missing_or_empty(outlines) & (shapely.get_dimensions(outlines) == 2)
    if not is_polygon.all():
        raise LabelError(
            f"{part.path}: expected polygons or boxes, but {int((~is_polygon).sum())} of {len(outlines)} "
            "predicted objects are neither"
        )
    crs = None if frame.crs is None else CRS.from_user_input(frame.crs)
    return Found(part, crs, shapely.force_2d(outlines), names, scores)


def _scores(frame: geopandas.GeoDataFrame, part: Part) -> Float64Array:
    if "score" not in frame.columns:
        return np.full(len(frame), np.nan)
    try:
        return np.asarray(frame["score"].to_numpy(np.float64, na_value=np.nan))
    except (TypeError, ValueError) as cause:
        raise LabelError(
            f"{part.path}: the field 'score' holds other values than numbers ({cause}); rename it"
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
    """Add one file of objects to the scorer; count those left out. Raises `LabelError`, `InputError`."""
    grid, outlines = _common_frame(found, labels)
    if found.part.grid is not None:
        check_size(labels, found.part.made_of, grid)
    placed = labels.for_grid(grid, found.part.made_of)
    truth = _true_objects(placed, match, tally)
    scores = np.where(np.isfinite(found.scores), found.scores, 1.0)
    predicted = _objects(outlines, _class_ids(found, match.classes), scores)
    areas = [area.area for area in limits.areas(grid, found.part.made_of)]
    if placed.annotated is not None:
        areas.append(placed.annotated)
    if found.part.grid is not None:
        areas.append(shapely.box(0, 0, grid.width, grid.height))
    elif not areas:
        tally.unlimited += 1
    kept_truth, kept_predicted = _inside(truth, areas), _inside(predicted, areas)
    tally.truth_outside += int((~kept_truth).sum())
    tally.predicted_outside += int((~kept_predicted).sum())
    truth, predicted = truth.take(kept_truth), predicted.take(kept_predicted)
    measured = _measured(found.part, truth)
    tally.truth_not_measured += int((~measured).sum())
    truth = truth.take(measured)
    trained = trained_area(found.part, grid)
    tally.scored += len(truth) + len(predicted)
    if trained is not None:
        tally.trained += int(_inside(truth, [trained.area]).sum() + _inside(predicted, [trained.area]).sum())
    blocks = Blocks.of(grid, found.part.block_prefix)
    scorer.update(predicted, truth, blocks=(blocks.names(predicted.boxes), blocks.names(truth.boxes)))
    return Compared(
        predicted=predicted,
        truth=truth,
        grid=grid,
        name=found.part.path.name,
        made_of=found.part.made_of,
        labels=placed,
    )


def are_boxes(found: Found, labels: LabelSet) -> bool:
    """True if every predicted outline is a box in the common frame."""
    outlines = _common_frame(found, labels)[1]
    bounds = shapely.bounds(outlines).reshape(-1, 4)
    boxes = (bounds[:, 2] - bounds[:, 0]) * (bounds[:, 3] - bounds[:, 1])
    return bool((shapely.area(outlines) >= boxes * (1 - _BOX)).all())


def _common_frame(found: Found, labels: LabelSet) -> tuple[PixelGrid, GeometryArray]:
    """The grid on which both are compared, and the predicted outlines in its pixels."""
    grid = found.part.grid
    if grid is None and found.crs is not None and labels.crs is None and len(labels):
        raise LabelError(
            f"{labels.source}: the labels are in pixels of an image, the prediction is in map coordinates; "
            "name the scene it was made from with `scene`"
        )
    if grid is None:
        grid = _laid_grid(found, labels)
    if found.crs is None or grid.crs is None:
        if found.crs is not None:
            raise LabelError(
                f"{found.part.path}: is in map coordinates ({found.crs.name}), but the scene "
                f"{found.part.scene_name} has no CRS; name the right `scene`"
            )
        return grid, found.outlines
    outlines = reproject(found.outlines, found.crs, grid.crs, str(found.part.path))
    return grid, np.asarray(grid.geometries_to_pixel(outlines), dtype=object)


def _laid_grid(found: Found, labels: LabelSet) -> PixelGrid:
    """A grid over prediction and truth, along the sides of the predicted boxes.

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
    # GeoJSON is always in degrees; the CRS of the truth is then the better frame for boxes.
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
    """Rotation of rectangles, degrees (-45 to 45); 0 if the outlines are no parallel rectangles."""
    if not len(outlines) or not (shapely.get_num_coordinates(outlines) == 5).all():
        return 0.0
    corners = shapely.get_coordinates(outlines).reshape(-1, 5, 2)
    sides = corners[:, 1] - corners[:, 0]
    angles = np.degrees(np.arctan2(sides[:, 1], sides[:, 0]))
    quarter = np.angle(np.mean(np.exp(4j * np.radians(angles)))) / 4
    away = (angles - np.degrees(quarter) + 45) % 90 - 45
    return float(np.degrees(quarter)) if np.abs(away).max() < 0.5 else 0.0


def _true_objects(labels: PixelLabels, match: ClassMatch, tally: ObjectTally) -> Objects:
    """The true objects with classes of the prediction.

    Objects of a class that is not scored are ignored: they excuse predictions of any class.
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
    """(N,) True if the box centre lies in every one of the areas."""
    kept = np.ones(len(objects), np.bool_)
    cols, rows = centres(objects.boxes).T
    for area in areas:
        shapely.prepare(area)
        kept &= np.asarray(shapely.intersects_xy(area, cols, rows), np.bool_)
    return kept


def _measured(part: Part, truth: Objects) -> BoolArray:
    """(N,) True where the object's centre is a valid pixel of the scene; all True without the scene."""
    measured = np.ones(len(truth), np.bool_)
    if part.scene_path is None or part.grid is None or not len(truth):
        return measured
    scene = measured_scene(part)
    rows, cols = centre_pixels(truth.boxes, scene.grid.height, scene.grid.width)
    step = max(1, scene.file.block_px[0])
    with SceneReader(scene) as reader:
        for block_row in np.unique(rows // step).tolist():
            index = np.flatnonzero(rows // step == block_row)
            row0, col0 = block_row * step, int(cols[index].min())
            width = int(cols[index].max()) + 1 - col0
            height = min(step, scene.grid.height - row0)
            valid = reader.read_valid(Window(col0, row0, width, height))
            measured[index] = valid[rows[index] - row0, cols[index] - col0]
    return measured
