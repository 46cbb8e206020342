"""The size of the chips of a prediction, and the context that is discarded around each.

A fully convolutional network gives the same map with larger chips than those of training. Larger chips need
less context in relation to their size: with a margin of 32 px, chips of 256 px make the network see 1.78
pixels for each pixel of the map, chips of 512 px 1.31.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..bundle import Bundle
from ..errors import ConfigError
from ..modelspec import AnyChip


def prediction_chip_px(bundle: Bundle, chip_px: int | None, best_px: int, scene_px: int) -> int:
    """Side of the chips with which a scene is predicted, pixels.

    Args:
        bundle: The model.
        chip_px: What the user chose; None: chosen here.
        best_px: What the engine works well with.
        scene_px: The shorter side of the scene. Larger chips would be padded, and padding changes the map.

    Raises:
        ConfigError: The network does not take chips of that size.
    """
    trained_px, freedom = bundle.spec.chip_px, bundle.spec.any_chip
    if chip_px is not None:
        check_chip_px(bundle, chip_px)
        return chip_px
    if freedom is None or best_px <= trained_px:
        return trained_px
    step = freedom.step_px
    largest_px = min(best_px, scene_px) // step * step
    return max(trained_px, largest_px)


def common_freedom(bundles: Sequence[Bundle]) -> AnyChip | None:
    """Which chips other than those of training all of the models take; None: no others."""
    freedoms = [bundle.spec.any_chip for bundle in bundles]
    known = [freedom for freedom in freedoms if freedom is not None]
    if len(known) < len(freedoms):
        return None
    return AnyChip(
        field_px=max(freedom.field_px for freedom in known),
        step_px=math.lcm(*(freedom.step_px for freedom in known)),
    )


def prediction_margin_px(bundle: Bundle) -> int:
    """Context per side: the model's own, or less where the network does not see as far."""
    freedom = bundle.spec.any_chip
    if freedom is None:
        return bundle.spec.margin_px
    return min(bundle.spec.margin_px, freedom.field_px // 2)


def check_chip_px(bundle: Bundle, chip_px: int) -> None:
    """Raises `ConfigError` unless the network takes chips of a size."""
    trained_px, freedom = bundle.spec.chip_px, bundle.spec.any_chip
    if chip_px == trained_px:
        return
    if freedom is None:
        raise ConfigError(
            f"`chip_px` {chip_px}: {bundle.path} predicts with the chips that it was trained with "
            f"({trained_px} px); omit it"
        )
    if chip_px < trained_px or chip_px % freedom.step_px:
        raise ConfigError(
            f"`chip_px` {chip_px}: expected a multiple of {freedom.step_px} from {trained_px} on, the size "
            "in training"
        )
