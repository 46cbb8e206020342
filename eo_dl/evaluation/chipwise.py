"""Whole chips and images against the truth, by the rule that gave the model's training chips their class.

A chip is scored if it lies entirely in the scored area and its true class is known. Cells of a scene are
squares, or pixels of a grid of their own; rows of a table of images are matched to labels by their file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import shapely
from affine import Affine
from pyproj import CRS

from ..chips.truth import SceneTruth
from ..core.arraytypes import BoolArray, Float32Array, GeometryArray
from ..core.chiprules import ChipClassRule
from ..core.classes import BACKGROUND, IGNORE_ID, ClassSet
from ..core.geometries import reproject
from ..core.imagelabels import ImageLabels, WholeImageLabels
from ..core.labelset import LabelSet
from ..core.pixelgrid import PixelGrid
from ..core.pixellabels import PixelLabels
from ..core.progress import OnProgress
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
from ..scores.reliability import ALL, Reliability
from .classmatch import ClassMatch
from .eachfile import FileJob
from .limits import Blocks, Limits, NoChipHere
from .pixelwise import Thumbnail
from .predictionfiles import Part, measured_scene
from .trainedshare import trained_area

_ENTIRELY = 0.99  # share of a chip, below 1 for rounding to whole pixels
_MOSTLY = 0.5
_IMAGE_COLUMNS = ("width_px", "height_px", "file")


@dataclass
class ChipCounts:
    """Counts of chips or images."""

    scored: int = 0
    """Scored ones."""
    outside: int = 0
    """Those not entirely in the scored area, or not in the scored split."""
    unknown: int = 0
    """Those without a known class in the truth."""
    trained: int = 0
    """Scored ones of which at least half lies on ground that the model was trained on."""


def _no_outlines() -> GeometryArray:
    return np.empty(0, dtype=object)


@dataclass(frozen=True)
class FoundChips:
    """The N predicted chips or images of one file."""

    part: Part
    """The file."""
    classes: ClassSet
    """Classes of the prediction."""
    probabilities: Float32Array
    """(N, K) probabilities of the classes."""
    rule: ChipClassRule
    """How the model's training chips got their class."""
    outlines: GeometryArray = field(default_factory=_no_outlines)
    """(N,) outlines in `crs`; empty for a table."""
    crs: CRS | None = None
    """CRS of the outlines; None for pixels."""
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The rows of a table or vector file."""

    @property
    def of_images(self) -> bool:
        """True if each row is an image."""
        return "image" in self.table.columns


def read_chips(part: Part) -> FoundChips:
    """The chips of a raster, a vector file or a table. Raises `LabelError` if it has no classes."""
    rule = read_class_rule(part.tags)
    if part.is_raster:
        return _read_raster(part, rule)
    table = _read_csv(part.path) if part.path.suffix.lower() == TABLE_SUFFIX else read_layer(part.path)
    # Formats without tags still have the column of all classes if a chip may have several.
    rule = rule or ChipClassRule.of("class_names" in table.columns)
    columns = [name for name in table.columns if str(name).startswith(PROBABILITY_PREFIX)]
    if not columns:
        raise LabelError(
            f"{part.path}: has no probability columns ({PROBABILITY_PREFIX}CLASS); use the output of "
            "predict with a classification model"
        )
    known = table[columns].notna().all(axis=1).to_numpy(np.bool_)
    outlines, crs = _no_outlines(), None
    if "geometry" in table.columns:
        outlines = np.asarray(table.geometry.values, dtype=object)[known]
        crs = None if table.crs is None else CRS.from_user_input(table.crs)
    return FoundChips(
        part=part,
        classes=_classes(part, columns),
        probabilities=table.loc[known, columns].to_numpy(np.float32),
        rule=rule,
        outlines=outlines,
        crs=crs,
        table=pd.DataFrame(table[known]).reset_index(drop=True),
    )


def _read_raster(part: Part, rule: ChipClassRule | None) -> FoundChips:
    if rule is not None and rule.multi_label:
        raise LabelError(
            f"{part.path}: a raster holds only the most likely of several classes per chip; predict to a "
            ".gpkg and evaluate that"
        )
    class_map = open_class_map(part.path)
    if class_map.classes is None:
        raise LabelError(f"{part.path}: names no classes; use the raster that predict wrote")
    ids = np.concatenate([rows for _, rows in class_map.row_strips()])
    rows, cols = np.nonzero(ids != IGNORE_ID)
    channels = class_map.classes.channel_of(ids[rows, cols])
    pixels = np.asarray(shapely.box(cols, rows, cols + 1.0, rows + 1.0), dtype=object).reshape(-1)
    return FoundChips(
        part=part,
        classes=class_map.classes,
        probabilities=np.eye(len(class_map.classes), dtype=np.float32)[channels],
        rule=rule or ChipClassRule.of(False),
        outlines=class_map.grid.geometries_to_map(pixels),
        crs=class_map.grid.crs,
    )


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype={"image": str, "class_name": str, "file": str}, keep_default_na=True)
    except (OSError, ValueError) as cause:
        raise LabelError(
            f"{path}: cannot be read as CSV ({' '.join(str(cause).split())[:120]}); write it again with "
            "predict"
        ) from cause


def _classes(part: Part, columns: list[str]) -> ClassSet:
    """The classes in the file's tags, else those of its columns."""
    names = [name.removeprefix(PROBABILITY_PREFIX) for name in columns]
    tagged = json.loads(part.tags.get("classes", "{}"))
    if len(tagged) == len(names):
        return ClassSet.of_ids({int(key): str(name) for key, name in tagged.items()})
    numbered = enumerate(names, start=1)
    return ClassSet.of_ids(
        {0 if name.casefold() == BACKGROUND else number: name for number, name in numbered}
    )


@dataclass(frozen=True)
class ScoredChips:
    """What scoring the chips or images of one file gave."""

    scorer: ChipScorer
    """Its counts by block."""
    counts: ChipCounts
    """Its chips, and those that were left out."""
    thumbnail: Thumbnail | None
    """A picture of the scored chips of a scene; None for images, and for multi-label chips."""
    reliability: Reliability
    """What the probabilities are worth."""


def score_chips(job: FileJob, found: FoundChips, on_progress: OnProgress) -> ScoredChips:
    """Score the chips or images of one file.

    Raises:
        InputError: The scene of the chips is not known, but needed.
        ConfigError: Images cannot be limited to an AOI.
        LabelError: A column of the table is missing.
        NoChipHere: None of the scored chips lies on it.
    """
    labels, match, limits = job.labels, job.match, job.limits
    scorer = ChipScorer(match.classes, multi_label=found.rule.multi_label, seed=job.seed)
    counts = ChipCounts()
    judges = _Judges(scorer, Reliability([ALL, *match.classes.names], seed=job.seed), counts)
    if found.of_images:
        _score_images(found, labels, match, limits, judges)
        return ScoredChips(scorer, counts, None, judges.reliability)
    grid = found.part.grid
    if grid is None:
        raise InputError(
            f"{found.part.path}: does not say which scene its chips were cut from; name it with `scene`"
        )
    areas = [area.area for area in limits.areas(grid, found.part.made_of)]
    windows = _windows(found, grid)
    inside = [all(_share(window, area) >= _ENTIRELY for area in areas) for window in windows]
    counts.outside += inside.count(False)
    blocks = Blocks.of(grid, found.part.block_prefix)
    trained = trained_area(found.part, grid)
    truth = np.full((len(windows), len(found.classes)), np.nan, np.float32)
    with _labels_of_windows(found, labels, grid) as labels_of:
        for index in np.flatnonzero(inside).tolist():
            window = windows[index]
            truth[index] = true_values(labels_of(window), found, match, window)
            block = blocks.names(np.array([window.box], np.float64))[0]
            known = judges.score(found.probabilities[index], truth[index], block)
            if known and trained is not None:
                counts.trained += _share(window, trained.area) >= _MOSTLY
    return ScoredChips(scorer, counts, _thumbnail(found, windows, truth), judges.reliability)


@dataclass(frozen=True)
class _Judges:
    """What chips are added to."""

    scorer: ChipScorer
    reliability: Reliability
    counts: ChipCounts

    def score(self, predicted: Float32Array, truth: Float32Array, block: str) -> bool:
        """Score a chip; False if its true class is not known."""
        known = np.isfinite(truth)
        self.counts.scored += bool(known.any())
        self.counts.unknown += not known.any()
        self.scorer.update(predicted, truth, block)
        if not known.all():
            return bool(known.any())
        likeliest = slice(int(predicted.argmax()), int(predicted.argmax()) + 1)
        self.reliability.add(ALL, predicted[likeliest], truth[likeliest] == 1, block)
        for channel, name in enumerate(self.reliability.curves[1:]):
            only = slice(channel, channel + 1)
            self.reliability.add(name, predicted[only], truth[only] == 1, block)
        return True


def _windows(found: FoundChips, grid: PixelGrid) -> list[Window]:
    """The chips as windows of the scene, cut at its edge."""
    outlines = found.outlines
    if found.crs is not None and grid.crs is not None:
        outlines = reproject(outlines, found.crs, grid.crs, str(found.part.path))
    boxes = np.rint(shapely.bounds(grid.geometries_to_pixel(outlines)).reshape(-1, 4)).astype(np.int64)
    boxes = np.clip(boxes, 0, [grid.width, grid.height] * 2)
    windows = []
    for col0, row0, col1, row1 in boxes.tolist():
        windows.append(Window.from_box(col0, row0, max(col1, col0 + 1), max(row1, row0 + 1)))
    return windows


def _share(window: Window, area: shapely.Geometry) -> float:
    return float(shapely.intersection(shapely.box(*window.box), area).area) / window.area_px


@contextmanager
def _labels_of_windows(
    found: FoundChips, labels: LabelSet, grid: PixelGrid
) -> Iterator[Callable[[Window], PixelLabels]]:
    """Gives the labels of a window; with the scene at hand, label rasters and nodata are known, too."""
    if found.part.scene_path is not None:
        scene = measured_scene(found.part)
        truth = SceneTruth.of(labels, scene)
        with SceneReader(scene) as reader:
            yield lambda window: _with_valid(truth.chip(window), reader.read_valid(window))
    elif isinstance(labels, RasterLabels):
        raise InputError(
            f"{found.part.path}: the truth is a raster, which needs the pixels of the scene; name it with "
            "`scene`"
        )
    else:
        yield labels.for_grid(grid, found.part.made_of).within


def _with_valid(labels: PixelLabels, valid: BoolArray) -> PixelLabels:
    return labels if valid.all() else replace(labels, valid=valid)


def true_values(labels: PixelLabels, found: FoundChips, match: ClassMatch, window: Window) -> Float32Array:
    """(K,) true values of a chip, in the classes of the prediction; NaN if its class is not known.

    Labels of a class that is not scored are ignored.
    """
    ids = match.truth_ids[labels.class_ids].astype(np.int64)
    mask = labels.mask
    if mask is not None:
        mask = np.where(mask == IGNORE_ID, np.uint8(IGNORE_ID), match.truth_ids[mask])
    mapped = replace(labels, class_ids=ids, ignore=labels.ignore | (ids == IGNORE_ID), mask=mask)
    covers, known = class_covers(mapped, match.classes, window.height, window.width)
    if not known:
        return np.full(len(covers), np.nan, np.float32)
    return found.rule.values(covers)


def _thumbnail(found: FoundChips, windows: list[Window], truth: Float32Array) -> Thumbnail | None:
    """One pixel per chip."""
    if found.rule.multi_label or not windows:
        return None
    rows = np.unique([window.row for window in windows], return_inverse=True)[1]
    cols = np.unique([window.col for window in windows], return_inverse=True)[1]
    predicted_ids = np.full((int(rows.max()) + 1, int(cols.max()) + 1), IGNORE_ID, np.uint8)
    true_ids = predicted_ids.copy()
    id_of_channel = found.classes.id_of_channel
    predicted_ids[rows, cols] = id_of_channel[found.probabilities.argmax(axis=1)]
    known = np.isfinite(truth).all(axis=1)
    true_ids[rows[known], cols[known]] = id_of_channel[truth[known].argmax(axis=1)]
    return Thumbnail(predicted_ids, true_ids, found.part.path.name)


# Images


def _score_images(
    found: FoundChips,
    labels: LabelSet,
    match: ClassMatch,
    limits: Limits,
    judges: _Judges,
) -> None:
    if limits.aoi is not None:
        raise ConfigError(
            f"{found.part.path}: has one row per image, which an AOI cannot limit; omit `aoi`, or evaluate "
            "one map per scene"
        )
    wanted = _wanted_images(limits)
    images = _images(found, labels)
    scored = [wanted is None or wanted.has(image.path) for image in images]
    if not any(scored):
        raise NoChipHere(
            f"{found.part.path}: none of its {len(images)} images is entirely in the split '{limits.split}'; "
            "evaluate the prediction of the chip set's images"
        )
    judges.counts.outside += scored.count(False)
    for index in np.flatnonzero(scored).tolist():
        window, pixel_labels = images[index].pixel_labels()
        truth = true_values(pixel_labels, found, match, window)
        judges.score(found.probabilities[index], truth, images[index].path)


@dataclass(frozen=True)
class _WantedImages:
    """The scored images of a chip set. An image may have moved if its name is unique."""

    paths: Mapping[str, set[str]]
    """Paths of the scored images by file name."""
    name_counts: Mapping[str, int]
    """Number of images of the chip set by file name."""

    def has(self, path: str) -> bool:
        """True if the image is scored."""
        name = path.rsplit("/", 1)[-1]
        return name in self.paths and (self.name_counts[name] == 1 or path in self.paths[name])


def _wanted_images(limits: Limits) -> _WantedImages | None:
    """The images with all their kept chips in the scored split; None for all images."""
    if limits.chips is None:
        return None
    splits: dict[int, set[str]] = {}
    for record in limits.chips.records:
        if record.keep:
            splits.setdefault(record.scene_index, set()).add(record.split)
    paths: dict[str, set[str]] = {}
    for index, names in splits.items():
        scene = limits.chips.scenes[index]
        if names == {limits.split}:
            paths.setdefault(scene.name, set()).add(scene.place)
    return _WantedImages(paths, Counter(scene.name for scene in limits.chips.scenes))


@dataclass(frozen=True)
class _Image:
    """One row of a table, with the labels of all."""

    table_path: Path
    labels: LabelSet
    width: int
    height: int
    file: str

    @property
    def path(self) -> str:
        """The absolute path with forward slashes."""
        return own_path(self._existing_file() or self.file).as_posix()

    def _existing_file(self) -> Path | None:
        """The image, from here or from the folder of the table."""
        for path in (Path(self.file), self.table_path.parent / self.file):
            if path.is_file():
                return path
        return None

    def pixel_labels(self) -> tuple[Window, PixelLabels]:
        """The whole image, and its labels in pixels."""
        if isinstance(self.labels, ImageLabels | WholeImageLabels):
            grid = PixelGrid(None, Affine.identity(), self.height, self.width)
            return grid.window, self.labels.for_grid(grid, self.path)
        path = self._existing_file()
        if path is None:
            raise InputError(
                f"{self.table_path}: the image {self.file} no longer exists, and its georeference is needed; "
                "put it back"
            )
        scene = open_scene(path)
        window = scene.grid.window
        with SceneReader(scene) as reader:
            valid = reader.read_valid(window)
        return window, _with_valid(SceneTruth.of(self.labels, scene).chip(window), valid)


def _images(found: FoundChips, labels: LabelSet) -> list[_Image]:
    missing = [name for name in _IMAGE_COLUMNS if name not in found.table.columns]
    if missing:
        raise LabelError(
            f"{found.part.path}: lacks columns ({', '.join(missing)}); use the table as predict wrote it"
        )
    images = []
    for width, height, file in found.table[list(_IMAGE_COLUMNS)].itertuples(index=False):
        images.append(_Image(found.part.path, labels, int(width), int(height), str(file)))
    return images
