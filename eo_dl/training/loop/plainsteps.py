"""Training steps without a run around them, for measuring: nothing is kept, written or said."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import torch

from ...chips.dataset import Batch
from ...networks.device import autocast
from ..setup.freeze import apply_freeze
from ..setup.loading import train_batches
from ..setup.runsetup import RunSetup
from .optimizers import make_optimizer, set_rate


class PlainSteps:
    """The steps that a run of `setup` would begin with, one by one. Use within `torch.random.fork_rng()`."""

    def __init__(self, setup: RunSetup) -> None:
        self.setup = setup
        self.network = setup.new_network().to(setup.device)
        self._optimizer = make_optimizer(self.network, setup.config)

    def batches(self) -> Iterator[Batch]:
        """One process's batches, epoch after epoch, without end."""
        for epoch in count():
            dataset = self.setup.data.dataset("train", augmented=True)

            def first_batch(epoch: int = epoch) -> tuple[int, int]:
                return epoch, 0

            yield from train_batches(dataset, self.setup.plan, first_batch, self.setup.workers)

    def step(self, batch: Batch, rate: float) -> float:
        """Move the weights once; the loss before."""
        apply_freeze(self.network, self.setup.config, 0)
        set_rate(self._optimizer, rate)
        self._optimizer.zero_grad()
        images = batch.images.to(self.setup.device).contiguous(memory_format=torch.channels_last)
        with autocast(self.setup.device, self.setup.precision):
            loss = self.network.loss(images, batch.targets)["loss"]
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        if self.setup.config.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.setup.config.clip_norm)
        self._optimizer.step()
        return float(loss.detach())  # waits for a GPU
