"""`Clock`: seconds since it was last asked."""

from __future__ import annotations

import time


class Clock:
    """Wall seconds between laps; never part of what decides a weight, except through `max_minutes`."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin a lap now."""
        self._since = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of the running lap."""
        return time.monotonic() - self._since

    def lap(self) -> float:
        """Seconds since the last lap; begins a new one."""
        now = time.monotonic()
        passed, self._since = now - self._since, now
        return passed
