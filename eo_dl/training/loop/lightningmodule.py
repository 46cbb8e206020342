"""The one LightningModule, for every task.

Lightning gives the loop, the devices, the precision and the loggers. Where a run is (epoch, step, best score)
is our own `RunState`, because Lightning's resume is not exact (docs/design/reliability.md, 4). Two rules make
a resumed run equal to an unbroken one:

- every step begins by seeding torch's global generator from (seed, step), so dropout and the sampling inside
  detectors depend on the number of the step and on nothing that ran before it. No generator state needs to
  survive a kill; the checkpoint holds them all the same, for foreign code that draws from them;
- the order of chips, the augmentation and the learning rate are functions of (seed, epoch, step) too.

A checkpoint is then weights, optimizer moments and a few counters. A step is one batch; with `accumulate` the
optimizer moves at the end of each group of steps, and only there is a checkpoint written or a stop request
answered.

With several processes (`setup.processes`) each has a part of every batch. What decides the course of the run
(restored state, scores, stopping) is that of the first process, in all of them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import lightning
import torch

from ...chips.dataset import Batch
from ...core.arraytypes import UInt8Array
from ...core.progress import OnProgress
from ...core.seeds import derived_seed
from ...errors import Cancelled, TrainingError
from ...networks.device import seed_generators
from ...networks.tasknetwork import TaskNetwork
from ..judging.scoring import ChipScoring
from ..record.checkpoint import CheckpointFolder, rng_state, set_rng_state
from ..record.runstate import Clock, RunState
from ..setup.budget import Budget
from ..setup.freeze import apply_freeze
from ..setup.processes import any_rank, average_batchnorm, from_rank0, is_distributed, rank
from ..setup.sampler import EpochPlan
from ..trainconfig import TrainConfig
from .curvelog import CurveLog
from .ema import AveragedWeights
from .optimizers import make_optimizer, plateau_drops, rate_at, restore_optimizer, set_rate
from .stopping import EXIT_CODES, StopRequest

log = logging.getLogger(__name__)

_TIME_UNITS = 10_000.0
"""What stands for the updates in all where a run is limited by time."""


@dataclass(frozen=True)
class LoopInputs:
    """Everything that the training loop needs besides the network."""

    config: TrainConfig
    plan: EpochPlan
    """Which chips are in which batch."""
    budget: Budget
    """How long the run may take; its learning rate follows the share that is used."""
    state: RunState
    """Where the run is; the loop changes it."""
    checkpoints: CheckpointFolder
    new_scoring: Callable[[], ChipScoring]
    """Makes an empty scoring for the validation chips of an epoch."""
    primary: str
    """Name of the validation score that decides which epoch is best."""
    on_progress: OnProgress
    """Called with (steps done, steps in all, "steps"); may raise `Cancelled`."""
    on_epoch: Callable[[RunState], None]
    """Called after each epoch, in the first process."""
    stop: StopRequest
    """Answered between two steps."""
    check_scenes: Callable[[], None]
    """Raises `SceneChangedError`; called in every epoch and before each checkpoint."""
    picture: Callable[[TaskNetwork], UInt8Array] | None = None
    """Draws predictions, (H, W, 3), for TensorBoard."""


class TrainingModule(lightning.LightningModule):
    """Trains a network of any task; see the docstring of the module.

    Args:
        network: The network; it ends with its last weights.
        inputs: Everything else.
        restored: The content of a checkpoint to continue from.
    """

    def __init__(
        self, network: TaskNetwork, inputs: LoopInputs, restored: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.inputs = inputs
        self._restored = restored
        self._rate = 0.0
        self._drops = 0
        self._losses: dict[str, float] = {}
        self._averaged: AveragedWeights | None = None
        self._averaged_applied = ExitStack()
        self._scoring = inputs.new_scoring()
        self._scored = False
        self._clock = Clock()
        self._validating = Clock()
        self._val_seconds = 0.0

    # Setting up

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer of the configuration; its learning rate is set at every step."""
        return make_optimizer(self.network, self.inputs.config)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move the images alone: targets are numpy until the loss needs them."""
        images = batch.images.to(device, non_blocking=True)
        return replace(batch, images=images.contiguous(memory_format=torch.channels_last))

    def on_fit_start(self) -> None:
        """Restore the checkpoint, now that the optimizer exists; the same in all processes."""
        config, state = self.inputs.config, self.inputs.state
        restored = from_rank0(self._restored)
        if config.ema is not None:
            self._averaged = AveragedWeights(self.network, config.ema)
        if restored is not None:
            state.become(RunState.from_dict(restored["state"]))
            self.network.load_state_dict(restored["network"])
            restore_optimizer(self.trainer.optimizers[0], restored["optimizer"])
            scaler = self._scaler()
            if scaler is not None and restored["scaler"]:
                scaler.load_state_dict(restored["scaler"])
            if self._averaged is not None:
                self._averaged.restore(restored["averaged"])
            set_rng_state(restored["rng"])
        self._restored = None
        self.trainer.should_stop = state.stopped is not None

    def on_train_start(self) -> None:
        """Report at once how many steps there are."""
        self._clock.restart()
        self._report_progress()

    # Training

    def on_train_epoch_start(self) -> None:
        """Train mode, also after a validation, for everything that is trained in this epoch."""
        inputs, config = self.inputs, self.inputs.config
        apply_freeze(self.network, config, inputs.state.epoch)
        scores = [row.get(f"val_{inputs.primary}", math.nan) for row in inputs.state.history]
        self._drops = plateau_drops(scores, config.decay_epochs)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Key the step's randomness and its learning rate by its number."""
        state, config = self.inputs.state, self.inputs.config
        process = [rank()] if rank() else []  # each process has its own dropout
        seed_generators(derived_seed(config.seed, "step", state.step, *process), self.device)
        done, total = self._position()
        self._rate = rate_at(done, total, config, epoch=state.epoch, drops=self._drops)
        set_rate(self.trainer.optimizers[0], self._rate)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """The loss.

        Raises:
            TrainingError: The loss is not finite; the message names the chips. No weight has changed yet.
        """
        losses = self.network.loss(batch.images, batch.targets)
        loss = losses["loss"]
        if any_rank(not bool(torch.isfinite(loss)), self.device):
            raise self._not_finite(f"the loss is {float(loss.detach()):g}", self._culprits(batch))
        self._losses = {name: float(value.detach()) for name, value in losses.items()}
        return loss * self._share_of_group()

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient by its norm.

        Raises:
            TrainingError: The norm is not finite. With float16 the scaler skips the step instead.
        """
        limit = self.inputs.config.clip_norm
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), math.inf if limit is None else limit)
        if self._scaler() is None and not bool(torch.isfinite(norm)):
            raise self._not_finite("the gradient is not finite", [])

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Count and log the step; write a checkpoint when it is due or a stop is requested."""
        state, config = self.inputs.state, self.inputs.config
        state.count_step(self._losses)
        losses = {f"step/{name}": value for name, value in self._losses.items()}
        self._write_log({**losses, "step/lr": self._rate})
        ends_epoch = state.batch >= self.inputs.plan.steps
        if state.batch % config.accumulate and not ends_epoch:
            return
        if self._averaged is not None:
            self._averaged.update()
        if ends_epoch:
            return  # saved once the epoch is scored
        if self._time_share() >= 1:
            self.trainer.should_stop = True  # Lightning validates, and ends the epoch here
            return
        self._stop_if_requested(save=True)
        checkpoints_due = state.step // config.checkpoint_steps
        if checkpoints_due > (state.step - config.accumulate) // config.checkpoint_steps:
            self.save()

    # Validation and the end of an epoch

    def on_validation_epoch_start(self) -> None:
        """Start an empty scoring, with the averaged weights if there are any."""
        self._scoring, self._scored = self.inputs.new_scoring(), True
        self._validating.restart()
        self._average_batchnorm()
        if self._averaged is not None:
            self._averaged_applied.enter_context(self._averaged.applied())

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Decode and score as `evaluate` does."""
        self._scoring.add_batch(self.network(batch.images), batch)
        if self.inputs.stop and not is_distributed():  # several processes agree at the end of the epoch
            self._stop_if_requested(save=False)

    def on_validation_epoch_end(self) -> None:
        """Gather the chips of all processes, and restore the trained weights."""
        self._scoring.gather()
        self._averaged_applied.close()
        self._val_seconds = self._validating.seconds

    def on_train_epoch_end(self) -> None:
        """Close the epoch, which is trained and validated now: best weights, checkpoint, end of the run."""
        inputs, state = self.inputs, self.inputs.state
        inputs.check_scenes()
        state.seconds = from_rank0(state.seconds + self._clock.lap())
        scores = from_rank0(self._scoring.values() if self._scored and rank() == 0 else {})
        is_best = state.close_epoch(scores, inputs.primary, self._rate)
        if is_best and rank() == 0:
            inputs.checkpoints.save_best(state.epoch, self._weights_to_keep())
        state.stopped = state.stop_reason(inputs.budget, inputs.config.patience)
        self._write_log({f"epoch/{name}": value for name, value in state.history[-1].items()})
        self.save()
        if rank() == 0:
            self._log_picture()
            inputs.on_epoch(state)
            inputs.checkpoints.forget_best(keep=state.best_epoch)
        self.trainer.should_stop = state.stopped is not None
        self._stop_if_requested(save=False)

    def save(self) -> None:
        """Write a checkpoint of this moment; called in all processes."""
        self.inputs.check_scenes()
        self._average_batchnorm()
        if rank() != 0:
            return
        scaler, state = self._scaler(), self.inputs.state
        state.seconds += self._clock.lap()
        content = {
            "state": state.to_dict(),
            "network": dict(self.network.state_dict()),
            "optimizer": self.trainer.optimizers[0].state_dict(),
            "averaged": {} if self._averaged is None else self._averaged.to_dict(),
            "scaler": {} if scaler is None else scaler.state_dict(),
            "rng": rng_state(),
        }
        self.inputs.checkpoints.save(state.step, content)

    def _weights_to_keep(self) -> dict[str, torch.Tensor]:
        """Those that were validated: the averaged ones if there are any."""
        if self._averaged is not None:
            return self._averaged.weights()
        return dict(self.network.state_dict())

    def _share_of_group(self) -> float:
        """What the loss of a batch is multiplied with: Lightning divides it by `accumulate`, but the last
        group of an epoch may be smaller, and counts as much as the others.
        """
        steps, accumulate = self.inputs.plan.steps, self.inputs.config.accumulate
        group_start = self.inputs.state.batch // accumulate * accumulate
        return accumulate / min(accumulate, steps - group_start)

    def _average_batchnorm(self) -> None:
        average_batchnorm(self.network.state_dict())
        if self._averaged is not None:
            average_batchnorm(self._averaged.weights())

    def _log_picture(self) -> None:
        state, every = self.inputs.state, self.inputs.config.picture_epochs
        if self.inputs.picture is None or every is None or state.epoch % every:
            return
        weights: AbstractContextManager[None] = nullcontext()
        if self._averaged is not None:
            weights = self._averaged.applied()
        with weights:
            picture = self.inputs.picture(self.network)
        for logger in self.trainer.loggers:
            if isinstance(logger, CurveLog):
                logger.log_image("validation chips", picture, state.step)

    # The budget

    def _position(self) -> tuple[float, float]:
        """Where the run is, as (updates of the optimizer done, updates in all).

        Where the time decides, the updates in all are not known: a share of the time stands for them.
        """
        state, accumulate = self.inputs.state, self.inputs.config.accumulate
        time_share = self._time_share()
        if self.inputs.budget.epochs is None:
            return time_share * _TIME_UNITS, _TIME_UNITS
        updates_per_epoch = math.ceil(self.inputs.plan.steps / accumulate)
        done = state.epoch * updates_per_epoch + state.batch // accumulate
        total = updates_per_epoch * self.inputs.budget.epochs
        if time_share > done / total:
            return time_share * _TIME_UNITS, _TIME_UNITS
        return done, total

    def _time_share(self) -> float:
        """The share of the time that is used, 0 without a limit; the same in all processes. The validation
        that follows the last step is part of the time.
        """
        limit = self.inputs.budget.seconds
        if limit is None:
            return 0.0
        for_steps = max(limit / 2, limit - self._val_seconds)
        return from_rank0(min(1.0, (self.inputs.state.seconds + self._clock.seconds) / for_steps))

    def _expected_steps(self) -> int:
        """Steps in all: planned, or expected from the pace so far where the time decides."""
        state, plan = self.inputs.state, self.inputs.plan
        done, total = self._position()
        if total != _TIME_UNITS:
            return plan.steps * (self.inputs.budget.epochs or 1)
        if done < _TIME_UNITS / 100:  # the pace is not known yet
            return max(state.step, plan.steps) + 1
        return max(state.step, round(state.step * total / done))

    # Stopping

    def _stop_if_requested(self, save: bool) -> None:
        """Called in all processes: a request to any of them stops all."""
        reason = None
        try:
            self._report_progress()
        except Cancelled as error:
            reason = str(error) or "stopped"
        reason = self.inputs.stop.reason or reason
        if any_rank(reason is not None, self.device):
            self._cancel(reason or "stopped", save)

    def _report_progress(self) -> None:
        self.inputs.on_progress(self.inputs.state.step, self._expected_steps(), "steps")

    def _cancel(self, reason: str, save: bool) -> None:
        if save:
            self.save()
        steps = self.inputs.checkpoints.steps()
        advice = "there is no checkpoint yet, start again with `overwrite`"
        if steps:
            advice = f"continue from step {steps[-1]} with the same command and `resume`"
        state = self.inputs.state
        error = Cancelled(f"{reason} after step {state.step} of {self._expected_steps()}; {advice}")
        error.exit_code = EXIT_CODES.get(reason, error.exit_code)
        raise error

    def _culprits(self, batch: Batch) -> list[str]:
        """The chips whose own loss is not finite, or all of the batch if there is none.

        Each is tried twice over, since batch normalization cannot work on a single chip. With several
        processes a loss cannot be computed by one process alone, and the whole batch is named.
        """
        if is_distributed():
            return list(batch.chip_ids)
        culprits: list[str] = []
        with torch.no_grad():
            for index, chip_id in enumerate(batch.chip_ids):
                loss = self.network.loss(batch.images[[index, index]], [batch.targets[index]] * 2)["loss"]
                if not bool(torch.isfinite(loss)):
                    culprits.append(chip_id)
        return culprits or list(batch.chip_ids)

    def _not_finite(self, problem: str, chip_ids: Sequence[str]) -> TrainingError:
        chips = ""
        if chip_ids:
            chips = f" for chip{'s' if len(chip_ids) > 1 else ''} {', '.join(chip_ids)}"
        steps = self.inputs.checkpoints.steps()
        kept = f"the checkpoint of step {steps[-1]} is kept" if steps else "there is no checkpoint yet"
        return TrainingError(
            f"training stopped at step {self.inputs.state.step + 1}: {problem}{chips}; check the chips and "
            f"their labels, or try a lower `lr` or `precision` 32; {kept}"
        )

    # Lightning's parts

    def _scaler(self) -> Any:
        """The gradient scaler of float16; None for other precisions."""
        return getattr(self.trainer.precision_plugin, "scaler", None)

    def _write_log(self, values: dict[str, float]) -> None:
        for logger in self.trainer.loggers:
            logger.log_metrics(values, step=self.inputs.state.step)
