"""The objects of a review: their order, what was decided, and how to take it back. No QGIS in here.

Everything that a key needs is kept in memory, so that a step takes as long with 100,000 objects as with ten.
"""

from dataclasses import dataclass, field
from itertools import chain

ACCEPTED, CHANGED, REJECTED = "accepted", "changed", "rejected"
DECISIONS = (ACCEPTED, CHANGED, REJECTED)


@dataclass
class Item:
    """One object."""

    id: int
    # Score or rank; None if the object has none.
    value: object = None
    # Area, by which objects without a value are ordered.
    area: float = 0.0
    class_name: str = ""
    class_id: object = None
    # One of DECISIONS, or "" while the object waits.
    status: str = ""
    reviewed: bool = False

    def state(self):
        """What a decision changes."""
        return {
            "class_name": self.class_name,
            "class_id": self.class_id,
            "status": self.status,
            "reviewed": self.reviewed,
        }


@dataclass
class ReviewList:
    """Objects in the order of their review: the least certain (or the first by rank) first, then those
    without a value, the largest first.
    """

    items: dict = field(default_factory=dict)
    # Only objects of this class are shown; "" for all.
    only_class: str = ""

    def __post_init__(self):
        self._undo = []
        self._sort()

    def _sort(self):
        self._order = [item.id for item in sorted(self.items.values(), key=_certainty)]
        self._place = {item_id: place for place, item_id in enumerate(self._order)}
        self._counts = dict.fromkeys((*DECISIONS, ""), 0)
        for item in self.items.values():
            self._counts[_counted(item)] += 1

    def counts(self):
        """Number of objects by decision, and "" for those that wait."""
        return dict(self._counts)

    def next(self, current=None):
        """The id of the next object that waits, after the current one and then from the start; the current
        one if only that waits; None if none does.
        """
        start = self._place.get(current, -1) + 1
        for place in chain(range(start, len(self._order)), range(start)):
            item = self.items[self._order[place]]
            if not item.reviewed and self._is_shown(item):
                return item.id
        return None

    def previous(self, current=None):
        """The id of the object before the current one, reviewed or not; the last one if none is current."""
        start = self._place.get(current, len(self._order))
        for place in range(start - 1, -1, -1):
            item = self.items[self._order[place]]
            if self._is_shown(item):
                return item.id
        return current

    def _is_shown(self, item):
        return not self.only_class or item.class_name == self.only_class

    def above(self, score):
        """Ids of the objects that wait, with this score or a higher one; of the class that is shown."""
        return [
            item.id
            for item in self.items.values()
            if item.value is not None and item.value >= score and not item.reviewed and self._is_shown(item)
        ]

    def decide(self, ids, status, class_name=None):
        """Record one decision on one or more objects; returns the new values of each by id."""
        before = {item_id: self.items[item_id].state() for item_id in ids}
        change = {"status": status, "reviewed": True}
        if class_name is not None:
            change.update(class_name=class_name, class_id=self.class_id(class_name))
        self._set(dict.fromkeys(ids, change))
        self._undo.append(before)
        return dict.fromkeys(ids, change)

    def can_undo(self):
        return bool(self._undo)

    def undo(self):
        """Take the last decision back; returns the values that each object had, by id."""
        before = self._undo.pop()
        self._set(before)
        return before

    def forget_last(self):
        """Drop the last decision, which could not be saved."""
        self._set(self._undo.pop())

    def _set(self, changes):
        for item_id, values in changes.items():
            item = self.items.get(item_id)
            if item is None:
                continue
            self._counts[_counted(item)] -= 1
            for name, value in values.items():
                setattr(item, name, value)
            self._counts[_counted(item)] += 1

    def class_id(self, class_name):
        """The id that another object of the class has; None, not a guess, if there is none."""
        for item in self.items.values():
            if item.class_name == class_name and item.class_id is not None:
                return item.class_id
        return None

    def put(self, items):
        """Add objects, or replace those of the same ids."""
        for item in items:
            self.items[item.id] = item
        self._sort()

    def remove(self, ids):
        """Forget objects that were deleted."""
        for item_id in ids:
            self.items.pop(item_id, None)
        self._undo = [
            {key: value for key, value in before.items() if key in self.items} for before in self._undo
        ]
        self._sort()


def _certainty(item):
    has_no_value = item.value is None
    return has_no_value, 0.0 if has_no_value else item.value, -item.area, item.id


def _counted(item):
    """The decision under which an object counts; one that was reviewed elsewhere counts as accepted."""
    if not item.reviewed:
        return ""
    return item.status if item.status in DECISIONS else ACCEPTED
