"""`ChangeRow`: how much of one kind of change there is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ChangeRow:
    """One kind of change between two dates."""

    change: str
    """E.g. "gone", or "forest > water" between class maps."""
    old_count: int
    """Number of old objects; of changed areas between class maps."""
    new_count: int
    """Number of new objects; of changed areas between class maps."""
    old_area_m2: float
    """Area of the old objects, square metres on the ground; pixels without a CRS."""
    new_area_m2: float
    """Area of the new objects."""

    def values(self) -> dict[str, object]:
        """The row as JSON-ready values."""
        return {
            "change": self.change,
            "old": self.old_count,
            "new": self.new_count,
            "area_old_m2": round(self.old_area_m2, 3),
            "area_new_m2": round(self.new_area_m2, 3),
        }
