"""`ChipOptions`: how a scene is cut into chips for a prediction, and how the chips are put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import ConfigError

Blend = Literal["clip", "hann"]
VIEW_COUNTS = (1, 2, 4, 8)


@dataclass(frozen=True)
class ChipOptions:
    """How a scene is cut into chips for a prediction, and how the chips are put together.

    Raises:
        ConfigError: A value is out of range.

    Example:
        >>> chips = ChipOptions(views=4)
        >>> predict("roofs.eodl", "town.tif", out="map.tif", chip_options=chips)  # doctest: +SKIP
    """

    chip_px: int | None = None
    """Side of a chip, pixels (default: that of training; for a fully convolutional network up to 512 on a CPU
    and 1024 on a GPU, which is faster and changes fewer labels at seams)."""

    margin_px: int | None = None
    """Context pixels per side, discarded from the output (default: the model's)."""

    blend: Blend = "clip"
    """"clip": each pixel is taken from the chip in which it lies deepest. "hann": the mean of all chips that
    see it, weighted by a Hann window. For class maps."""

    views: int = 1
    """Number of flips and turns of each chip whose probabilities are averaged: 1, 2, 4 or 8. For class maps
    and classes of chips; takes that many times as long."""

    max_overlap: float | None = None
    """IoU above which two boxes of one class are one object, 0 to 1 (default: the model's, chosen in training
    on validation chips)."""

    max_inside: float | None = None
    """Share of a box inside another one of its class above which they are one object, 0 to 1; 1: boxes may
    lie inside others (default: the model's)."""

    def __post_init__(self) -> None:
        if self.chip_px is not None and self.chip_px < 1:
            raise ConfigError(f"`chip_px`: expected at least 1 pixel, found {self.chip_px}")
        if self.margin_px is not None and self.margin_px < 0:
            raise ConfigError(f"`margin_px`: expected 0 or more, found {self.margin_px}")
        if self.blend not in get_args(Blend):
            raise ConfigError(f"`blend`: expected clip or hann, found {self.blend!r}")
        for name, share in (("max_overlap", self.max_overlap), ("max_inside", self.max_inside)):
            if share is not None and not 0 <= share <= 1:
                raise ConfigError(f"`{name}`: expected 0 to 1, found {share:g}")
        if self.views not in VIEW_COUNTS:
            raise ConfigError(f"`views`: expected 1, 2, 4 or 8, found {self.views}")
