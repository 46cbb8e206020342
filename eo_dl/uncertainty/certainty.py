"""How certain a prediction is of each pixel, in three numbers from 0 to 1."""

from __future__ import annotations

import numpy as np

from ..core.arraytypes import Float32Array

CERTAINTY_BANDS = ("largest probability", "margin", "entropy")
"""What `certainty_bands` gives."""

_LEAST = np.float32(1e-12)  # its logarithm is finite


def certainty_bands(probabilities: Float32Array) -> Float32Array:
    """Largest probability, margin and entropy.

    The largest probability is that of the class of the map. The margin is by how much it exceeds the second
    largest. The entropy (Shannon 1948) is divided by that of equal probabilities: 0 for a certain pixel, 1
    where all classes are equally likely.

    Args:
        probabilities: (K, ...) that sum to 1 over the first axis.

    Returns:
        (3, ...) in the order of `CERTAINTY_BANDS`.
    """
    # Plane by plane: sorting K values per pixel takes several times as long.
    largest = np.array(probabilities[0], np.float32)
    second = np.zeros_like(largest)
    entropy = np.zeros_like(largest)
    for plane in probabilities[1:]:
        np.maximum(second, np.minimum(largest, plane), out=second)
        np.maximum(largest, plane, out=largest)
    for plane in probabilities:
        entropy -= plane * np.log(np.maximum(plane, _LEAST))
    if len(probabilities) > 1:
        entropy /= np.float32(np.log(len(probabilities)))
    return np.stack([largest, largest - second, np.clip(entropy, 0, 1)])
