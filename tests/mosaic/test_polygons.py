"""Outlines of objects that neighbouring chips saw in parts: each object of the scene comes out once, in one
piece, wherever the chips lie.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import shapely
import shapely.affinity
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.core.arrays import Objects
from eo_dl.core.chipgrid import Cell, ChipGrid
from eo_dl.core.classes import ClassSet
from eo_dl.mosaic.objectmosaic import ObjectMosaic
from eo_dl.tasks.instances.codec import InstancesCodec

CODEC = InstancesCodec(ClassSet.of_names(["roof", "field"]))
CELLS, FINE = 28, 4


def _exact(cell: Cell, truth: Objects) -> Objects:
    """What a flawless network says of a chip: each object that shows, cut at the chip's border."""
    visible = shapely.intersection(truth.polygons, shapely.box(*cell.read.box))
    seen = np.flatnonzero(shapely.area(visible) > 1e-9)
    polygons = np.array(
        [shapely.union_all([p for p in shapely.get_parts(visible[i]) if p.area > 0]) for i in seen], object
    )
    return Objects(
        shapely.bounds(polygons).reshape(-1, 4), truth.class_ids[seen], truth.scores[seen], polygons
    )


def _by_masks(cell: Cell, truth: Objects) -> Objects:
    """The same as arrays of 28 x 28 cells, decoded as those of a network are."""
    exact = _exact(cell, truth).shifted(-cell.read.col, -cell.read.row)
    steps = (np.arange(CELLS * FINE) + 0.5) / (CELLS * FINE)
    masks = np.zeros((len(exact), CELLS, CELLS), np.float32)
    for mask, (col0, row0, col1, row1), outline in zip(masks, exact.boxes, exact.polygons, strict=True):
        shapely.prepare(outline)
        inside = shapely.intersects_xy(
            outline, *np.meshgrid(col0 + steps * (col1 - col0), row0 + steps * (row1 - row0))
        )
        mask[:] = inside.reshape(CELLS, FINE, CELLS, FINE).mean(axis=(1, 3))
    raw: dict[str, npt.NDArray[np.generic]] = {
        "boxes": exact.boxes,
        "scores": exact.scores,
        "channels": exact.class_ids - 1,
        "masks": masks,
    }
    return CODEC.decode(raw).shifted(cell.read.col, cell.read.row)


def _run(grid: ChipGrid, truth: Objects, view=_exact) -> tuple[Objects, ObjectMosaic]:
    mosaic, found = ObjectMosaic(grid), []
    for grid_row in range(grid.shape[0]):
        for cell in grid.row(grid_row):
            mosaic.add(cell, view(cell, truth))
        found.append(mosaic.finished(grid_row))
    return Objects.concatenate(found), mosaic


def _in_pieces(cell: Cell, truth: Objects) -> Objects:
    """Each connected piece that shows in the chip as an object of its own: all that a network can know."""
    exact = _exact(cell, truth)
    polygons, index = shapely.get_parts(exact.polygons, return_index=True)
    return Objects(
        shapely.bounds(polygons).reshape(-1, 4), exact.class_ids[index], exact.scores[index], polygons
    )


def _patchwork(grid: ChipGrid, count: int, seed: int, classes: int, least_radius: float = 0.1) -> Objects:
    """Touching objects of every shape: groups of neighbouring Voronoi cells over the scene, some with a hole,
    some cells left empty.
    """
    rng = np.random.default_rng(seed)
    frame = shapely.box(0, 0, grid.width, grid.height)
    points = rng.random((max(count, 4), 2)) * [grid.width, grid.height]
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.multipoints(points), extend_to=frame))
    cells = shapely.intersection(cells, frame)
    group = np.arange(len(cells))
    first, second = shapely.STRtree(cells).query(cells, predicate="touches")
    for place in rng.permutation(len(first))[: len(cells) // 3]:
        if shapely.length(shapely.intersection(cells[first[place]], cells[second[place]])) > 1:
            group[group == group[first[place]]] = group[second[place]]
    outlines = []
    for number in np.unique(group):
        outline = shapely.union_all(cells[group == number])
        if (
            outline.area < 9
            or outline.buffer(-least_radius).is_empty
            or outline.geom_type != "Polygon"
            or rng.random() < 0.2
        ):
            continue
        hole = shapely.Point(*outline.representative_point().coords[0]).buffer(
            min(outline.bounds[2] - outline.bounds[0], 20) / 5
        )
        outlines.append(
            outline.difference(hole) if outline.contains_properly(hole) and rng.random() < 0.3 else outline
        )
    polygons = np.array(outlines, dtype=object)
    scores = rng.uniform(0.5, 1, len(polygons)).astype(np.float32)
    return Objects(
        shapely.bounds(polygons).reshape(-1, 4), rng.integers(1, classes + 1, len(polygons)), scores, polygons
    )


@st.composite
def _grids(draw: st.DrawFn) -> ChipGrid:
    size = draw(st.integers(24, 64))
    return ChipGrid(
        draw(st.integers(20, 160)), draw(st.integers(20, 160)), size, draw(st.integers(3, size // 3))
    )


def _ious(found: Objects, truth: Objects) -> npt.NDArray[np.float64]:
    """(T, F) IoU of every true object with every found one of its class."""
    table = np.zeros((len(truth), len(found)))
    for row, outline in enumerate(truth.polygons):
        common = shapely.area(shapely.intersection(found.polygons, outline))
        table[row] = (
            common
            / (shapely.area(found.polygons) + outline.area - common)
            * (found.class_ids == truth.class_ids[row])
        )
    return table


def _assert_each_once(found: Objects, truth: Objects, least: float) -> None:
    assert shapely.is_valid(found.polygons).all() if len(found) else not len(truth)
    table = _ious(found, truth)
    assert len(found) == len(truth)
    assert (table.max(axis=1, initial=0) > least).all(), table.max(axis=1, initial=0).min()


@settings(max_examples=40, deadline=None)
@given(_grids(), st.integers(4, 60), st.integers(0, 2**32 - 1), st.integers(1, 2))
def test_touching_objects_of_any_shape_and_size_come_out_once_and_whole(
    grid: ChipGrid, count: int, seed: int, classes: int
) -> None:
    truth = _patchwork(grid, count, seed, classes)
    found, _ = _run(grid, truth)
    _assert_each_once(found, truth, 0.999)


@settings(max_examples=40, deadline=None)
@given(_grids(), st.integers(4, 60), st.integers(0, 2**32 - 1), st.integers(1, 2))
def test_so_they_do_when_every_piece_in_a_chip_is_an_object(
    grid: ChipGrid, count: int, seed: int, classes: int
) -> None:
    truth = _patchwork(grid, count, seed, classes)
    found, _ = _run(grid, truth, _in_pieces)
    _assert_each_once(found, truth, 0.999)


@settings(max_examples=12, deadline=None)
@given(_grids(), st.integers(4, 30), st.integers(0, 2**32 - 1))
def test_so_they_do_when_a_network_says_them_as_masks(grid: ChipGrid, count: int, seed: int) -> None:
    truth = _patchwork(grid, count, seed, 2, least_radius=3)
    found, _ = _run(grid, truth, _by_masks)
    _assert_each_once(found, truth, 0.95)


# Two chips of 64 px, one above the other, that share rows 32 to 64.
STACKED = ChipGrid(96, 64, 64, 16)


def _views(*views: list[shapely.Geometry]) -> tuple[Objects, ObjectMosaic]:
    """Runs a column of chips, of which chip k says `views[k]`."""
    mosaic, found = ObjectMosaic(STACKED), []
    for grid_row, polygons in enumerate(views):
        outlines = np.array(polygons, dtype=object)
        bounds = shapely.bounds(outlines).reshape(-1, 4)
        mosaic.add(
            STACKED.cell(grid_row, 0),
            Objects(bounds, np.ones(len(bounds), np.int64), np.full(len(bounds), 0.9, np.float32), outlines),
        )
        found.append(mosaic.finished(grid_row))
    return Objects.concatenate(found), mosaic


LEFT, RIGHT, LOWER = shapely.box(10, 10, 20, 80), shapely.box(20, 10, 30, 80), shapely.box(10, 80, 50, 90)
APART = shapely.box(40, 10, 50, 80)
ABOVE, BELOW = shapely.box(0, 0, 64, 64), shapely.box(0, 32, 64, 96)


def test_arms_that_one_chip_saw_apart_are_one_object_where_the_other_saw_them_meet() -> None:
    whole = shapely.union_all([LEFT, APART, LOWER])
    objects, mosaic = _views([LEFT & ABOVE, APART & ABOVE], [whole & BELOW])
    assert len(objects) == 1
    assert objects.polygons[0].symmetric_difference(whole).area == pytest.approx(0)
    assert (mosaic.joined, mosaic.cut_at_seam, mosaic.undecided) == (1, 0, 0)


def test_touching_objects_that_one_chip_took_for_one_are_not_merged_but_counted() -> None:
    objects, mosaic = _views([LEFT & ABOVE, RIGHT & ABOVE], [(LEFT | RIGHT) & BELOW])
    assert len(objects) == 2
    assert (mosaic.cut_at_seam, mosaic.undecided) == (1, 1)


def test_slanting_neighbours_whose_boxes_overlap_are_no_duplicates() -> None:
    upper = shapely.Polygon([(4, 30), (60, 44), (60, 48), (4, 34)])
    lower = shapely.affinity.translate(upper, 0, 4.5)
    objects, mosaic = _views([upper, lower], [upper, lower])
    assert len(objects) == 2
    assert mosaic.duplicates == 0
