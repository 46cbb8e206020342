"""`find_lr`: the learning rate at which the loss falls fastest, by the range test of Smith (2017)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue

from ..chips.chipset import ChipSet
from ..core.plotting import figure_png, new_figure
from ..core.progress import OnProgress, silent
from ..core.seeds import derived_seed
from ..errors import TrainingError
from ..io.atomic import atomic_file, refuse_existing
from .loop.plainsteps import PlainSteps
from .record.results import Summary
from .setup.runsetup import prepare_run
from .trainconfig import TrainConfig

STEPS = 100
LOWEST, HIGHEST = 1e-6, 1.0
_MEMORY = 0.9
"""Weight of the past in the smoothed loss."""
_DIVERGED = 4.0
"""The test ends when the smoothed loss is so many times its minimum."""
_LEAST_STEPS = 10


@dataclass(frozen=True)
class RateFinding:
    """The result of a range test."""

    rates: tuple[float, ...]
    """The learning rate of each step."""
    losses: tuple[float, ...]
    """The smoothed loss of each step."""
    lr: float
    """The rate to use."""
    picture: Path
    """The plot, a PNG file."""

    def summary(self) -> Summary:
        """For the command line."""
        values: dict[str, JsonValue] = {
            "lr": self.lr,
            "picture": str(self.picture),
            "rates": list(self.rates),
            "losses": list(self.losses),
        }
        rows = (
            ("suggested learning rate", f"{self.lr:.2g}"),
            ("steps", str(len(self.rates))),
            ("plot", str(self.picture)),
        )
        return Summary(values, ("item", "value"), rows)


def find_lr(
    chips: ChipSet | str | Path,
    config: TrainConfig,
    *,
    picture: str | Path,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> RateFinding:
    """Take training steps with a rising learning rate until the loss diverges, and plot the loss.

    Args:
        chips: The chip set, or its folder.
        config: The configuration; its `lr` and `schedule` are not used.
        picture: The PNG file to write.
        overwrite: Replace an existing file.
        on_progress: Called with (steps done, steps in all, "steps").

    Returns:
        Rates, losses, and the rate at which the loss falls fastest. Nothing is trained.

    Raises:
        TrainingError: The loss fell at no rate.
        EoDlError: What `train` would raise before its first step.
    """
    refuse_existing(picture, overwrite)
    setup = prepare_run(chips, config)
    rates: list[float] = []
    losses: list[float] = []
    with torch.random.fork_rng():
        steps = PlainSteps(setup)
        for number, batch in enumerate(islice(steps.batches(), STEPS)):
            torch.manual_seed(derived_seed(config.seed, "find-lr", number))
            rate = LOWEST * (HIGHEST / LOWEST) ** (number / (STEPS - 1))
            loss = steps.step(batch, rate)
            if not math.isfinite(loss):
                break
            rates.append(rate)
            losses.append(loss)
            on_progress(number + 1, STEPS, "steps")
            if number >= _LEAST_STEPS and smoothed(losses)[-1] > _DIVERGED * min(smoothed(losses)):
                break
    smooth = smoothed(losses)
    lr = steepest(rates, smooth)
    with atomic_file(picture, overwrite=overwrite) as part:
        part.write_bytes(_plot(rates, losses, smooth, lr))
    return RateFinding(tuple(rates), tuple(smooth), lr, Path(picture))


def smoothed(losses: Sequence[float]) -> list[float]:
    """The exponential moving average of the losses, without the bias of its start."""
    mean = 0.0
    averages = []
    for number, loss in enumerate(losses, start=1):
        mean = _MEMORY * mean + (1 - _MEMORY) * loss
        averages.append(mean / (1 - _MEMORY**number))
    return averages


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate at which the loss falls fastest over the logarithm of the rate, below that of the least loss.

    Raises:
        TrainingError: The loss falls at no rate.
    """
    least = int(np.argmin(losses)) if len(losses) else 0
    if least < 2:
        raise TrainingError(
            "the loss fell at no learning rate; check the chips and their labels, or try another `seed` or a "
            "larger `batch_size`"
        )
    slopes = np.gradient(np.asarray(losses[: least + 1]), np.log(rates[: least + 1]))
    return float(rates[int(np.argmin(slopes))])


def _plot(rates: Sequence[float], losses: Sequence[float], smooth: Sequence[float], lr: float) -> bytes:
    figure = new_figure(7, 4, dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color="#c8d9e6", linewidth=1, label="loss")
    axes.plot(rates, smooth, color="#0072b2", linewidth=2.2, label="smoothed")
    axes.axvline(lr, color="#d55e00", linewidth=1.2, linestyle=(0, (4, 3)), label=f"falls fastest: {lr:.2g}")
    axes.set_xscale("log")
    axes.set_ylim(min(smooth) * 0.9, max(smooth[0], min(smooth)) * 1.3)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.grid(color="#e3e3e3", linewidth=0.8)
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure_png(figure)
