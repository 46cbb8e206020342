"""Scenes in which single bands lack pixels, from `tile` to the samples of a network."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.chips.augment import Augment, AugmentConfig
from eo_dl.chips.chipset import ChipSet, open_chip_set
from eo_dl.chips.dataset import ChipDataset, Sample
from eo_dl.chips.moves import EIGHT_WAYS, Move
from eo_dl.chips.samplecache import MemoryStorage, SampleCache
from eo_dl.chips.statistics import statistics, tally_bands
from eo_dl.chips.tile import tile
from eo_dl.core.bands import Band, BandSet
from eo_dl.core.normalization import Normalization
from eo_dl.io.scene import open_scene
from eo_dl.labels.reading import read_labels

from .test_dataset import Masks

Writer = Callable[..., Path]
DATES = ("d1", "d2", "d3")
CLOUD = 65535


def cloudy() -> np.ndarray:
    """Three dates; a cloud in the second covers the right half, one in the third a corner of it."""
    pixels = np.random.default_rng(0).integers(1, 5000, (3, 96, 160))
    pixels[1, :, 80:] = CLOUD
    pixels[2, :20, 100:] = CLOUD
    return pixels


def striped() -> np.ndarray:
    """Three dates; in every second row the second one lacks the right half of each chip of 16 px."""
    pixels = np.random.default_rng(0).integers(1, 5000, (3, 96, 160))
    pixels[1, ::2, np.arange(160) % 16 >= 8] = CLOUD
    return pixels


@pytest.fixture
def make(write_scene: Writer, write_labels: Writer, tmp_path: Path) -> Callable[..., ChipSet]:
    labels = read_labels(write_labels("l.gpkg"), class_field="kind")

    def cut(
        rule: str | int | None = None, name: str = "c", pixels: np.ndarray | None = None, **options: object
    ) -> ChipSet:
        drawn = cloudy() if pixels is None else pixels
        scene = write_scene("scene.tif", pixels=drawn, nodata=CLOUD, bands=DATES, scale=0.5)
        return tile(open_scene(scene, valid=rule), labels, out=tmp_path / name, size_px=16, **options)  # type: ignore[arg-type]

    return cut


def test_clouds_of_a_stack_reach_neither_statistics_nor_ground_and_it_is_said(
    make: Callable[..., ChipSet], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "eo_dl"):
        chips = make()
    assert max(s.maximum for s in chips.statistics) < 0.5 * 5000
    assert {record.window.col for record in chips.records} == {0, 16, 32, 48, 64}
    (line,) = [note for note in chips.notes if "does not count" in note]
    assert "scene.tif: 50% of its measured ground" in line and "d2 (100%), d3 (16%)" in line
    assert "`valid=any`" in line and line in caplog.text


def test_any_keeps_the_ground_and_each_band_has_the_statistics_of_its_own_pixels(
    make: Callable[..., ChipSet], caplog: pytest.LogCaptureFixture
) -> None:
    pixels = striped()
    chips = make("any", pixels=pixels)
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert {record.window.col for record in chips.records} == set(range(0, 160, 16))
    assert {record.valid_share for record in chips.records} == {1.0}
    train = chips.split("train")
    for band, s in zip(pixels, chips.statistics, strict=True):
        values = np.concatenate([band[r.window.slices].ravel() for r in train])
        values = values[values != CLOUD] * 0.5
        assert s.count == values.size and s.maximum < 2500
        assert (s.mean, s.std) == pytest.approx((values.mean(), values.std()))
        assert (s.p02, s.p98) == pytest.approx(tuple(np.percentile(values, (2, 98))), rel=1e-4)
    (line,) = [note for note in chips.notes if "filled with the mean" in note]
    assert "8.3% of the values" in line and line.endswith("d2 (25%)")


def test_the_manifest_keeps_the_rule_and_says_nothing_of_the_usual_one(make: Callable[..., ChipSet]) -> None:
    kept = make(2, "two")
    assert open_chip_set(kept.path).scenes[0].valid == 2
    assert json.loads((kept.path / "chips.json").read_text())["scenes"][0]["options"]["valid"] == 2
    usual = json.loads((make(name="all").path / "chips.json").read_text())
    assert "valid" not in usual["scenes"][0]["options"]


def test_written_chips_keep_what_their_bands_lack(make: Callable[..., ChipSet]) -> None:
    read, written = make("any", "read"), make("any", "written", write_chips=True)
    for one, other in zip(all_of(samples(read)), all_of(samples(written)), strict=True):
        assert np.array_equal(one.image, other.image) and np.array_equal(one.valid, other.valid)


def samples(chips: ChipSet, **options: object) -> ChipDataset:
    return ChipDataset(
        chips,
        chips.records,
        Masks(),
        Normalization.of(chips.statistics),
        **options,  # type: ignore[arg-type]
    )


def all_of(dataset: ChipDataset) -> list[Sample]:
    return [dataset[index] for index in range(len(dataset))]


@pytest.mark.parametrize("augmented", [False, True])
def test_a_network_sees_the_mean_of_training_where_a_band_is_missing(
    make: Callable[..., ChipSet], augmented: bool
) -> None:
    """Also after brightness and noise, and its neighbours as they were measured."""
    config = AugmentConfig(dihedral=False, scale=0, brightness=2.0)
    chips = make("any")
    cache = SampleCache(MemoryStorage(), 2**24)
    dataset = samples(chips, augment=Augment(config) if augmented else None, cache=cache)
    for turn in range(2):  # the second time from the cache
        for record, sample in zip(chips.records, all_of(dataset), strict=True):
            missing = cloudy()[:, *record.window.slices] == CLOUD
            assert sample.valid.all(), turn
            assert (sample.image[missing] == 0).all()
            assert np.isfinite(sample.image).all() and (sample.image[~missing] != 0).mean() > 0.99
            assert (sample.target.mask != 255).all()
    assert len(cache) == len(chips.records)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(EIGHT_WAYS), st.sampled_from([0.3, 0.8, 1.0, 1.25]), st.integers(0, 50))
def test_moving_an_image_moves_each_band_as_if_it_were_alone(way: Move, factor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    move = Move(way.transposed, way.upside_down, way.mirrored, factor)
    image, valid = rng.normal(size=(3, 12, 12)).astype(np.float32), rng.random((12, 12)) > 0.1
    missing = rng.random((3, 12, 12)) > 0.7
    missing[2] = False
    image[missing & valid] = np.nan
    image[:, ~valid] = 0
    moved, moved_valid = move.image(image, valid)
    assert np.array_equal(moved_valid, move.labels(valid[None])[0])
    for band, plane in enumerate(moved):
        there = valid & ~missing[band]
        alone, found = move.image(np.where(there, image[band], 0)[None].astype(np.float32), there)
        assert np.array_equal(np.isnan(plane), moved_valid & ~found)
        assert np.allclose(plane[found & moved_valid], alone[0][found & moved_valid])
        assert (plane[~moved_valid] == 0).all()


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=4),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_statistics_of_parts_are_those_of_the_whole(sizes: list[int], lacking: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bands = BandSet((Band("a", 1, scale=0.5, offset=-3.0), Band("b", 2, scale=-2.0), Band("c", 3)))
    parts = [rng.normal(50, 9, (3, size, 5)).astype(np.float32) for size in sizes]
    for part in parts:
        part[:2][rng.random(part[:2].shape) < lacking] = np.nan
    tallies = [tally_bands(part, np.ones(part.shape[1:], bool), bands, 10_000) for part in parts]
    if not sum(sizes):
        return
    for band, plane, found in zip(bands, np.concatenate(parts, axis=1), statistics(tallies), strict=True):
        values = plane[np.isfinite(plane)].astype(np.float64) * band.scale + band.offset
        assert found.count == len(values)
        if not len(values):
            assert (found.mean, found.std, found.minimum, found.maximum, found.p02) == (0, 0, 0, 0, 0)
            continue
        expected = (values.mean(), values.std(), values.min(), values.max())
        assert (found.mean, found.std, found.minimum, found.maximum) == pytest.approx(expected, abs=1e-5)


def test_dead_bands_are_named_in_the_notes(write_scene: Writer, write_labels: Writer, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).normal(size=(4, 96, 160)).astype(np.float32)
    pixels[1], pixels[2] = np.nan, 5
    scene = write_scene("s.tif", pixels=pixels, bands=("p1", "p2", "p3", "p4"), dtype="float32")
    labels = read_labels(write_labels("l.gpkg"), class_field="kind")
    chips = tile(open_scene(scene, valid="any"), labels, out=tmp_path / "c", size_px=16)
    (line,) = [note for note in chips.notes if "`drop_dead_bands`" in note]
    assert line.startswith("bands p2, p3 hold one value or none in all train chips")


@pytest.mark.parametrize("value", [0, 65535])
def test_a_collar_without_a_nodata_tag_is_said(
    value: int, write_scene: Writer, write_labels: Writer, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(1, 5000, (3, 96, 160)).astype(np.uint16)
    pixels[:, :, 120:] = value
    labels = read_labels(write_labels("labels.gpkg"))
    made = tile([write_scene("scene.tif", pixels=pixels)], labels, out=tmp_path / "c", size_px=32, seed=1)
    note = next(note for note in made.notes if "the collar of an image" in note)
    assert f"{value} in all bands" in note and f"`nodata={value}`" in note
    tagged = write_scene("tagged.tif", pixels=pixels, nodata=value)
    made = tile([tagged], labels, out=tmp_path / "t", size_px=32, seed=1)
    assert not any("the collar of an image" in note for note in made.notes)
