"""A move takes pixels, labels and boxes to the same place; albumentations moves them there, too."""

from __future__ import annotations

import albumentations as A
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.chips.moves import EIGHT_WAYS, Move

FACTORS = st.floats(0.25, 4)
WAYS = st.sampled_from(EIGHT_WAYS)
SIDE = 40


def _naive(plane: np.ndarray, move: Move) -> np.ndarray:
    """A turn, by numpy."""
    turned = plane.T if move.transposed else plane
    turned = turned[::-1] if move.upside_down else turned
    return turned[:, ::-1] if move.mirrored else turned


def _scaled(way: Move, factor: float) -> Move:
    return Move(way.transposed, way.upside_down, way.mirrored, factor)


@st.composite
def rectangles(draw: st.DrawFn) -> tuple[int, int, int, int]:
    col0, row0 = draw(st.integers(0, SIDE - 3)), draw(st.integers(0, SIDE - 3))
    return col0, row0, draw(st.integers(col0 + 2, SIDE)), draw(st.integers(row0 + 2, SIDE))


@settings(max_examples=80, deadline=None)
@given(way=WAYS, seed=st.integers(0, 1000))
def test_a_turn_is_exact_for_every_type_of_plane(way: Move, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (9, 9) if way.transposed else (9, 14)
    classes = rng.integers(0, 256, (3, height, width)).astype(np.uint8)
    flags, values = classes > 99, classes.astype(np.float32)
    valid = flags[0]
    for planes in (classes, flags, values):
        moved = way.labels(planes)
        assert moved.dtype == planes.dtype and moved.flags.c_contiguous
        assert np.array_equal(moved, [_naive(plane, way) for plane in planes])
    image, still = way.image(values * valid, valid)
    assert np.array_equal(image, [_naive(plane, way) for plane in values * valid])
    assert np.array_equal(still, _naive(valid, way))


@settings(max_examples=150, deadline=None)
@given(way=WAYS, factor=FACTORS, rectangle=rectangles())
def test_the_box_of_moved_pixels_is_the_moved_box(
    way: Move, factor: float, rectangle: tuple[int, int, int, int]
) -> None:
    """Within half a pixel after the move, because a pixel belongs to an object or it does not."""
    col0, row0, col1, row1 = rectangle
    flags = np.zeros((1, SIDE, SIDE), bool)
    flags[0, row0:row1, col0:col1] = True
    move = _scaled(way, factor)
    box = move.boxes(np.array([rectangle], np.float32), SIDE, SIDE)[0]
    rows, cols = np.nonzero(move.labels(flags)[0])
    if not len(rows):
        assert (box[2:] - box[:2]).min() <= 1
        return
    found = np.array([cols.min(), rows.min(), cols.max() + 1, rows.max() + 1])
    assert np.abs(found - box).max() <= 0.51


@settings(max_examples=80, deadline=None)
@given(way=WAYS, factor=FACTORS, seed=st.integers(0, 1000))
def test_labels_and_pixels_move_together(way: Move, factor: float, seed: int) -> None:
    """A ramp over the chip says where each pixel comes from: image and nearest label agree on it."""
    move, valid = _scaled(way, factor), np.ones((SIDE, SIDE), bool)
    rows, cols = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    image, still = move.image(np.stack([cols, rows]), valid)
    nearest = move.labels(np.stack([cols, rows]))
    # Near the border of the old chip, what lies beyond it is a copy of the border.
    inner = still & (nearest > 4).all(axis=0) & (nearest < SIDE - 5).all(axis=0)
    assert np.abs(image - nearest)[:, inner].max(initial=0) <= 0.56
    matrix = move.matrix(SIDE, SIDE)
    came_from = image + 0.5
    went_to = np.einsum("ij,jhw->ihw", matrix[:, :2], came_from) + matrix[:, 2][:, None, None]
    centres = np.stack([cols, rows]) + 0.5
    assert np.abs(went_to - centres)[:, inner].max(initial=0) <= 0.06 * max(1, factor)


@settings(max_examples=60, deadline=None)
@given(way=WAYS, factor=FACTORS, seed=st.integers(0, 1000))
def test_pixels_that_were_not_measured_give_nothing_to_their_neighbours(
    way: Move, factor: float, seed: int
) -> None:
    valid = np.random.default_rng(seed).random((SIDE, SIDE)) < 0.7
    image = np.where(valid, np.float32(5), np.float32(0))[None]
    moved, still = _scaled(way, factor).image(image, valid)
    assert np.array_equal(still, _scaled(way, factor).labels(valid[None])[0])
    assert np.abs(moved[0, still] - 5).max(initial=0) < 1e-4 and (moved[0, ~still] == 0).all()


def test_what_a_smaller_scale_leaves_empty_has_the_filling_value_and_is_not_valid() -> None:
    half = Move(factor=0.5)
    _, still = half.image(np.ones((1, SIDE, SIDE), np.float32), np.ones((SIDE, SIDE), bool))
    filled = half.labels(np.zeros((1, SIDE, SIDE), np.uint8), fill=255)[0]
    expected = np.zeros((SIDE, SIDE), bool)
    expected[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4] = True
    assert np.array_equal(still, expected) and np.array_equal(filled == 0, expected)


def test_no_pixel_is_skipped_when_a_chip_shrinks_to_a_quarter() -> None:
    """A fine pattern turns into its mean, as it does for a camera that is farther away."""
    rows, cols = np.mgrid[0:128, 0:128]
    stripes = ((rows + cols) % 4 < 2).astype(np.float32)[None]
    moved, still = Move(factor=0.25).image(stripes, np.ones((128, 128), bool))
    inner = np.zeros_like(still)
    inner[52:76, 52:76] = True
    assert np.abs(moved[0, inner] - 0.5).max() < 0.1 and still[inner].all()


@pytest.mark.parametrize("way", EIGHT_WAYS)
@pytest.mark.parametrize("factor", [0.51, 0.83, 1.0, 1.27, 1.87])
def test_albumentations_gives_the_same(way: Move, factor: float) -> None:
    """A second reference. Interpolated values differ by the rounding of its weights to 1/32 pixel, and in
    the outermost pixel, where it mixes in zeros.
    """
    rng = np.random.default_rng(3)
    move = _scaled(way, factor)
    realized = move.scaled_px(SIDE) / SIDE  # whole pixels
    assert abs(realized - factor) <= 1 / SIDE
    image = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE, 4)).astype(np.float32), (0, 0), 1.5)
    mask = rng.integers(0, 5, (5, 5)).astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    boxes = np.array([[3, 5, 20, 17], [22, 8, 30, 39]], np.float32)
    flags = (way.transposed, way.upside_down, way.mirrored)
    turns = (A.Transpose(p=1), A.VerticalFlip(p=1), A.HorizontalFlip(p=1))
    steps = [A.NoOp(p=1), *(step for step, wanted in zip(turns, flags, strict=True) if wanted)]
    if factor != 1:
        steps.append(A.Affine(scale=(realized, realized), keep_ratio=True, p=1, fill=0, fill_mask=255))
    pipeline = A.Compose(
        steps, bbox_params=A.BboxParams(format="pascal_voc", label_fields=["index"], clip=True), seed=0
    )
    theirs = pipeline(image=image, mask=mask, bboxes=boxes, index=np.arange(2))
    valid = np.ones((SIDE, SIDE), bool)
    ours, still = move.image(np.ascontiguousarray(image.transpose(2, 0, 1)), valid)
    inner = cv2.erode(still.astype(np.uint8), np.ones((3, 3)), borderValue=0) > 0
    assert np.abs(ours - theirs["image"].transpose(2, 0, 1))[:, inner].max() < 0.02
    our_mask = move.labels(mask[None], fill=255)[0]
    # A pixel whose centre falls on the border of two pixels may take either, at borders 8 px apart.
    assert (our_mask == theirs["mask"]).mean() > (0.999 if factor == 1 else 0.9)
    assert np.abs(move.boxes(boxes, SIDE, SIDE) - theirs["bboxes"]).max() < 0.01
