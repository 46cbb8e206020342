"""Masks on a scene: its own quality band, or another raster, takes ground away from all its bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...core.bands import Band, BandSet, canonical_name
from ...errors import BandError, SceneError
from ..maskrules import CLOUDS, MaskRule, mask_rule, mask_rules
from ..scenefile import Cover, SceneFile, describe
from .stack import as_stack, overlaps

_STEM = "{stem}"


def masked(
    file: SceneFile,
    rules: Sequence[str],
    *,
    stem: str,
    wanted: Sequence[str] | None,
    own_nodata: bool,
    trust_vrt: bool,
) -> SceneFile:
    """A scene whose ground is valid only where no rule takes it away.

    A band that a rule is about is used as a band only if it is asked for.

    Args:
        file: The scene.
        rules: The rules, as `maskrules` reads them.
        stem: The scene's file name without its suffix, for "{stem}" in a rule.
        wanted: The bands that will be selected; None: all.
        own_nodata: The nodata values are the file's own.
        trust_vrt: Let a VRT name files outside its own folder.

    Raises:
        SceneError: A mask file cannot be opened, or lies elsewhere.
        BandError: A rule is about a band or file that does not exist.
    """
    if not rules:
        return file
    stack = as_stack(file, own_nodata)
    texts: list[str] = []
    for text in rules:
        texts += mask_rules(_offered(stack, text)) if text.strip().lower() == CLOUDS else [text]
    for text in texts:
        rule = mask_rule(text)
        rule = rule.with_source(rule.source.replace(_STEM, stem))
        own = _band_named(stack, rule)
        if own is None:
            stack = _with_cover(stack, _cover_of_file(stack, rule, trust_vrt))
        else:
            stack = _with_cover(_without_band(stack, own, wanted), _own_cover(stack, own, rule))
    return stack


def _offered(file: SceneFile, text: str) -> str:
    if not file.offered_mask:
        raise BandError(
            f"{file.path}: `mask` is {text!r}, but no quality band is known here; it has "
            f"{file.selectable.describe()}; name a band or a file with a rule, e.g. 'SCL in 3,8,9,10'"
        )
    return file.offered_mask


def _band_named(file: SceneFile, rule: MaskRule) -> Band | None:
    for band in file.selectable:
        if canonical_name(rule.source) == band.name:
            return band
    return None


def _own_cover(file: SceneFile, band: Band, rule: MaskRule) -> Cover:
    for part in file.parts:
        for number, in_raster in part.bands:
            if number == band.number:
                return Cover(part.file, in_raster, rule)
    raise BandError(f"{file.path}: the band {band.name} is in none of its rasters")


def _cover_of_file(scene: SceneFile, rule: MaskRule, trust_vrt: bool) -> Cover:
    path = rule.source
    if not rule.names_file:
        raise BandError(
            f"{scene.path}: `mask` is about {path!r}, which is neither a band nor a raster file; the "
            f"bands are {scene.selectable.describe()}"
        )
    # The rule alone decides: a value that the file calls nodata is a value here.
    raster = describe(path, nodata="none", crs=None, trust_vrt=trust_vrt)
    if raster.grid.crs is None or scene.grid.crs is None:
        same_size = (raster.grid.height, raster.grid.width) == (scene.grid.height, scene.grid.width)
        if raster.grid.crs != scene.grid.crs or not same_size:
            raise SceneError(
                f"{path}: cannot be laid over {scene.path}, because one of them has no CRS, or both have "
                "none and differ in size; georeference them"
            )
    elif not overlaps(scene.grid, raster.grid):
        raise SceneError(f"{path}: does not overlap {scene.path}, so it says nothing about it; check its CRS")
    for band in raster.bands:
        if band.number == rule.band_number:
            return Cover(raster, band, rule)
    raise BandError(f"{path}: `mask` asks for band {rule.band_number}; it has {len(raster.bands)}")


def _without_band(file: SceneFile, band: Band, wanted: Sequence[str] | None) -> SceneFile:
    """The scene with a band among those that are used only if they are named."""
    if band not in file.bands.bands:
        return file
    left = tuple(other for other in file.bands if other is not band)
    if wanted is None and not left:
        raise BandError(f"{file.path}: its only band {band.name} is the mask, so nothing is left to use")
    return replace(file, bands=BandSet(left or (band,)), on_request=(*file.on_request, band))


def _with_cover(file: SceneFile, cover: Cover) -> SceneFile:
    note = f"ground is not used where {cover.rule.text}"
    if cover.rule.how == "zero":
        note = f"ground is not used where {cover.rule.text} is 0"
    states = file.states
    known = {state.path for state in states}
    states += tuple(state for state in cover.file.states if state.path not in known)
    return replace(file, covers=(*file.covers, cover), states=states, notes=(*file.notes, note))
