"""A cache gives back what was put in, bit for bit; it is bounded, and gone at the end."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.chips.samplecache import FileStorage, MemoryStorage, RawSample, SampleCache, Storage
from eo_dl.core.arrays import BoxTarget, ChipTarget, MaskTarget, Target
from eo_dl.core.arraytypes import UInt8Array

ROOMY = 2**30
NewStorage = Callable[[Path], Storage]
NewCache = Callable[..., SampleCache]
BOTH = pytest.mark.parametrize(
    "new_storage", [lambda _: MemoryStorage(), FileStorage], ids=["memory", "file"]
)


@pytest.fixture(params=[lambda _: MemoryStorage(), FileStorage], ids=["memory", "file"])
def new_cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewCache]:
    """Makes a cache of either kind, and closes it."""
    with ExitStack() as stack:

        def new(most_bytes: int = ROOMY) -> SampleCache:
            return stack.enter_context(SampleCache(request.param(tmp_path), most_bytes))

        yield new


def _target(kind: str, rng: np.random.Generator, side: int) -> Target:
    count = int(rng.integers(0, 4))
    boxes, ids = rng.random((count, 4)).astype(np.float32), rng.integers(0, 5, count)
    match kind:
        case "mask":
            return MaskTarget(rng.integers(0, 256, (side, side)).astype(np.uint8))
        case "soft":
            soft = rng.random((3, side, side)).astype(np.float32)
            return MaskTarget(rng.integers(0, 3, (side, side)).astype(np.uint8), soft)
        case "boxes":
            return BoxTarget(boxes, ids)
        case "instances":
            return BoxTarget(boxes, ids, rng.random((count, side, side)) < 0.5)
        case _:
            return ChipTarget(np.array([1, np.nan], np.float32))


def _raw(kind: str, seed: int, dtype: str = "uint16", side: int = 9) -> RawSample:
    rng = np.random.default_rng(seed)
    pixels = (rng.random((2, side, side)) * 200).astype(dtype)
    valid = np.ones((side, side), bool) if seed % 2 else rng.random((side, side)) < 0.5
    return RawSample(pixels, valid, _target(kind, rng, side))


def _assert_equal(found: RawSample | None, expected: RawSample) -> None:
    assert found is not None and type(found.target) is type(expected.target)
    pairs = zip((found, found.target), (expected, expected.target), strict=True)
    for value, wanted in ((getattr(a, n), getattr(b, n)) for a, b in pairs for n in vars(b) if n != "target"):
        assert (value is None) == (wanted is None)
        if wanted is not None:
            assert value.dtype == wanted.dtype and value.shape == wanted.shape
            assert value.tobytes() == wanted.tobytes() and value.flags.writeable


@BOTH
@settings(max_examples=40, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(["mask", "soft", "boxes", "instances", "chip"]), min_size=1, max_size=6),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "float32", "float64"]),
    seed=st.integers(0, 99),
)
def test_every_kind_of_sample_comes_back_bit_for_bit(
    new_storage: NewStorage, kinds: list[str], dtype: str, seed: int
) -> None:
    cache = SampleCache(new_storage(Path()), ROOMY)
    samples = {f"chip {n}": _raw(kind, seed + n, dtype, side=5 + n) for n, kind in enumerate(kinds)}
    for chip_id, sample in samples.items():
        assert cache.get(chip_id) is None
        cache.put(chip_id, sample)
        _assert_equal(cache.get(chip_id), sample)
    for chip_id, sample in samples.items():
        _assert_equal(cache.get(chip_id), sample)
    cache.close()
    assert cache.get("chip 0") is None


def test_what_is_done_with_a_sample_does_not_change_the_kept_one(new_cache: NewCache) -> None:
    cache = new_cache()
    given_in = _raw("mask", 1)
    cache.put("a", given_in)
    expected = pickle.loads(pickle.dumps(given_in))
    for sample in (given_in, cache.get("a")):
        assert sample is not None and isinstance(sample.target, MaskTarget)
        sample.pixels[:] = 0
        sample.target.mask[:] = 7
    _assert_equal(cache.get("a"), expected)


def test_it_takes_no_more_than_its_limit_and_says_so_once(
    new_cache: NewCache, caplog: pytest.LogCaptureFixture
) -> None:
    one = SampleCache(MemoryStorage(), ROOMY)
    one.put("a", _raw("mask", 1))
    cache = new_cache(3 * one.bytes + 5)
    with caplog.at_level(logging.WARNING):
        for number in range(1, 20, 2):
            cache.put(str(number), _raw("mask", number))
    assert len(cache) == 3 and cache.bytes <= 3 * one.bytes + 5
    assert [record.getMessage() for record in caplog.records] == [
        "cache: its limit of 0 MB is reached; 3 chips are kept, and the others read as before"
    ]
    _assert_equal(cache.get("5"), _raw("mask", 5))


class FullDisk(MemoryStorage):
    """A disk with room for two arrays."""

    count = 0

    def keep(self, data: UInt8Array) -> UInt8Array:
        self.count += 1
        if self.count > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().keep(data)


def test_a_full_disk_ends_the_keeping_and_not_the_training(caplog: pytest.LogCaptureFixture) -> None:
    cache = SampleCache(FullDisk(), ROOMY)
    for number in (1, 3, 5):
        cache.put(str(number), _raw("mask", number))
    assert caplog.messages == ["cache: the disk is full; 1 chips are kept, and the others read as before"]
    _assert_equal(cache.get("1"), _raw("mask", 1))
    assert cache.get("3") is None


def test_the_file_has_no_name_so_nothing_is_left(tmp_path: Path) -> None:
    cache = SampleCache(FileStorage(tmp_path), ROOMY)
    cache.put("a", _raw("mask", 1))
    if os.name == "posix":
        assert list(tmp_path.iterdir()) == []
    cache.close()
    assert list(tmp_path.iterdir()) == []


def test_threads_share_it(new_cache: NewCache) -> None:
    cache = new_cache()

    def use(number: int) -> None:
        wanted = _raw("instances", number % 7)
        cache.put(str(number % 7), wanted)
        _assert_equal(cache.get(str(number % 7)), wanted)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(200)))
    assert len(cache) == 7


def _in_child(cache: SampleCache) -> None:
    _assert_equal(cache.get("a"), _raw("soft", 2))
    cache.put("b", _raw("mask", 1))
    os._exit(0 if cache.get("b") is None else 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_reads_what_was_kept_and_adds_nothing(new_cache: NewCache) -> None:
    cache = new_cache()
    cache.put("a", _raw("soft", 2))
    child = multiprocessing.get_context("fork").Process(target=_in_child, args=(cache,))
    child.start()
    child.join()
    assert child.exitcode == 0
    cache.put("c", _raw("boxes", 4))
    _assert_equal(cache.get("a"), _raw("soft", 2))
    _assert_equal(cache.get("c"), _raw("boxes", 4))


def test_a_pickled_cache_begins_empty_and_within_the_same_limit(tmp_path: Path) -> None:
    with SampleCache(FileStorage(tmp_path), 100) as cache:
        again = pickle.loads(pickle.dumps(cache))
    again.put("a", _raw("mask", 1))
    assert len(again) == 0
