"""The one LightningModule, for every task.

Lightning gives the loop, the devices, the precision and the loggers. Where a run is (epoch, step, best score)
is our own `RunState`, because Lightning's resume is not exact. Two rules make a resumed run equal to an
unbroken one:

- every step begins by seeding torch's global generator from (seed, step), so dropout and the sampling inside
  detectors depend on the number of the step and on nothing that ran before it; no generator state needs to
  survive the kill (the checkpoint holds them all the same, for code of others that draws from them);
- order of chips, augmentation and learning rate are functions of (seed, epoch, step) too.

A checkpoint is then weights, optimizer moments and a handful of counters. A step is one batch; with
`accumulate` the optimizer moves at the end of each group of steps, and only there is a checkpoint written or
a wish to stop heard.

With several processes (`setup.processes`) each has a part of every batch. What decides the course of the run (restored
state, scores, stopping) is the first one's, told to all.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from ...chips.dataset import Batch
from ...core.progress import OnProgress
from ...core.seeds import derived_seed
from ...errors import Cancelled, TrainingError
from ...networks.tasknetwork import TaskNetwork
from ..judging.scoring import ChipScoring
from ..record.checkpoint import CheckpointFolder, rng_state, set_rng_state
from ..record.runstate import Clock, RunState
from ..setup.freeze import apply_freeze
from ..setup.processes import any_rank, average_batchnorm, from_rank0, is_distributed, rank
from ..setup.sampler import EpochPlan
from ..trainconfig import TrainConfig
from .ema import AveragedWeights
from .optimizers import make_optimizer, plateau_drops, rate_at, set_rate
from .stopping import TERMINATED, StopRequest

log = logging.getLogger(__name__)


Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class LoopInputs:
    """All that a run needs beside its network.

    `new_scoring` makes an empty score keeper for the validation chips; `on_epoch` is called with the state
    after each epoch (history, curves). `picture` draws what the network says of some chips, (H, W, 3) uint8,
    for TensorBoard.
    """

    config: TrainConfig
    plan: EpochPlan
    state: RunState
    checkpoints: CheckpointFolder
    new_scoring: Callable[[], ChipScoring]
    on_progress: OnProgress
    on_epoch: Callable[[RunState], None]
    stop: StopRequest
    primary: str
    picture: Callable[[TaskNetwork], Picture] | None = None

    @property
    def total_steps(self) -> int:
        """Steps in the planned epochs."""
        return self.plan.steps * self.state.planned_epochs


class TrainingModule(lightning.LightningModule):
    """Trains a network of any task; see the module's text. `restored` is the checkpoint to go on from."""

    def __init__(
        self, network: TaskNetwork, parts: LoopInputs, restored: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.parts = parts
        self._restored = restored
        self._rate = 0.0
        self._drops = 0
        self._losses: dict[str, float] = {}
        self._averaged: AveragedWeights | None = None
        self._exchanged = ExitStack()
        self._scoring = parts.new_scoring()
        self._scored = False
        self._clock = Clock()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The configuration's; the learning rate is set at every step."""
        return make_optimizer(self.network, self.parts.config)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Only the images go to the device: targets are numpy until the loss needs them."""
        images = batch.images.to(device, non_blocking=True)
        return replace(batch, images=images.contiguous(memory_format=torch.channels_last))

    def on_fit_start(self) -> None:
        """All of the checkpoint, once the optimizer exists; the same in all processes."""
        restored = from_rank0(self._restored)
        if self.parts.config.ema is not None:
            self._averaged = AveragedWeights(self.network, self.parts.config.ema)
        if restored is not None:
            self.parts.state.become(RunState.from_dict(restored["state"]))
            self.network.load_state_dict(restored["network"])
            self.trainer.optimizers[0].load_state_dict(restored["optimizer"])
            scaler = self._scaler()
            if scaler is not None and restored["scaler"]:
                scaler.load_state_dict(restored["scaler"])
            if self._averaged is not None:
                self._averaged.restore(restored["averaged"])
            set_rng_state(restored["rng"])
        self._restored = None
        self.trainer.should_stop = self.parts.state.stopped is not None

    def on_train_start(self) -> None:
        """Say at once how much there is to do."""
        self._clock.restart()
        self._say_progress()

    def on_train_epoch_start(self) -> None:
        """Train mode, also after a validation, for all that learns in this epoch."""
        apply_freeze(self.network, self.parts.config, self.parts.state.epoch)
        scores = [row.get(f"val_{self.parts.primary}", math.nan) for row in self.parts.state.history]
        self._drops = plateau_drops(scores, self.parts.config.decay_epochs)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Key the step's randomness and its learning rate by its number; each process has dropout of its own."""
        state, config = self.parts.state, self.parts.config
        torch.manual_seed(derived_seed(config.seed, "step", state.step, *([rank()] if rank() else [])))
        moves = -(-self.parts.plan.steps // config.accumulate)  # of the optimizer, an epoch
        number = state.epoch * moves + state.batch // config.accumulate
        self._rate = rate_at(
            number, moves * state.planned_epochs, config, epoch_steps=moves, drops=self._drops
        )
        set_rate(self.trainer.optimizers[0], self._rate)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """The loss. Raises `TrainingError`, naming the chips, before one that is not finite reaches a weight."""
        losses = self.network.loss(batch.images, batch.targets)
        if any_rank(not bool(torch.isfinite(losses["loss"])), self.device):
            raise self._not_finite(f"the loss is {float(losses['loss'].detach()):g}", self._culprits(batch))
        self._losses = {name: float(value.detach()) for name, value in losses.items()}
        return losses["loss"] * self._share_of_group()

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by norm; a norm that is not finite ends the run before the step (with float16 the scaler skips
        the step instead).
        """
        limit = self.parts.config.clip_norm
        norm = torch.nn.utils.clip_grad_norm_(
            self.network.parameters(), limit if limit is not None else float("inf")
        )
        if self._scaler() is None and not bool(torch.isfinite(norm)):
            raise self._not_finite("the gradient is not finite", [])

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Count, note, report; checkpoint now and then, and when asked to stop."""
        state, config = self.parts.state, self.parts.config
        state.count_step(self._losses)
        self._write_log(
            {f"step/{name}": value for name, value in self._losses.items()} | {"step/lr": self._rate}
        )
        ends = state.batch >= self.parts.plan.steps
        if state.batch % config.accumulate and not ends:
            return
        if self._averaged is not None:
            self._averaged.update()
        if ends:
            return  # the epoch is saved once it is scored
        self._stop_if_asked(save=True)
        if (
            state.step // config.checkpoint_steps
            > (state.step - config.accumulate) // config.checkpoint_steps
        ):
            self.save()

    def on_validation_epoch_start(self) -> None:
        """An empty score keeper; the averaged weights, where there are some."""
        self._scoring, self._scored = self.parts.new_scoring(), True
        self._agree_on_statistics()
        if self._averaged is not None:
            self._exchanged.enter_context(self._averaged.applied())

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Decode and score as `evaluate` does."""
        self._scoring.add_batch(self.network(batch.images), batch)
        if self.parts.stop and not is_distributed():  # several processes agree at the end of the epoch
            self._stop_if_asked(save=False)

    def on_validation_epoch_end(self) -> None:
        """Bring the scores together, and put the network's own weights back."""
        self._scoring.gather()
        self._exchanged.close()

    def on_train_epoch_end(self) -> None:
        """After training and validation of an epoch: note it, keep the best, checkpoint, stop when it is
        time.
        """
        parts, state = self.parts, self.parts.state
        state.seconds = from_rank0(state.seconds + self._clock.lap())
        scores = from_rank0(self._scoring.values() if self._scored and rank() == 0 else {})
        better = state.close_epoch(scores, parts.primary, self._rate)
        self._plan_by_minutes()
        if better and rank() == 0:
            assert state.best_epoch is not None
            weights = (
                self._averaged.weights() if self._averaged is not None else dict(self.network.state_dict())
            )
            parts.checkpoints.save_best(state.best_epoch, weights)
        state.stopped = state.stop_reason(parts.config.epochs, parts.config.patience)
        self._write_log({f"epoch/{name}": value for name, value in state.history[-1].items()})
        self.save()
        if rank() == 0:
            self._show_pictures()
            parts.on_epoch(state)
            parts.checkpoints.forget_best(keep=state.best_epoch)
        self.trainer.should_stop = state.stopped is not None
        self._stop_if_asked(save=False)

    def save(self) -> None:
        """Write a checkpoint of this moment; called in all processes."""
        self._agree_on_statistics()
        if rank() != 0:
            return
        scaler = self._scaler()
        state = self.parts.state
        state.seconds += self._clock.lap()
        content = {
            "state": state.to_dict(),
            "network": dict(self.network.state_dict()),
            "optimizer": self.trainer.optimizers[0].state_dict(),
            "averaged": self._averaged.to_dict() if self._averaged is not None else {},
            "scaler": scaler.state_dict() if scaler is not None else {},
            "rng": rng_state(),
        }
        self.parts.checkpoints.save(state.step, content)

    def _share_of_group(self) -> float:
        """Lightning divides by `accumulate`; the last group of an epoch may be smaller, and counts as much as
        the others.
        """
        steps, group = self.parts.plan.steps, self.parts.config.accumulate
        first = self.parts.state.batch // group * group
        return group / min(group, steps - first)

    def _agree_on_statistics(self) -> None:
        average_batchnorm(self.network.state_dict())
        if self._averaged is not None:
            average_batchnorm(self._averaged.weights())

    def _show_pictures(self) -> None:
        state, every = self.parts.state, self.parts.config.picture_epochs
        if self.parts.picture is None or every is None or state.epoch % every:
            return
        with self._averaged.applied() if self._averaged is not None else ExitStack():
            picture = self.parts.picture(self.network)
        for logger in self.trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("validation chips", picture, state.step, dataformats="HWC")

    def _plan_by_minutes(self) -> None:
        """With `max_minutes`, after the first epoch: as many epochs as fit, and no more than planned."""
        state, minutes = self.parts.state, self.parts.config.max_minutes
        if minutes is not None and state.epoch == 1:
            state.planned_epochs = max(
                1, min(state.planned_epochs, int(minutes * 60 / max(state.seconds, 1e-3)))
            )

    def _stop_if_asked(self, save: bool) -> None:
        """Called in all processes; what one is asked, all do."""
        asked = None
        try:
            self._say_progress()
        except Cancelled as error:
            asked = str(error) or "stopped"
        asked = self.parts.stop.what or asked
        if any_rank(asked is not None, self.device):
            self._cancel(asked or "stopped", save)

    def _say_progress(self) -> None:
        self.parts.on_progress(self.parts.state.step, self.parts.total_steps, "steps")

    def _cancel(self, what: str, save: bool) -> None:
        if save:
            self.save()
        kept = self.parts.checkpoints.steps()
        error = Cancelled(
            f"{what} after step {self.parts.state.step} of {self.parts.total_steps}; "
            + (
                f"continue from step {kept[-1]} with the same call and `resume=True`"
                if kept
                else "nothing was kept yet, start again with `overwrite=True`"
            )
        )
        if what == TERMINATED:
            error.exit_code = 143  # 128 + SIGTERM, as shells have it
        raise error

    def _culprits(self, batch: Batch) -> list[str]:
        """Chips whose own loss is not finite; each is tried twice over, since a batch of one has no spread to
        normalize by.

        With several processes losses cannot be asked for by one alone, and the whole batch is named.
        """
        found: list[str] = []
        if is_distributed():
            return list(batch.chip_ids)
        with torch.no_grad():
            for index, chip_id in enumerate(batch.chip_ids):
                loss = self.network.loss(batch.images[[index, index]], [batch.targets[index]] * 2)["loss"]
                if not bool(torch.isfinite(loss)):
                    found.append(chip_id)
        return found or list(batch.chip_ids)

    def _not_finite(self, what: str, chip_ids: Sequence[str]) -> TrainingError:
        chips = f" for chip{'s' * (len(chip_ids) > 1)} {', '.join(chip_ids)}" if chip_ids else ""
        kept = self.parts.checkpoints.steps()
        rest = f"the checkpoint of step {kept[-1]} is kept" if kept else "no checkpoint was written yet"
        return TrainingError(
            f"training stopped at step {self.parts.state.step + 1}: {what}{chips}; look at these chips and their labels, or try a lower `lr` or `precision=32`; {rest}"
        )

    def _scaler(self) -> Any:
        return getattr(self.trainer.precision_plugin, "scaler", None)

    def _write_log(self, values: dict[str, float]) -> None:
        for logger in self.trainer.loggers:
            logger.log_metrics(values, step=self.parts.state.step)
