"""An exponential moving average of a network's weights, which often scores better than the last weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

Tensors = dict[str, torch.Tensor]


class AveragedWeights:
    """The mean of the weights after each step, where a step counts `decay` times as much as the next one.

    Polyak & Juditsky (1992); as in Tan & Le (2019). All floating-point values are averaged, the running means
    and variances of batch normalization too, so that they fit the weights; counters are copied. The decay of
    early steps is (1 + n) / (10 + n), or the random start would persist.

    Args:
        network: The network that is trained.
        decay: Of later steps, e.g. 0.999.
    """

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self._network, self._decay = network, decay
        self._updates = 0
        self._values: Tensors = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def update(self) -> None:
        """Add the network's current weights; call it after each step of the optimizer."""
        self._updates += 1
        share = 1 - min(self._decay, (1 + self._updates) / (10 + self._updates))
        with torch.no_grad():
            for name, value in self._network.state_dict().items():
                if value.is_floating_point():
                    self._values[name].lerp_(value, share)
                else:
                    self._values[name].copy_(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block, the network has the averaged weights."""
        trained = {name: value.detach().clone() for name, value in self._network.state_dict().items()}
        self._network.load_state_dict(self._values)
        try:
            yield
        finally:
            self._network.load_state_dict(trained)

    def weights(self) -> Tensors:
        """The averaged weights by tensor name."""
        return dict(self._values)

    def to_dict(self) -> dict[str, Any]:
        """The state, for a checkpoint."""
        return {"updates": self._updates, "values": dict(self._values)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state of `to_dict`."""
        self._updates = int(state["updates"])
        for name, value in state["values"].items():
            self._values[name].copy_(value)
