"""`find_lr`: the learning rate at which the loss falls fastest, by the range test of Smith 2017; nothing is
trained.
"""

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

STEPS, LOWEST, HIGHEST = 100, 1e-6, 1.0
_MEMORY = 0.9  # of the smoothed loss
_DIVERGED = 4.0  # times the best loss
_AT_LEAST = 10


@dataclass(frozen=True)
class RateFinding:
    """`losses`: smoothed, one a rate; `lr`: the suggestion; `picture`: where the plot lies."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    lr: float
    picture: Path

    def summary(self) -> Summary:
        """For the command line."""
        values: dict[str, JsonValue] = {
            "lr": self.lr,
            "picture": str(self.picture),
            "rates": list(self.rates),
            "losses": list(self.losses),
        }
        return Summary(
            values,
            ("what", "value"),
            (
                ("suggested lr", f"{self.lr:.2g}"),
                ("steps taken", str(len(self.rates))),
                ("plot", str(self.picture)),
            ),
        )


def find_lr(
    chips: ChipSet | str | Path,
    config: TrainConfig,
    *,
    picture: str | Path,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> RateFinding:
    """Steps with a rate that rises from `LOWEST` to `HIGHEST` until the loss runs away, their plot, and the
    rate where it fell fastest.

    Raises what `train` would raise before its first step, and `TrainingError` where the loss fell at no rate.
    """
    refuse_existing(picture, overwrite)
    setup = prepare_run(chips, config)
    rates, losses = [], []
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
            if number >= _AT_LEAST and smoothed(losses)[-1] > _DIVERGED * min(smoothed(losses)):
                break
    smooth = smoothed(losses)
    lr = steepest(rates, smooth)
    _draw(rates, losses, smooth, lr, Path(picture), overwrite)
    return RateFinding(tuple(rates), tuple(smooth), lr, Path(picture))


def smoothed(losses: Sequence[float]) -> list[float]:
    """Exponential moving average, the start corrected for."""
    mean, found = 0.0, []
    for number, loss in enumerate(losses, start=1):
        mean = _MEMORY * mean + (1 - _MEMORY) * loss
        found.append(mean / (1 - _MEMORY**number))
    return found


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate, below that of the least loss, at which the loss falls fastest over the logarithm of the rate.

    Raises `TrainingError` where it falls nowhere.
    """
    last = int(np.argmin(losses)) if len(losses) else 0
    if last < 2:
        raise TrainingError(
            "the loss fell at no learning rate; look at the chips and their labels, or try another `seed` or a larger `batch_size`"
        )
    slopes = np.gradient(np.asarray(losses[: last + 1]), np.log(rates[: last + 1]))
    return float(rates[int(np.argmin(slopes))])


def _draw(
    rates: Sequence[float],
    losses: Sequence[float],
    smooth: Sequence[float],
    lr: float,
    path: Path,
    overwrite: bool,
) -> None:
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
    with atomic_file(path, overwrite=overwrite) as part:
        part.write_bytes(figure_png(figure))
