"""From checked inputs to the files of a chip set: draw, measure, choose, split, write."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from ..core.arraytypes import BoolArray, Float64Array
from ..core.gridwindow import GridWindow
from ..core.labelset import LabelSet
from ..core.normalization import BandStatistics
from ..core.progress import OnProgress
from ..core.seeds import generator
from ..errors import LabelError, SplitError
from ..io.atomic import write_bytes
from ..io.filestate import FileState
from ..io.scene import Scene
from ..io.sceneoptions import SceneOptions
from ..io.validity import BandGaps, gap_lines
from ..version import __version__
from .candidates import draw_candidates
from .chiprecord import ChipRecord, chip_id, scene_labels
from .chipset import ChipSet, chip_ground
from .clustermeasure import measure_on_cluster
from .conflicts import ChipPairs
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
    options_entry,
    scene_entry,
    typed_hosts,
)
from .measure import Candidate, Measured, enough_valid, measure
from .sampling import Sampling
from .splits import ChipsToSplit, Split, SplitChips, block_names, default_block_chips, split_chips
from .statistics import collar_notes, dead_notes, gap_notes, sample_size, statistics
from .truth import SceneTruth
from .valueamounts import value_amounts
from .writing import ChipWriter, why_write

log = logging.getLogger(__name__)

_MANY_CHIPS = 1000
_MOST_GAP_NOTES = 10


@dataclass(frozen=True)
class TileJob:
    """What `tile` was asked for, checked and opened."""

    scenes: tuple[Scene, ...]
    """The scenes on the grids to cut."""

    labels: LabelSet
    """The labels as they belong to these scenes."""

    truths: tuple[SceneTruth, ...]
    """The labels of each scene, in its pixels."""

    regions: tuple[shapely.Geometry | None, ...]
    """Where chips may lie in each scene, in its pixels; None: everywhere."""

    chip_px: int
    """Side of a chip."""

    gsd_m: float | None
    """GSD of the chips, metres; None without a CRS."""

    sampling: Sampling
    """Where chips are cut, and which are kept."""

    split: Split
    """How chips are divided among splits."""

    split_like: ChipSet | None
    """The chip set whose val and test ground is held out, in place of new splits."""

    seed: int
    """Same seed, same chips."""

    write_chips: bool | None
    """Write chips as GeoTIFFs; None: if reading from the scenes would be slow."""

    workers: int | None
    """Number of threads; None: chosen."""

    cluster: str | None
    """The Dask cluster that measures the chips, see `open_cluster`; None: this process does."""

    on_progress: OnProgress
    """Called with the number of chips done and their total."""

    notes: tuple[str, ...]
    """What was done so far."""

    label_files: tuple[FileState, ...] = ()
    """Label rasters as they were when the labels were read."""

    least_labelled: int = 0
    """Chips with labels that each split must have, unless there are `_MANY_CHIPS`."""


def make_chip_set(job: TileJob, folder: Path, out: Path) -> None:
    """Make a chip set.

    Args:
        job: What is wanted.
        folder: A folder to write in, renamed afterwards.
        out: What the folder will be called.

    Raises:
        LabelError: No chip is left.
        SplitError: A split gets too few chips.
        ConfigError: The options contradict the data.
    """
    drawn = draw_candidates(job.truths, job.regions, job.sampling, chip_px=job.chip_px, seed=job.seed)
    reason_to_write = why_write(job.scenes, drawn.candidates)
    writes = reason_to_write is not None if job.write_chips is None else job.write_chips
    writer = _writer(job, folder, out) if writes else None
    measured = _measured(job, drawn.candidates, writer)
    gap_texts = _missing_bands(job, measured)
    valid = _valid_ones(job, measured, gap_texts)
    unsplit = _records(job, valid)
    keep, keep_notes = _kept(job, unsplit)
    records, split = _split(job, unsplit, keep, _amounts(job.labels, unsplit, valid))
    _check_labelled(job, records)
    used_tallies = [
        chip.tally for chip, record in zip(valid, records, strict=True) if record.counted_split == "train"
    ]
    notes = [*job.notes, *drawn.notes, *split.notes, *keep_notes, *gap_texts]
    if len(valid) < len(measured):
        notes.append(
            f"{len(measured) - len(valid)} of {len(measured)} chips left out: less than "
            f"{job.sampling.min_valid:.0%} of their pixels are measured"
        )
    if reason_to_write is not None and job.write_chips is None:
        notes.append(reason_to_write)
    tallies = [chip.tally for chip in valid]
    notes += gap_notes(job.scenes, job.scenes[0].bands, tallies)
    notes += collar_notes(job.scenes, job.scenes[0].bands, tallies)
    notes += _class_notes(job.labels, records)
    band_statistics = statistics(used_tallies)
    notes += dead_notes(job.scenes[0].bands, band_statistics)
    value_statistics = _value_statistics(valid, records)
    _write(job, folder, out, _Contents(records, split, band_statistics, value_statistics, tuple(notes)))


def _value_statistics(
    measured: Sequence[Measured], records: Sequence[ChipRecord]
) -> dict[str, tuple[BandStatistics, ...]]:
    """Per split with known numbers the statistics of each value; {} where labels are classes."""
    found = {}
    for split in ("train", "val", "test"):
        tallies = [
            chip.values
            for chip, record in zip(measured, records, strict=True)
            if chip.values is not None and record.counted_split == split and not chip.values.empty
        ]
        if tallies:
            found[split] = statistics(tallies)
    return found


def _measured(job: TileJob, candidates: Sequence[Candidate], writer: ChipWriter | None) -> list[Measured]:
    """All candidates, measured (and written) here or on a cluster."""
    sample_px = sample_size(len(candidates), len(job.scenes[0].bands), job.chip_px)
    truths = dict(enumerate(job.truths))
    if job.cluster is not None:
        return measure_on_cluster(
            candidates,
            truths,
            cluster=job.cluster,
            sample_px=sample_px,
            writer=writer,
            on_progress=job.on_progress,
        )
    return measure(
        candidates,
        truths,
        sample_px=sample_px,
        sink=writer,
        workers=job.workers,
        on_progress=job.on_progress,
    )


def _missing_bands(job: TileJob, measured: Sequence[Measured]) -> list[str]:
    """What the rule of valid ground costs and fills, scene by scene; a warning where it costs much."""
    bands = job.scenes[0].bands
    by_scene: dict[int, BandGaps] = {}
    for chip in measured:
        if chip.gaps is not None:
            index = chip.candidate.scene_index
            by_scene[index] = by_scene.get(index, BandGaps.none(len(bands))) + chip.gaps
    texts = []
    for index, gaps in sorted(by_scene.items()):
        scene = job.scenes[index]
        lines = gap_lines(gaps, scene.bands, scene.valid, scene.name)
        texts += lines
        for line in lines if gaps.costly else ():
            log.warning("%s", line)
    if len(texts) <= _MOST_GAP_NOTES:
        return texts
    rest = f"... and {len(texts) - _MOST_GAP_NOTES} more notes on missing bands"
    return [*texts[:_MOST_GAP_NOTES], rest]


def _writer(job: TileJob, folder: Path, out: Path) -> ChipWriter:
    labels = scene_labels([scene.stem for scene in job.scenes])
    writer = ChipWriter(folder, out, job.scenes, labels, job.sampling.min_valid)
    writer.prepare()
    return writer


def _valid_ones(job: TileJob, measured: Sequence[Measured], gap_texts: Sequence[str]) -> list[Measured]:
    """The chips of which enough was measured."""
    valid = []
    for chip in measured:
        scene = job.scenes[chip.candidate.scene_index]
        if enough_valid(chip.valid_share, chip.candidate.window, scene, job.sampling.min_valid):
            valid.append(chip)
    if not valid and gap_texts:
        raise LabelError(f"no chip has {job.sampling.min_valid:.0%} valid pixels; {gap_texts[0]}")
    if not valid:
        raise LabelError(
            f"{job.scenes[0].path}: no chip has {job.sampling.min_valid:.0%} measured pixels; check nodata "
            "with `eo-dl inspect`, or lower `min_valid`"
        )
    return valid


def _records(job: TileJob, measured: Sequence[Measured]) -> list[ChipRecord]:
    """A record for each chip, in no split yet."""
    names = scene_labels([scene.stem for scene in job.scenes])
    records = []
    for chip in measured:
        index, window = chip.candidate.scene_index, chip.candidate.window
        records.append(
            ChipRecord(
                chip_id=chip_id(names[index], window),
                scene_index=index,
                window=GridWindow.of(window, job.scenes[index].grid),
                valid_share=round(chip.valid_share, 6),
                class_shares=chip.class_shares,
                object_counts=chip.object_counts,
                file=chip.file,
            )
        )
    return records


def _kept(job: TileJob, records: Sequence[ChipRecord]) -> tuple[BoolArray, list[str]]:
    """Which chips are kept: all with objects, and the wanted share of the others, drawn at random."""
    keep = np.ones(len(records), np.bool_)
    empty = np.flatnonzero([record.empty for record in records])
    if job.sampling.keep_empty is None or not len(empty):
        return keep, []
    rng = generator(job.seed, "empty")
    dropped = rng.permutation(empty)[round(job.sampling.keep_empty * len(empty)) :]
    keep[dropped] = False
    if not keep.any():
        raise LabelError(
            f"{job.labels.source}: no chip shows a labelled object, so `keep_empty` leaves none; check the "
            "labels"
        )
    if not len(dropped):
        return keep, []
    return keep, [
        f"{len(dropped)} of {len(empty)} chips without objects are not kept (keep = false in {INDEX})"
    ]


def _split(
    job: TileJob, records: Sequence[ChipRecord], keep: BoolArray, amounts: Float64Array
) -> tuple[tuple[ChipRecord, ...], SplitChips]:
    """The chips with their blocks, splits and folds; `amounts` (N, F) are what splits share out."""
    ground = chip_ground(job.scenes, records, job.chip_px)
    if job.split.by == "scene":
        pairs = ground.near_pairs(0, [record.scene_index for record in records])
        blocks = _scene_blocks(job.scenes, records, pairs)
    else:
        pitch_px = job.chip_px - job.sampling.overlap_px
        side_px = job.split.block_side_px(job.chip_px, job.gsd_m)
        if side_px is None:
            side_px = default_block_chips(ground.places, pitch_px) * pitch_px
        blocks = block_names(ground, side_px)
    if job.split_like is None:
        chips = ChipsToSplit(ground, blocks, amounts, keep)
        split = split_chips(chips, job.split, chip_px=job.chip_px, seed=job.seed)
    else:
        split = inherited(job.scenes, records, ground, keep, job.split_like)
    columns = zip(records, blocks, split.splits, split.folds, keep.tolist(), strict=True)
    finished = tuple(
        replace(record, block=block, split=name, fold=fold, keep=is_kept)
        for record, block, name, fold, is_kept in columns
    )
    shared = ground.shared_ground([record.counted_split for record in finished])
    assert not any(shared.values()), shared
    return finished, replace(split, shared_ground=shared)


def _check_labelled(job: TileJob, records: Sequence[ChipRecord]) -> None:
    """Raises `SplitError` where a split has too few chips with labels.

    Of many chips as many are labelled as there is ground with labels: smaller chips would not help.
    """
    if len(records) >= _MANY_CHIPS:
        return
    for name in job.split.names:
        labelled = sum(not record.empty for record in records if record.counted_split == name)
        if labelled < job.least_labelled:
            raise SplitError(
                f"{job.labels.source}: {labelled} chips of {job.chip_px} px with labels in {name}, "
                f"expected at least {job.least_labelled}"
            )


def _scene_blocks(
    scenes: Sequence[Scene], records: Sequence[ChipRecord], pairs: ChipPairs
) -> tuple[str, ...]:
    """A block for each scene; scenes whose chips share ground are one block."""
    block_of = list(range(len(scenes)))
    for first, second in zip(*pairs, strict=True):
        blocks = (block_of[records[first].scene_index], block_of[records[second].scene_index])
        lower, higher = min(blocks), max(blocks)
        if lower != higher:
            block_of = [lower if block == higher else block for block in block_of]
    return tuple(f"s{block_of[record.scene_index]}" for record in records)


def _amounts(labels: LabelSet, records: Sequence[ChipRecord], measured: Sequence[Measured]) -> Float64Array:
    """(N, F) what splits share out: pixels and objects of each class, or numbers by quarters."""
    if labels.classes.are_values:
        return value_amounts([chip.values for chip in measured if chip.values is not None])
    class_ids = labels.classes.ids
    rows = []
    for record in records:
        pixels = [record.class_shares.get(class_id, 0.0) for class_id in class_ids]
        objects = [float(record.object_counts.get(class_id, 0)) for class_id in class_ids]
        rows.append([*pixels, *objects])
    return np.array(rows).reshape(len(records), -1)


def _class_notes(labels: LabelSet, records: Sequence[ChipRecord]) -> list[str]:
    """Classes that a split lacks although the chip set has them."""
    used = {record.split for record in records}
    notes = []
    for info in labels.classes.foreground:
        showing = {record.counted_split for record in records if _shows(record, info.id)}
        lacking = [name for name in ("train", "val", "test") if name in used and name not in showing]
        if lacking:
            notes.append(f"class '{info.name}' is in no chip of {' and '.join(lacking)}")
    return notes


def _shows(record: ChipRecord, class_id: int) -> bool:
    return record.class_shares.get(class_id, 0) > 0 or record.object_counts.get(class_id, 0) > 0


@dataclass(frozen=True)
class _Contents:
    """What is written."""

    records: tuple[ChipRecord, ...]
    split: SplitChips
    statistics: tuple[BandStatistics, ...]
    values: dict[str, tuple[BandStatistics, ...]]
    notes: tuple[str, ...]


def _write(job: TileJob, folder: Path, out: Path, contents: _Contents) -> None:
    # The sheet is drawn while the index is written and read back: one mostly computes, the other mostly waits
    # for the disk.
    with ThreadPoolExecutor(1) as pool:
        sheet = pool.submit(
            contact_sheet,
            folder,
            job.truths,
            contents.records,
            contents.statistics,
            contents.values.get("train", ()),
            seed=job.seed,
            workers=job.workers,
        )
        values = _index_and_manifest(job, folder, out, contents)
        write_bytes(folder / CONTACT_SHEET, sheet.result())
    write_bytes(folder / MANIFEST, manifest_text(values).encode())


def _index_and_manifest(job: TileJob, folder: Path, out: Path, contents: _Contents) -> dict[str, Any]:
    """Write the index; returns the values of the manifest, with the content hash of what was written."""
    index = folder / INDEX
    used = np.unique(np.concatenate([truth.labels.index for truth in job.truths]))
    write_index(index, job.scenes, job.labels, contents.records, used)
    labels = labels_entry(job.labels, out)
    # The hash is that of what will be read back: labels in pixels pass through map coordinates, which moves
    # them by 1e-10 px.
    trust = SceneOptions(allow_remote=sorted(typed_hosts(job.labels)))
    as_read = read_back_labels(index, job.labels.classes, job.scenes, labels, out, trust)
    values = {
        "eo_dl": __version__,
        "chip_px": job.chip_px,
        "gsd_m": job.gsd_m,
        "seed": job.seed,
        "content_hash": content_hash(job.scenes, as_read, contents.records, job.chip_px),
        "guard_px": contents.split.guard_px,
        "folds": job.split.folds,
        "shared_ground": contents.split.shared_ground,
        "options": options_entry(job.sampling, job.split),
        "classes": classes_entry(job.labels.classes),
        "statistics": [asdict(band) for band in contents.statistics],
        "scenes": [scene_entry(scene, out) for scene in job.scenes],
        "labels": labels,
        "notes": list(contents.notes),
    }
    if contents.values:
        values["value_statistics"] = {
            split: [asdict(value) for value in of_split] for split, of_split in contents.values.items()
        }
    return values
