"""Which labels a segmentation model doubts: objects by the mean of its probabilities under them, ground and
label rasters pixel by pixel.

Two passes over the probabilities of each scene: the first sums them under labels (thresholds need all of
them), the second looks for regions of ground that are labelled otherwise, which are judged by their mean as
objects are. Regions thinner than 5 px are edges that were drawn slightly off, and are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from scipy.ndimage import binary_opening

from ...bundle import Bundle
from ...core.arraytypes import BoolArray, Float64Array, Int64Array
from ...core.classes import IGNORE_ID
from ...core.geometries import shifted
from ...core.normalization import to_physical
from ...core.pixellabels import PixelLabels
from ...core.pixelpolygons import polygonize
from ...core.progress import OnProgress
from ...core.rasterlabels import LabelRaster, RasterLabels
from ...core.window import Window
from ...inference.mapextras import MapExtras
from ...inference.predict import predict
from ...io.rasterize import burn
from ...io.scene import Scene, SceneReader, open_scene
from ...labels.placement import PlacedLabels
from ...labels.raster.masks import read_mask
from ...networks.compute import Compute
from .confident import means_by_class, suspects
from .finding import Finding
from .judgedlabels import NOT_JUDGED, Doubt, JudgedLabels
from .placechecks import blocks_of

_BLOCK_PX = 1024
_THICK_PX = 5
_LEAST_PX = 25


@dataclass(frozen=True)
class _Question:
    """What the model is asked about all scenes."""

    judged: JudgedLabels
    background: int | None  # its channel; None: the model has none


@dataclass
class _JudgedScene:
    """One scene with its labels, the probabilities of the model, and their sums under each object."""

    scene: Scene
    labels: PixelLabels
    channels: Int64Array  # (N,) channel of each label
    mask: LabelRaster | None
    probabilities: Scene
    sums: Float64Array  # (N, K) of the probabilities under each object
    counts: Float64Array  # (N,) pixels of each object

    @property
    def means(self) -> Float64Array:
        """(N, K) mean probabilities under each object."""
        return np.asarray(self.sums / np.maximum(self.counts, 1)[:, None], np.float64)


@dataclass(frozen=True)
class _Block:
    """A window of a scene: what the model gives and what is labelled."""

    probabilities: Float64Array  # (K, H, W)
    channels: Int64Array  # (H, W) labelled on each pixel; NOT_JUDGED: nothing, ignored, or not measured
    numbers: Int64Array  # (H, W) which object is there, from 1, of those `near`; 0: none
    near: Int64Array  # indices of the objects that touch the window


def doubts_of_pixels(
    judged: JudgedLabels, bundle: Bundle, folder: Path, compute: Compute, on_progress: OnProgress
) -> tuple[list[Finding], list[str]]:
    """The labels that a model doubts, and a note on what it cannot judge.

    Memory: blocks of 1024 px, whatever the size of the scenes.
    """
    result = predict(
        bundle,
        judged.scenes,
        out=f"{folder}/maps/",
        extras=MapExtras(probabilities=True),
        compute=compute,
        on_progress=on_progress,
    )
    background = [channel for channel, info in enumerate(bundle.classes) if info.id == 0]
    question = _Question(judged, background[0] if background else None)
    are_rasters = isinstance(judged.labels, RasterLabels)
    judged_scenes = []
    for scene, part in zip(judged.scenes, result.parts or (result,), strict=True):
        assert part.probabilities is not None, "they were asked for"
        placed = PlacedLabels.of(judged.labels, scene)
        if are_rasters and placed.raster is None:
            continue  # a scene without a label raster, where others have one
        judged_scenes.append(_judged_scene(judged, placed, part.probabilities))

    class_count = len(bundle.classes)
    pixel_sums, pixel_counts = np.zeros(class_count), np.zeros(class_count)
    for judged_scene in judged_scenes:
        _sum_up(judged_scene, question, pixel_sums, pixel_counts)
    pixel_means = np.full(class_count, np.inf)
    np.divide(pixel_sums, pixel_counts, out=pixel_means, where=pixel_counts > 0)
    thresholds = _thresholds(judged_scenes, question, pixel_means)

    findings: list[Finding] = []
    for judged_scene in judged_scenes:
        if judged_scene.mask is None:
            findings += _doubted_objects(question, judged_scene, thresholds)
        if judged_scene.mask is not None or question.background is not None:
            findings += _doubted_ground(question, judged_scene, thresholds)
    notes = []
    if question.background is None and not are_rasters:
        notes.append("the model has no background class, so it cannot find missing labels")
    return findings, notes


def _judged_scene(judged: JudgedLabels, placed: PlacedLabels, probabilities: Path) -> _JudgedScene:
    labels = placed.labels
    return _JudgedScene(
        scene=placed.scene,
        labels=labels,
        channels=judged.channels_of(labels),
        mask=placed.raster,
        probabilities=open_scene(probabilities),
        sums=np.zeros((len(labels), len(judged.names))),
        counts=np.zeros(len(labels)),
    )


def _read(question: _Question, scene: _JudgedScene, reader: SceneReader, window: Window) -> _Block:
    chip = reader.read(window)
    probabilities = to_physical(chip.pixels, scene.probabilities.bands).astype(np.float64)
    if scene.mask is not None:
        channels = _channels_of_mask(question, scene.scene, scene.mask, window)
        return _Block(
            probabilities,
            np.where(chip.valid, channels, NOT_JUDGED),
            numbers=np.zeros((window.height, window.width), np.int64),
            near=np.zeros(0, np.int64),
        )
    tree = shapely.STRtree(scene.labels.geometries)
    near = np.sort(tree.query(shapely.box(*window.box), predicate="intersects")).astype(np.int64)
    in_block = shifted(scene.labels.geometries[near], -window.col, -window.row)
    burnt = burn(in_block, np.arange(1, len(near) + 1), window.height, window.width, dtype="int32")
    numbers = burnt.astype(np.int64)
    unlabelled = NOT_JUDGED if question.background is None else question.background
    channels = np.concatenate([[unlabelled], scene.channels[near]])[numbers]
    known = chip.valid
    if scene.labels.annotated is not None:
        area = shifted(np.array([scene.labels.annotated], dtype=object), -window.col, -window.row)
        known = known & burn(area, [1], window.height, window.width).astype(np.bool_)
    return _Block(
        probabilities,
        np.where(known, channels, NOT_JUDGED),
        numbers=np.where(chip.valid, numbers, 0),
        near=near,
    )


def _channels_of_mask(question: _Question, scene: Scene, mask: LabelRaster, window: Window) -> Int64Array:
    """(H, W) the channel of each pixel of a label raster."""
    channel_of = np.full(256, NOT_JUDGED, np.int64)
    for class_id, channel in question.judged.channels.items():
        channel_of[class_id] = channel
    channel_of[IGNORE_ID] = NOT_JUDGED
    return channel_of[read_mask(mask, scene, window)]


def _sum_up(
    scene: _JudgedScene, question: _Question, pixel_sums: Float64Array, pixel_counts: Float64Array
) -> None:
    """First pass: sum probabilities under objects, and, per class (K,), on the pixels labelled so."""
    with SceneReader(scene.probabilities) as reader:
        for window in blocks_of(scene.probabilities, _BLOCK_PX):
            block = _read(question, scene, reader, window)
            numbers, near = block.numbers.ravel(), block.near
            for channel, plane in enumerate(block.probabilities):
                labelled_so = block.channels == channel
                pixel_sums[channel] += plane[labelled_so].sum()
                pixel_counts[channel] += labelled_so.sum()
                if len(near):
                    sums = np.bincount(numbers, weights=plane.ravel(), minlength=len(near) + 1)
                    scene.sums[near, channel] += sums[1:]
            if len(near):
                scene.counts[near] += np.bincount(numbers, minlength=len(near) + 1)[1:]


def _thresholds(
    scenes: Sequence[_JudgedScene], question: _Question, pixel_means: Float64Array
) -> Float64Array:
    """(K,) thresholds: the mean over objects, each counting once; for the background, and for label rasters,
    the mean over pixels.
    """
    class_count = len(pixel_means)
    means = np.concatenate([np.empty((0, class_count)), *(scene.means for scene in scenes)])
    channels = np.concatenate(
        [np.empty(0, np.int64), *(np.where(s.counts > 0, s.channels, NOT_JUDGED) for s in scenes)]
    )
    judged = channels >= 0
    means, channels = means[judged], channels[judged]
    object_means = means_by_class(means[np.arange(len(channels)), channels], channels, class_count)
    thresholds = np.where(np.isfinite(object_means), object_means, pixel_means)
    if question.background is not None:
        thresholds[question.background] = pixel_means[question.background]
    return thresholds


def _doubted_objects(question: _Question, scene: _JudgedScene, thresholds: Float64Array) -> Iterator[Finding]:
    judged, means = question.judged, scene.means
    objects = np.flatnonzero((scene.channels >= 0) & (scene.counts > 0))
    doubted, seen = suspects(means[objects], scene.channels[objects], thresholds)
    for index, channel in zip(objects[doubted].tolist(), seen.tolist(), strict=True):
        chance = f"{means[index, channel]:.0%} against {means[index, scene.channels[index]]:.0%}"
        kind: Doubt = "suspected class"
        text = f"the model sees '{judged.names[channel]}' here ({chance}); check which is right"
        if channel == question.background:
            kind = "suspected object"
            text = f"the model sees nothing here ({chance}); check whether the object is there"
        yield judged.about_label(scene.scene, scene.labels, index, kind, text)


def _doubted_ground(question: _Question, scene: _JudgedScene, thresholds: Float64Array) -> Iterator[Finding]:
    """Second pass: regions in which another class than the label is likelier and reaches its threshold on
    average. If labels are objects, only unlabelled ground: objects are judged as wholes.
    """
    only = None if scene.mask is not None else question.background
    pieces: dict[tuple[int, int], list[_Piece]] = {}
    with SceneReader(scene.probabilities) as reader:
        for window in blocks_of(scene.probabilities, _BLOCK_PX):
            wide = window.buffered(_THICK_PX).clipped_to(scene.probabilities.grid.window)
            block = _read(question, scene, reader, wide)
            inner = window.relative_to(wide).slices
            for pair, region in _regions(block.probabilities, block.channels, only):
                plane = block.probabilities[pair[1]]
                pieces.setdefault(pair, []).extend(_pieces(region[inner], plane[inner], window))
    for (label, seen), pieces_of_pair in sorted(pieces.items()):
        for outline, mean in _joined(pieces_of_pair):
            if outline.area >= _LEAST_PX and mean >= thresholds[seen]:
                yield _about_region(question, scene.scene, label, seen, outline)


def _regions(
    probabilities: Float64Array, channels: Int64Array, only: int | None
) -> Iterator[tuple[tuple[int, int], BoolArray]]:
    """For each pair (labelled, seen) the pixels (H, W) where that other class is likelier than the label;
    `only`: for this label alone.
    """
    seen = probabilities.argmax(axis=0)
    doubted = (channels >= 0) & (seen != channels)
    if only is not None:
        doubted &= channels == only
    square = np.ones((_THICK_PX, _THICK_PX), np.bool_)
    pairs = np.unique(np.column_stack([channels[doubted], seen[doubted]]), axis=0)
    for label, other in pairs.tolist():
        region = binary_opening(doubted & (channels == label) & (seen == other), square)
        if region.any():
            yield (label, other), region


@dataclass(frozen=True)
class _Piece:
    """The part of a region in one block."""

    outline: shapely.Geometry
    sum: float  # of the probabilities in it


def _pieces(region: BoolArray, plane: Float64Array, window: Window) -> list[_Piece]:
    """The connected parts of a region (H, W) of a window, in pixels of the scene."""
    outlines, _ = polygonize(region.astype(np.uint8), region)
    numbers = burn(outlines, np.arange(1, len(outlines) + 1), *region.shape, dtype="int32").astype(np.int64)
    sums = np.bincount(numbers.ravel(), weights=plane.ravel(), minlength=len(outlines) + 1)[1:]
    in_scene = shifted(outlines, window.col, window.row)
    return [_Piece(outline, total) for outline, total in zip(in_scene, sums.tolist(), strict=True)]


def _joined(pieces: Sequence[_Piece]) -> Iterator[tuple[shapely.Geometry, float]]:
    """Regions that were cut by blocks put together, and the mean probability of each."""
    outlines = np.array([piece.outline for piece in pieces], dtype=object)
    sums = np.array([piece.sum for piece in pieces])
    regions = np.asarray(shapely.get_parts(shapely.union_all(outlines)), dtype=object)
    inner_points = shapely.point_on_surface(outlines)
    piece, region = shapely.STRtree(regions).query(inner_points, predicate="intersects")
    totals = np.bincount(region, weights=sums[piece], minlength=len(regions))
    yield from zip(regions, (totals / shapely.area(regions)).tolist(), strict=True)


def _about_region(
    question: _Question, scene: Scene, label: int, seen: int, outline: shapely.Geometry
) -> Finding:
    """A finding about a region that is labelled as one channel and seen as another."""
    judged = question.judged
    name, other, size = judged.names[label], judged.names[seen], f"{outline.area:.0f} px"
    if label == question.background:
        text = f"the model sees '{other}' here ({size}), and nothing is labelled; check what is missing"
        return judged.about_ground(scene, outline, seen, "suspected gap", text)
    if seen == question.background:
        text = f"the model sees nothing in {size} of '{name}'; check whether the object is there"
        return judged.about_ground(scene, outline, label, "suspected object", text)
    text = f"the model sees '{other}' in {size} of '{name}'; check which is right"
    return judged.about_ground(scene, outline, label, "suspected class", text)
