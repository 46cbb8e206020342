"""The side of a chip that nobody stated: whole objects, and enough labelled chips in every split."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.chips.sampling import Sampling
from eo_dl.chips.sizechoice import SIZES_PX, ObjectSizes, gsd_note, size_trials
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.errors import SplitError
from tests.chips.conftest import UTM, Writer, squares
from tests.making import write_polygons

LARGE_SCENE_PX = 10_000


def _sizes(median_px: float, *, separate: bool = True) -> ObjectSizes:
    return ObjectSizes(median_px, 1.5 * median_px, separate)


def _roofs(folder: Path, count_x: int, count_y: int) -> Path:
    """Roofs of 12 px, every 30 px."""
    roofs = squares(count_x, count_y, 30, 12)
    return write_polygons(folder / "roofs.gpkg", roofs, crs=UTM, kind=["roof"] * len(roofs))


@pytest.mark.parametrize(
    ("large_px", "expected"),
    [(None, 256), (20, 256), (170, 256), (180, 384), (300, 512), (400, 512), (900, 256)],
)
def test_chips_are_as_large_as_whole_objects_need(large_px: float | None, expected: int) -> None:
    sizes = None if large_px is None else ObjectSizes(large_px / 2, large_px, separate=True)
    assert size_trials(sizes, LARGE_SCENE_PX)[0].chip_px == expected


@given(st.floats(1, 2000), st.integers(16, 20_000))
def test_trials_ask_for_less_only_after_all_smaller_chips(large_px: float, scene_px: int) -> None:
    trials = size_trials(ObjectSizes(large_px / 2, large_px, separate=True), scene_px)
    assert [(trial.least_labelled, trial.chip_px) for trial in trials] == sorted(
        ((trial.least_labelled, trial.chip_px) for trial in trials), reverse=True
    )
    assert {trial.chip_px for trial in trials} <= set(SIZES_PX)
    assert all(trial.chip_px <= max(scene_px, min(SIZES_PX)) for trial in trials)


def test_a_coarser_gsd_is_proposed_for_objects_of_many_pixels_only() -> None:
    crowns = gsd_note(_sizes(160), 0.05)  # crowns of 8 m
    assert crowns is not None and "8 m" in crowns and "`gsd_m=0.2`" in crowns
    assert gsd_note(_sizes(40), 0.05) is None
    assert gsd_note(_sizes(160, separate=False), 0.05) is None, "land cover has no size"
    assert gsd_note(_sizes(160), None) is None


def test_every_split_shows_labels_on_a_scene_too_small_for_usual_chips(
    write_scene: Writer, tmp_path: Path
) -> None:
    scene = write_scene("a.tif", 300, 360)
    labels = _roofs(tmp_path, 12, 9)
    chips = tile(scene, labels, out=tmp_path / "chips")
    assert chips.chip_px < 256
    for name in ("train", "val", "test"):
        assert sum(not record.empty for record in chips.split(name)) >= 3
    (note,) = [note for note in chips.notes if "change it with `size`" in note]
    assert f"chips of {chips.chip_px} px" in note and "3 labelled chips" in note and "`size`" in note
    assert set(chips.shared_ground.values()) == {0}


def test_a_stated_size_is_taken_without_a_word(write_scene: Writer, tmp_path: Path) -> None:
    scene = write_scene("a.tif", 300, 360)
    labels = _roofs(tmp_path, 12, 9)
    chips = tile(scene, labels, out=tmp_path / "chips", size_px=80)
    assert chips.chip_px == 80 and not [note for note in chips.notes if note.startswith("chips of 80")]


def test_ground_too_small_for_any_chip_is_one_line_and_leaves_nothing(
    write_scene: Writer, tmp_path: Path
) -> None:
    scene = write_scene("a.tif", 70, 70)
    labels = _roofs(tmp_path, 2, 2)
    with pytest.raises(
        SplitError, match=r"a.tif.*too small for 3 splits, even with chips of 64 px; add"
    ) as refused:
        tile(scene, labels, out=tmp_path / "chips")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "chips").exists()
    # With one split there is nothing to divide.
    assert tile(scene, labels, out=tmp_path / "chips", split=Split((1, 0, 0))).chip_px == 64


def test_chosen_chips_are_wider_than_the_overlap_and_fit_the_blocks(
    write_scene: Writer, tmp_path: Path
) -> None:
    scene = write_scene("a.tif", 300, 360)
    labels = _roofs(tmp_path, 12, 9)
    overlap = tile(scene, labels, out=tmp_path / "overlap", sampling=Sampling(overlap_px=70))
    assert overlap.chip_px > 70
    blocks = tile(scene, labels, out=tmp_path / "blocks", split=Split(block_px=100))
    assert blocks.chip_px <= 100
