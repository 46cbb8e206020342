"""Scenes on a working grid of another GSD, where the factor is no accident."""

from __future__ import annotations

from ..core.gsdratio import MOST_RESAMPLED, factor_between
from ..errors import InputError
from .scene import Scene


def resampled(scene: Scene, gsd_m: float, *, wanted_by: str, force: bool = False) -> Scene:
    """The scene at another GSD; see `Scene.at_gsd`.

    Args:
        scene: The scene.
        gsd_m: The wanted GSD, metres.
        wanted_by: Who wants it, for the message, e.g. "the model was trained at".
        force: Resample by any factor; also stated by `open_scene`.

    Raises:
        InputError: The factor is beyond `MOST_RESAMPLED`.
        GridError: The scene has no CRS, or `gsd_m` is out of range.
    """
    result, own_gsd_m = scene.at_gsd(gsd_m), scene.native.gsd_m
    if force or scene.options.force or own_gsd_m is None:
        return result
    factor = factor_between(own_gsd_m, gsd_m)
    if factor > MOST_RESAMPLED:
        working, native = result.grid, scene.native
        size = f"{working.width}x{working.height} px instead of {native.width}x{native.height}"
        raise InputError(
            f"{scene.path}: has {own_gsd_m:.4g} m GSD, {wanted_by} {gsd_m:.4g} m: resampling by a factor of "
            f"{factor:.3g} ({size}) is beyond {MOST_RESAMPLED:g}; use a scene of about {gsd_m:.4g} m, or "
            "resample all the same with `force`"
        )
    return result
