"""`tile`: scenes and labels to a chip set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely

from ..core.labelset import LabelSet
from ..core.progress import OnProgress, silent
from ..errors import ConfigError
from ..io.atomic import atomic_folder, refuse_existing
from ..io.scene import SceneSources
from ..labels.coverage import match_labels
from ..labels.reading import read_labels
from .build import SplitBy, TileJob, make_chip_set
from .candidates import NEGATIVES, SamplingRequest
from .chipset import ChipSet, open_chip_set
from .manifest import MANIFEST
from .sampling import Sampling
from .splits import SplitRequest
from .tileinputs import (
    DEFAULT_PX,
    chip_size,
    common_gsd,
    common_side,
    prepare_scenes,
    region_in,
    with_annotated,
)
from .truth import SceneTruth


def tile(
    scenes: SceneSources,
    labels: LabelSet | str | Path,
    *,
    out: str | Path,
    size_px: int | None = None,
    size_m: float | None = None,
    gsd_m: float | None = None,
    overlap_px: int = 0,
    aoi: str | Path | None = None,
    annotated: str | Path | None = None,
    sampling: Sampling = "grid",
    count: int | None = None,
    keep_empty: float | None = None,
    min_valid: float = 0.5,
    split: tuple[float, float, float] = (0.7, 0.15, 0.15),
    split_by: SplitBy = "block",
    block_m: float | None = None,
    block_px: int | None = None,
    guard_px: float | None = None,
    folds: int | None = None,
    splits_of: ChipSet | str | Path | None = None,
    seed: int = 0,
    write_chips: bool | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> ChipSet:
    """Chips of scenes with their labels, in a folder `out`, split by ground that no two splits share.

    Chips are `size_px` (256; of images labelled as a whole, their size) or `size_m` wide, in each scene's own
    pixels, or in pixels of `gsd_m`. `sampling`: "grid" (neighbours share `overlap_px`), "random", "objects",
    "single" (one object a chip, nothing of another) or "balanced" by class, with `count` chips. Only chips
    that touch `aoi` (polygons) and ground on which labels are complete (`annotated`), and of which
    `min_valid` was measured. `keep_empty`: share of the chips without objects to keep (grid and random: all;
    else chips to add, 0.1 of their number). `split`: shares of train, val, test, dealt by blocks of `block_m`
    or `block_px` (default: from the scenes) or by whole scenes; `folds` instead deals folds, and `splits_of`
    takes the held-out ground of another chip set, so that models of both can be compared. `guard_px`: least
    distance between chips of two splits (default: one chip, less where that costs too much). `write_chips`
    None: where reading from the scenes would decode more than 8 times what it uses. Same input and seed, same
    bytes, whatever `workers`.

    Raises one of the `InputError` tree with one line.

    >>> chips = tile("ortho.tif", "roofs.gpkg", out="chips", size_px=256)  # doctest: +SKIP
    """
    refuse_existing(out, overwrite)
    for name, value in (("keep_empty", keep_empty), ("min_valid", min_valid)):
        if value is not None and not 0 <= value <= 1:
            raise ConfigError(f"tile: {name} is a share from 0 to 1, found {value}")
    if splits_of is not None and folds is not None:
        raise ConfigError(
            "tile: --splits-of takes the splits of another chip set and --folds deals new ones; give one of them"
        )
    given = read_labels(labels)
    ready, notes = prepare_scenes(scenes, gsd_m, below=given.whole_images)
    chip_px = chip_size(
        ready, size_px, size_m, gsd_m, common_side(ready) if given.whole_images else DEFAULT_PX
    )
    found = match_labels(given if annotated is None else with_annotated(given, annotated, ready), ready)
    if found.negatives is not None and found.annotated is not None:  # somebody looked there
        found = replace(found, annotated=np.concatenate([found.annotated, found.negatives]))
    notes = (*notes, *found.notes)
    truths = tuple(SceneTruth.of(found, scene) for scene in ready)
    job = TileJob(
        scenes=ready,
        labels=found,
        truths=truths,
        regions=_regions(truths, region_in(aoi, ready)),
        sampling=SamplingRequest(
            sampling, chip_px, overlap_px, count, seed, NEGATIVES if keep_empty is None else keep_empty
        ),
        request=SplitRequest(split, folds, guard_px, chip_px, seed),
        split_by=split_by,
        block_px=_block_px(block_m, block_px, chip_px, common_gsd(ready, gsd_m)),
        keep_empty=keep_empty,
        min_valid=min_valid,
        gsd_m=common_gsd(ready, gsd_m),
        write_chips=write_chips,
        workers=workers,
        on_progress=on_progress,
        notes=notes,
        splits_of=None if splits_of is None else open_chip_set(splits_of),
    )
    with atomic_folder(out, overwrite=overwrite, marker=MANIFEST) as folder:
        make_chip_set(job, folder, Path(out))
    return open_chip_set(out)


def _block_px(block_m: float | None, block_px: int | None, chip_px: int, gsd_m: float | None) -> int | None:
    if block_m is not None and block_px is not None:
        raise ConfigError("tile: give the block's side in metres or in pixels, not both")
    if block_m is not None and gsd_m is None:
        raise ConfigError("tile: --block-m needs scenes with a CRS; give block_px, or leave it out")
    side = round(block_m / gsd_m) if block_m is not None and gsd_m is not None else block_px
    if side is not None and side < chip_px:
        raise ConfigError(
            f"tile: a block of {side} px is smaller than a chip of {chip_px} px; choose a larger --block-m or a smaller --size"
        )
    return side


def _regions(
    truths: Sequence[SceneTruth], aois: Sequence[shapely.Geometry | None]
) -> tuple[shapely.Geometry | None, ...]:
    """Where chips may lie in each scene: in the AOI and on annotated ground."""
    regions = []
    for truth, aoi in zip(truths, aois, strict=True):
        known = truth.region
        regions.append(known if aoi is None else aoi if known is None else shapely.intersection(known, aoi))
    return tuple(regions)
