"""`AveragedWeights`: an exponential moving average of a network's weights, which often scores better than the
last ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

Tensors = dict[str, torch.Tensor]


class AveragedWeights:
    """The mean over the steps so far, older ones counting less by `decay` a step (Polyak & Juditsky 1992; as
    in Tan & Le 2019).

    Everything with a fraction is averaged, the running means and variances of batch normalization too, so
    that they are those of the weights they go with; counters are copied. The first steps count in fast, (1 +
    n) / (10 + n), or the random start would linger.
    """

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self._network, self._decay = network, decay
        self._updates = 0
        self._values: Tensors = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def update(self) -> None:
        """Count the network's weights in, after a step of the optimizer."""
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
        """Within it the network has the averaged weights."""
        own = {name: value.detach().clone() for name, value in self._network.state_dict().items()}
        self._network.load_state_dict(self._values)
        try:
            yield
        finally:
            self._network.load_state_dict(own)

    def weights(self) -> Tensors:
        """The averaged weights by the network's names."""
        return dict(self._values)

    def to_dict(self) -> dict[str, object]:
        """For a checkpoint."""
        return {"updates": self._updates, "values": dict(self._values)}

    def restore(self, known: Mapping[str, object]) -> None:
        """Go on from what `to_dict` gave."""
        values, updates = known["values"], known["updates"]
        assert isinstance(values, dict) and isinstance(updates, int)
        self._updates = updates
        for name, value in values.items():
            self._values[name].copy_(value)
