"""A perfect detector that sees chips gives every object of the scene exactly once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.core.arrays import Objects, boxes_to_polygons
from eo_dl.core.chipgrid import Cell, ChipGrid
from eo_dl.mosaic.objectmosaic import ObjectMosaic

Boxes = npt.NDArray[np.float64]


def _perfect(cell: Cell, truth: Objects) -> Objects:
    """What a flawless detector says of a chip: every object that shows, cut at the chip's border."""
    frame = shapely.box(*cell.read.box)
    polygons = shapely.intersection(truth.outlines(), frame)
    seen = shapely.area(polygons) > 0
    boxes = shapely.bounds(polygons[seen]).reshape(-1, 4)
    return Objects(
        boxes,
        truth.class_ids[seen],
        truth.scores[seen],
        polygons[seen] if len(truth.polygons) else truth.polygons,
    )


def _run(grid: ChipGrid, truth: Objects, suppress_iou: float | None = 0.5) -> tuple[Objects, ObjectMosaic]:
    mosaic, found = ObjectMosaic(grid, suppress_iou=suppress_iou), []
    for grid_row in range(grid.shape[0]):
        for cell in grid.row(grid_row):
            mosaic.add(cell, _perfect(cell, truth))
        found.append(mosaic.finished(grid_row))
    return Objects.concatenate(found), mosaic


def _sorted(boxes: Boxes) -> Boxes:
    return boxes[np.lexsort(boxes.round(6).T)]


def _assert_each_once(found: Objects, truth: Objects) -> None:
    assert len(found) == len(truth)
    np.testing.assert_allclose(_sorted(found.boxes), _sorted(truth.boxes), atol=1e-6)


@st.composite
def _grids(draw: st.DrawFn) -> ChipGrid:
    size = draw(st.integers(14, 48))
    return ChipGrid(
        draw(st.integers(5, 110)), draw(st.integers(5, 110)), size, draw(st.integers(2, size // 3))
    )


def _lattice(grid: ChipGrid, spacing: int, seed: int, largest: float) -> Objects:
    """Disjoint objects of two classes: one in each square of a lattice, each with its own offset."""
    rng = np.random.default_rng(seed)
    offset = rng.random(2) * spacing
    cols, rows = (
        g.ravel()
        for g in np.meshgrid(
            np.arange(-1, grid.width // spacing + 1), np.arange(-1, grid.height // spacing + 1)
        )
    )
    low = np.column_stack([cols, rows]) * spacing + offset
    size = np.minimum(1 + rng.random(low.shape) * (spacing - 1), largest)
    start = low + rng.random(low.shape) * (spacing - size)
    limit = [grid.width, grid.height]
    boxes = np.column_stack([np.clip(start, 0, limit), np.clip(start + size, 0, limit)])
    boxes = boxes[(boxes[:, 2] - boxes[:, 0] > 0.05) & (boxes[:, 3] - boxes[:, 1] > 0.05)]
    return Objects(boxes, rng.integers(1, 3, len(boxes)), rng.random(len(boxes)).astype(np.float32))


@settings(max_examples=25)
@given(_grids(), st.integers(3, 30), st.integers(0, 2**32 - 1), st.sampled_from([None, 0.5]))
def test_objects_within_two_margins_are_kept_exactly_once(
    grid: ChipGrid, spacing: int, seed: int, suppress_iou: float | None
) -> None:
    truth = _lattice(grid, spacing, seed, 2 * grid.margin_px)
    found, _ = _run(grid, truth, suppress_iou)
    _assert_each_once(found, truth)


@settings(max_examples=25)
@given(_grids(), st.integers(8, 140), st.integers(0, 2**32 - 1), st.sampled_from([None, 0.5]))
def test_larger_rectangles_are_joined_across_any_number_of_chips(
    grid: ChipGrid, spacing: int, seed: int, suppress_iou: float | None
) -> None:
    truth = _lattice(grid, spacing, seed, 1e9)
    found, _ = _run(grid, truth, suppress_iou)
    _assert_each_once(found, truth)


@settings(max_examples=25)
@given(_grids(), st.integers(6, 60), st.integers(0, 2**32 - 1))
def test_discs_with_outlines_are_joined_to_the_disc(grid: ChipGrid, spacing: int, seed: int) -> None:
    lattice = _lattice(grid, spacing, seed, 1e9)
    centres, radius = (
        (lattice.boxes[:, :2] + lattice.boxes[:, 2:]) / 2,
        (lattice.boxes[:, 2:] - lattice.boxes[:, :2]).min(axis=1) / 2,
    )
    discs = shapely.buffer(shapely.points(centres), radius)
    truth = Objects(shapely.bounds(discs), lattice.class_ids, lattice.scores, discs)
    found, _ = _run(grid, truth)
    _assert_each_once(found, truth)
    assert shapely.area(found.polygons).sum() == pytest.approx(shapely.area(discs).sum())


@settings(max_examples=25)
@given(_grids(), st.integers(4, 40), st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_streaming_by_rows_gives_what_all_at_once_gives(
    grid: ChipGrid, spacing: int, seed: int, jitter: int
) -> None:
    """Also for a sloppy detector, where joins and duplicates depend on what the neighbours say."""
    rng = np.random.default_rng(seed)
    truth = _lattice(grid, spacing, seed, 1e9)
    stream, whole, found = ObjectMosaic(grid), ObjectMosaic(grid), []
    for grid_row in range(grid.shape[0]):
        for cell in grid.row(grid_row):
            seen = _perfect(cell, truth)
            moved = seen.boxes + rng.normal(0, jitter, seen.boxes.shape)
            boxes = np.column_stack([np.minimum(moved[:, :2], moved[:, 2:] - 0.1), moved[:, 2:]])
            boxes = np.clip(boxes, [cell.read.col, cell.read.row] * 2, [cell.read.col1, cell.read.row1] * 2)
            seen = Objects(boxes, seen.class_ids, rng.random(len(seen)).astype(np.float32)).take(
                (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
            )
            stream.add(cell, seen)
            whole.add(cell, seen)
        found.append(stream.finished(grid_row))
    streamed, at_once = Objects.concatenate(found), whole.finished(grid.shape[0] - 1)
    order = [np.lexsort((o.scores, *o.boxes.T)) for o in (streamed, at_once)]
    np.testing.assert_array_equal(streamed.boxes[order[0]], at_once.boxes[order[1]])
    np.testing.assert_array_equal(streamed.scores[order[0]], at_once.scores[order[1]])
    assert (stream.joined, stream.cut_at_seam, stream.duplicates) == (
        whole.joined,
        whole.cut_at_seam,
        whole.duplicates,
    )


def _pieces(
    grid: ChipGrid, found: dict[int, list[tuple[list[float], int, float]]]
) -> tuple[Objects, ObjectMosaic]:
    """Runs one row of chips, of which chip k says `found[k]`: (box, class, score)."""
    mosaic = ObjectMosaic(grid)
    for place, cell in enumerate(grid.row(0)):
        boxes, ids, scores = zip(*found[place], strict=True) if found.get(place) else ((), (), ())
        mosaic.add(
            cell,
            Objects(
                np.array(boxes, float).reshape(-1, 4), np.array(ids, np.int64), np.array(scores, np.float32)
            ),
        )
    return mosaic.finished(0), mosaic


# Two chips of 64 px over 96 columns that share columns 32 to 64; keep windows meet at 48.
TWO = ChipGrid(64, 96, 64, 16)


def test_a_joined_object_has_the_union_box_and_the_higher_score() -> None:
    objects, mosaic = _pieces(TWO, {0: [([10, 20, 64, 30], 1, 0.6)], 1: [([32, 21, 90, 31], 1, 0.8)]})
    assert objects.boxes.tolist() == [[10, 20, 90, 31]]
    assert objects.scores.tolist() == pytest.approx([0.8])
    assert (mosaic.joined, mosaic.cut_at_seam) == (1, 0)


def test_a_cut_object_without_counterpart_stays_and_is_counted() -> None:
    objects, mosaic = _pieces(TWO, {0: [([10, 20, 64, 30], 1, 0.6)]})
    assert objects.boxes.tolist() == [[10, 20, 64, 30]]
    assert objects.cut is not None and objects.cut.tolist() == [True]
    assert (mosaic.joined, mosaic.cut_at_seam) == (0, 1)


def test_parts_of_two_classes_are_never_joined() -> None:
    objects, mosaic = _pieces(TWO, {0: [([10, 20, 64, 30], 1, 0.6)], 1: [([32, 20, 90, 30], 2, 0.8)]})
    assert len(objects) == 2 and mosaic.cut_at_seam == 2


def test_neighbours_that_touch_at_the_seam_are_not_joined() -> None:
    above, below = [10.0, 0, 64, 20], [32.0, 20, 90, 40]
    objects, _ = _pieces(TWO, {0: [(above, 1, 0.6)], 1: [(below, 1, 0.8)]})
    assert sorted(objects.boxes.tolist()) == [above, below]


def test_the_same_object_kept_by_both_chips_is_kept_once() -> None:
    objects, mosaic = _pieces(TWO, {0: [([43, 20, 52, 30], 1, 0.6)], 1: [([44, 20, 53, 30], 1, 0.7)]})
    assert objects.boxes.tolist() == [[44, 20, 53, 30]] and mosaic.duplicates == 1


def test_an_object_that_each_chip_places_just_outside_its_own_part_is_not_lost() -> None:
    objects, _ = _pieces(TWO, {0: [([43.4, 20, 53.4, 30], 1, 0.6)], 1: [([42.4, 20, 52.4, 30], 1, 0.7)]})
    assert len(objects) == 1


def test_what_lies_in_the_padding_of_a_small_scene_is_no_object() -> None:
    grid = ChipGrid(20, 20, 64, 8)
    objects, _ = _pieces(grid, {0: [([30, 30, 40, 40], 1, 0.9), ([10, 10, 30, 15], 1, 0.8)]})
    assert objects.boxes.tolist() == [[10, 10, 20, 15]]


def test_memory_holds_only_the_open_seam() -> None:
    grid = ChipGrid(2000, 64, 32, 8)
    truth = _lattice(grid, 12, 5, 10)
    mosaic, open_at_most, total = ObjectMosaic(grid), 0, 0
    for grid_row in range(grid.shape[0]):
        for cell in grid.row(grid_row):
            mosaic.add(cell, _perfect(cell, truth))
        total += len(mosaic.finished(grid_row))
        open_at_most = max(open_at_most, sum(len(pool) for pool in mosaic._waiting))
    assert total == len(truth) > 500
    assert open_at_most < 80


def test_polygons_of_a_perfect_detector_survive_whole() -> None:
    grid = ChipGrid(100, 100, 40, 8)
    boxes = np.array([[3.0, 3, 90, 20], [30, 40, 36, 90]])
    truth = Objects(boxes, np.array([1, 1]), np.ones(2, np.float32), boxes_to_polygons(boxes))
    found, mosaic = _run(grid, truth)
    assert mosaic.joined == 2
    assert sorted(shapely.area(found.polygons).tolist()) == sorted(shapely.area(truth.polygons).tolist())
