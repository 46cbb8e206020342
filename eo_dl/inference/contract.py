"""The input contract: a scene is made to fit a model, or refused with the fix. Nothing is guessed."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ..bundle import Bundle
from ..core.bands import BandSet
from ..core.gsdratio import factor_between
from ..errors import BandError
from ..io.gsdchange import resampled
from ..io.scene import Scene
from ..io.validity import gap_lines
from .scenesample import SceneSample
from .seasons import season_note
from .valuecheck import check_values

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FittedScene:
    """A scene that fits a model."""

    scene: Scene
    """The scene with the model's bands in the model's order, on the working grid."""
    notes: tuple[str, ...]
    """What was done to it, and how it differs from what the model was trained on."""
    warnings: tuple[str, ...] = ()
    """Those of the notes that say how it differs."""


def fit_scene(bundle: Bundle, scene: Scene, *, keep_gsd: bool = False, force: bool = False) -> FittedScene:
    """Match bands, units and GSD, and compare values and date with those of the training.

    Args:
        bundle: The model.
        scene: The scene.
        keep_gsd: Do not resample a scene whose GSD differs from the model's.
        force: Take a scene that shows something else, or is resampled by a large factor; also stated by
            `open_scene`.

    Raises:
        BandError: The scene lacks a band.
        SceneError: Nothing in it is valid.
        InputError: It shows other values than the model was trained on, or would be resampled by a large
            factor; the message names the parameter that resolves it.
    """
    force = force or scene.options.force
    fitted = _with_bands(bundle.bands, scene)
    fitted, rule = _with_valid_rule(bundle, fitted)
    fitted, size = _with_gsd(bundle, fitted, keep_gsd, force)
    sample = SceneSample.of(fitted)
    gaps = gap_lines(sample.gaps, fitted.bands, fitted.valid, fitted.name)
    for line in gaps if sample.gaps.costly else ():
        log.warning("%s", line)
    compared = check_values(bundle, fitted, sample.pixels, force)
    warnings = (*compared.warnings, *season_note(bundle, scene))
    return FittedScene(fitted, (*scene.notes, *warnings, *rule, *gaps, *size, *compared.notes), warnings)


def _with_valid_rule(bundle: Bundle, scene: Scene) -> tuple[Scene, tuple[str, ...]]:
    """The scene with the model's rule of valid ground, unless the user stated one; a note on another one."""
    if scene.options.valid is None:
        return scene.with_valid(bundle.spec.valid), ()
    if scene.valid == bundle.spec.valid:
        return scene, ()
    note = (
        f"{scene.name}: pixels are valid by the rule '{scene.valid}', as stated; the model was trained "
        f"with '{bundle.spec.valid}'"
    )
    return scene, (note,)


def _with_bands(wanted: BandSet, scene: Scene) -> Scene:
    if scene.options.bands is not None:
        numbers_alone = not any(band.named for band in scene.bands)
        if wanted.named and len(scene.bands) == len(wanted) and numbers_alone:
            # Numbers stated by the user, as many as the model has bands: they are in the model's order.
            pairs = zip(wanted.names, scene.bands, strict=True)
            scene = scene.select([f"{name}={band.number}" for name, band in pairs])
        if len(scene.bands) < len(wanted):
            raise BandError(
                f"{scene.path}: `bands` names {len(scene.bands)} bands, the model needs {len(wanted)}: "
                f"{wanted.describe()}; name each"
            )
    return scene.reordered(wanted.match(scene.bands, scene.path))


def _with_gsd(bundle: Bundle, scene: Scene, keep: bool, force: bool) -> tuple[Scene, tuple[str, ...]]:
    wanted = bundle.spec.gsd_m
    if wanted is None:
        return scene, ()
    gsd = scene.grid.gsd_m
    if gsd is None:
        note = (
            f"{scene.name} has no CRS, so its GSD is unknown; the model was trained at {wanted:.4g} m GSD, "
            "and the scene is not resampled"
        )
        return scene, (note,)
    if bundle.spec.reads_gsd(gsd):
        return scene, ()
    difference = f"{scene.name} has {gsd:.4g} m GSD, the model was trained at {wanted:.4g} m"
    if keep:
        return scene, (f"{difference}: not resampled, as requested",)
    result = resampled(scene, wanted, wanted_by="the model was trained at", force=force)
    note = (
        f"{difference}: resampled on reading by a factor of {factor_between(gsd, wanted):.3g}; the result "
        "has the scene's own grid"
    )
    return result, (note,)
