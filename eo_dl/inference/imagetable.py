"""Classify many images into one CSV or vector file, one row per image: the mean over its chips.

Images that are no larger than a chip are the usual case, so chips of several images share a batch. Images go
through in groups, each kept on disk when it is done: a run that was stopped goes on with the next group, and
what shares a batch depends on the list of images alone.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
from pyproj import CRS

from ..bundle import Bundle
from ..core.arraytypes import BoolArray, Float32Array, Float64Array, Int64Array
from ..core.chipgrid import SquareGrid
from ..core.geometries import reproject
from ..core.pipeline import Ahead
from ..core.progress import OnProgress
from ..errors import ConfigError
from ..io.atomic import atomic_file, refuse_existing, write_bytes
from ..io.chiptables import CHIPS_LAYER, TABLE_SUFFIX, value_columns
from ..io.scene import Scene, SceneReader
from ..io.vectorlayers import write_layer
from ..tasks import CHIPS
from ..version import __version__
from .backends.backend import Backend, Scaling, check_raw, engine_text
from .chipcells import chip_probabilities
from .contract import fit_scene
from .engine import batch_size_for
from .plan import Request, chip_tags
from .prediction import Prediction
from .spool import Spool

_GROUP = 64
_LONLAT = CRS.from_epsg(4326)


@dataclass(frozen=True)
class _Part:
    """One chip of an image."""

    image: int
    """Index of the image in its group."""
    weight: float
    """Number of valid pixels, in the image's own pixels."""
    pixels: Float32Array
    """(C, H, W) input of the network."""
    valid: BoolArray
    """(H, W) valid mask."""


def predict_images(
    bundle: Bundle,
    scenes: Sequence[Scene],
    out: Path,
    request: Request,
    backend: Backend,
    on_progress: OnProgress,
) -> Prediction:
    """Write one row per image. Raises `ConfigError` for options that need a map, and as `predict` does."""
    started = time.perf_counter()
    if request.aoi is not None:
        raise ConfigError(
            f"{out}: one row per image cannot be combined with `aoi`; write one file per scene (into a "
            "folder), or omit `aoi`"
        )
    _check_place(scenes, out)
    refuse_existing(out, request.overwrite)
    multi_label = bundle.codec_for(CHIPS).rule.multi_label
    groups = [scenes[start : start + _GROUP] for start in range(0, len(scenes), _GROUP)]
    notes: list[str] = []
    with Spool(out, _key(bundle, scenes, request, backend) if request.resume else None) as spool:
        kept = min(spool.count * _GROUP, len(scenes))
        for number in range(spool.count, len(groups)):
            values, valid, chips = _of_group(bundle, groups[number], request, backend, notes)
            spool.store({"values": values, "valid": valid, "chips": chips})
            on_progress(min((number + 1) * _GROUP, len(scenes)), len(scenes), "images")
        pieces = [spool.load(number) for number in range(spool.count)]
        values = np.concatenate([piece["values"].astype(np.float32) for piece in pieces])
        valid = np.concatenate([piece["valid"].astype(np.float64) for piece in pieces])
        chips = np.concatenate([piece["chips"].astype(np.int64) for piece in pieces])
        for scene in scenes:
            scene.refuse_if_changed()
        table = _table(bundle, scenes, values, valid, chips, multi_label=multi_label)
        _write(table, scenes, out, bundle, request.overwrite)
    all_notes = _counted(notes)
    if kept:
        all_notes.insert(0, f"continued a stopped run: {kept} of {len(scenes)} images were done")
    return Prediction(
        path=out,
        kind="images",
        task=bundle.task.name,
        classes=bundle.classes,
        model=str(bundle.path),
        model_hash=bundle.hash,
        engine=engine_text(backend),
        count=len(table),
        chips=int(chips.sum()),
        kept=kept,
        seconds=time.perf_counter() - started,
        notes=tuple(all_notes),
    )


def _check_place(scenes: Sequence[Scene], out: Path) -> None:
    bare = [scene.name for scene in scenes if scene.native.crs is None]
    if bare and out.suffix.lower() != TABLE_SUFFIX:
        raise ConfigError(
            f"{out}: {len(bare)} of {len(scenes)} images are not georeferenced ({bare[0]}); write a table, "
            f"e.g. {out.stem}.csv"
        )


def _key(bundle: Bundle, scenes: Sequence[Scene], request: Request, backend: Backend) -> str:
    facts: list[object] = [
        __version__,
        bundle.hash,
        request.keep_gsd,
        request.chips.margin_px,
        request.compute.batch_size,
        dict(backend.identity),
    ]
    for scene in scenes:
        facts.append(
            (scene.path, sorted(scene.fingerprint().items()), repr(scene.bands), repr(scene.options))
        )
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()


def _of_group(
    bundle: Bundle, scenes: Sequence[Scene], request: Request, backend: Backend, notes: list[str]
) -> tuple[Float32Array, Float64Array, Int64Array]:
    """Per image: (n, K) probabilities, NaN without valid pixels; (n,) valid share; (n,) number of chips."""
    count = len(scenes)
    size = request.compute.batch_size or batch_size_for(backend, bundle.spec.chip_px, len(bundle.bands))
    sums, weights, chips = np.zeros((count, len(bundle.classes))), np.zeros(count), np.zeros(count, np.int64)
    with Ahead(_batches(_parts(bundle, scenes, request, notes), size), 2) as batches:
        for batch in batches:
            for part, values in zip(batch, _answers(bundle, backend, batch), strict=True):
                sums[part.image] += part.weight * values
                weights[part.image] += part.weight
                chips[part.image] += 1
    values = np.divide(sums, weights[:, None], out=np.full(sums.shape, np.nan), where=weights[:, None] > 0)
    areas = np.array([scene.native.height * scene.native.width for scene in scenes], np.float64)
    return values.astype(np.float32), weights / areas, chips


def _parts(bundle: Bundle, scenes: Sequence[Scene], request: Request, notes: list[str]) -> Iterator[_Part]:
    margin = bundle.spec.margin_px if request.chips.margin_px is None else request.chips.margin_px
    for place, scene in enumerate(scenes):
        fitted = fit_scene(bundle, scene, keep_gsd=request.keep_gsd, force=request.force)
        notes += fitted.notes
        work = fitted.scene
        own_px = (work.native.height * work.native.width) / (work.grid.height * work.grid.width)
        with SceneReader(work) as reader:
            for cell in SquareGrid(work.grid.height, work.grid.width, bundle.spec.chip_px, margin):
                chip = reader.read(cell.read)
                measured = int(chip.valid[cell.keep.relative_to(cell.read).slices].sum())
                if measured:
                    yield _Part(
                        place,
                        measured * own_px,
                        bundle.normalization.apply(chip.pixels, chip.valid, chip.bands),
                        chip.valid,
                    )


def _batches(parts: Iterator[_Part], size: int) -> Iterator[list[_Part]]:
    batch: list[_Part] = []
    for part in parts:
        batch.append(part)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _answers(bundle: Bundle, backend: Backend, batch: Sequence[_Part]) -> list[Float32Array]:
    bands = len(bundle.bands)
    buffer = backend.buffer(len(batch), bands, bundle.spec.chip_px, "float32")
    for place, part in enumerate(batch):
        buffer.pixels[place], buffer.valid[place] = part.pixels, part.valid
    raw = backend.run(
        buffer.pixels, buffer.valid, Scaling(np.ones(bands, np.float32), np.zeros(bands, np.float32))
    )
    check_raw(raw, len(batch), str(bundle.path))
    codec = bundle.codec_for(CHIPS)
    return [
        chip_probabilities(codec, {name: array[place] for name, array in raw.items()})
        for place in range(len(batch))
    ]


def _table(
    bundle: Bundle,
    scenes: Sequence[Scene],
    values: Float32Array,
    valid: Float64Array,
    chips: Int64Array,
    multi_label: bool,
) -> pd.DataFrame:
    columns = {"image": np.array([scene.name for scene in scenes], dtype=object)} | value_columns(
        values, bundle.classes, multi_label
    )
    nothing = ~np.isfinite(values).all(axis=1)
    columns["class_name"] = np.where(nothing, "", columns["class_name"])
    columns |= {
        "valid_share": valid.round(4),
        "chips": chips,
        "width_px": np.array([scene.native.width for scene in scenes]),
        "height_px": np.array([scene.native.height for scene in scenes]),
        "file": np.array([scene.path for scene in scenes], dtype=object),
    }
    return pd.DataFrame(columns)


def _write(table: pd.DataFrame, scenes: Sequence[Scene], out: Path, bundle: Bundle, overwrite: bool) -> None:
    if out.suffix.lower() == TABLE_SUFFIX:
        with atomic_file(out, overwrite=overwrite) as part:
            write_bytes(part, table.to_csv(index=False, lineterminator="\n").encode())
        return
    one_crs = len({scene.native.crs for scene in scenes}) == 1
    crs = scenes[0].native.required_crs if one_crs else _LONLAT
    outlines = np.empty(len(scenes), dtype=object)
    for place, scene in enumerate(scenes):
        outlines[place : place + 1] = [scene.native.footprint()]
        if scene.native.crs is not None:
            outlines[place : place + 1] = reproject(
                outlines[place : place + 1], scene.native.crs, crs, scene.path
            )
    frame = geopandas.GeoDataFrame(table, geometry=outlines, crs=crs.to_wkt())
    tags = {
        "eo_dl": __version__,
        "model": bundle.path.name,
        "model_sha256": bundle.hash,
        "task": bundle.task.name,
        **chip_tags(bundle),
    }
    write_layer(
        out,
        frame,
        layer=CHIPS_LAYER,
        classes=bundle.classes,
        style_field="class_name",
        metadata=tags,
        overwrite=overwrite,
    )


def _counted(notes: Sequence[str]) -> list[str]:
    """Remarks on single images: all if they are few, else their number and the first.

    One that is made for each image is about the model, and is made once.
    """
    times = Counter(notes)
    of_model = [note for note in times if times[note] > 1]
    of_images = [note for note in times if times[note] == 1]
    if len(of_images) > 3:
        of_images = [f"{len(of_images)} remarks on images, the first: {of_images[0]}"]
    return [*of_images, *of_model]
