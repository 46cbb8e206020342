"""`RunState`: where a run is, as plain numbers that fit in a checkpoint."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any


@dataclass
class RunState:
    """Where a run is. `epoch` and `batch` (batches done in it) are those to go on with, `step` counts all
    steps.

    `losses`: sums over the steps of the running epoch, in float64. `best_score` None: no epoch had a defined
    score. `planned_epochs` is the number of epochs that the learning rate is planned for. `seconds`: time
    spent so far.
    """

    planned_epochs: int
    epoch: int = 0
    batch: int = 0
    step: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    best_score: float | None = None
    best_epoch: int | None = None
    stale_epochs: int = 0
    seconds: float = 0.0
    stopped: str | None = None
    history: list[dict[str, float]] = field(default_factory=list)

    def count_step(self, losses: dict[str, float]) -> None:
        """One more step was done."""
        for name, value in losses.items():
            self.losses[name] = self.losses.get(name, 0.0) + value
        self.batch += 1
        self.step += 1

    def close_epoch(self, scores: dict[str, float], primary: str, rate: float) -> bool:
        """The epoch is trained and scored: note it down and say whether it is the best so far.

        A score that is not defined (NaN) never replaces one that is; while none is defined the last epoch
        counts as best.
        """
        means = {name: total / max(1, self.batch) for name, total in self.losses.items()}
        row = {"epoch": self.epoch + 1, "step": self.step, "lr": rate, "seconds": round(self.seconds, 1)}
        self.history.append(
            {
                **row,
                **{f"train_{name}": value for name, value in means.items()},
                **{f"val_{k}": v for k, v in scores.items()},
            }
        )
        better = self._better(scores.get(primary, math.nan))
        self.epoch, self.batch, self.losses = self.epoch + 1, 0, {}
        return better

    def _better(self, score: float) -> bool:
        if math.isfinite(score) and (self.best_score is None or score > self.best_score):
            self.best_score, self.best_epoch, self.stale_epochs = score, self.epoch + 1, 0
            return True
        if self.best_score is None:
            self.best_epoch = self.epoch + 1
            return True
        self.stale_epochs += 1
        return False

    def stop_reason(self, patience: int | None) -> str | None:
        """Why the run ends here, or None."""
        if self.epoch >= self.planned_epochs:
            return f"all {self.planned_epochs} epochs done"
        if patience is not None and self.stale_epochs >= patience:
            return f"no better validation score for {self.stale_epochs} epochs"
        return None

    def become(self, other: RunState) -> None:
        """Take over everything of another."""
        for one in fields(self):
            setattr(self, one.name, getattr(other, one.name))

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunState:
        """What `to_dict` gave."""
        return replace(cls(**values), history=[dict(row) for row in values["history"]])


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
