"""Names of what engines may give besides the raw outputs of a task."""

from __future__ import annotations

FEATURE_MAP = "feature_map"
"""(N, D, h, w) the last, coarsest map of features of the backbone: what it sees in each part of a chip. It
lies inside `model.onnx` as `FEATURES` does."""
FEATURES = "features"
"""(N, D) what the backbone of a network sees in each chip. `model.onnx` computes it but does not give it as
an output; an engine makes it one where chips are compared."""
