"""Training steps without a run around them, for measurements: nothing is kept, written or logged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import count

import torch

from ...chips.dataset import Batch
from ...networks.device import autocast
from ..setup.freeze import apply_freeze
from ..setup.loading import train_batches
from ..setup.runsetup import RunSetup
from .optimizers import make_optimizer, set_rate


class PlainSteps:
    """The first steps of a run, one at a time. Use it within `torch.random.fork_rng()`."""

    def __init__(self, setup: RunSetup) -> None:
        self.setup = setup
        self.network = setup.new_network().to(setup.device)
        self._optimizer = make_optimizer(self.network, setup.config)

    def batches(self) -> Iterator[Batch]:
        """The batches of one process, epoch after epoch, without end."""
        setup = self.setup
        for epoch in count():
            dataset = setup.data.dataset("train", augmented=True)

            def first_batch(epoch: int = epoch) -> tuple[int, int]:
                return epoch, 0

            with closing(train_batches(dataset, setup.plan, first_batch, setup.workers)) as batches:
                yield from batches

    def step(self, batch: Batch, rate: float) -> float:
        """Take one step of the optimizer.

        Args:
            batch: Chips and targets.
            rate: The learning rate.

        Returns:
            The loss before the step.
        """
        setup, config = self.setup, self.setup.config
        apply_freeze(self.network, config, 0)
        set_rate(self._optimizer, rate)
        self._optimizer.zero_grad()
        images = batch.images.to(setup.device).contiguous(memory_format=torch.channels_last)
        with autocast(setup.device, setup.precision):
            loss = self.network.loss(images, batch.targets)["loss"]
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        if config.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        self._optimizer.step()
        return float(loss.detach())  # waits for a GPU
