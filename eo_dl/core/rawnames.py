"""Names of what engines may give besides the raw outputs of a task."""

from __future__ import annotations

FEATURES = "features"
"""(N, D) what the backbone of a network sees in each chip. A value inside `model.onnx`, no output of it: only
who compares chips asks for it.
"""
