"""Scenes of one name in several folders, as data sets come: each has a map of its own, and is scored on its
own ground alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from eo_dl import evaluate, predict, read_labels, tile
from eo_dl.bundle import Bundle
from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.splits import Split
from eo_dl.core.labelset import LabelSet
from eo_dl.errors import Cancelled, InputError
from eo_dl.evaluation.report import Report

Make = Callable[..., Bundle]
Write = Callable[..., Path]

TOWNS = ("east", "west", "north")
TEST = 0.3


def _ids(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 6, (64, 96)).astype(np.uint8)


@pytest.fixture
def world(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> tuple[Bundle, list[Path], ChipSet]:
    """Three images called `part_1.tif`, their label rasters beside them, and chips of all, split by blocks:
    other ones in each image.
    """
    bundle = make_bundle()
    use_engine(engines["echo"], bundle)  # its map is the image itself
    scenes = []
    for seed, town in enumerate(TOWNS):
        for kind in ("images", "masks"):
            (tmp_path / town / kind).mkdir(parents=True)
        scenes.append(write_scene(tmp_path / town / "images" / "part_1.tif", _ids(seed), crs=None))
        write_scene(tmp_path / town / "masks" / "part_1.tif", _ids(seed), crs=None)
    chips = tile(
        scenes,
        _truth(tmp_path, bundle),
        out=tmp_path / "chips",
        size_px=16,
        write_chips=False,
        split=Split((0.7, 0.0, TEST), block_px=16, guard_px=0),
    )
    return bundle, scenes, chips


def _truth(tmp_path: Path, bundle: Bundle) -> LabelSet:
    return read_labels(
        [tmp_path / town / "masks" for town in TOWNS],
        classes=[f"{info.name}={info.id}" for info in bundle.classes],
    )


def _scored(report: Report) -> int:
    return sum(count["truth"] for count in report.counts.values())


def _test_px(chips: ChipSet, index: int) -> int:
    return sum(record.window.area_px for record in chips.split("test") if record.scene_index == index)


def test_maps_lie_in_folders_like_the_scenes(
    tmp_path: Path, world: tuple[Bundle, list[Path], ChipSet]
) -> None:
    bundle, scenes, _ = world
    made = predict(bundle, scenes, out=tmp_path / "maps")
    assert [path.relative_to(tmp_path / "maps").as_posix() for path in made.paths] == [
        f"{town}/images/part_1.tif" for town in TOWNS
    ]
    with pytest.raises(InputError, match=r"2 inputs are called .*one file"):
        predict(bundle, [*scenes, scenes[0]], out=tmp_path / "more")


def test_a_stopped_run_goes_on_in_its_folders(
    tmp_path: Path, world: tuple[Bundle, list[Path], ChipSet]
) -> None:
    bundle, scenes, _ = world
    starts: list[int] = []

    def stop(done: int, total: int, what: str) -> None:
        starts.append(done)
        if starts.count(0) == 3:
            raise KeyboardInterrupt

    with pytest.raises(Cancelled):
        predict(bundle, scenes, out=tmp_path / "maps", on_progress=stop)
    first = tmp_path / "maps" / "east" / "images" / "part_1.tif"
    before = first.stat().st_mtime_ns
    made = predict(bundle, scenes, out=tmp_path / "maps")
    assert (
        first.stat().st_mtime_ns == before
        and len(made.paths) == 3
        and all(path.is_file() for path in made.paths)
    )


def test_each_map_is_scored_on_its_own_test_ground(
    tmp_path: Path, world: tuple[Bundle, list[Path], ChipSet]
) -> None:
    bundle, scenes, chips = world
    predict(bundle, scenes, out=tmp_path / "maps")
    shares = [
        {record.window for record in chips.split("test") if record.scene_index == index} for index in range(3)
    ]
    assert shares[0] != shares[1], "other chips in each image, or the test says nothing"
    report = evaluate(tmp_path / "maps", _truth(tmp_path, bundle), chips=chips)
    assert report.score("overall_accuracy").value == 1.0, "each map meets the label raster of its own folder"
    assert _scored(report) == sum(_test_px(chips, index) for index in range(3))
    for index, town in enumerate(TOWNS):
        report = evaluate(tmp_path / "maps" / town, _truth(tmp_path, bundle), chips=chips)
        assert _scored(report) == _test_px(chips, index)


def test_where_nothing_tells_them_apart_it_says_so(
    tmp_path: Path, world: tuple[Bundle, list[Path], ChipSet]
) -> None:
    bundle, scenes, chips = world
    predict(bundle, scenes[0], out=tmp_path / "map.tif")
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(tmp_path / "map.tif", tmp_path / "elsewhere" / "part_1.tif")
    truth = read_labels(
        tmp_path / "east" / "masks", classes=[f"{info.name}={info.id}" for info in bundle.classes]
    )
    with pytest.raises(InputError, match=r"3 of its images are called part_1\.tif.*`scene`"):
        evaluate(moved, truth, chips=chips)
    report = evaluate(moved, truth, chips=chips, scene=scenes[0])
    assert _scored(report) == _test_px(chips, 0)


def test_splits_are_taken_over_image_by_image(
    tmp_path: Path, world: tuple[Bundle, list[Path], ChipSet]
) -> None:
    bundle, scenes, chips = world
    again = tile(
        scenes[::-1],
        _truth(tmp_path, bundle),
        out=tmp_path / "again",
        size_px=16,
        split=Split(like=chips.path),
        write_chips=False,
    )
    for index in range(3):
        held = {(r.window, r.split) for r in chips.records if r.scene_index == index}
        assert held == {(r.window, r.split) for r in again.records if r.scene_index == 2 - index}
