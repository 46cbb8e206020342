"""`WithFeatures`: a network that also gives what its backbone sees in a chip."""

from __future__ import annotations

import torch

from ..core.rawnames import FEATURE_MAP, FEATURES
from .tasknetwork import TaskNetwork


class WithFeatures(torch.nn.Module):
    """The outputs of a network, the backbone's last map of features, and its mean (N, D).

    The last map is the coarsest one, with the widest view. Its mean is the same wherever something lies in
    the chip, so distances between features tell how alike two chips are. As a context manager it leaves the
    network without its hook.

    Args:
        network: The network.
        only: Give only this one of the two (`core.rawnames`); default: both.
    """

    def __init__(self, network: TaskNetwork, only: str = "") -> None:
        super().__init__()
        self.network = network
        self._only = only
        self._last_maps: list[torch.Tensor] = []
        self._hook = network.backbone.register_forward_hook(self._keep)

    def __enter__(self) -> WithFeatures:
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the network as it was."""
        self._hook.remove()

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """The outputs by name, for images (N, C, H, W)."""
        self._last_maps.clear()
        outputs: dict[str, torch.Tensor] = self.network(images)
        inner = _inner(self._last_maps.pop().float())
        wanted = inner if not self._only else {self._only: inner[self._only]}
        return outputs | wanted

    def _keep(
        self, module: torch.nn.Module, inputs: object, output: torch.Tensor | list[torch.Tensor]
    ) -> None:
        """A forward hook of the backbone: maps from fine to coarse, one map, or (N, D) of a perceptron."""
        last = output if isinstance(output, torch.Tensor) else output[-1]
        self._last_maps.append(last)


def _inner(last: torch.Tensor) -> dict[str, torch.Tensor]:
    if last.ndim == 2:  # of a perceptron, which sees the chip as one cell
        return {FEATURES: last, FEATURE_MAP: last[:, :, None, None]}
    # A copy: the exporter knows outputs by their names, and the map is used inside, too.
    return {FEATURES: last.mean(dim=(-2, -1)), FEATURE_MAP: last * 1.0}
