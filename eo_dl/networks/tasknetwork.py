"""`TaskNetwork`: what training and inference may ask of any network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from ..core.arrays import Target
from .weights import WeightsReport


class TaskNetwork(torch.nn.Module, ABC):
    """A network of one task; `encoder` holds the timm backbone, so its tensors are called "encoder.*" in
    every task.

    `weights_report` says what a weights file gave to it. `class_layers`: what the names of tensors begin with
    whose size is that of the classes; they are the head that is dropped where a network begins as another one
    ended. `images` are (N, C, H, W) float32 standard scores of any H and W.
    """

    encoder: torch.nn.Module
    class_layers: tuple[str, ...]
    weights_report: WeightsReport | None = None

    @abstractmethod
    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Raw predictions by name, each with the batch as first axis, float32 also under autocast; call in
        eval mode.
        """

    @abstractmethod
    def loss(self, images: torch.Tensor, targets: Sequence[Target]) -> dict[str, torch.Tensor]:
        """Scalar losses by name with their sum as "loss"; call in train mode. Works for a batch of one."""
