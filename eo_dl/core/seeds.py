"""Random numbers that depend on their purpose, never on when or where they are drawn.

`generator(seed, "augment", epoch, index)` gives the same stream in any process and with any number
of workers, which is what makes a resumed run equal to an unbroken one.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derived_seed(seed: int, *keys: str | int) -> int:
    """A 64-bit seed for one purpose: SHA-256 of the root seed and the keys."""
    text = "/".join([str(seed), *(str(key) for key in keys)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def generator(seed: int, *keys: str | int) -> np.random.Generator:
    """A generator for one purpose (PCG64, seeded by `derived_seed`)."""
    return np.random.default_rng(derived_seed(seed, *keys))
