"""How long a run may take, and which share of that is used."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..trainconfig import TrainConfig

_EPOCHS, _STEPS = 20, 1000
"""Without any choice: so many passes over the chips, and with few chips as many as make so many steps."""
_CPU_MINUTES, _GPU_MINUTES = 10.0, 30.0
"""Without any choice: the time after which a run ends in any case."""


@dataclass(frozen=True)
class Budget:
    """A run ends with whichever is used up first. The learning rate follows the share that is used."""

    epochs: int | None
    """None: as many as there is time for."""
    seconds: float | None
    """Time for training and validation; None: no limit."""

    def share(self, epochs_done: float, seconds: float) -> float:
        """The share of the budget that is used, 0 to 1.

        Args:
            epochs_done: Epochs done so far, e.g. 2.5 in the middle of the third.
            seconds: Time spent so far.
        """
        shares = []
        if self.epochs is not None:
            shares.append(epochs_done / self.epochs)
        if self.seconds is not None:
            shares.append(seconds / self.seconds)
        return min(1.0, max(shares))

    def describe(self, steps_per_epoch: int) -> str:
        """What is planned, in one line."""
        parts = []
        if self.epochs is not None:
            parts.append(f"{self.epochs * steps_per_epoch} steps ({self.epochs} epochs)")
        if self.seconds is not None:
            parts.append(f"at most {self.seconds / 60:g} minutes")
        return ", ".join(parts)


def budget_of(config: TrainConfig, steps_per_epoch: int, *, on_cpu: bool) -> Budget:
    """The budget of a configuration.

    Args:
        config: `epochs` and `minutes`; if neither is set, both get a default.
        steps_per_epoch: Batches in one epoch.
        on_cpu: True where the network is trained on a CPU.
    """
    epochs, minutes = config.epochs, config.minutes
    if epochs is None and minutes is None:
        epochs = max(_EPOCHS, math.ceil(_STEPS / steps_per_epoch))
        minutes = _CPU_MINUTES if on_cpu else _GPU_MINUTES
    return Budget(epochs, None if minutes is None else 60 * minutes)
