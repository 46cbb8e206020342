"""How many units of a sample each stratum gets, and how many are needed for a wanted standard error.

Source: Cochran, Sampling Techniques (1977), chapter 5; Olofsson et al. (2014), Good practices for estimating
area and assessing accuracy of land change, Remote Sensing of Environment 148, section 5.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from ..core.arraytypes import Float64Array, Int64Array
from ..errors import ConfigError

Allocation = Literal["proportional", "equal", "neyman", "area"]
ALLOCATIONS: tuple[Allocation, ...] = ("proportional", "equal", "neyman", "area")

_BISECTIONS = 200
_TINY_SHARE = 1e-12
"""What a stratum of no share gets before the sample is too large for the others."""


def binomial_deviation(shares: Float64Array) -> Float64Array:
    """Standard deviation sqrt(p (1 - p)) of a unit that is of a class with probability p."""
    return np.sqrt(shares * (1 - shares))


def expected_shares_of_class(accuracies: Float64Array, own: int) -> Float64Array:
    """Share of each stratum that is expected to be of one class, where strata are the classes of the map.

    In its own stratum that is the user's accuracy. The errors of another stratum are expected to be spread
    evenly over the classes that it is not.

    Args:
        accuracies: (H,) expected user's accuracy of each stratum.
        own: Index of the stratum of the class.

    Returns:
        (H,) shares, 0 to 1.
    """
    others = max(len(accuracies) - 1, 1)
    shares = (1 - accuracies) / others
    shares[own] = accuracies[own]
    return shares


def needed_units(weights: Float64Array, deviations: Float64Array, standard_error: float) -> int:
    """Number of units for a wanted standard error of a share, with the best allocation.

    Cochran (1977), equation 5.25 without its term for finite populations, as in equation 13 of Olofsson
    et al. (2014): n = (sum of W S / standard error)².

    Args:
        weights: (H,) share of the area of each stratum.
        deviations: (H,) expected standard deviation of a unit in each stratum.
        standard_error: Wanted standard error of the share.

    Raises:
        ConfigError: The standard error is not above 0.
    """
    if not standard_error > 0:
        raise ConfigError(f"the wanted standard error must be above 0, found {standard_error:g}")
    units = (float((weights * deviations).sum()) / standard_error) ** 2
    # 640.0000000001 units of rounding are 640
    return max(1, math.ceil(units - 1e-6))


def allocate(count: int, shares: Float64Array, sizes: Int64Array, at_least: int) -> Int64Array:
    """Divide a sample among strata.

    Strata below the least number are raised to it, and the others share what is left (Olofsson et al. 2014,
    section 5.1.2). No stratum gets more units than it has.

    Args:
        count: Number of units in all.
        shares: (H,) how the sample is divided, in any unit; not negative.
        sizes: (H,) number of units that each stratum has.
        at_least: Least number per stratum.

    Returns:
        (H,) numbers of units. Their sum is `count`, or all units there are.

    Raises:
        ConfigError: The least numbers alone are more than `count`.
    """
    least = np.minimum(sizes, at_least)
    if int(least.sum()) > count:
        raise ConfigError(
            f"{count} units are too few for {len(sizes)} strata with at least {at_least} each; take "
            f"{int(least.sum())} or more, or a smaller least number per stratum"
        )
    # Of all scales, the one at which shares cut to what is allowed make up the sample.
    parts = shares / max(float(shares.sum()), 1e-300) + _TINY_SHARE
    low, high = 0.0, float(sizes.max()) / float(parts.min())
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        enough = float(np.clip(middle * parts, least, sizes).sum()) >= count
        low, high = (low, middle) if enough else (middle, high)
    return _rounded(np.clip(high * parts, least, sizes), sizes, count)


def _rounded(exact: Float64Array, sizes: Int64Array, count: int) -> Int64Array:
    """Whole numbers with the sum `count`, each next to its exact one (largest remainders)."""
    units = np.floor(exact + 1e-9).astype(np.int64)
    room = units < sizes
    by_remainder = np.argsort(np.where(room, units - exact, np.inf), kind="stable")
    units[by_remainder[: max(count - int(units.sum()), 0)]] += 1
    return units
