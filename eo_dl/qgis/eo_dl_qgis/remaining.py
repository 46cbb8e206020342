"""How long a step will still take. No QGIS in here."""

import time

# Before this much of a step has passed its pace is not known.
LEAST_S = 3.0


class Remaining:
    """Estimates, from the pace since the start of a step, when it will end."""

    def __init__(self, clock=time.monotonic):
        self._clock = clock
        self._step, self._began, self._first, self._last = None, 0.0, 0, 0

    def text(self, step, done, total):
        """ "about 2 min left", or "" while the pace is unknown. A step that counts from the start again is a
        new one.
        """
        if step != self._step or done < self._last:
            self._step, self._began, self._first = step, self._clock(), done
        self._last = done
        passed, made = self._clock() - self._began, done - self._first
        if passed < LEAST_S or made <= 0 or done >= total:
            return ""
        return f"about {duration(passed * (total - done) / made)} left"


def duration(seconds):
    """A duration in the largest unit that fits: "40 s", "3 min", "1 h 20 min"."""
    if seconds < 60:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
