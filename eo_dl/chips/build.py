"""From checked requests to the files of a chip set: measure, keep, deal, count, write."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import shapely

from ..core.gridwindow import GridWindow
from ..core.labelset import LabelSet
from ..core.normalization import BandStatistics
from ..core.progress import OnProgress
from ..core.seeds import generator
from ..errors import LabelError
from ..io.atomic import write_bytes
from ..io.scene import Scene
from ..version import __version__
from .candidates import SamplingRequest, draw_candidates
from .chiprecord import ChipRecord, chip_id, scene_labels
from .chipset import ChipSet, chip_ground
from .conflicts import Index
from .contact_sheet import contact_sheet
from .index import read_back_labels, write_index
from .inherit import inherited
from .manifest import (
    CONTACT_SHEET,
    INDEX,
    MANIFEST,
    classes_entry,
    content_hash,
    labels_entry,
    manifest_text,
    scene_entry,
)
from .measure import Candidate, Measured, enough_valid, measure
from .splits import Dealt, SplitRequest, block_names, deal_chips, default_block_chips
from .statistics import sample_size, statistics
from .truth import SceneTruth
from .writing import ChipWriter, why_write

SplitBy = Literal["block", "scene"]


@dataclass(frozen=True)
class TileJob:
    """What `tile` was asked for, checked and opened."""

    scenes: tuple[Scene, ...]
    labels: LabelSet
    truths: tuple[SceneTruth, ...]
    regions: tuple[shapely.Geometry | None, ...]
    sampling: SamplingRequest
    request: SplitRequest
    split_by: SplitBy
    block_px: int | None
    keep_empty: float | None
    min_valid: float
    gsd_m: float | None
    write_chips: bool | None
    workers: int | None
    on_progress: OnProgress
    notes: tuple[str, ...]
    splits_of: ChipSet | None = None


def make_chip_set(job: TileJob, folder: Path, out: Path) -> None:
    """Fill `folder`, which will be called `out`, with the chip set."""
    candidates, drawn_notes = draw_candidates(job.truths, job.regions, job.sampling)
    reason = why_write(job.scenes, candidates)
    wanted = reason is not None if job.write_chips is None else job.write_chips
    writer = (
        ChipWriter(folder, job.scenes, scene_labels([scene.stem for scene in job.scenes]), job.min_valid)
        if wanted
        else None
    )
    if writer is not None:
        writer.prepare()
    measured = _measured(job, candidates, writer)
    good = [
        m
        for m in measured
        if enough_valid(m.valid_share, m.candidate.window, job.scenes[m.candidate.scene_index], job.min_valid)
    ]
    if not good:
        raise LabelError(
            f"{job.scenes[0].path}: no chip has {job.min_valid:.0%} measured pixels; check nodata (eo-dl inspect) or lower --min-valid"
        )
    keep, empty_note = _kept(job, good)
    records, dealt = _dealt(job, good, keep)
    used = [
        m.tally for m, record in zip(good, records, strict=True) if record.keep and record.split == "train"
    ]
    notes = [*job.notes, *drawn_notes, *dealt.notes, *empty_note]
    if len(good) < len(measured):
        notes.append(
            f"{len(measured) - len(good)} of {len(measured)} chips left out: less than {job.min_valid:.0%} of their pixels are measured"
        )
    if reason is not None and job.write_chips is None:
        notes.append(reason)
    notes += _class_notes(job.labels, records)
    _write(job, folder, out, records, dealt, statistics(used), notes)


def _measured(job: TileJob, candidates: Sequence[Candidate], writer: ChipWriter | None) -> list[Measured]:
    sample_px = sample_size(len(candidates), len(job.scenes[0].bands), job.sampling.chip_px)
    return measure(
        candidates,
        job.truths,
        sample_px=sample_px,
        sink=writer,
        workers=job.workers,
        on_progress=job.on_progress,
    )


def _kept(job: TileJob, good: Sequence[Measured]) -> tuple[npt.NDArray[np.bool_], list[str]]:
    """Which chips are kept: all with objects, and the asked-for share of the others, drawn at random."""
    empty = np.flatnonzero([_record(m, job.scenes[m.candidate.scene_index], "", "").empty for m in good])
    keep = np.ones(len(good), np.bool_)
    if job.keep_empty is None or not len(empty) or job.sampling.sampling not in ("grid", "random"):
        return keep, []
    rng = generator(job.request.seed, "empty")
    dropped = rng.permutation(empty)[round(job.keep_empty * len(empty)) :]
    keep[dropped] = False
    if not keep.any():
        raise LabelError("no chip shows a labelled object, so --keep-empty 0 leaves none; check the labels")
    return keep, [
        f"{len(dropped)} of {len(empty)} chips without objects are not kept (keep = false in {INDEX})"
    ] if len(dropped) else []


def _record(m: Measured, scene: Scene, name: str, block: str) -> ChipRecord:
    return ChipRecord(
        chip_id=name,
        scene_index=m.candidate.scene_index,
        window=GridWindow.of(m.candidate.window, scene.grid),
        valid_share=round(m.valid_share, 6),
        class_shares=m.class_shares,
        object_counts=m.object_counts,
        block=block,
        file=m.file,
    )


def _dealt(
    job: TileJob, good: Sequence[Measured], keep: npt.NDArray[np.bool_]
) -> tuple[tuple[ChipRecord, ...], Dealt]:
    """The chips with their blocks, splits and folds."""
    named = scene_labels([scene.stem for scene in job.scenes])
    bare = [
        _record(
            m,
            job.scenes[m.candidate.scene_index],
            chip_id(named[m.candidate.scene_index], m.candidate.window),
            "",
        )
        for m in good
    ]
    ground = chip_ground(job.scenes, bare, job.sampling.chip_px)
    if job.split_by == "scene":
        blocks = _scene_blocks(job.scenes, bare, ground.near_pairs(0))
    else:
        pitch = job.sampling.chip_px - job.sampling.overlap_px
        blocks = block_names(ground, job.block_px or default_block_chips(ground.places, pitch) * pitch)
    if job.splits_of is None:
        dealt = deal_chips(ground, blocks, _amounts(job.labels, bare), keep, job.request)
    else:
        dealt = inherited(job.scenes, bare, ground, keep, job.splits_of)
    records = tuple(
        replace(r, block=b, split=s, fold=f, keep=bool(k))
        for r, b, s, f, k in zip(bare, blocks, dealt.splits, dealt.folds, keep, strict=True)
    )
    shared = ground.shared_ground([r.split if r.keep else "none" for r in records])
    assert not any(shared.values()), shared
    return records, replace(dealt, shared_ground=shared)


def _scene_blocks(
    scenes: Sequence[Scene], records: Sequence[ChipRecord], pairs: tuple[Index, Index]
) -> tuple[str, ...]:
    """A block for each scene; scenes whose chips share ground are one."""
    root = list(range(len(scenes)))
    for i, j in zip(*pairs, strict=True):
        one, other = sorted((root[records[i].scene_index], root[records[j].scene_index]))
        if one != other:
            root = [one if r == other else r for r in root]
    return tuple(f"s{root[record.scene_index]}" for record in records)


def _amounts(labels: LabelSet, records: Sequence[ChipRecord]) -> npt.NDArray[np.float64]:
    """(N, 2K) what the splits share out: pixels of each class and objects of each class."""
    ids = labels.classes.ids
    return np.array(
        [
            [*(r.class_shares.get(i, 0.0) for i in ids), *(float(r.object_counts.get(i, 0)) for i in ids)]
            for r in records
        ]
    ).reshape(len(records), -1)


def _class_notes(labels: LabelSet, records: Sequence[ChipRecord]) -> list[str]:
    """Classes that a split lacks although the chip set has them."""
    notes = []
    for info in labels.classes.foreground:
        with_it = {
            r.split
            for r in records
            if r.keep and (r.class_shares.get(info.id, 0) > 0 or r.object_counts.get(info.id, 0))
        }
        lacking = [
            name
            for name in ("train", "val", "test")
            if name not in with_it and any(r.split == name for r in records)
        ]
        if lacking:
            notes.append(f"class '{info.name}' is in no chip of {' and '.join(lacking)}")
    return notes


def _write(
    job: TileJob,
    folder: Path,
    out: Path,
    records: tuple[ChipRecord, ...],
    dealt: Dealt,
    stats: tuple[BandStatistics, ...],
    notes: list[str],
) -> None:
    # The sheet is drawn while the index is written and read back: one mostly computes, the other mostly waits
    # for the disk.
    with ThreadPoolExecutor(1) as pool:
        sheet = pool.submit(contact_sheet, folder, job.truths, records, stats, job.request.seed, job.workers)
        values = _index_and_manifest(job, folder, out, records, dealt, stats, notes)
        write_bytes(folder / CONTACT_SHEET, sheet.result())
    write_bytes(folder / MANIFEST, manifest_text(values).encode())


def _index_and_manifest(
    job: TileJob,
    folder: Path,
    out: Path,
    records: tuple[ChipRecord, ...],
    dealt: Dealt,
    stats: tuple[BandStatistics, ...],
    notes: list[str],
) -> dict[str, Any]:
    """Write the index; the manifest's values, the content hash of what was written among them."""
    write_index(folder / INDEX, job.scenes, job.labels, records)
    labels_plain = labels_entry(job.labels, out)
    # The hash is that of what will be read back: labels in pixels pass through map coordinates, which moves
    # them by 1e-10 px.
    seen = read_back_labels(folder / INDEX, job.labels.classes, job.scenes, labels_plain, job.labels.crs)
    return {
        "eo_dl": __version__,
        "chip_px": job.sampling.chip_px,
        "gsd_m": job.gsd_m,
        "seed": job.request.seed,
        "content_hash": content_hash(
            job.scenes, replace(seen, masks=job.labels.masks), records, job.sampling.chip_px
        ),
        "guard_px": dealt.guard_px,
        "folds": job.request.folds,
        "shared_ground": dealt.shared_ground,
        "options": {
            "sampling": job.sampling.sampling,
            "overlap_px": job.sampling.overlap_px,
            "count": job.sampling.count,
            "keep_empty": job.keep_empty,
            "min_valid": job.min_valid,
            "split": list(job.request.shares),
            "split_by": job.split_by,
            "block_px": job.block_px,
        },
        "classes": classes_entry(job.labels.classes),
        "statistics": [asdict(s) for s in stats],
        "scenes": [scene_entry(scene, out) for scene in job.scenes],
        "labels": labels_plain,
        "notes": notes,
    }
