"""How far a network sees."""

from __future__ import annotations

from ..networks.receptivefield import receptive_fields
from ..networks.tasknetwork import TaskNetwork
from ..tasks import RASTER, Task


def field_of_view(network: TaskNetwork, task: Task, bands: int) -> int | None:
    """Side in pixels of the ground that decides one pixel of a class map.

    Args:
        network: The network.
        task: Its task.
        bands: Bands of its images.

    Returns:
        The receptive field; None if the network looks at the whole chip, or does not give a class map. A
        network with a field gives the same map with chips of any size (except near their edges).
    """
    if task.output != RASTER:
        return None
    return receptive_fields(network, bands, lambda module, image: [module(image)["logits"]])[0]
