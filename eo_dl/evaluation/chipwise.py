"""Chips and images as a whole against the truth: what covers the ground of each, by the rule by which the
model's chips got their class.

A chip is scored where it lies wholly on the ground that is asked for and its true class is known. Cells of a
scene are squares or pixels of its own grid; rows of a table of images belong to labels by the file of the
image.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import shapely
from affine import Affine
from pyproj import CRS

from ..chips.truth import SceneTruth
from ..core.arraytypes import Float32Array, GeometryArray
from ..core.chiprules import ChipClassRule
from ..core.classes import IGNORE_ID, ClassInfo, ClassSet, default_color
from ..core.geometries import reproject
from ..core.imagelabels import ImageLabels, WholeImageLabels
from ..core.labelset import LabelSet
from ..core.pixelgrid import PixelGrid
from ..core.pixellabels import PixelLabels
from ..core.rasterlabels import RasterLabels
from ..core.window import Window
from ..errors import ConfigError, InputError, LabelError
from ..io.chiptables import PROBABILITY_PREFIX, TABLE_SUFFIX
from ..io.classmap import open_class_map
from ..io.discover import own_path
from ..io.outputtags import read_class_rule
from ..io.scene import SceneReader, open_scene
from ..io.vectorlayers import read_layer
from ..labels.classcover import class_covers
from ..scores.chipscores import ChipScorer
from .classmatch import ClassMatch
from .limits import Blocks, Limits, NoChipHere
from .pixelwise import Thumbnail
from .predictionfiles import Part

_WHOLLY = 0.99


@dataclass
class ChipCounts:
    """Chips that count, and that were left out, and why."""

    scored: int = 0
    outside: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class FoundChips:
    """The chips of one file: `probabilities` (N, K); `outlines` (N,) in `crs`, or `table` with a row an
    image. `rule` of the model.
    """

    part: Part
    classes: ClassSet
    probabilities: Float32Array
    rule: ChipClassRule
    outlines: GeometryArray | None = None
    crs: CRS | None = None
    table: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def of_images(self) -> bool:
        """True where a row is an image."""
        return "image" in self.table.columns


def read_chips(part: Part) -> FoundChips:
    """The chips of a raster, a vector file or a table. Raises `LabelError` for one that has no classes."""
    rule = read_class_rule(part.tags)
    if part.is_raster and rule is not None and rule.multi_label:
        raise LabelError(
            f"{part.path}: holds the likeliest of several classes a chip and not the others; predict to and evaluate a .gpkg"
        )
    if part.is_raster:
        return _of_raster(part)
    table = _read_csv(part.path) if part.path.suffix.lower() == TABLE_SUFFIX else read_layer(part.path)
    # A file without tags still has the column of all classes where a chip may have several.
    rule = rule or ChipClassRule.of("class_names" in table.columns)
    columns = [name for name in table.columns if str(name).startswith(PROBABILITY_PREFIX)]
    if not columns:
        raise LabelError(
            f"{part.path}: has no column of probabilities ({PROBABILITY_PREFIX}CLASS); give what predict wrote with a model of whole chips"
        )
    outlines, crs = None, None
    if "geometry" in table.columns:
        outlines, crs = (
            np.asarray(table.geometry.values, dtype=object),
            None if table.crs is None else CRS.from_user_input(table.crs),
        )
    known = table[columns].notna().all(axis=1).to_numpy(np.bool_)
    values = table.loc[known, columns].to_numpy(np.float32)
    kept = None if outlines is None else outlines[known]
    return FoundChips(
        part,
        _classes(part, columns),
        values,
        rule,
        kept,
        crs,
        pd.DataFrame(table[known]).reset_index(drop=True),
    )


def _of_raster(part: Part) -> FoundChips:
    found = open_class_map(part.path)
    assert found.classes is not None
    ids = np.concatenate([rows for _, rows in found.row_strips()])
    rows, cols = np.nonzero(ids != IGNORE_ID)
    channels = found.classes.channel_of(ids[rows, cols])
    outlines = np.asarray(shapely.box(cols, rows, cols + 1.0, rows + 1.0), dtype=object).reshape(-1)
    return FoundChips(
        part,
        found.classes,
        np.eye(len(found.classes), dtype=np.float32)[channels],
        read_class_rule(part.tags) or ChipClassRule.of(False),
        found.grid.geometries_to_map(outlines),
        found.grid.crs,
    )


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype={"image": str, "class_name": str, "file": str}, keep_default_na=True)
    except (OSError, ValueError) as cause:
        raise LabelError(
            f"{path}: cannot be read as CSV ({' '.join(str(cause).split())[:120]}); write it again with predict"
        ) from cause


def _classes(part: Part, columns: list[str]) -> ClassSet:
    """As the file says, else by its columns."""
    names = [name.removeprefix(PROBABILITY_PREFIX) for name in columns]
    said = json.loads(part.tags.get("classes", "{}"))
    if len(said) == len(names):
        return ClassSet(
            tuple(ClassInfo(int(key), str(name), default_color(int(key))) for key, name in said.items())
        )
    background = [name for name in names if name.casefold() == "background"]
    ids = {name: 0 if name in background else place for place, name in enumerate(names, start=1)}
    return ClassSet(tuple(ClassInfo(ids[name], name, default_color(ids[name])) for name in names))


def score_chips(
    found: FoundChips,
    labels: LabelSet,
    match: ClassMatch,
    limits: Limits,
    *,
    scorer: ChipScorer,
    counts: ChipCounts,
) -> Thumbnail | None:
    """Add the chips of one file to the scorer; a picture of what was right, where they lie side by side in a
    scene.
    """
    if found.of_images:
        _score_images(found, labels, match, limits, scorer=scorer, counts=counts)
        return None
    grid = _grid(found)
    areas = limits.areas(grid, found.part.made_of)
    windows = _windows(found, grid)
    inside = [all(_share(window, area.area) >= _WHOLLY for area in areas) for window in windows]
    counts.outside += inside.count(False)
    blocks = Blocks.of(grid, f"{found.part.path}:")
    truths = np.full((len(windows), len(found.classes)), np.nan, np.float32)
    with ExitStack() as stack:
        labels_at = _Truth.of(found, labels, grid, match, stack)
        for place in np.flatnonzero(inside).tolist():
            truths[place] = labels_at.values(windows[place])
            _count(scorer, counts, found.probabilities[place], truths[place], _block(blocks, windows[place]))
    return _thumbnail(found, windows, truths)


def _count(
    scorer: ChipScorer, counts: ChipCounts, predicted: Float32Array, truth: Float32Array, place: str
) -> None:
    known = bool(np.isfinite(truth).any())
    counts.scored += known
    counts.unknown += not known
    scorer.update(predicted, truth, place)


def _block(blocks: Blocks, window: Window) -> str:
    return blocks.names(np.array([window.box], np.float64))[0]


def _grid(found: FoundChips) -> PixelGrid:
    if found.part.grid is None:
        raise InputError(
            f"{found.part.path}: does not say which scene its chips were cut from; name it with `scene`"
        )
    return found.part.grid


def _windows(found: FoundChips, grid: PixelGrid) -> list[Window]:
    """The chips in whole pixels of the scene, cut at its edge."""
    assert found.outlines is not None
    outlines = found.outlines
    if found.crs is not None and grid.crs is not None:
        outlines = reproject(outlines, found.crs, grid.crs, str(found.part.path))
    boxes = np.rint(shapely.bounds(grid.geometries_to_pixel(outlines)).reshape(-1, 4)).astype(np.int64)
    boxes = np.clip(boxes, 0, [grid.width, grid.height] * 2)
    return [
        Window.from_box(col0, row0, max(col1, col0 + 1), max(row1, row0 + 1))
        for col0, row0, col1, row1 in boxes.tolist()
    ]


def _share(window: Window, area: shapely.Geometry) -> float:
    return float(shapely.intersection(shapely.box(*window.box), area).area) / window.area_px


@dataclass(frozen=True)
class _Truth:
    """The true values of a window. `scene` where the scene itself is at hand: then label rasters and what was
    measured are known too.
    """

    found: FoundChips
    match: ClassMatch
    labels: PixelLabels | None
    scene: SceneTruth | None
    reader: SceneReader | None

    @classmethod
    def of(
        cls, found: FoundChips, labels: LabelSet, grid: PixelGrid, match: ClassMatch, stack: ExitStack
    ) -> _Truth:
        if found.part.scene_path is not None:
            scene = open_scene(found.part.scene_path)
            return cls(
                found, match, None, SceneTruth.of(labels, scene), stack.enter_context(SceneReader(scene))
            )
        if isinstance(labels, RasterLabels):
            raise InputError(
                f"{found.part.path}: the truth is a raster, which lies on the scene's pixels; name the scene with `scene`"
            )
        return cls(found, match, labels.for_grid(grid, found.part.made_of), None, None)

    def values(self, window: Window) -> Float32Array:
        if self.scene is None or self.reader is None:
            assert self.labels is not None
            return true_values(self.labels.within(window), self.found, self.match, window)
        valid = self.reader.read_valid(window)
        cut = self.scene.chip(window)
        return true_values(cut if valid.all() else replace(cut, valid=valid), self.found, self.match, window)


def true_values(labels: PixelLabels, found: FoundChips, match: ClassMatch, window: Window) -> Float32Array:
    """(K,) of a chip, in the classes of the prediction; NaN where its class is not known. Labels of no class
    that counts are ignored ground.
    """
    ids = match.truth_ids[labels.class_ids].astype(np.int64)
    mask = (
        None
        if labels.mask is None
        else np.where(labels.mask == IGNORE_ID, np.uint8(IGNORE_ID), match.truth_ids[labels.mask])
    )
    mapped = replace(labels, class_ids=ids, ignore=labels.ignore | (ids == IGNORE_ID), mask=mask)
    covers, known = class_covers(mapped, match.classes, window.height, window.width)
    if not known:
        return np.full(len(covers), np.nan, np.float32)
    return found.rule.values(covers)


# Images


def _score_images(
    found: FoundChips,
    labels: LabelSet,
    match: ClassMatch,
    limits: Limits,
    *,
    scorer: ChipScorer,
    counts: ChipCounts,
) -> None:
    if limits.aoi is not None:
        raise ConfigError(
            f"{found.part.path}: has a row for each image, and an AOI cuts ground; omit `aoi`, or evaluate one map per scene"
        )
    wanted = _wanted(limits)
    images = list(_labels_of_images(found, labels))
    scored = [wanted is None or wanted.has(image.place) for image in images]
    if not any(scored):
        raise NoChipHere(
            f"{found.part.path}: none of its {len(images)} images is in the split '{limits.split}' as a whole; give the images of the chip set"
        )
    counts.outside += scored.count(False)
    for place in np.flatnonzero(scored).tolist():
        window, cut = images[place]()
        values = true_values(cut, found, match, window)
        _count(scorer, counts, found.probabilities[place], values, images[place].place)


@dataclass(frozen=True)
class _Wanted:
    """Images of a chip set: `paths` of those that are scored, `alike` of those of one name. An image may have
    moved, where its name is the only one.
    """

    paths: Mapping[str, frozenset[str]]
    alike: Mapping[str, int]

    def has(self, path: str) -> bool:
        """Whether an image is scored."""
        name = path.rsplit("/", 1)[-1]
        return name in self.paths and (self.alike[name] == 1 or path in self.paths[name])


def _wanted(limits: Limits) -> _Wanted | None:
    """The images of which every kept chip is in the split that is scored."""
    if limits.chips is None:
        return None
    splits: dict[int, set[str]] = {}
    for record in limits.chips.records:
        if record.keep:
            splits.setdefault(record.scene_index, set()).add(record.split)
    paths: dict[str, set[str]] = {}
    for index, names in splits.items():
        if names == {limits.split}:
            paths.setdefault(limits.chips.scenes[index].name, set()).add(limits.chips.scenes[index].place)
    return _Wanted(
        {name: frozenset(found) for name, found in paths.items()},
        Counter(scene.name for scene in limits.chips.scenes),
    )


@dataclass(frozen=True)
class _Image:
    """The labels of one row, looked up when asked for."""

    found: FoundChips
    labels: LabelSet
    width: int
    height: int
    file: str

    @property
    def place(self) -> str:
        """The path with forward slashes, relative to the working folder or to the table."""
        return own_path(self._there or self.file).as_posix()

    @property
    def _there(self) -> Path | None:
        return next(
            (path for path in (Path(self.file), self.found.part.path.parent / self.file) if path.is_file()),
            None,
        )

    def __call__(self) -> tuple[Window, PixelLabels]:
        window = Window(0, 0, self.width, self.height)
        if isinstance(self.labels, ImageLabels | WholeImageLabels):
            return window, self.labels.for_grid(
                PixelGrid(None, Affine.identity(), self.height, self.width), self.place
            )
        path = self._there
        if path is None:
            raise InputError(
                f"{self.found.part.path}: the image {self.file} is not there any more, and its place on the ground is in it; put it back"
            )
        scene = open_scene(path)
        with SceneReader(scene) as reader:
            valid = reader.read_valid(scene.grid.window)
        cut = SceneTruth.of(self.labels, scene).chip(scene.grid.window)
        return scene.grid.window, cut if valid.all() else replace(cut, valid=valid)


def _labels_of_images(found: FoundChips, labels: LabelSet) -> Iterator[_Image]:
    missing = [name for name in ("width_px", "height_px", "file") if name not in found.table.columns]
    if missing:
        raise LabelError(
            f"{found.part.path}: lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; give the table as predict wrote it"
        )
    for width, height, file in found.table[["width_px", "height_px", "file"]].itertuples(index=False):
        yield _Image(found, labels, int(width), int(height), str(file))


def _thumbnail(found: FoundChips, windows: list[Window], truths: Float32Array) -> Thumbnail | None:
    """A pixel a chip; none where a chip may have several classes."""
    if found.rule.multi_label or not windows:
        return None
    rows, cols = (
        np.unique([getattr(window, name) for window in windows], return_inverse=True)[1]
        for name in ("row", "col")
    )
    predicted = np.full((int(rows.max()) + 1, int(cols.max()) + 1), IGNORE_ID, np.uint8)
    truth = predicted.copy()
    table = found.classes.id_of_channel
    predicted[rows, cols] = table[found.probabilities.argmax(axis=1)]
    known = np.isfinite(truths).all(axis=1)
    truth[rows[known], cols[known]] = table[truths[known].argmax(axis=1)]
    return Thumbnail(predicted, truth, found.part.path.name)
