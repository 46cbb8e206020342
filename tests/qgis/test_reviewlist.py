"""The order of a review, its decisions and how they are taken back, against a plain reference. No QGIS
needed.
"""

from __future__ import annotations

import copy

import pytest
from eo_dl_qgis.reviewlist import ACCEPTED, CHANGED, DECISIONS, REJECTED, Item, ReviewList
from hypothesis import given
from hypothesis import strategies as st

CLASSES = ("tree", "shrub", "")
ITEMS = st.lists(
    st.tuples(
        st.none() | st.floats(0, 1),
        st.floats(0, 100),
        st.sampled_from(CLASSES),
        st.sampled_from(["", *DECISIONS]),
    ),
    max_size=12,
)


def made(values: list[tuple[float | None, float, str, str]]) -> ReviewList:
    items = [
        Item(number, value, area, name, None, status, bool(status))
        for number, (value, area, name, status) in enumerate(values)
    ]
    return ReviewList({item.id: item for item in items})


def in_order(reviewed: ReviewList) -> list[Item]:
    """What a person expects: least certain first; then those without a score, largest first."""
    with_value = sorted((i for i in reviewed.items.values() if i.value is not None), key=lambda i: i.value)
    without = [item for item in reviewed.items.values() if item.value is None]
    return with_value + sorted(without, key=lambda item: -item.area)


@given(ITEMS)
def test_each_waiting_object_comes_once_in_order(values: list[tuple[float | None, float, str, str]]) -> None:
    found = made(values)
    waiting = [item for item in in_order(found) if not item.reviewed]
    seen: list[int] = []
    current = found.next()
    while current is not None and current not in seen:
        seen.append(current)
        current = found.next(current)
    assert sorted(seen) == sorted(item.id for item in waiting)
    keys = [(found.items[i].value is None, found.items[i].value or 0.0, -found.items[i].area) for i in seen]
    assert [key[:2] for key in keys] == sorted(key[:2] for key in keys)


@given(ITEMS, st.lists(st.sampled_from(["accept", "reject", "change", "undo", "above"]), max_size=8))
def test_undo_restores_every_state_and_counts_stay_true(
    values: list[tuple[float | None, float, str, str]], steps: list[str]
) -> None:
    found = made(values)
    history = [copy.deepcopy(found.items)]
    for step in steps:
        current = found.next()
        if step == "undo":
            if found.can_undo():
                found.undo()
                history.pop()
        elif step == "above":
            found.decide(found.above(0.5), ACCEPTED)
            history.append(copy.deepcopy(found.items))
        elif current is not None:
            status = {"accept": ACCEPTED, "reject": REJECTED, "change": CHANGED}[step]
            found.decide([current], status, "shrub" if step == "change" else None)
            history.append(copy.deepcopy(found.items))
        assert found.items == history[-1]
        decided = [item.status if item.reviewed else "" for item in found.items.values()]
        assert found.counts() == {name: decided.count(name) for name in (*DECISIONS, "")}


def test_accept_all_leaves_objects_without_a_score_and_other_classes() -> None:
    found = made(
        [(0.9, 1, "tree", ""), (None, 1, "tree", ""), (0.95, 1, "shrub", ""), (0.99, 1, "tree", REJECTED)]
    )
    found.only_class = "tree"
    assert found.above(0.9) == [0]


def test_previous_shows_what_was_decided_and_stays_at_the_first() -> None:
    found = made([(0.1, 1, "tree", ""), (0.2, 1, "tree", ""), (0.3, 1, "shrub", "")])
    first = found.next()
    found.decide([first], REJECTED)
    second = found.next(first)
    assert (first, second) == (0, 1)
    assert found.previous(second) == 0
    assert found.previous(0) == 0
    found.only_class = "shrub"
    assert (found.next(second), found.previous(second)) == (2, 1)


def test_a_class_keeps_the_id_that_others_have() -> None:
    found = made([(0.1, 1, "tree", ""), (0.2, 1, "shrub", "")])
    found.items[1].class_id = 7
    assert found.decide([0], CHANGED, "shrub")[0]["class_id"] == 7
    assert found.class_id("stone") is None


def test_objects_that_appear_or_vanish_are_counted() -> None:
    found = made([(0.1, 1, "tree", ""), (0.2, 1, "tree", "")])
    found.decide([0, 1], ACCEPTED)
    found.put([Item(9, None, 4.0, "tree", None, ACCEPTED, True)])
    assert found.counts()[ACCEPTED] == 3
    found.remove([1])
    assert found.undo().keys() == {0}
    assert found.counts() == {ACCEPTED: 1, CHANGED: 0, REJECTED: 0, "": 1}


@pytest.mark.parametrize("status", ["", "checked by hand"])
def test_what_was_reviewed_elsewhere_does_not_wait(status: str) -> None:
    found = ReviewList({1: Item(1, 0.5, 1.0, "tree", None, status, True)})
    assert found.next() is None
    assert found.counts()[ACCEPTED] == 1
