"""How far labels are shifted against the image, estimated from edges.

Where outlines are right, the image changes across them: its gradient points along their normals. For every
shift within reach the energy of the gradient along the normals, ``sum (n . g)^2 = sum nx^2 gx^2 + 2 nx ny gx
gy + ny^2 gy^2``, is summed over all points of the outlines; the three products are correlations, so one pass
of FFTs gives all shifts. Squares, because an object may be darker or brighter than its surroundings; the
local energy is divided out, so that a few strong edges (cars, shadows) do not outvote the rest. The shift
with the largest sum is where the labels would fit.

The scene is cut into cells; resampling them (bootstrap) tells how certain the answer is. There is no answer
if the cells disagree, if no shift stands out, or if the best one lies at the end of the reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from scipy.ndimage import binary_erosion, gaussian_filter1d

from ...core.arraytypes import BoolArray, Float64Array, GeometryArray, Int64Array
from ...core.normalization import to_physical
from ...core.seeds import generator
from ...core.window import Window
from ...io.scene import Scene, SceneReader

REACH_PX = 16
"""Shifts that are searched, in each direction."""

MAX_CELLS = 240
"""Cells of a scene that are looked at, at most."""

LEAST_CELLS = 4
"""Cells that an answer needs."""

_CELL_PX = 64
_LEAST_POINTS = 24  # px of outline in a cell
_SMOOTH_PX = 1.0
_DRAWS = 200
_MOST_ERROR_PX = 1.0  # standard error above which there is no answer
_LEAST_SHIFT_PX = 1.5
# Standard deviations of the sums far from the peak; real labels give 10 to 18, those that follow no edges 3.
_STANDS_OUT = 5.0
_FAR_PX = 5


@dataclass(frozen=True)
class Misregistration:
    """How far labels lie from the edges of the image."""

    cols: float
    """Pixels to the right; NaN if not known."""

    rows: float
    """Pixels down; NaN if not known."""

    error_px: tuple[float, float]
    """Standard errors of `cols` and `rows`."""

    cells: int
    """Number of cells that were looked at."""

    reason: str = ""
    """Why there is no answer; empty if there is one."""

    @property
    def known(self) -> bool:
        """True if there is an answer."""
        return not self.reason

    @property
    def distance_px(self) -> float:
        """Length of the shift."""
        return float(np.hypot(self.cols, self.rows))

    @property
    def significant(self) -> bool:
        """True if the labels are certainly shifted: by more than 1.5 px and twice the standard error."""
        error = float(np.hypot(*self.error_px))
        return self.known and self.distance_px > max(_LEAST_SHIFT_PX, 2 * error)


def estimate_shift(scene: Scene, outlines: GeometryArray, reach_px: int = REACH_PX) -> Misregistration:
    """The shift of polygons against a scene.

    Args:
        scene: The scene.
        outlines: (N,) polygons in pixels of its grid.
        reach_px: Shifts that are searched, in each direction.
    """
    return judge(shift_scores(scene, outlines, reach_px), reach_px)


def shift_scores(
    scene: Scene, outlines: GeometryArray, reach_px: int = REACH_PX, most_cells: int = MAX_CELLS
) -> list[Float64Array]:
    """How well every shift fits, per cell.

    Args:
        scene: The scene.
        outlines: (N,) polygons in pixels of its grid.
        reach_px: Shifts that are searched, in each direction.
        most_cells: How many cells are looked at; those with the most outline.

    Returns:
        For each cell (2 reach + 1, 2 reach + 1): rows and columns from -reach to reach.
    """
    points, normals = outline_points(outlines)
    size = np.array([scene.grid.width, scene.grid.height], np.float64)
    inside = ((points > 2) & (points < size - 2)).all(axis=1)
    points, normals = points[inside], normals[inside]
    scores = []
    with SceneReader(scene) as reader:
        for corner, members in _cells(points, most_cells):
            score = _cell_score(reader, corner, points[members], normals[members], reach_px)
            if score is not None:
                scores.append(score)
    return scores


def judge(scores: Sequence[Float64Array], reach_px: int = REACH_PX) -> Misregistration:
    """The shift that the cells of one scene, or of several labelled alike, show together."""
    count = len(scores)
    if count < LEAST_CELLS:
        return _unknown(f"only {count} places with enough outline", count)
    return _judged(np.stack(scores), reach_px)


def outline_points(outlines: GeometryArray) -> tuple[Float64Array, Float64Array]:
    """(N, 2) points about a pixel apart along the rings of polygons, and (N, 2) unit normals there."""
    rings = shapely.get_rings(shapely.get_parts(outlines))
    points, ring = shapely.get_coordinates(shapely.segmentize(rings, 1.0), return_index=True)
    step = np.diff(points, axis=0)
    length = np.hypot(step[:, 0], step[:, 1])
    within_ring = (ring[1:] == ring[:-1]) & (length > 1e-9)
    step, length = step[within_ring], length[within_ring]
    middle = (points[1:] + points[:-1])[within_ring] / 2
    return middle, np.column_stack([step[:, 1], -step[:, 0]]) / length[:, None]


def _cells(points: Float64Array, most: int) -> list[tuple[tuple[int, int], Int64Array]]:
    """Corner and points of the cells with the most outline."""
    if not len(points):
        return []
    cells, cell_of, counts = np.unique(
        np.floor(points / _CELL_PX).astype(np.int64), axis=0, return_inverse=True, return_counts=True
    )
    by_cell = np.split(np.argsort(cell_of.reshape(-1), kind="stable"), np.cumsum(counts)[:-1])
    largest = np.argsort(-counts, kind="stable")[:most]
    chosen = sorted(int(cell) for cell in largest if counts[cell] >= _LEAST_POINTS)
    corners = (cells * _CELL_PX).tolist()
    return [((corners[cell][0], corners[cell][1]), by_cell[cell].astype(np.int64)) for cell in chosen]


def _cell_score(
    reader: SceneReader, corner: tuple[int, int], points: Float64Array, normals: Float64Array, reach: int
) -> Float64Array | None:
    """(2 reach + 1, 2 reach + 1) gradient energy along the normals for each shift (rows, columns); None if
    too little is measured. Long outlines count less than in proportion.
    """
    side = _CELL_PX + 2 * reach
    chip = reader.read(Window(corner[0] - reach, corner[1] - reach, side, side))
    if chip.valid.mean() < 0.5:
        return None
    pixels = to_physical(chip.pixels, reader.scene.bands).astype(np.float64)
    cols, rows = (np.floor(points).astype(np.int64) - corner).T
    normal_x, normal_y = normals.T
    weights = (normal_x * normal_x, 2 * normal_x * normal_y, normal_y * normal_y)
    total = np.zeros((2 * reach + 1, 2 * reach + 1))
    for plane, weight in zip(_edge_tensor(pixels, chip.valid), weights, strict=True):
        drawn = np.zeros((_CELL_PX, _CELL_PX))
        np.add.at(drawn, (rows, cols), weight)
        total += _correlated(plane, drawn)
    return np.asarray(total / np.sqrt(len(points)), np.float64)


def _edge_tensor(pixels: Float64Array, valid: BoolArray) -> tuple[Float64Array, Float64Array, Float64Array]:
    """gx gx, gx gy and gy gy over all bands, each divided by the local energy; 0 near invalid pixels."""
    spread = pixels[:, valid].std(axis=1)
    scaled = np.where(valid, pixels / np.where(spread > 0, spread, 1)[:, None, None], 0)
    gx = gaussian_filter1d(gaussian_filter1d(scaled, _SMOOTH_PX, axis=2, order=1), _SMOOTH_PX, axis=1)
    gy = gaussian_filter1d(gaussian_filter1d(scaled, _SMOOTH_PX, axis=1, order=1), _SMOOTH_PX, axis=2)
    sure = binary_erosion(valid, iterations=4, border_value=1)
    xx, xy, yy = ((a * b).sum(axis=0) * sure for a, b in ((gx, gx), (gx, gy), (gy, gy)))
    energy = xx + yy
    local = np.ones_like(energy)
    if energy[sure].any():
        local = energy + np.median(energy[sure])
    local = np.where(local > 0, local, 1)
    return xx / local, xy / local, yy / local


def _correlated(plane: Float64Array, drawn: Float64Array) -> Float64Array:
    """The sum of `plane` under `drawn` for every position of `drawn` inside it (valid correlation, by
    FFT).
    """
    spectrum = np.fft.rfft2(plane) * np.conj(np.fft.rfft2(drawn, plane.shape))
    rows, cols = plane.shape[0] - drawn.shape[0] + 1, plane.shape[1] - drawn.shape[1] + 1
    return np.asarray(np.fft.irfft2(spectrum, plane.shape)[:rows, :cols], np.float64)


def _judged(scores: Float64Array, reach: int) -> Misregistration:
    count = len(scores)
    total = scores.sum(axis=0)
    best = _peak(total, reach)
    rng = generator(0, "misregistration")
    weights = rng.multinomial(count, np.full(count, 1 / count), _DRAWS).astype(np.float64)
    peaks = np.array([_peak(draw, reach) for draw in np.tensordot(weights, scores, axes=1)])
    error = peaks.std(axis=0)
    if not _stands_out(total, best, reach):
        return _unknown("no shift fits better than others: the outlines follow no edges of the image", count)
    if np.abs(best).max() > reach - 1.5:
        return _unknown(f"the best fit lies at the end of the {reach} px that were searched", count)
    if error.max() > _MOST_ERROR_PX:
        reason = f"different parts of the scene disagree (standard error {error.max():.1f} px)"
        return _unknown(reason, count)
    # The labels must be moved by `best` to fit, so they lie as far on the other side.
    return Misregistration(-float(best[0]), -float(best[1]), (float(error[0]), float(error[1])), count)


def _peak(total: Float64Array, reach: int) -> tuple[float, float]:
    """(cols, rows) of the largest value, between pixels by a parabola through its neighbours."""
    row, col = (int(index) for index in np.unravel_index(int(np.argmax(total)), total.shape))
    return _between_pixels(total[row], col) - reach, _between_pixels(total[:, col], row) - reach


def _between_pixels(line: Float64Array, index: int) -> float:
    """The top of the parabola through a value and its two neighbours; the index itself at the ends."""
    if not 0 < index < len(line) - 1:
        return float(index)
    before, value, after = line[index - 1 : index + 2]
    curvature = before - 2 * value + after
    if curvature >= 0:
        return float(index)
    return float(index + 0.5 * (before - after) / curvature)


def _stands_out(total: Float64Array, best: tuple[float, float], reach: int) -> bool:
    offsets = np.arange(-reach, reach + 1)
    far = np.hypot(offsets[None, :] - best[0], offsets[:, None] - best[1]) > _FAR_PX
    values = total[far]
    return bool(total.max() - values.mean() > _STANDS_OUT * values.std())


def _unknown(reason: str, cells: int) -> Misregistration:
    nan = float("nan")
    return Misregistration(nan, nan, (nan, nan), cells, reason)
