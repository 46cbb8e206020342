"""The input contract: a scene is made to fit a model, or refused with the fix. Nothing is guessed."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace

from ..bundle import Bundle
from ..core.bandmatching import with_names_of
from ..core.bands import Band, BandSet
from ..core.gsdratio import factor_between
from ..errors import BandError
from ..io.derived.recipes import parse_recipe
from ..io.gsdchange import resampled
from ..io.scene import Scene
from ..io.validity import gap_lines
from ..modelspec import MASK_KEY
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
    fitted, matched = _with_bands(bundle.bands, scene)
    fitted, rule = _with_valid_rule(bundle, fitted)
    fitted, size = _with_gsd(bundle, fitted, keep_gsd, force)
    sample = SceneSample.of(fitted)
    gaps = gap_lines(sample.gaps, fitted.bands, fitted.valid, fitted.name)
    for line in gaps if sample.gaps.costly else ():
        log.warning("%s", line)
    compared = check_values(bundle, fitted, sample.pixels, force)
    warnings = (*compared.warnings, *season_note(bundle, scene))
    notes = (
        *scene.notes,
        *matched,
        *warnings,
        *rule,
        *_mask_note(bundle, scene),
        *gaps,
        *size,
        *compared.notes,
    )
    return FittedScene(fitted, notes, warnings)


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


def _mask_note(bundle: Bundle, scene: Scene) -> tuple[str, ...]:
    """A note on a scene that is predicted as a whole by a model that was trained under a mask."""
    trained_with = bundle.spec.provenance.training.get(MASK_KEY)
    if not isinstance(trained_with, list) or not trained_with or scene.options.mask:
        return ()
    rules = "; ".join(str(rule) for rule in trained_with)
    note = (
        f"{scene.name}: the model was trained without the ground that `mask='{rules}'` takes away; this "
        "scene is predicted as a whole, clouds and shadows included, if it has any"
    )
    return (note,)


def _with_bands(wanted: BandSet, scene: Scene) -> tuple[Scene, tuple[str, ...]]:
    """The scene with the model's bands in its order; a note on bands that were not matched by name."""
    model, wanted = wanted, needed_bands(wanted, scene.bands)
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
    match = with_names_of(wanted, scene.bands)
    wanted.match(match.bands, scene.path)  # refuses a scene that lacks a band
    notes = tuple(f"{scene.name}: {note}" for note in match.notes)
    scene = replace(scene, bands=match.bands)
    recipes = [band.derived.text for band in model if band.derived and band.name not in scene.bands.names]
    if recipes:
        scene = scene.with_derived(recipes)
    return scene.reordered(model.match(scene.bands, scene.path)), notes


def needed_bands(wanted: BandSet, scene: BandSet) -> BandSet:
    """The bands that a scene must have for a model: the model's own, with the inputs in place of those that
    it makes from others; a band that a scene has under the name of a derived one is taken as it is.
    """
    needed: dict[str, Band] = {}
    for band in wanted:
        if band.derived is None or band.name in scene.names:
            needed[band.name] = band
    for band in wanted:
        inputs = () if band.derived is None or band.name in needed else parse_recipe(band.derived.text).inputs
        for name in inputs:
            is_name = re.fullmatch(r"band_\d+", name) is None
            needed.setdefault(name, Band(name, len(needed) + 1, named=is_name))
    return BandSet(tuple(needed.values()))


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
