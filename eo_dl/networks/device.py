"""Where to compute and how precisely."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..errors import ConfigError, DeviceError


def choose_device(name: str) -> torch.device:
    """The device of "auto", "cpu", "cuda" or "mps". Raises `DeviceError` for one that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    there: dict[str, Callable[[], bool]] = {
        "cpu": lambda: True,
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if name not in there:
        raise ConfigError(f"device {name!r} is not known; choose one of auto, {', '.join(there)} (--device)")
    if not there[name]():
        raise DeviceError(
            f"--device {name}: this machine has none that torch {torch.__version__} can use; use --device auto or cpu"
        )
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> str:
    """ "32", "bf16" or "16" for a device; "auto" takes bfloat16 where the hardware computes in it."""
    if name == "auto":
        return "bf16" if _computes_bf16(device) else "32"
    if name not in ("32", "bf16", "16"):
        raise ConfigError(f"precision {name!r} is not known; choose one of auto, 32, bf16, 16 (--precision)")
    if name == "16" and device.type == "cpu":
        raise ConfigError("precision 16 does not train on a CPU; use --precision bf16, 32 or auto")
    return name


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """A context in which networks compute in that precision."""
    kind = torch.float16 if precision == "16" else torch.bfloat16
    return torch.autocast(device.type, dtype=kind, enabled=precision != "32")


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8  # Ampere; before it bfloat16 is emulated
    return device.type == "cpu" and any(
        _asked(name) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )


def _asked(name: str) -> bool:
    # Private in torch 2.6 to 2.15; where one is gone the answer is no, which costs speed and not truth.
    probe: Callable[[], bool] | None = getattr(torch.cpu, name, None)
    return bool(probe()) if probe is not None else False
