"""Small areas and holes of a class map, against a plain reference on whole arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.postprocessing.cleanup import Cleanup
from eo_dl.postprocessing.mapcleaning import cleaned_rows
from eo_dl.postprocessing.regions import RowStrips
from tests.making import NORTH_UP

Labels = npt.NDArray[np.uint8]
CROSS = ndimage.generate_binary_structure(2, 1)

maps = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.sampled_from([0, 1, 1, 2, 255])
)


def strips(labels: Labels, height: int) -> RowStrips:
    return lambda: ((row, labels[row : row + height]) for row in range(0, len(labels), height))


def cleaned(labels: Labels, height: int, cleanup: Cleanup, has_background: bool = True) -> Labels:
    grid = PixelGrid(None, NORTH_UP, *labels.shape)
    rows, _ = cleaned_rows(strips(labels, height), grid, cleanup, has_background)
    return np.concatenate([ids for _, ids in rows()])


def areas_of(labels: Labels) -> list[npt.NDArray[np.bool_]]:
    """The mask of each connected area, one by one."""
    masks = []
    for value in np.unique(labels):
        numbered, count = ndimage.label(labels == value, CROSS)
        masks += [numbered == number for number in range(1, count + 1)]
    return masks


def plainly_filled(labels: Labels, most: float) -> Labels:
    filled = labels.copy()
    for mask in areas_of(labels):
        around = ndimage.binary_dilation(np.pad(mask, 1), CROSS) & ~np.pad(mask, 1)
        values = np.unique(np.pad(labels, 1, constant_values=255)[around])
        if labels[mask][0] == 0 and mask.sum() < most and len(values) == 1 and values[0] not in (0, 255):
            filled[mask] = values[0]
    return filled


def plainly_without_small(labels: Labels, least: float) -> Labels:
    kept = labels.copy()
    for mask in areas_of(labels):
        if labels[mask][0] not in (0, 255) and mask.sum() < least:
            kept[mask] = 0
    return kept


@settings(max_examples=40)
@given(maps, st.integers(1, 5), st.integers(1, 9))
def test_holes_and_small_areas_as_on_the_whole_map(labels: Labels, height: int, size: int) -> None:
    assert (cleaned(labels, height, Cleanup(fill_holes_m2=size)) == plainly_filled(labels, size)).all()
    assert (cleaned(labels, height, Cleanup(min_area_m2=size)) == plainly_without_small(labels, size)).all()
    both = plainly_without_small(plainly_filled(labels, size), size)
    assert (cleaned(labels, height, Cleanup(fill_holes_m2=size, min_area_m2=size)) == both).all()


@settings(max_examples=40)
@given(maps, st.integers(1, 5), st.integers(1, 9))
def test_a_sieve_leaves_no_small_area_that_has_a_way_to_a_large_one(
    labels: Labels, height: int, size: int
) -> None:
    sieved = cleaned(labels, height, Cleanup(sieve_px=size))
    assert ((sieved == 255) == (labels == 255)).all()
    for mask in areas_of(labels):
        large = mask.sum() >= size
        assert not large or (sieved[mask] == labels[mask]).all()
    # Ground between nodata that is smaller than the sieve as a whole stays; all other areas are large.
    ground, count = ndimage.label(labels != 255, CROSS)
    for number in range(1, count + 1):
        piece = ground == number
        sizes = [mask.sum() for mask in areas_of(labels) if mask[piece].any() and labels[mask][0] != 255]
        if max(sizes) < size:
            assert (sieved[piece] == labels[piece]).all()


@settings(max_examples=40)
@given(maps, st.integers(1, 5), st.integers(1, 9))
def test_strips_do_not_matter(labels: Labels, height: int, size: int) -> None:
    for cleanup in (
        Cleanup(sieve_px=size),
        Cleanup(min_area_m2=size),
        Cleanup(sieve_px=size, fill_holes_m2=size),
    ):
        one = cleaned(labels, height, cleanup)
        assert (one == cleaned(labels, len(labels), cleanup)).all()
        partition = cleaned(labels, height, cleanup, has_background=False)
        assert ((partition == 255) == (labels == 255)).all()


def test_a_small_area_takes_the_class_of_its_largest_neighbour() -> None:
    labels = np.full((6, 9), 1, np.uint8)
    labels[:, 5:] = 2  # smaller than the 1
    labels[2:4, 4:6] = 3
    labels[2, 4] = 4  # its largest neighbour is the 1, not the 3
    expected = labels.copy()
    expected[2:4, 4:6] = 1
    assert (cleaned(labels, 2, Cleanup(sieve_px=5)) == expected).all()
