"""`RunState`: where a run is, as plain numbers that fit in a checkpoint."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ..setup.budget import Budget


@dataclass
class RunState:
    """Where a run is: everything in which a run continued from a checkpoint differs from a new one."""

    epoch: int = 0
    """The current epoch, from 0."""
    batch: int = 0
    """Batches done in the current epoch."""
    step: int = 0
    """Batches done in all."""
    losses: dict[str, float] = field(default_factory=dict)
    """Sum of each loss over the batches of the current epoch, in float64."""
    best_score: float | None = None
    """The best validation score so far; None if no epoch had a defined one."""
    best_epoch: int | None = None
    """The epoch of the best score, from 1."""
    stale_epochs: int = 0
    """Epochs since the best one."""
    seconds: float = 0.0
    """Time spent so far."""
    stopped: str | None = None
    """Why the run is finished; None while it is not."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One row per finished epoch."""

    def count_step(self, losses: dict[str, float]) -> None:
        """Count one more batch with its losses."""
        for name, value in losses.items():
            self.losses[name] = self.losses.get(name, 0.0) + value
        self.batch += 1
        self.step += 1

    def close_epoch(self, scores: dict[str, float], primary: str, rate: float) -> bool:
        """Note down an epoch that is trained and scored.

        Args:
            scores: The validation scores; empty without validation chips.
            primary: Name of the score that decides which epoch is best.
            rate: The learning rate at the end of the epoch.

        Returns:
            True if it is the best epoch so far. An undefined score (NaN) never replaces a defined one; while
            none is defined, the last epoch counts as best.
        """
        row = {"epoch": self.epoch + 1, "step": self.step, "lr": rate, "seconds": round(self.seconds, 1)}
        for name, total in self.losses.items():
            row[f"train_{name}"] = total / max(1, self.batch)
        for name, score in scores.items():
            row[f"val_{name}"] = score
        self.history.append(row)
        is_best = self._update_best(scores.get(primary, math.nan))
        self.epoch, self.batch, self.losses = self.epoch + 1, 0, {}
        return is_best

    def _update_best(self, score: float) -> bool:
        epoch = self.epoch + 1
        if math.isfinite(score) and (self.best_score is None or score > self.best_score):
            self.best_score, self.best_epoch, self.stale_epochs = score, epoch, 0
            return True
        if self.best_score is None:
            self.best_epoch = epoch
            return True
        self.stale_epochs += 1
        return False

    def stop_reason(self, budget: Budget, patience: int | None) -> str | None:
        """Why the run ends with the epoch just closed; None if it goes on.

        Args:
            budget: Epochs and seconds.
            patience: Epochs without a better score after which the run ends; None: never.
        """
        if budget.epochs is not None and self.epoch >= budget.epochs:
            return f"all {budget.epochs} epochs done" if budget.epochs > 1 else "its one epoch is done"
        if budget.seconds is not None and self.seconds >= budget.seconds:
            planned = "" if budget.epochs is None else f" in epoch {self.epoch} of {budget.epochs}"
            return f"the time is used ({budget.seconds / 60:.3g} min), after {self.step} steps{planned}"
        if patience is not None and self.stale_epochs >= patience:
            return f"no better validation score for {self.stale_epochs} epochs"
        return None

    def ended_early(self, budget: Budget) -> bool:
        """True if the time ended the run before half of its epochs."""
        time_is_used = budget.seconds is not None and self.seconds >= budget.seconds
        return time_is_used and budget.epochs is not None and 2 * self.epoch < budget.epochs

    def become(self, other: RunState) -> None:
        """Take over all values of another state."""
        for item in fields(self):
            setattr(self, item.name, getattr(other, item.name))

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunState:
        """The state of `to_dict`; what only older versions knew (`planned_epochs`) is left out."""
        known = {item.name: values[item.name] for item in fields(cls) if item.name in values}
        return replace(cls(**known), history=[dict(row) for row in values["history"]])


class Clock:
    """Wall time of laps, in seconds.

    It never decides a weight, except through `minutes`.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin a lap now."""
        self._since = time.monotonic()

    @property
    def seconds(self) -> float:
        """Length of the current lap so far."""
        return time.monotonic() - self._since

    def lap(self) -> float:
        """The length of the current lap; begins a new one."""
        now = time.monotonic()
        seconds, self._since = now - self._since, now
        return seconds
