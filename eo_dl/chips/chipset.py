"""`ChipSet`: a folder of chips, opened: scenes, labels, which chip is in which split, statistics.

chips/
  chips.json          what was done, with what; written last
  chips.gpkg          layers chips, labels, annotated: open it in QGIS; `split` and `keep` may be edited
  contact_sheet.png   some chips with their labels
  images/, masks/     GeoTIFFs, where chips were written
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from ..core.bands import BandSet
from ..core.classes import ClassSet
from ..core.htmlcard import card, grid_table, inline_png
from ..core.labelset import LabelSet, PixelLabels
from ..core.normalization import BandStatistics
from ..core.window import Window
from ..errors import ChipSetError, ConfigError
from ..io.rasterize import polygonize
from ..io.scene import Scene
from .chiprecord import SPLITS, ChipRecord
from .conflicts import ChipGround, gave_way
from .index import read_back_labels, read_records
from .manifest import INDEX, classes_of, content_hash, labels_crs, masks_of, read_manifest, reopen_scene
from .measure import owned
from .places import find_places, windows_in_frame
from .splits import fold_splits, fold_validated_on
from .truth import SceneTruth

__all__ = ["ChipRecord", "ChipSet", "ChipSummary", "chip_ground", "open_chip_set"]


@dataclass(frozen=True)
class ChipSummary:
    """A chip set as a table for people, and as plain values for machines."""

    header: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    values: dict[str, object]
    area_unit: str


@dataclass(frozen=True)
class ChipSet:
    """Chips of scenes with their labels.

    `bands`: those of the chips, of the first scene; a scene's own scale and dtype are in `scenes`.
    `statistics`: over the valid pixels of the train chips, as `tile` found them. `gsd_m` None without CRS.
    `guard_px`: how far chips of two splits lie apart at least. `shared_ground`: for each pair of splits
    ("train/val") the ground in both, in `area_unit`, measured from the chips' outlines. `content_hash`:
    SHA-256 of what training sees.
    """

    path: Path
    scenes: tuple[Scene, ...]
    labels: LabelSet
    classes: ClassSet
    records: tuple[ChipRecord, ...]
    statistics: tuple[BandStatistics, ...]
    bands: BandSet
    gsd_m: float | None
    chip_px: int
    seed: int
    content_hash: str
    shared_ground: dict[str, float]
    guard_px: float = 0.0
    folds: int | None = None
    notes: tuple[str, ...] = ()
    _truths: dict[int, SceneTruth] = field(default_factory=dict, repr=False, compare=False)

    @property
    def area_unit(self) -> str:
        """Unit of `shared_ground`."""
        return "m2" if all(scene.grid.crs is not None for scene in self.scenes) else "px2"

    def split(self, name: str) -> tuple[ChipRecord, ...]:
        """The kept chips of a split. Raises `ConfigError` for a name that is none."""
        if name not in SPLITS:
            raise ConfigError(f"{self.path}: split {name!r} is none of {', '.join(SPLITS)}")
        return tuple(record for record in self.records if record.keep and record.split == name)

    def for_fold(self, fold: int) -> ChipSet:
        """The same chips with fold `fold` as test, the next one as val and the rest as train, guard kept; of
        two folds it is val.

        Statistics stay those of the first fold's train chips. Raises `ConfigError` where the set has no such
        fold.
        """
        if self.folds is None or not 0 <= fold < self.folds:
            raise ConfigError(
                f"{self.path}: has no fold {fold}; {'tile with --folds K' if self.folds is None else f'its folds are 0 to {self.folds - 1}'}"
            )
        tentative = fold_splits([record.fold for record in self.records], fold, self.folds)
        ground = chip_ground(self.scenes, self.records, self.chip_px)
        keep = np.array([record.keep for record in self.records])
        gone = gave_way(tentative, keep, ground.near_pairs(self.guard_px))
        records = tuple(
            replace(r, split="none" if g else s)
            for r, s, g in zip(self.records, tentative, gone, strict=True)
        )
        return replace(
            self,
            records=records,
            shared_ground=_shared(ground, records),
            content_hash=content_hash(self.scenes, self.labels, records, self.chip_px),
        )

    def with_val_fold(self, val_fold: int) -> ChipSet:
        """As `for_fold`, by the fold to validate on."""
        return self.for_fold(
            val_fold
            if self.folds is None or not 0 <= val_fold < self.folds
            else fold_validated_on(val_fold, self.folds)
        )

    def truth_of(self, scene_index: int) -> SceneTruth:
        """The labels of a scene, ready to be cut to chips (kept once made)."""
        if scene_index not in self._truths:
            self._truths[scene_index] = SceneTruth.of(self.labels, self.scenes[scene_index])
        return self._truths[scene_index]

    def labels_of(self, scene_index: int) -> PixelLabels:
        """The labels of a scene in its working pixels (of label rasters: none)."""
        truth = self.truth_of(scene_index)
        return replace(truth.labels, annotated=truth.region)

    def class_pixel_shares(self, split: str) -> dict[int, float]:
        """For each class id (0: background) its share of the labelled, valid pixels of a split; empty where
        there are none.
        """
        found: dict[int, float] = {}
        for record in self.split(split):
            for class_id, share in record.class_shares.items():
                found[class_id] = found.get(class_id, 0.0) + share
        total = sum(found.values())
        return {class_id: found[class_id] / total for class_id in sorted(found)} if total else {}

    def object_counts(self, split: str) -> dict[int, int]:
        """For each class id its objects in a split; one seen by two overlapping chips counts twice."""
        found: dict[int, int] = {}
        for record in self.split(split):
            for class_id, count in record.object_counts.items():
                found[class_id] = found.get(class_id, 0) + count
        return dict(sorted(found.items()))

    def object_sizes_px(self, split: str) -> npt.NDArray[np.float64]:
        """(N, 2) widths and heights of the objects that a split's chips count, cut at the chips' edges; of
        label rasters, of their patches.
        """
        sizes = [np.empty((0, 2))]
        for record in self.split(split):
            if record.empty:
                continue
            boxes = _object_boxes(self.truth_of(record.scene_index), record)
            cut = np.clip(boxes, 0, [record.window.width, record.window.height] * 2)
            sizes.append(cut[:, 2:] - cut[:, :2])
        return np.concatenate(sizes)

    def summary(self) -> ChipSummary:
        """Chips, class shares and objects of each split."""
        known = (
            self.classes.with_background()
            if any(0 in record.class_shares for record in self.records)
            else self.classes
        )
        rows: list[tuple[object, ...]] = []
        values: dict[str, object] = {}
        for name in SPLITS:
            chips, shares, objects = (
                len(self.split(name)),
                self.class_pixel_shares(name),
                self.object_counts(name),
            )
            if not chips:
                continue
            rows.append(
                (name, chips, sum(objects.values()), *(f"{shares.get(info.id, 0.0):.1%}" for info in known))
            )
            by_name = {info.name: round(shares.get(info.id, 0.0), 6) for info in known}
            values[name] = {
                "chips": chips,
                "objects": {self.classes.by_id(i).name: n for i, n in objects.items()},
                "class_shares": by_name,
            }
        facts: dict[str, object] = {
            "path": str(self.path),
            "chip_px": self.chip_px,
            "gsd_m": self.gsd_m,
            "guard_px": self.guard_px,
            "content_hash": self.content_hash,
        }
        shared = {
            "shared_ground": dict(self.shared_ground),
            "area_unit": self.area_unit,
            "notes": list(self.notes),
        }
        return ChipSummary(
            ("split", "chips", "objects", *known.names),
            tuple(rows),
            {**facts, "splits": values, **shared},
            self.area_unit,
        )

    def _repr_html_(self) -> str:
        names = ", ".join(scene.name for scene in self.scenes[:5])
        rows: list[tuple[str, object]] = [
            ("chips", f"{len(self.records)} of {self.chip_px} px"),
            ("scenes", names + (" ..." if len(self.scenes) > 5 else "")),
            ("bands", self.bands.describe()),
            *(
                (f"ground shared by {pair}", f"{area:g} {self.area_unit}")
                for pair, area in self.shared_ground.items()
            ),
        ]
        summary = self.summary()
        sheet = self.path / "contact_sheet.png"
        image = (
            f"<img style='max-width:100%' src='{inline_png(sheet.read_bytes())}'>" if sheet.is_file() else ""
        )
        return card(self.path.name, rows) + grid_table(summary.header, summary.rows) + image


def _object_boxes(truth: SceneTruth, record: ChipRecord) -> npt.NDArray[np.float64]:
    if truth.mask is None:
        labels = truth.labels.within(record.window)
        return labels.bounds[owned(labels, Window(0, 0, record.window.width, record.window.height))]
    mask = truth.chip(record.window).mask
    assert mask is not None
    patches, _ = polygonize(mask, np.isin(mask, [info.id for info in truth.labels.classes.foreground]))
    return np.asarray(shapely.bounds(patches), np.float64).reshape(-1, 4)


def chip_ground(scenes: Sequence[Scene], records: Sequence[ChipRecord], chip_px: int) -> ChipGround:
    """Where the chips lie, scenes of one place in one frame."""
    places = find_places([scene.grid for scene in scenes], chip_px)
    place_of_scene = {index: place for place in places for index in place.scenes}
    outlines = np.empty(len(records), dtype=object)
    scene_of = np.array([record.scene_index for record in records], np.int64)
    for index in np.unique(scene_of):
        mine = np.flatnonzero(scene_of == index)
        outlines[mine] = windows_in_frame(
            place_of_scene[int(index)].frame, scenes[int(index)].grid, [records[int(i)].window for i in mine]
        )
    return ChipGround(places, np.array([place_of_scene[int(i)].number for i in scene_of], np.int64), outlines)


def open_chip_set(chips: ChipSet | str | Path, *, allow_shared: bool = False) -> ChipSet:
    """A chip set in its present state: edits of splits, keep flags and labels in `chips.gpkg` apply.

    Args:
        chips: Folder of the chip set. An opened chip set is returned as it is.
        allow_shared: Also open a set in which edited splits share ground, e.g. to show where.

    Raises:
        ChipSetError: The folder is no finished chip set, a scene moved or changed, or edited splits share
            ground.

    Example:
        >>> open_chip_set("chips/").summary()  # doctest: +SKIP
    """
    if isinstance(chips, ChipSet):
        return chips
    folder = Path(chips)
    found = read_manifest(folder)
    try:
        return _opened(folder, found, allow_shared)
    except (KeyError, TypeError) as cause:
        raise ChipSetError(
            f"{folder}: its chips.json was changed by hand ({cause!r}); restore it or tile again"
        ) from cause


def _opened(folder: Path, found: dict[str, Any], allow_shared: bool) -> ChipSet:
    scenes = tuple(reopen_scene(entry, folder) for entry in found["scenes"])
    classes = classes_of(found["classes"])
    chip_px = int(found["chip_px"])
    records = read_records(folder / INDEX, classes, scenes, chip_px)
    labels = read_back_labels(folder / INDEX, classes, scenes, found["labels"], labels_crs(found["labels"]))
    labels = replace(labels, masks=masks_of(found["labels"], folder))
    _check_files(folder, records)
    digest = content_hash(scenes, labels, records, chip_px)
    edited = digest != found["content_hash"]
    shared = dict(found["shared_ground"])
    if edited:
        ground = chip_ground(scenes, records, chip_px)
        shared = _shared(ground, records)
        if not allow_shared:
            _refuse_shared(folder, ground, records, shared)
    remarks = (
        (
            "chips.gpkg was edited since tile: its splits, keep flags and labels are obeyed, band statistics are those of tile",
        )
        if edited
        else ()
    )
    return ChipSet(
        path=folder,
        scenes=scenes,
        labels=labels,
        classes=classes,
        records=records,
        statistics=tuple(BandStatistics(**entry) for entry in found["statistics"]),
        bands=scenes[0].bands,
        gsd_m=found["gsd_m"],
        chip_px=chip_px,
        seed=found["seed"],
        content_hash=digest,
        shared_ground=shared,
        guard_px=found["guard_px"],
        folds=found["folds"],
        notes=(*found["notes"], *remarks),
    )


def _check_files(folder: Path, records: Sequence[ChipRecord]) -> None:
    lost = [
        record.file for record in records if record.file is not None and not (folder / record.file).is_file()
    ]
    if lost:
        raise ChipSetError(
            f"{folder}: {len(lost)} written chips are missing (first: {lost[0]}); restore them or tile again"
        )


def _shared(ground: ChipGround, records: Sequence[ChipRecord]) -> dict[str, float]:
    return ground.shared_ground([record.split if record.keep else "none" for record in records])


def _refuse_shared(
    folder: Path, ground: ChipGround, records: Sequence[ChipRecord], shared: dict[str, float]
) -> None:
    if not any(shared.values()):
        return
    first, second = ground.near_pairs(0)
    clashes = [
        f"{records[i].chip_id} ({records[i].split}) and {records[j].chip_id} ({records[j].split})"
        for i, j in zip(first, second, strict=True)
        if records[i].keep
        and records[j].keep
        and records[i].split != records[j].split
        and "none" not in (records[i].split, records[j].split)
    ]
    raise ChipSetError(
        f"{folder}: edited splits share ground, {len(clashes)} pairs of chips: {'; '.join(clashes[:3])}; set one of each to 'none' or to the other's split"
    )
