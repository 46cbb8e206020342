"""Names of what engines may give besides the raw outputs of a task."""

from __future__ import annotations

FEATURES = "features"
"""(N, D) what the backbone of a network sees in each chip. `model.onnx` computes it but does not give it as
an output; an engine makes it one where chips are compared."""
