"""`WithFeatures`: a network that also gives what its backbone sees in a chip."""

from __future__ import annotations

import torch

from ..core.rawnames import FEATURES
from .tasknetwork import TaskNetwork


class WithFeatures(torch.nn.Module):
    """The outputs of a network, and (N, D) "features": the mean of the backbone's last feature map.

    The last map is the coarsest one, with the widest view. Its mean is the same wherever something lies in
    the chip, so distances between features tell how alike two chips are.
    """

    def __init__(self, network: TaskNetwork) -> None:
        super().__init__()
        self.network = network
        self._last_maps: list[torch.Tensor] = []
        network.backbone.register_forward_hook(self._keep)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """The outputs by name, for images (N, C, H, W)."""
        self._last_maps.clear()
        outputs: dict[str, torch.Tensor] = self.network(images)
        features = self._last_maps.pop().float()
        if features.ndim == 4:
            features = features.mean(dim=(-2, -1))
        return {**outputs, FEATURES: features}

    def _keep(
        self, module: torch.nn.Module, inputs: object, output: torch.Tensor | list[torch.Tensor]
    ) -> None:
        """A forward hook of the backbone: maps from fine to coarse, one map, or (N, D) of a perceptron."""
        last = output if isinstance(output, torch.Tensor) else output[-1]
        self._last_maps.append(last)
