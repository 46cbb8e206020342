"""Splits cannot leak: the ground of any two is measured here by shapely in map coordinates, not by the code
under test.
"""

from __future__ import annotations

from itertools import combinations, product
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer

from eo_dl.chips.chiprecord import ChipRecord
from eo_dl.chips.chipset import chip_ground
from eo_dl.chips.chipwindows import grid_windows, random_windows
from eo_dl.chips.conflicts import ChipGround, gave_way
from eo_dl.chips.places import Place
from eo_dl.chips.splits import (
    ChipsToSplit,
    Split,
    SplitChips,
    block_names,
    default_block_chips,
    fold_splits,
    fold_validated_on,
    split_chips,
)
from eo_dl.chips.splitsearch import BlockTable, _cost, assign_blocks
from eo_dl.core.gridwindow import GridWindow
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.errors import ConfigError
from eo_dl.io.scene import Scene

UTM33 = CRS.from_epsg(32633)


def _scene(
    height: int, width: int, col: float = 0, row: float = 0, pixel: float = 2.0, crs: CRS | None = UTM33
) -> SimpleNamespace:
    return SimpleNamespace(
        grid=PixelGrid(crs, Affine(pixel, 0, 500_000 + col, 0, -pixel, 5_000_000 - row), height, width)
    )


def _records(
    scenes: list[SimpleNamespace], size: int, overlap: int, count: int | None, seed: int
) -> list[ChipRecord]:
    found = []
    for index, scene in enumerate(scenes):
        rng = np.random.default_rng(seed + index)
        windows = (
            grid_windows(scene.grid, size, overlap)
            if count is None
            else sorted(set(random_windows(scene.grid, size, count, rng)))
        )
        found += [
            ChipRecord(f"{index}-{w.row}-{w.col}", index, GridWindow.of(w, scene.grid)) for w in windows
        ]
    return found


def _footprints(scenes: list[SimpleNamespace], records: list[ChipRecord], crs: CRS | None) -> np.ndarray:
    """Outlines in map coordinates of `crs`, cut to the scene, by corner points."""
    out = []
    for record in records:
        grid = scenes[record.scene_index].grid
        outline = shapely.segmentize(grid.footprint(record.window.intersection(grid.window)), 50)
        if grid.crs != crs:
            move = Transformer.from_crs(grid.crs, crs, always_xy=True).transform
            outline = shapely.transform(
                outline, lambda xy, move=move: np.column_stack(move(xy[:, 0], xy[:, 1]))
            )
        out.append(outline)
    return np.array(out, dtype=object)


def _split(
    scenes: list[SimpleNamespace],
    records: list[ChipRecord],
    size: int,
    pitch: int,
    split: Split,
    seed: int = 0,
    amounts: np.ndarray | None = None,
) -> tuple[ChipGround, tuple[str, ...], SplitChips]:
    ground = chip_ground(cast(list[Scene], scenes), records, size)  # only the grids are read
    blocks = block_names(ground, default_block_chips(ground.places, pitch) * pitch)
    amounts = np.zeros((len(records), 0)) if amounts is None else amounts
    chips = ChipsToSplit(ground, blocks, amounts, np.ones(len(records), bool))
    return ground, blocks, split_chips(chips, split, chip_px=size, seed=seed)


def _assert_apart(footprints: np.ndarray, splits: tuple[str, ...], guard: float) -> None:
    of = np.array(splits, dtype=object)
    for one, other in combinations(("train", "val", "test"), 2):
        first, second = shapely.union_all(footprints[of == one]), shapely.union_all(footprints[of == other])
        assert shapely.area(shapely.intersection(first, second)) == pytest.approx(0, abs=1e-3), (one, other)
        if guard and not first.is_empty and not second.is_empty:
            assert shapely.distance(first, second) >= guard - 0.01, (one, other)


@settings(max_examples=20)
@given(
    height=st.integers(90, 300),
    width=st.integers(90, 300),
    size=st.integers(16, 40),
    overlap=st.integers(0, 15),
    count=st.one_of(st.none(), st.integers(20, 80)),
    seed=st.integers(0, 10_000),
)
def test_splits_share_no_ground(
    height: int, width: int, size: int, overlap: int, count: int | None, seed: int
) -> None:
    scenes = [_scene(height, width)]
    records = _records(scenes, size, 0 if count else overlap, count, seed)
    try:
        ground, _, dealt = _split(
            scenes,
            records,
            size,
            size if count else size - overlap,
            Split((0.6, 0.2, 0.2)),
            seed,
        )
    except ConfigError:
        return  # too little ground for three splits, and said so
    _assert_apart(_footprints(scenes, records, UTM33), dealt.splits, dealt.guard_px * 2)
    assert not any(ground.shared_ground(dealt.splits).values())
    assert {"train", "val", "test"} <= set(dealt.splits)


@settings(max_examples=10)
@given(
    shift=st.floats(-150, 150),
    pixel=st.sampled_from([1.0, 2.0, 3.7]),
    seed=st.integers(0, 99),
    utm32=st.booleans(),
)
def test_two_dates_of_one_place_share_no_ground_either(
    shift: float, pixel: float, seed: int, utm32: bool
) -> None:
    """A second scene over the same ground, on another lattice, of another GSD, in another CRS."""
    crs = CRS.from_epsg(32632) if utm32 else UTM33
    second = _scene(160, 160, shift, shift / 2, pixel, crs)
    if utm32:
        x, y = Transformer.from_crs(UTM33, crs, always_xy=True).transform(500_000 + shift, 5_000_000)
        second = SimpleNamespace(grid=PixelGrid(crs, Affine(pixel, 0, x, 0, -pixel, y), 160, 160))
    scenes = [_scene(160, 160), second]
    records = _records(scenes, 20, 0, None, seed)
    ground, _, dealt = _split(scenes, records, 20, 20, Split((0.6, 0.2, 0.2)), seed)
    assert len(ground.places) == 1
    _assert_apart(_footprints(scenes, records, UTM33), dealt.splits, 0)


def test_an_asked_for_guard_is_kept() -> None:
    scenes = [_scene(320, 320)]
    records = _records(scenes, 16, 0, None, 0)
    _, _, dealt = _split(scenes, records, 16, 16, Split(guard_px=40.0), 3)
    assert dealt.guard_px == 40
    _assert_apart(_footprints(scenes, records, UTM33), dealt.splits, 80.0)
    assert dealt.splits.count("none") == dealt.lost > 0


def test_a_guard_of_one_chip_is_the_default_and_is_given_up_in_words() -> None:
    wide, narrow = [_scene(512, 512)], [_scene(64, 64)]
    split = Split()
    assert _split(wide, _records(wide, 16, 0, None, 0), 16, 16, split)[2].guard_px == 16
    tight = _split(narrow, _records(narrow, 16, 0, None, 0), 16, 16, split)[2]
    assert tight.guard_px < 16
    assert "a guard of one chip (16 px) would have cost" in tight.notes[0]


def test_plain_images_are_places_of_their_own() -> None:
    scenes = [_scene(64, 64, crs=None) for _ in range(12)]
    records = _records(scenes, 32, 0, None, 0)
    ground, blocks, dealt = _split(scenes, records, 32, 32, Split((0.5, 0.25, 0.25)))
    assert len(ground.places) == 12
    assert "none" not in dealt.splits
    for block in set(blocks):
        assert len({split for split, b in zip(dealt.splits, blocks, strict=True) if b == block}) == 1


def test_every_chip_is_in_test_in_one_fold() -> None:
    folds = [0, 1, 2, 3, 4, None]
    runs = [fold_splits(folds, fold, 5) for fold in range(5)]
    for chip in range(5):
        assert [run[chip] for run in runs].count("test") == 1
        assert [run[chip] for run in runs].count("val") == 1
    assert all(run[5] == "none" for run in runs)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_fold_is_validated_on_once_by_its_own_run(count: int) -> None:
    for val_fold in range(count):
        splits = fold_splits(range(count), fold_validated_on(val_fold, count), count)
        assert [fold for fold, split in enumerate(splits) if split == "val"] == [val_fold]
        assert splits.count("train") == max(1, count - 2)


def test_of_two_folds_one_is_val_and_the_other_train() -> None:
    assert fold_splits([0, 1, None], 0, 2) == ("val", "train", "none")
    assert fold_splits([0, 1, None], 1, 2) == ("train", "val", "none")


def test_the_deal_comes_near_the_best_of_all_deals() -> None:
    """Eight blocks, two classes of which one sits in three blocks: compared with all 3^8 deals."""
    rng = np.random.default_rng(0)
    amounts = np.column_stack([rng.uniform(0.5, 1, 8), np.array([5, 0, 0, 3, 0, 0, 2, 0.0])])
    shares = np.array([0.6, 0.2, 0.2])
    block_of = np.arange(8)
    nothing = (np.empty(0, np.int64), np.empty(0, np.int64))
    table = BlockTable.of(block_of, amounts, np.ones(8, bool), nothing)
    best = min(_cost(table, np.array(of), shares, True) for of in product(range(3), repeat=8))
    found = assign_blocks(table, shares, 0, ordered=True)
    assert _cost(table, found, shares, True) <= best * 1.1 + 1e-9
    assert {int(found[0]), int(found[3]), int(found[6])} == {0, 1, 2}


def test_classes_are_shared_out_in_proportion() -> None:
    scenes = [_scene(480, 480)]
    records = _records(scenes, 16, 0, None, 0)
    rng = np.random.default_rng(1)
    amounts = np.column_stack([rng.random(len(records)), rng.random(len(records)) < 0.05])
    _, _, dealt = _split(scenes, records, 16, 16, Split(), 0, amounts)
    of = np.array(dealt.splits)
    left = amounts[of != "none"].sum(axis=0)
    for name, share in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        assert np.abs(amounts[of == name].sum(axis=0) / left - share).max() < 0.12


def test_val_gives_way_to_test_before_train_gives_way_to_val() -> None:
    """1 (train) is near 2 (val), which is near 3 (test): the val chip goes, so the train chip stays."""
    pairs = (np.array([0, 1]), np.array([1, 2]))
    assert gave_way(("train", "val", "test"), np.ones(3, bool), pairs).tolist() == [False, True, False]
    assert gave_way(("train", "val", "none"), np.ones(3, bool), pairs).tolist() == [True, False, False]
    assert gave_way(("train", "val", "none"), np.array([True, False, True]), pairs).tolist() == [
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("shares", "folds", "word"),
    [
        ((0.5, 0.2, 0.2), None, "sum to 1"),
        ((0, 0.5, 0.5), None, "train"),
        ((0.7, 0.15, 0.15), 1, "2 or more"),
    ],
)
def test_impossible_requests_are_refused(
    shares: tuple[float, float, float], folds: int | None, word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        Split(shares, folds=folds)


def test_too_few_blocks_name_the_way_out() -> None:
    scenes = [_scene(32, 64)]
    records = _records(scenes, 32, 0, None, 0)
    with pytest.raises(ConfigError, match=r"2 blocks of ground, too few for 3 splits; .*`size`"):
        _split(scenes, records, 32, 32, Split())


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([0.0, 5.0, 16.0, 40.0]), st.integers(4, 16), st.integers(1, 6), st.integers(0, 2**31))
def test_near_pairs_are_those_of_comparing_all_chips(
    guard_px: float, pitch_px: int, group_count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    starts = [(col, row) for row in range(0, 48, pitch_px) for col in range(0, 48, pitch_px)]
    outlines = np.array([shapely.box(col, row, col + 16, row + 16) for col, row in starts], dtype=object)
    place_of = rng.integers(0, 2, len(starts))
    places = tuple(SimpleNamespace(number=number) for number in (0, 1))
    # Groups that lie in one block, and groups that are scattered.
    blocks = [f"b{col * group_count // 48}" for col, _ in starts]
    scattered = rng.integers(0, group_count, len(starts)).tolist()
    ground = ChipGround(cast(tuple[Place, ...], places), place_of, outlines)
    distances = shapely.distance(outlines[:, None], outlines)
    shared = shapely.area(shapely.intersection(outlines[:, None], outlines))
    near = distances < guard_px - 1e-3 if guard_px else shared > 0.02
    for groups in (blocks, scattered):
        expected = [
            (i, j)
            for i, j in combinations(range(len(starts)), 2)
            if near[i, j] and place_of[i] == place_of[j] and groups[i] != groups[j]
        ]
        pairs = ground.near_pairs(guard_px, groups)
        assert list(zip(*(side.tolist() for side in pairs), strict=True)) == expected
