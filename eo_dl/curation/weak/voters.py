"""What a labelling function says of a window of a scene: conditions on bands, vector layers, rasters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import shapely

from ...core.arrays import Chip
from ...core.bands import BandSet
from ...core.classes import IGNORE_ID, ClassSet
from ...core.labelset import LabelSet
from ...core.normalization import to_physical
from ...core.pixellabels import PixelLabels
from ...core.rasterlabels import LabelRaster
from ...errors import LabelError
from ...io.rasterize import burn
from ...io.scene import Scene
from ...labels.classnames import value_text
from ...labels.placement import PlacedLabels
from ...labels.raster.masks import read_mask
from ...labels.raster.maskvalues import mask_content
from ...labels.reading import read_labels
from ...labels.vector.fields import NO_FIELD
from .expressions import Condition, parse_condition
from .votes import ABSTAINS, Votes
from .weakconfig import _REST, FunctionConfig


class Voter(Protocol):
    """Votes of one function on a window of one scene."""

    def votes(self, chip: Chip) -> Votes:
        """(H, W) the place of a class + 1, or `ABSTAINS`."""
        ...


@dataclass(frozen=True)
class ConditionVoter:
    """Votes where a condition on the bands holds, and for `otherwise` where it is known not to."""

    condition: Condition
    vote: int
    otherwise: int

    def votes(self, chip: Chip) -> Votes:
        """See `Voter`."""
        needed = self.condition.names
        places = [
            place
            for place, band in enumerate(chip.bands)
            if band.name in needed or f"b{band.number}" in needed
        ]
        bands = BandSet(tuple(chip.bands[place] for place in places))
        held, known = self.condition.holds(to_physical(chip.pixels[places], bands), bands)
        return np.where(
            held, np.uint8(self.vote), np.where(known, np.uint8(self.otherwise), np.uint8(ABSTAINS))
        )


@dataclass(frozen=True)
class VectorVoter:
    """Votes inside features, and for `otherwise` outside all; where features overlap the later one speaks."""

    labels: PixelLabels
    codes: npt.NDArray[np.uint8]
    otherwise: int

    def votes(self, chip: Chip) -> Votes:
        """See `Voter`."""
        part = self.labels.within(chip.window)
        own = self.codes[part.index]
        burnt = burn(
            part.geometries[own != ABSTAINS],
            own[own != ABSTAINS],
            chip.window.height,
            chip.window.width,
            fill=self.otherwise,
        )
        return np.asarray(burnt, np.uint8)


@dataclass(frozen=True)
class RasterVoter:
    """Votes by the value of a raster on any grid (the pixel under each pixel's centre); abstains where it has
    none.
    """

    mask: LabelRaster
    scene: Scene

    def votes(self, chip: Chip) -> Votes:
        """See `Voter`."""
        found = read_mask(self.mask, self.scene, chip.window)
        return np.where(found == IGNORE_ID, np.uint8(ABSTAINS), found)


def make_voter(function: FunctionConfig, classes: ClassSet, scene: Scene, notes: list[str]) -> Voter:
    """The voter of a function on a scene; what has to be said goes to `notes`. Raises one of the `InputError`
    tree.
    """
    code = {name: place + 1 for place, name in enumerate(_names(classes))}
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
    wanted = {value_text(key): code[_key(name)] for key, name in function.values.items() if key != _REST}
    rest = code[_key(function.values[_REST])] if _REST in function.values else otherwise
    there = {str(value): value for value in content.counts}
    absent = [str(key) for key in wanted if key not in there]
    if len(absent) == len(wanted) and wanted:
        raise LabelError(
            f"{function.raster}: holds none of the values {', '.join(absent[:8])}; it holds "
            f"{', '.join(list(there)[:12])}; correct 'values'"
        )
    if absent:
        notes.append(f"{Path(function.raster).name}: the values {', '.join(absent[:8])} do not occur in it")
    votes: dict[int | str, int] = {}
    for text, value in there.items():
        unsaid = ABSTAINS if value == content.nodata else rest
        votes[value] = wanted.get(text, unsaid)
    silent = tuple(value for value, vote in votes.items() if vote == ABSTAINS)
    return RasterVoter(
        LabelRaster(
            function.raster, {value: vote for value, vote in votes.items() if vote != ABSTAINS}, silent
        ),
        scene,
    )


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
    votes = [
        ABSTAINS if off else code[_key(function.vote or names[int(i)])]
        for i, off in zip(pixels.class_ids, pixels.ignore, strict=True)
    ]
    return VectorVoter(replace(pixels, index=np.arange(len(pixels))), np.array(votes, np.uint8), otherwise)


def _grown(pixels: PixelLabels, function: FunctionConfig, scene: Scene) -> PixelLabels:
    if not function.grow_m:
        return pixels
    gsd_m = scene.grid.gsd_m
    if gsd_m is None:
        raise LabelError(f"{function.vector}: grow_m is in metres, and {scene.name} has no CRS; leave it out")
    return replace(
        pixels,
        geometries=np.asarray(shapely.buffer(pixels.geometries, function.grow_m / gsd_m), dtype=object),
    )


def _items(values: dict[str, str]) -> list[str]:
    """A mapping of values as `read_labels` takes it; what is not named is ignored."""
    by_class: dict[str, list[str]] = {}
    for value, name in values.items():
        by_class.setdefault(name, []).append(value)
    items = [f"{name}={'|'.join(found)}" for name, found in by_class.items()]
    return items if _REST in values else [*items, f"-{_REST}"]


class TruthVoter:
    """A label set as votes, to score others with: by class name; abstains where nothing is labelled. `left`:
    its classes that are none of ours.
    """

    def __init__(self, labels: LabelSet, classes: ClassSet, scene: Scene) -> None:
        code = {name: place + 1 for place, name in enumerate(_names(classes))}
        self.left = tuple(info.name for info in labels.classes if _key(info.name) not in code)
        self._codes = np.zeros(IGNORE_ID + 1, np.uint8)
        for info in labels.classes:
            self._codes[info.id] = code.get(_key(info.name), ABSTAINS)
        placed = PlacedLabels.of(labels, scene)
        self._mask, self._scene = placed.raster, scene
        found = placed.labels
        self._voter = VectorVoter(
            replace(found, index=np.arange(len(found))),
            np.where(found.ignore, 0, self._codes[found.class_ids]),
            ABSTAINS,
        )

    def votes(self, chip: Chip) -> Votes:
        """See `Voter`."""
        if self._mask is None:
            return self._voter.votes(chip)
        return self._codes[read_mask(self._mask, self._scene, chip.window)]


def _names(classes: ClassSet) -> Sequence[str]:
    return [_key(name) for name in classes.names]


def _key(name: str) -> str:
    """Names are matched as people write them."""
    return name.strip().casefold()
