"""How far labels lie beside what they outline, estimated from edges.

Where outlines are right, the image changes across them: its gradient points along their normals. For every
shift within reach the energy of the gradient along the normals, ``sum (n . g)^2 = sum nx^2 gx^2 + 2 nx ny gx
gy + ny^2 gy^2``, is summed over all outline points; the three products are correlations, so one pass of FFTs
gives all shifts. Squares, because an object may be darker or brighter than its surroundings; the local energy
is divided out, so that a few strong edges (cars, shadows) do not outvote the rest. The shift of the largest
sum is where the labels would fit.

The scene is cut into cells; resampling them (bootstrap) says how sure the answer is. It cannot be told where
the cells disagree, where no shift stands out, or where the best one lies at the end of the reach.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from scipy.ndimage import binary_erosion, gaussian_filter1d

from ...core.arraytypes import GeometryArray
from ...core.normalization import to_physical
from ...core.seeds import generator
from ...core.window import Window
from ...io.scene import Scene, SceneReader

FloatArray = npt.NDArray[np.float64]

REACH_PX = 16
_CELL_PX = 64
MAX_CELLS = 240
LEAST_CELLS = 4
_LEAST_POINTS = 24  # px of outline in a cell
_SMOOTH_PX = 1.0
_DRAWS = 200
_SURE_PX = 1.0  # standard error above which nothing is said
# standard deviations of the far shifts; real labels give 10 to 18, those that follow no edges 3
_STANDS_OUT = 5.0
_FAR_PX = 5


@dataclass(frozen=True)
class Misregistration:
    """Labels lie `cols` px to the right and `rows` px below of where the image's edges are; `error_px` (cols,
    rows) one standard error.

    `reason` says why it cannot be told (then the numbers are NaN). `cells`: places that were looked at.
    """

    cols: float
    rows: float
    error_px: tuple[float, float]
    cells: int
    reason: str = ""

    @property
    def known(self) -> bool:
        """False where it cannot be told."""
        return not self.reason

    @property
    def distance_px(self) -> float:
        """How far, in whatever direction."""
        return float(np.hypot(self.cols, self.rows))

    @property
    def significant(self) -> bool:
        """True where the labels are surely not in place: more than a pixel and a half, and more than twice
        the standard error.
        """
        return self.known and self.distance_px > max(1.5, 2 * float(np.hypot(*self.error_px)))


def estimate_shift(scene: Scene, outlines: GeometryArray, reach_px: int = REACH_PX) -> Misregistration:
    """The misregistration of polygons (in pixels of the scene's grid) against the scene."""
    return judge(shift_scores(scene, outlines, reach_px), reach_px)


def shift_scores(
    scene: Scene, outlines: GeometryArray, reach_px: int = REACH_PX, most_cells: int = MAX_CELLS
) -> list[FloatArray]:
    """For each cell of a scene (the `most_cells` with the most outline) how well every shift fits: (2 reach +
    1, 2 reach + 1), rows and cols from -reach to reach.
    """
    points, normals = outline_points(outlines)
    frame = np.array([scene.grid.width, scene.grid.height], np.float64)
    inside = ((points > 2) & (points < frame - 2)).all(axis=1)
    points, normals = points[inside], normals[inside]
    found = []
    with SceneReader(scene) as reader:
        for corner, members in _cells(points, most_cells):
            score = _cell_score(reader, corner, points[members], normals[members], reach_px)
            if score is not None:
                found.append(score)
    return found


def judge(found: list[FloatArray], reach_px: int = REACH_PX) -> Misregistration:
    """What the cells of one scene, or of several that were labelled alike, say together."""
    if len(found) < LEAST_CELLS:
        return _unknown(f"only {len(found)} places with enough outline", len(found))
    return _judged(np.stack(found), reach_px)


def outline_points(outlines: GeometryArray) -> tuple[FloatArray, FloatArray]:
    """(N, 2) points about a pixel apart along the rings of polygons, and (N, 2) unit normals there."""
    rings = shapely.get_rings(shapely.get_parts(outlines))
    coords, owner = shapely.get_coordinates(shapely.segmentize(rings, 1.0), return_index=True)
    along = np.diff(coords, axis=0)
    length = np.hypot(along[:, 0], along[:, 1])
    there = (owner[1:] == owner[:-1]) & (length > 1e-9)
    along, length = along[there], length[there]
    middle = (coords[1:] + coords[:-1])[there] / 2
    return middle, np.column_stack([along[:, 1], -along[:, 0]]) / length[:, None]


def _cells(points: FloatArray, most: int) -> list[tuple[tuple[int, int], npt.NDArray[np.int64]]]:
    """Corner and members of the cells with the most outline."""
    if not len(points):
        return []
    places = np.floor(points / _CELL_PX).astype(np.int64)
    keys, inverse, counts = np.unique(places, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(inverse.reshape(-1), kind="stable")
    ends = np.cumsum(counts)
    chosen = [int(i) for i in np.argsort(-counts, kind="stable")[:most] if counts[i] >= _LEAST_POINTS]
    return [
        (
            (int(keys[i][0]) * _CELL_PX, int(keys[i][1]) * _CELL_PX),
            order[ends[i] - counts[i] : ends[i]].astype(np.int64),
        )
        for i in sorted(chosen)
    ]


def _cell_score(
    reader: SceneReader, corner: tuple[int, int], points: FloatArray, normals: FloatArray, reach: int
) -> FloatArray | None:
    """(2 reach + 1, 2 reach + 1) gradient energy along the normals for each shift (rows, cols), long outlines
    counting less than in proportion; None where too little is measured.
    """
    side = _CELL_PX + 2 * reach
    chip = reader.read(Window(corner[0] - reach, corner[1] - reach, side, side))
    if chip.valid.mean() < 0.5:
        return None
    tensor = _edge_tensor(to_physical(chip.pixels, reader.scene.bands).astype(np.float64), chip.valid)
    place = np.floor(points).astype(np.int64) - corner
    total = np.zeros((2 * reach + 1, 2 * reach + 1))
    nx, ny = normals[:, 0], normals[:, 1]
    for plane, weight in zip(tensor, (nx * nx, 2 * nx * ny, ny * ny), strict=True):
        drawn = np.zeros((_CELL_PX, _CELL_PX))
        np.add.at(drawn, (place[:, 1], place[:, 0]), weight)
        total += _correlated(plane, drawn)
    weighted: FloatArray = total / np.sqrt(len(points))
    return weighted


def _edge_tensor(
    pixels: FloatArray, valid: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """gx gx, gx gy and gy gy over all bands, each divided by the local energy; 0 where anything near is not
    measured.
    """
    spread = pixels[:, valid].std(axis=1)
    scaled = np.where(valid, pixels / np.where(spread > 0, spread, 1)[:, None, None], 0)
    gx = gaussian_filter1d(gaussian_filter1d(scaled, _SMOOTH_PX, axis=2, order=1), _SMOOTH_PX, axis=1)
    gy = gaussian_filter1d(gaussian_filter1d(scaled, _SMOOTH_PX, axis=1, order=1), _SMOOTH_PX, axis=2)
    sure = binary_erosion(valid, iterations=4, border_value=1)
    xx, xy, yy = ((a * b).sum(axis=0) * sure for a, b in ((gx, gx), (gx, gy), (gy, gy)))
    energy = xx + yy
    damped = energy + np.median(energy[sure]) if sure.any() and energy[sure].any() else np.ones_like(energy)
    damped = np.where(damped > 0, damped, 1)
    return xx / damped, xy / damped, yy / damped


def _correlated(plane: FloatArray, drawn: FloatArray) -> FloatArray:
    """Sum of `plane` under `drawn` for every place of `drawn` inside it (valid correlation, by FFT)."""
    spectrum = np.fft.rfft2(plane) * np.conj(np.fft.rfft2(drawn, plane.shape))
    rows, cols = (a - b + 1 for a, b in zip(plane.shape, drawn.shape, strict=True))
    return np.asarray(np.fft.irfft2(spectrum, plane.shape)[:rows, :cols], np.float64)


def _judged(scores: FloatArray, reach: int) -> Misregistration:
    total = scores.sum(axis=0)
    best = _peak(total, reach)
    rng = generator(0, "misregistration")
    weights = rng.multinomial(len(scores), np.full(len(scores), 1 / len(scores)), _DRAWS).astype(np.float64)
    peaks = np.array([_peak(draw, reach) for draw in np.tensordot(weights, scores, axes=1)])
    error = peaks.std(axis=0)
    if not _stands_out(total, best, reach):
        return _unknown(
            "no shift fits better than others: the outlines follow no edges of the image", len(scores)
        )
    if np.abs(best).max() > reach - 1.5:
        return _unknown(f"the best fit lies at the end of the {reach} px that were searched", len(scores))
    if error.max() > _SURE_PX:
        return _unknown(
            f"different parts of the scene disagree (standard error {error.max():.1f} px)", len(scores)
        )
    # The labels must be moved by `best` to fit, so they lie by as much on the other side.
    return Misregistration(-float(best[0]), -float(best[1]), (float(error[0]), float(error[1])), len(scores))


def _peak(total: FloatArray, reach: int) -> tuple[float, float]:
    """(cols, rows) of the largest value, between pixels by a parabola through its neighbours."""
    row, col = np.unravel_index(int(np.argmax(total)), total.shape)
    return _between(total[row], int(col)) - reach, _between(total[:, col], int(row)) - reach


def _between(line: FloatArray, place: int) -> float:
    if not 0 < place < len(line) - 1:
        return float(place)
    before, here, after = line[place - 1 : place + 2]
    bend = before - 2 * here + after
    return place + (0.5 * (before - after) / bend if bend < 0 else 0.0)


def _stands_out(total: FloatArray, best: tuple[float, float], reach: int) -> bool:
    offsets = np.arange(-reach, reach + 1)
    far = np.hypot(offsets[None, :] - best[0], offsets[:, None] - best[1]) > _FAR_PX
    values = total[far]
    return bool(total.max() - values.mean() > _STANDS_OUT * values.std())


def _unknown(reason: str, cells: int) -> Misregistration:
    return Misregistration(float("nan"), float("nan"), (float("nan"), float("nan")), cells, reason)
