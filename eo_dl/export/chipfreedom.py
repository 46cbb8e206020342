"""Which chips a network takes besides those that it was trained with."""

from __future__ import annotations

from ..modelspec import AnyChip
from ..networks.backbones import strides_of
from ..networks.receptivefield import receptive_fields
from ..networks.tasknetwork import TaskNetwork
from ..tasks import RASTER, VALUES, Task


def chip_freedom(network: TaskNetwork, task: Task, bands: int, chip_px: int) -> AnyChip | None:
    """What a fully convolutional network may predict with.

    Args:
        network: The network.
        task: Its task.
        bands: Bands of its images.
        chip_px: Side of the chips of training.

    Returns:
        Its receptive field and its stride. None if it gives no map, looks at the whole chip, or
        was trained with chips that it has to pad.
    """
    if task.output not in (RASTER, VALUES):
        return None
    stride = strides_of(network.backbone)[-1]
    if chip_px % stride:
        return None
    field = receptive_fields(network, bands, lambda module, image: list(module(image).values()))[0]
    return None if field is None else AnyChip(field_px=field, step_px=stride)
