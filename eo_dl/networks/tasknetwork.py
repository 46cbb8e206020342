"""`TaskNetwork`: what training and inference may ask of any network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic

import torch

from ..core.arrays import TargetT
from .weights import WeightsReport


class TaskNetwork(torch.nn.Module, ABC, Generic[TargetT]):
    """The network of a task, for images (N, C, H, W) of any H and W: float32 standard scores."""

    backbone: torch.nn.Module
    """The timm backbone. Its tensors have the same names in every task, so it can initialize another's."""
    class_layers: tuple[str, ...]
    """Prefixes of the names of the tensors whose size depends on the number of classes. They are the layers
    that are not taken from a model of other classes."""
    takes_batches: bool = True
    """False where an exported graph takes one chip at a time."""
    may_skip_parameters: bool = False
    """True where a batch may leave parameters without a gradient, e.g. the mask head without objects."""
    weights_report: WeightsReport | None = None
    """What a weights file gave to the network; None where it started from random weights."""

    @abstractmethod
    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Raw predictions by name, batch axis first, float32 also under autocast. Call in eval mode."""

    @abstractmethod
    def loss(self, images: torch.Tensor, targets: Sequence[TargetT]) -> dict[str, torch.Tensor]:
        """Scalar losses by name, with their sum as "loss". Call in train mode; a batch may have one chip."""
