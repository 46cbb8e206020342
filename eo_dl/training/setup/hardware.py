"""On what a run computes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .processes import ALONE, ProcessLayout


@dataclass(frozen=True)
class Hardware:
    """On what a run computes: the same for training and for the scores at its end."""

    device: torch.device
    precision: str = "32"
    """"32", "bf16" or "16"."""
    processes: ProcessLayout = ALONE
    """Which processes share the work."""
