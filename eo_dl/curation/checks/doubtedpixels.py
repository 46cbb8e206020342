"""What a model of pixels says against labels: objects by the mean of its probabilities under them, ground and
label rasters pixel by pixel.

Two passes over the probabilities of each scene: the first sums them under labels (thresholds need all of
them), the second looks for regions of ground that is labelled otherwise, which are judged by their mean as
objects are. Regions thinner than 5 px are edges that were drawn a little beside, and are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from scipy.ndimage import binary_opening

from ...bundle import Bundle
from ...core.classes import IGNORE_ID
from ...core.geometries import shifted
from ...core.labelset import MaskLabels, PixelLabels
from ...core.normalization import to_physical
from ...core.progress import OnProgress
from ...core.window import Window
from ...inference.predict import predict
from ...io.rasterize import burn, polygonize
from ...io.scene import Scene, SceneReader, open_scene
from ...labels.raster.masks import has_mask, mask_of, read_mask
from ...networks.compute import Compute
from .confident import suspects
from .finding import Finding
from .judgedlabels import Given

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_BLOCK_PX = 1024
_THICK_PX = 5
_LEAST_PX = 25
_UNKNOWN = -1

_Piece = tuple[shapely.Geometry, float]


@dataclass
class _Asked:
    """One scene: its labels, the model's probabilities, and sums (N, K) and counts (N,) of them under each
    object.
    """

    scene: Scene
    here: PixelLabels
    channels: Index
    mask: MaskLabels | None
    probabilities: Scene
    sums: FloatArray
    counts: FloatArray


def doubts_of_pixels(
    given: Given, bundle: Bundle, folder: Path, compute: Compute, on_progress: OnProgress
) -> tuple[list[Finding], list[str]]:
    """Findings, and what could not be judged. Memory: blocks of 1024 px, whatever the scenes are."""
    made = predict(
        bundle,
        given.scenes,
        out=f"{folder}/maps/",
        probabilities=True,
        compute=compute,
        on_progress=on_progress,
    )
    background = next((k for k, info in enumerate(bundle.classes) if info.id == 0), None)
    parts = zip(given.scenes, made.parts or (made,), strict=True)
    found = [_asked(given, scene, part.probabilities, len(bundle.classes)) for scene, part in parts]
    asked = [one for one in found if one is not None]
    ground = np.zeros((len(bundle.classes), 2))
    for one in asked:
        _sum(one, given, background, ground)
    thresholds = _thresholds(asked, ground, background)
    findings: list[Finding] = []
    for one in asked:
        if one.mask is None:
            findings += _of_objects(given, one, thresholds, background)
        if one.mask is not None or background is not None:
            findings += _of_ground(given, one, thresholds, background)
    notes = (
        []
        if background is not None or given.labels.masks
        else ["the model has no background, so it cannot tell what is missing"]
    )
    return findings, notes


def _asked(given: Given, scene: Scene, probabilities: Path | None, classes: int) -> _Asked | None:
    """None for a scene without a label raster where others have one."""
    assert probabilities is not None
    here = given.here(scene)
    mask = mask_of(given.labels, scene)
    if given.labels.masks and not has_mask(mask):
        return None
    return _Asked(
        scene,
        here,
        given.channels_of(here),
        mask,
        open_scene(probabilities),
        np.zeros((len(here), classes)),
        np.zeros(len(here)),
    )


def _blocks(scene: Scene) -> Iterator[Window]:
    for row in range(0, scene.grid.height, _BLOCK_PX):
        for col in range(0, scene.grid.width, _BLOCK_PX):
            yield Window(
                col, row, min(_BLOCK_PX, scene.grid.width - col), min(_BLOCK_PX, scene.grid.height - row)
            )


def _read(
    one: _Asked, reader: SceneReader, given: Given, window: Window, background: int | None
) -> tuple[FloatArray, Index, Index, Index]:
    """Probabilities (K, H, W), the channel labelled on each pixel (-1: none, ignored, or not measured), and
    which object (from 1) lies there, of those `near`.
    """
    chip = reader.read(window)
    values = to_physical(chip.pixels, one.probabilities.bands).astype(np.float64)
    shape = (window.height, window.width)
    if one.mask is not None:
        inside = window.intersection(one.scene.grid.window)
        assert inside == window, "blocks lie in the scene"
        ids = read_mask(one.mask, one.scene, window)
        table = np.full(256, _UNKNOWN, np.int64)
        for class_id, channel in given.channels.items():
            table[class_id] = channel
        table[IGNORE_ID] = _UNKNOWN
        return (
            values,
            np.where(chip.valid, table[ids], _UNKNOWN),
            np.zeros(shape, np.int64),
            np.zeros(0, np.int64),
        )
    near = np.sort(
        shapely.STRtree(one.here.geometries).query(shapely.box(*window.box), predicate="intersects")
    ).astype(np.int64)
    places = burn(
        _moved(one.here.geometries[near], window), np.arange(1, len(near) + 1), *shape, dtype="int32"
    ).astype(np.int64)
    unlabelled = _UNKNOWN if background is None else background
    truth = np.concatenate([[unlabelled], one.channels[near]])[places]
    known = chip.valid
    if one.here.annotated is not None:
        known = known & burn(
            _moved(np.array([one.here.annotated], dtype=object), window), [1], *shape
        ).astype(np.bool_)
    return values, np.where(known, truth, _UNKNOWN), np.where(chip.valid, places, 0), near


def _moved(geometries: npt.NDArray[np.object_], window: Window) -> npt.NDArray[np.object_]:
    return shifted(geometries, -window.col, -window.row)


def _sum(one: _Asked, given: Given, background: int | None, ground: FloatArray) -> None:
    """First pass: probabilities under objects, and in `ground` (K, 2) those of each class on the pixels
    labelled so, and how many there are.
    """
    with SceneReader(one.probabilities) as reader:
        for window in _blocks(one.probabilities):
            values, truth, places, near = _read(one, reader, given, window, background)
            for channel, plane in enumerate(values):
                mine = truth == channel
                ground[channel] += (plane[mine].sum(), mine.sum())
                if len(near):
                    one.sums[near, channel] += np.bincount(
                        places.ravel(), weights=plane.ravel(), minlength=len(near) + 1
                    )[1:]
            if len(near):
                one.counts[near] += np.bincount(places.ravel(), minlength=len(near) + 1)[1:]


def _means(one: _Asked) -> FloatArray:
    return one.sums / np.maximum(one.counts, 1)[:, None]


def _thresholds(asked: list[_Asked], ground: FloatArray, background: int | None) -> FloatArray:
    """(K,) of objects their mean probability, an object a vote; of the background and of label rasters that
    of the pixels.
    """
    by_pixel = np.where(ground[:, 1] > 0, ground[:, 0] / np.maximum(ground[:, 1], 1), np.inf)
    means = np.concatenate([_means(one) for one in asked])
    labels = np.concatenate([np.where(one.counts > 0, one.channels, _UNKNOWN) for one in asked])
    return np.array(
        [
            means[labels == channel, channel].mean()
            if channel != background and (labels == channel).any()
            else by_pixel[channel]
            for channel in range(len(ground))
        ]
    )


def _of_objects(
    given: Given, one: _Asked, thresholds: FloatArray, background: int | None
) -> Iterator[Finding]:
    means = _means(one)
    judged = np.flatnonzero((one.channels >= 0) & (one.counts > 0))
    doubted, instead = suspects(means[judged], one.channels[judged], thresholds)
    for place, channel in zip(judged[doubted].tolist(), instead.tolist(), strict=True):
        chance = f"{means[place, channel]:.0%} against {means[place, one.channels[place]]:.0%}"
        if channel == background:
            yield given.finding(
                one.scene,
                one.here,
                place,
                "suspected object",
                f"the model sees nothing here ({chance}); look whether it is there",
            )
        else:
            text = f"the model sees '{given.names[channel]}' here ({chance}); look which it is"
            yield given.finding(one.scene, one.here, place, "suspected class", text)


def _of_ground(
    given: Given, one: _Asked, thresholds: FloatArray, background: int | None
) -> Iterator[Finding]:
    """Second pass: regions in which another class than the label is likelier, and reaches its threshold on
    average; of objects only ground that nobody labelled.
    """
    found: dict[tuple[int, int], list[_Piece]] = {}
    with SceneReader(one.probabilities) as reader:
        for window in _blocks(one.probabilities):
            wide = _widened(window, one.probabilities)
            values, truth, _, _ = _read(one, reader, given, wide, background)
            inner = window.relative_to(wide).slices
            for pair, region in _regions(values, truth, None if one.mask is not None else background):
                found.setdefault(pair, []).extend(_pieces(region[inner], values[pair[1]][inner], window))
    for (label, seen), pieces in sorted(found.items()):
        for outline, mean in _joined(pieces):
            if outline.area >= _LEAST_PX and mean >= thresholds[seen]:
                yield _region_finding(given, one, label, seen, outline, background)


def _pieces(region: npt.NDArray[np.bool_], plane: FloatArray, window: Window) -> list[_Piece]:
    """The connected parts of a region (H, W), and the sum of the probabilities in each."""
    outlines, _ = polygonize(region.astype(np.uint8), region)
    places = burn(outlines, np.arange(1, len(outlines) + 1), *region.shape, dtype="int32").astype(np.int64)
    sums = np.bincount(places.ravel(), weights=plane.ravel(), minlength=len(outlines) + 1)[1:]
    moved = shifted(outlines, window.col, window.row)
    return list(zip(moved, sums.tolist(), strict=True))


def _joined(pieces: list[_Piece]) -> Iterator[tuple[shapely.Geometry, float]]:
    """Pieces that were cut by the blocks put together, with the mean probability of each whole."""
    outlines = np.array([outline for outline, _ in pieces], dtype=object)
    wholes = np.asarray(shapely.get_parts(shapely.union_all(outlines)), dtype=object)
    member, whole = shapely.STRtree(wholes).query(shapely.point_on_surface(outlines), predicate="intersects")
    sums = np.bincount(whole, weights=np.array([total for _, total in pieces])[member], minlength=len(wholes))
    yield from zip(wholes, (sums / shapely.area(wholes)).tolist(), strict=True)


def _region_finding(
    given: Given, one: _Asked, label: int, seen: int, outline: shapely.Geometry, background: int | None
) -> Finding:
    name, instead, size = given.names[label], given.names[seen], f"{outline.area:.0f} px"
    if label == background:
        return given.gap(
            one.scene,
            outline,
            seen,
            f"the model sees '{instead}' here ({size}) and nothing is labelled; look whether it is missing",
        )
    if seen == background:
        return given.gap(
            one.scene,
            outline,
            label,
            f"the model sees nothing in {size} of '{name}'; look whether it is there",
            "suspected object",
        )
    return given.gap(
        one.scene,
        outline,
        label,
        f"the model sees '{instead}' in {size} of '{name}'; look which it is",
        "suspected class",
    )


def _regions(
    values: FloatArray, truth: Index, only: int | None
) -> Iterator[tuple[tuple[int, int], npt.NDArray[np.bool_]]]:
    """For each pair (labelled, seen) where another class is likelier than the label; `only`: this label
    alone.
    """
    seen = values.argmax(axis=0)
    doubted = (truth >= 0) & (seen != truth)
    if only is not None:
        doubted &= truth == only
    pairs = np.unique(np.column_stack([truth[doubted], seen[doubted]]), axis=0)
    for label, instead in pairs.tolist():
        region = binary_opening(
            doubted & (truth == label) & (seen == instead), np.ones((_THICK_PX, _THICK_PX), np.bool_)
        )
        if region.any():
            yield (label, instead), region


def _widened(window: Window, scene: Scene) -> Window:
    """With what the opening looks at beside it."""
    found = Window(
        window.col - _THICK_PX,
        window.row - _THICK_PX,
        window.width + 2 * _THICK_PX,
        window.height + 2 * _THICK_PX,
    ).intersection(scene.grid.window)
    assert found is not None
    return found
