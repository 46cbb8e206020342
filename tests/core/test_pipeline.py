"""Threads hand on what was made, in order, and errors reach whoever waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from eo_dl.core.pipeline import Ahead, Behind


def test_items_arrive_in_order() -> None:
    done: list[int] = []
    with Behind(done.append, 2) as behind, Ahead(iter(range(100)), 3) as ahead:
        for item in ahead:
            behind.give(item)
    assert done == list(range(100))


def test_an_error_in_the_source_is_raised_where_items_are_asked_for() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken file")

    seen: list[int] = []
    with pytest.raises(ValueError, match="broken file"), Ahead(source(), 2) as ahead:
        seen.extend(ahead)


def test_an_error_in_the_work_is_raised_on_leaving() -> None:
    def work(item: int) -> None:
        raise ValueError(f"disk full at {item}")

    with pytest.raises(ValueError, match="disk full at 0"), Behind(work, 2) as behind:
        behind.give(0)


def test_after_an_error_nobody_waits_for_ever() -> None:
    begun = threading.Event()

    def work(item: int) -> None:
        begun.set()
        raise ValueError("disk full")

    def give_all() -> None:
        with Behind(work, 1) as behind:
            behind.give(0)
            begun.wait()
            for item in range(1000):
                behind.give(item)

    with pytest.raises(ValueError, match="disk full"):
        give_all()


def test_a_failed_worker_wakes_a_reader_that_waits_for_it() -> None:
    release = threading.Event()

    def source() -> Iterator[int]:
        release.wait()
        yield 1

    def failed() -> None:
        release.set()
        raise OSError("writer failed")

    with pytest.raises(OSError, match="writer failed"), Ahead(source(), 1, failed) as ahead:
        list(ahead)


def test_what_was_given_is_worked_off_when_the_caller_stops() -> None:
    done: list[int] = []

    def stopped() -> None:
        with Behind(done.append, 5) as behind:
            for item in range(4):
                behind.give(item)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert done == [0, 1, 2, 3]


def test_never_more_than_one_item_beyond_the_queue_is_made_ahead() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for item in range(20):
            made.append(item)
            yield item

    with Ahead(source(), 1) as ahead:
        for item in ahead:
            assert len(made) <= item + 1 + 2, "1 in the queue, 1 beside it"
    assert made == list(range(20))


def test_leaving_early_ends_the_thread() -> None:
    before = set(threading.enumerate())
    with Ahead(iter(range(100)), 1) as ahead:
        assert next(iter(ahead)) == 0
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before
