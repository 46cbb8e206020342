"""The votes of labelling functions on a window of a scene: conditions on bands, vector layers, rasters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import shapely

from ...core.arrays import Chip
from ...core.arraytypes import UInt8Array
from ...core.bands import BandSet
from ...core.classes import IGNORE_ID, ClassSet
from ...core.labelset import LabelSet
from ...core.normalization import to_physical
from ...core.pixellabels import PixelLabels
from ...core.rasterlabels import LabelRaster
from ...errors import LabelError
from ...io.rasterize import burn
from ...io.scene import Scene
from ...labels.classrequest import value_text
from ...labels.placement import PlacedLabels
from ...labels.raster.masks import read_mask
from ...labels.raster.maskvalues import mask_content
from ...labels.reading import read_labels
from ...labels.vector.fields import NO_FIELD
from .expressions import Condition, parse_condition
from .votes import ABSTAINS, Votes
from .weakconfig import ALL_OTHERS, FunctionConfig


class Voter(Protocol):
    """Votes of one function on a window of one scene."""

    def votes(self, chip: Chip) -> Votes:
        """(H, W) the index of a class + 1, or `ABSTAINS`."""
        ...


@dataclass(frozen=True)
class ConditionVoter:
    """Votes where a condition on the bands holds, and for `otherwise` where it is known not to hold."""

    condition: Condition
    """The condition."""

    vote: int
    """The vote where it holds."""

    otherwise: int
    """The vote where it does not."""

    def votes(self, chip: Chip) -> Votes:
        """See `Voter`."""
        needed = set(self.condition.names)
        index = [i for i, band in enumerate(chip.bands) if needed & {band.name, f"b{band.number}"}]
        bands = BandSet(tuple(chip.bands[i] for i in index))
        holds, known = self.condition.holds(to_physical(chip.pixels[index], bands), bands)
        votes = np.where(known, np.uint8(self.otherwise), np.uint8(ABSTAINS))
        return np.where(holds, np.uint8(self.vote), votes)


@dataclass(frozen=True)
class VectorVoter:
    """Votes inside features, and for `otherwise` outside all of them. Where features overlap, the later one
    counts.
    """

    labels: PixelLabels
    """The features, in pixels of the scene."""

    codes: UInt8Array
    """The vote of each feature."""

    otherwise: int
    """The vote outside."""

    def votes(self, chip: Chip) -> Votes:
        """See `Voter`."""
        labels = self.labels.within(chip.window)
        codes = self.codes[labels.index]
        voting = codes != ABSTAINS
        height, width = chip.window.height, chip.window.width
        burnt = burn(labels.geometries[voting], codes[voting], height, width, fill=self.otherwise)
        return np.asarray(burnt, np.uint8)


@dataclass(frozen=True)
class RasterVoter:
    """Votes by the value of a raster on any grid, under the centre of each pixel; abstains outside of it."""

    mask: LabelRaster
    """The raster, with votes as class ids."""

    scene: Scene
    """The scene."""

    def votes(self, chip: Chip) -> Votes:
        """See `Voter`."""
        votes = read_mask(self.mask, self.scene, chip.window)
        return np.where(votes == IGNORE_ID, np.uint8(ABSTAINS), votes)


def make_voter(function: FunctionConfig, classes: ClassSet, scene: Scene, notes: list[str]) -> Voter:
    """The voter of a function on a scene.

    Args:
        function: The function.
        classes: The classes that are voted for.
        scene: The scene.
        notes: What was found on the way is added here.

    Raises:
        InputError: A file cannot be used, or the scene lacks a band.
    """
    code = _codes(classes)
    otherwise = ABSTAINS if function.otherwise is None else code[_key(function.otherwise)]
    if function.when is not None:
        assert function.vote is not None
        condition = parse_condition(function.when, f"function {function.title!r}")
        condition.check_bands(scene.bands, scene.path)
        return ConditionVoter(condition, code[_key(function.vote)], otherwise)
    if function.raster is not None:
        return _raster_voter(function, code, otherwise, scene, notes)
    return _vector_voter(function, code, otherwise, scene, notes)


def _raster_voter(
    function: FunctionConfig, code: dict[str, int], otherwise: int, scene: Scene, notes: list[str]
) -> RasterVoter:
    assert function.raster is not None and function.values is not None
    colored = any(key.startswith("#") for key in function.values)
    content = mask_content(function.raster, "colors" if colored else "ids")
    votes_of = {value_text(key): code[_key(name)] for key, name in function.values.items()}
    others = votes_of.pop(ALL_OTHERS, otherwise)
    wanted = votes_of
    present = {str(value): value for value in content.counts}
    absent = [str(key) for key in wanted if key not in present]
    if wanted and len(absent) == len(wanted):
        raise LabelError(
            f"{function.raster}: has none of the values {', '.join(absent[:8])}; it has "
            f"{', '.join(list(present)[:12])}; correct 'values'"
        )
    if absent:
        notes.append(f"{Path(function.raster).name}: the values {', '.join(absent[:8])} do not occur in it")
    votes: dict[int | str, int] = {}
    abstaining: list[int | str] = []
    for text, value in present.items():
        vote = wanted.get(text, ABSTAINS if value == content.nodata else others)
        if vote == ABSTAINS:
            abstaining.append(value)
        else:
            votes[value] = vote
    return RasterVoter(LabelRaster(function.raster, votes, tuple(abstaining)), scene)


def _vector_voter(
    function: FunctionConfig, code: dict[str, int], otherwise: int, scene: Scene, notes: list[str]
) -> VectorVoter:
    assert function.vector is not None
    labels = read_labels(
        function.vector,
        class_field=function.class_field if function.values is not None else NO_FIELD,
        layer=function.layer,
        where=function.where,
        label_crs=function.crs,
        buffer_m=function.buffer_m,
        classes=None if function.values is None else _items(function.values),
    )
    notes += [f"{Path(function.vector).name}: {note}" for note in labels.notes]
    pixels = labels.for_grid(scene.grid, scene.place, scene.native)
    if not len(pixels):
        notes.append(f"{Path(function.vector).name}: none of its {len(labels)} features touches {scene.name}")
    pixels = _grown(pixels, function, scene)
    names = {info.id: info.name for info in labels.classes}
    votes = np.full(len(pixels), ABSTAINS, np.uint8)
    for index in np.flatnonzero(~pixels.ignore).tolist():
        votes[index] = code[_key(function.vote or names[int(pixels.class_ids[index])])]
    return VectorVoter(replace(pixels, index=np.arange(len(pixels))), votes, otherwise)


def _grown(pixels: PixelLabels, function: FunctionConfig, scene: Scene) -> PixelLabels:
    if not function.grow_m:
        return pixels
    gsd_m = scene.grid.gsd_m
    if gsd_m is None:
        raise LabelError(f"{function.vector}: grow_m is in metres, and {scene.name} has no CRS; omit it")
    grown = shapely.buffer(pixels.geometries, function.grow_m / gsd_m)
    return replace(pixels, geometries=np.asarray(grown, dtype=object))


def _items(values: dict[str, str]) -> list[str]:
    """A mapping of values as `read_labels` takes it; values that are not listed are ignored."""
    by_class: dict[str, list[str]] = {}
    for value, name in values.items():
        by_class.setdefault(name, []).append(value)
    items = [f"{name}={'|'.join(values_of_class)}" for name, values_of_class in by_class.items()]
    return items if ALL_OTHERS in values else [*items, f"-{ALL_OTHERS}"]


class TruthVoter:
    """A label set as votes, to score others with; abstains where nothing is labelled.

    Args:
        labels: The label set; classes are matched by name.
        classes: The classes that are voted for. `unknown`: classes of the labels that are not among them.
        scene: The scene.
    """

    def __init__(self, labels: LabelSet, classes: ClassSet, scene: Scene) -> None:
        code = _codes(classes)
        self.unknown = tuple(info.name for info in labels.classes if _key(info.name) not in code)
        self._codes = np.zeros(IGNORE_ID + 1, np.uint8)
        for info in labels.classes:
            self._codes[info.id] = code.get(_key(info.name), ABSTAINS)
        placed = PlacedLabels.of(labels, scene)
        self._mask, self._scene = placed.raster, scene
        pixels = placed.labels
        votes = np.where(pixels.ignore, np.uint8(ABSTAINS), self._codes[pixels.class_ids])
        self._voter = VectorVoter(replace(pixels, index=np.arange(len(pixels))), votes, ABSTAINS)

    def votes(self, chip: Chip) -> Votes:
        """See `Voter`."""
        if self._mask is None:
            return self._voter.votes(chip)
        return self._codes[read_mask(self._mask, self._scene, chip.window)]


def _codes(classes: ClassSet) -> dict[str, int]:
    """The vote for each class, by its name."""
    return {_key(name): index + 1 for index, name in enumerate(classes.names)}


def _key(name: str) -> str:
    """Names match whatever their case."""
    return name.strip().casefold()
