"""`Compute`: the device, precision and sizes with which networks run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import get_args

from ..errors import ConfigError
from .device import Precision, check_device_name


@dataclass(frozen=True)
class Compute:
    """How networks are run, in training and in prediction.

    Raises:
        ConfigError: A value that no machine could use. Whether this one has the device is asked on use.

    Example:
        >>> predict("roofs.eodl", "town.tif", out="map.tif", compute=Compute("cuda:1"))  # doctest: +SKIP
    """

    device: str = "auto"
    """"auto" (the first GPU, else the CPU), "cpu", "cuda", "cuda:N" (GPU number N) or "mps"."""

    precision: Precision = "auto"
    """"32": float32; "bf16": bfloat16; "16": float16; "auto": bfloat16 for class maps on hardware that
    computes in it, else float32."""

    batch_size: int | None = None
    """Chips per batch (default: as many as the device works well with)."""

    workers: int | None = None
    """Threads or processes that read (default: chosen automatically)."""

    def __post_init__(self) -> None:
        check_device_name(self.device)
        if self.precision not in get_args(Precision):
            raise ConfigError(f"`precision` {self.precision!r} is unknown; choose auto, 32, bf16 or 16")
        if self.batch_size is not None and self.batch_size < 1:
            raise ConfigError(f"`batch_size`: expected at least 1 chip, found {self.batch_size}")
        if self.workers is not None and self.workers < 0:
            raise ConfigError(f"`workers`: expected 0 or more, found {self.workers}")

    def stated(self) -> dict[str, object]:
        """Name and value of the fields that differ from their defaults."""
        return {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if getattr(self, item.name) != item.default
        }
