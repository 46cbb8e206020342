"""The season of a scene beside those of the model's training."""

from __future__ import annotations

import datetime
import re

from ..bundle import Bundle
from ..io.scene import Scene

_DATE = re.compile(r"(\d{4})[-:/]?(\d{2})[-:/]?(\d{2})")
_DAYS_OF_A_YEAR = 365
_OTHER_SEASON_DAYS = 60


def season_note(bundle: Bundle, scene: Scene) -> tuple[str, ...]:
    """A note on a scene of another season than all scenes of the training; nothing where a date is unknown.

    Years do not count: a network sees the season, not the year.
    """
    found = _date(scene.file.acquired)
    trained = [date for text in bundle.spec.provenance.acquired if (date := _date(text)) is not None]
    if found is None or not trained:
        return ()
    nearest = min(trained, key=lambda date: _days_apart(found, date))
    days = _days_apart(found, nearest)
    if days <= _OTHER_SEASON_DAYS:
        return ()
    return (
        f"{scene.name} was acquired on {found}, in a season {days} days away from the nearest one of the "
        f"training ({nearest})",
    )


def _date(text: str | None) -> datetime.date | None:
    match = _DATE.search(text or "")
    if match is None:
        return None
    try:
        return datetime.date(*map(int, match.groups()))
    except ValueError:
        return None


def _days_apart(first: datetime.date, second: datetime.date) -> int:
    """Days between two dates whose years do not count."""
    days = abs(first.timetuple().tm_yday - second.timetuple().tm_yday)
    return min(days, _DAYS_OF_A_YEAR - days) if days < _DAYS_OF_A_YEAR else 0
