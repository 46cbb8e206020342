"""`weights: auto`: which weights a backbone starts from where nobody chose any."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.spectral import match_bands, sensor_of
from ...networks.catalogue import IMAGENET, RGB
from ...networks.packagedweights import packaged_file
from ...networks.weightsources import NONE
from ..trainconfig import AUTO, TrainConfig, task_config_of


def with_weights(config: TrainConfig, bands: Sequence[str]) -> tuple[TrainConfig, tuple[str, ...]]:
    """The configuration with `weights: auto` replaced by what it stands for.

    ImageNet weights are chosen where they need no download and the chips have a visible band; a network that
    looks at heights or radar alone starts from random weights.

    Args:
        config: The configuration.
        bands: Names of the bands that the network takes, "" for one without a name.

    Returns:
        The configuration, and a note where a backbone starts from random weights.
    """
    if config.weights != AUTO:
        return config, ()
    task_config = task_config_of(config)
    if not task_config.uses_backbone:
        return config.model_copy(update={"weights": NONE}), ()
    reason = _reason_for_random(task_config.backbone, bands)
    if not reason:
        return config.model_copy(update={"weights": IMAGENET}), ()
    note = f"the network starts from random weights, because {reason}; `weights` chooses others"
    return config.model_copy(update={"weights": NONE}), (note,)


def _reason_for_random(backbone: str, bands: Sequence[str]) -> str:
    """Why ImageNet weights are not chosen; "" where they are."""
    if packaged_file(backbone) is None:
        return f"no weights of {backbone} are installed"
    if all(index is None for index in match_bands(bands, RGB, sensor_of(bands))):
        return f"none of the bands ({', '.join(name or '?' for name in bands)}) is red, green or blue"
    return ""
