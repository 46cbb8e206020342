"""`ChipSet`: a folder of chips, opened: scenes, labels, which chip is in which split, statistics.

chips/
  chips.json          what was done, with what; written last
  chips.gpkg          layers chips, labels, annotated: open it in QGIS; `split` and `keep` may be edited
  contact_sheet.png   some chips with their labels
  images/, masks/     GeoTIFFs, if chips were written
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from ..core.arraytypes import Float64Array
from ..core.bands import BandSet
from ..core.classes import ClassInfo, ClassSet
from ..core.extras import needs_extra
from ..core.htmlcard import card, grid_table, inline_png
from ..core.labelset import LabelSet
from ..core.normalization import BandStatistics
from ..core.pixellabels import PixelLabels
from ..core.pixelpolygons import polygonize
from ..core.valueinfo import ValueInfo
from ..core.window import Window
from ..errors import ChipSetError, ConfigError, EoDlError
from ..io.scene import Scene
from ..io.sceneoptions import SceneOptions
from .chiprecord import SPLITS, ChipRecord
from .conflicts import ChipGround, gave_way
from .index import read_back_labels, read_records
from .manifest import INDEX, classes_of, content_hash, read_manifest, reopen_scene
from .measure import owned
from .places import find_places, windows_in_frame
from .splits import fold_splits, fold_validated_on, without
from .truth import SceneTruth

if TYPE_CHECKING:
    from .plaindataset import PlainDataset, TargetKind, Transform

__all__ = ["ChipRecord", "ChipSet", "ChipSummary", "chip_ground", "open_chip_set"]

_EXAMPLES = 3  # pairs of chips named in a message
_SCENES_SHOWN = 5


@dataclass(frozen=True)
class ChipSummary:
    """A chip set as a table and as plain values."""

    header: tuple[str, ...]
    """Column names."""

    rows: tuple[tuple[object, ...], ...]
    """One row per split."""

    values: dict[str, object]
    """Everything as plain values, for JSON."""

    area_unit: str
    """Unit of shared ground: "m2", or "px2" without a CRS."""


@dataclass(frozen=True)
class ChipSet:
    """Chips of scenes with their labels."""

    path: Path
    """The folder."""

    scenes: tuple[Scene, ...]
    """The scenes on the grids that chips were cut on, each with its own scale and dtype."""

    labels: LabelSet
    """All labels, with edits made in QGIS."""

    classes: ClassSet
    """The classes of the labels."""

    records: tuple[ChipRecord, ...]
    """All chips, kept or not."""

    statistics: tuple[BandStatistics, ...]
    """Per band over the valid pixels of the train chips, as `tile` found them."""

    value_statistics: Mapping[str, tuple[BandStatistics, ...]]
    """Per split the statistics of each value of the labels; {} where labels are classes."""

    bands: BandSet
    """The bands of the chips: those of the first scene."""

    gsd_m: float | None
    """GSD of the chips, metres; None without a CRS."""

    chip_px: int
    """Side of a chip."""

    seed: int
    """Seed that the chips were drawn with."""

    content_hash: str
    """SHA-256 of what training sees."""

    shared_ground: dict[str, float]
    """For each pair of splits ("train/val") the ground in both, in `area_unit`, measured from the
    outlines.
    """

    guard_px: float = 0.0
    """Minimum distance between chips of two splits."""

    folds: int | None = None
    """Number of folds, where the set was tiled with folds."""

    notes: tuple[str, ...] = ()
    """What was done and left out on the way."""

    label_report: Mapping[str, Any] = field(default_factory=dict)
    """What became of the objects of the label files, as `LabelReport.values` has it; empty for older sets."""

    _truths: dict[int, SceneTruth] = field(default_factory=dict, repr=False, compare=False)

    @property
    def area_unit(self) -> str:
        """Unit of `shared_ground`: "m2", or "px2" if a scene has no CRS."""
        return "m2" if all(scene.grid.crs is not None for scene in self.scenes) else "px2"

    def split(self, name: str) -> tuple[ChipRecord, ...]:
        """The kept chips of a split.

        Raises:
            ConfigError: There is no split of that name.
        """
        if name not in SPLITS:
            raise ConfigError(f"{self.path}: unknown split {name!r}; choose one of {', '.join(SPLITS)}")
        return tuple(record for record in self.records if record.keep and record.split == name)

    def dataset(
        self,
        split: str,
        *,
        target: TargetKind = "mask",
        normalize: bool = True,
        transform: Transform | None = None,
    ) -> PlainDataset:
        """The kept chips of a split as a torch data set of dictionaries, for training loops of your own.

        Args:
            split: "train", "val" or "test".
            target: "mask": class ids of all pixels. "boxes": boxes and their classes. "instances": these and
                a mask of each object. `plaindataset.PlainDataset` has shapes and keys.
            normalize: Standard scores by the statistics of the train chips; otherwise physical values.
            transform: Changes each sample, for example an augmentation; gets and gives a dictionary.

        Raises:
            ConfigError: There is no split of that name, or no such target.
            MissingExtraError: torch is not installed.

        Example:
            >>> from torch.utils.data import DataLoader  # doctest: +SKIP
            >>> from eo_dl.chips.plaindataset import collate  # doctest: +SKIP
            >>> loader = DataLoader(chips.dataset("train"), collate_fn=collate)  # doctest: +SKIP
        """
        if target not in ("mask", "boxes", "instances"):
            raise ConfigError(f"`target`: expected mask, boxes or instances, found {target!r}")
        with needs_extra("a torch data set"):
            from .plaindataset import PlainDataset  # lazy: the only thing here that needs torch

        return PlainDataset(self, self.split(split), target=target, normalize=normalize, transform=transform)

    def for_fold(self, fold: int) -> ChipSet:
        """The same chips for one run of a cross-validation, guard kept.

        Statistics stay those of the train chips of the first run.

        Args:
            fold: The fold to test on; the next one is val, the rest train. Of two folds it is val.

        Raises:
            ConfigError: The set has no such fold.
        """
        if self.folds is None:
            raise ConfigError(f"{self.path}: has no folds; tile with `folds`")
        if not 0 <= fold < self.folds:
            raise ConfigError(f"{self.path}: has no fold {fold}; its folds are 0 to {self.folds - 1}")
        tentative = fold_splits([record.fold for record in self.records], fold, self.folds)
        ground = chip_ground(self.scenes, self.records, self.chip_px)
        keep = np.array([record.keep for record in self.records])
        pairs = ground.near_pairs(self.guard_px, tentative)
        splits = without(tentative, gave_way(tentative, keep, pairs))
        records = tuple(
            replace(record, split=split) for record, split in zip(self.records, splits, strict=True)
        )
        return replace(
            self,
            records=records,
            shared_ground=_shared_ground(ground, records),
            content_hash=content_hash(self.scenes, self.labels, records, self.chip_px),
        )

    def with_val_fold(self, val_fold: int) -> ChipSet:
        """As `for_fold`, by the fold to validate on."""
        if self.folds is None or not 0 <= val_fold < self.folds:
            return self.for_fold(val_fold)  # which refuses it
        return self.for_fold(fold_validated_on(val_fold, self.folds))

    def truth_of(self, scene_index: int) -> SceneTruth:
        """The labels of a scene, ready to be cut to chips; made once."""
        if scene_index not in self._truths:
            self._truths[scene_index] = SceneTruth.of(self.labels, self.scenes[scene_index])
        return self._truths[scene_index]

    def labels_of(self, scene_index: int) -> PixelLabels:
        """The labels of a scene in its working pixels; without features if labels are rasters."""
        truth = self.truth_of(scene_index)
        return replace(truth.labels, annotated=truth.region)

    def class_pixel_shares(self, split: str) -> dict[int, float]:
        """For each class id (0: background) its share of the labelled, valid pixels of a split; empty if
        there are none.
        """
        shares: dict[int, float] = {}
        for record in self.split(split):
            for class_id, share in record.class_shares.items():
                shares[class_id] = shares.get(class_id, 0.0) + share
        total = sum(shares.values())
        if not total:
            return {}
        return {class_id: shares[class_id] / total for class_id in sorted(shares)}

    def object_counts(self, split: str) -> dict[int, int]:
        """For each class id its objects in a split; one that two overlapping chips own counts twice."""
        counts: dict[int, int] = {}
        for record in self.split(split):
            for class_id, count in record.object_counts.items():
                counts[class_id] = counts.get(class_id, 0) + count
        return dict(sorted(counts.items()))

    def object_sizes_px(self, split: str) -> Float64Array:
        """(N, 2) widths and heights of the objects of a split, clipped to the chips; for label rasters of
        their patches.
        """
        sizes = [np.empty((0, 2))]
        for record in self.split(split):
            if record.empty:
                continue
            boxes = _object_boxes(self.truth_of(record.scene_index), record)
            clipped = np.clip(boxes, 0, [record.window.width, record.window.height] * 2)
            sizes.append(clipped[:, 2:] - clipped[:, :2])
        return np.concatenate(sizes)

    def summary(self) -> ChipSummary:
        """Chips, class shares and objects of each split; of values their statistics."""
        if self.classes.are_values:
            return self._summary_of_values()
        has_background = any(0 in record.class_shares for record in self.records)
        classes = self.classes.with_background() if has_background else self.classes
        rows: list[tuple[object, ...]] = []
        splits: dict[str, object] = {}
        for name in SPLITS:
            chip_count = len(self.split(name))
            if not chip_count:
                continue
            shares, objects = self.class_pixel_shares(name), self.object_counts(name)
            percentages = [f"{shares.get(info.id, 0.0):.1%}" for info in classes]
            rows.append((name, chip_count, sum(objects.values()), *percentages))
            splits[name] = {
                "chips": chip_count,
                "objects": {self.classes.by_id(class_id).name: count for class_id, count in objects.items()},
                "class_shares": {info.name: round(shares.get(info.id, 0.0), 6) for info in classes},
            }
        header = ("split", "chips", "objects", *classes.names)
        return ChipSummary(header, tuple(rows), self._summary_values(splits), self.area_unit)

    def _summary_of_values(self) -> ChipSummary:
        """Chips and the numbers of each split: mean, spread and range of each value."""
        rows: list[tuple[object, ...]] = []
        splits: dict[str, object] = {}
        for name in SPLITS:
            records, found = self.split(name), self.value_statistics.get(name, ())
            if not records:
                continue
            labelled = sum(sum(record.class_shares.values()) for record in records) / len(records)
            texts = [
                f"{one.mean:.4g} ± {one.std:.3g} ({one.minimum:.4g} to {one.maximum:.4g})" for one in found
            ]
            rows.append((name, len(records), f"{labelled:.1%}", *(texts or [""] * len(self.classes))))
            splits[name] = {
                "chips": len(records),
                "labelled": round(labelled, 6),
                "values": {info.name: asdict(one) for info, one in zip(self.classes, found, strict=False)},
            }
        units = [f"{info.name} ({value.unit})" if value.unit else info.name for info, value in self._named()]
        values = self._summary_values(splits)
        return ChipSummary(("split", "chips", "labelled", *units), tuple(rows), values, self.area_unit)

    def _named(self) -> list[tuple[ClassInfo, ValueInfo]]:
        return list(zip(self.classes, self.classes.value_infos, strict=True))

    def _summary_values(self, splits: dict[str, object]) -> dict[str, object]:
        """The summary for JSON."""
        return {
            "path": str(self.path),
            "chip_px": self.chip_px,
            "gsd_m": self.gsd_m,
            "guard_px": self.guard_px,
            "content_hash": self.content_hash,
            "splits": splits,
            "shared_ground": dict(self.shared_ground),
            "area_unit": self.area_unit,
            "label_report": dict(self.label_report),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        names = ", ".join(scene.name for scene in self.scenes[:_SCENES_SHOWN])
        more = " ..." if len(self.scenes) > _SCENES_SHOWN else ""
        rows: list[tuple[str, object]] = [
            ("chips", f"{len(self.records)} of {self.chip_px} px"),
            ("scenes", names + more),
            ("bands", self.bands.describe()),
        ]
        for pair, area in self.shared_ground.items():
            rows.append((f"ground shared by {pair}", f"{area:g} {self.area_unit}"))
        summary = self.summary()
        sheet, image = self.path / "contact_sheet.png", ""
        if sheet.is_file():
            image = f"<img style='max-width:100%' src='{inline_png(sheet.read_bytes())}'>"
        return card(self.path.name, rows) + grid_table(summary.header, summary.rows) + image


def _object_boxes(truth: SceneTruth, record: ChipRecord) -> Float64Array:
    """(N, 4) boxes of the objects that a chip owns, in its pixels."""
    if truth.raster is None:
        labels = truth.labels.within(record.window)
        return labels.bounds[owned(labels, Window(0, 0, record.window.width, record.window.height))]
    mask = truth.mask(record.window)
    foreground = np.isin(mask, [info.id for info in truth.labels.classes.foreground])
    patches, _ = polygonize(mask, foreground)
    return np.asarray(shapely.bounds(patches), np.float64).reshape(-1, 4)


def chip_ground(scenes: Sequence[Scene], records: Sequence[ChipRecord], chip_px: int) -> ChipGround:
    """Where chips lie, with all scenes of one place in one frame.

    Args:
        scenes: The scenes.
        records: The chips.
        chip_px: Side of a chip; scenes closer than that are one place.
    """
    places = find_places([scene.grid for scene in scenes], chip_px)
    place_of_scene = {index: place for place in places for index in place.scenes}
    scene_of = np.array([record.scene_index for record in records], np.int64)
    outlines = np.empty(len(records), dtype=object)
    for index in np.unique(scene_of).tolist():
        of_scene = np.flatnonzero(scene_of == index)
        windows = [records[number].window for number in of_scene.tolist()]
        outlines[of_scene] = windows_in_frame(place_of_scene[index].frame, scenes[index].grid, windows)
    place_of = np.array([place_of_scene[index].number for index in scene_of.tolist()], np.int64)
    return ChipGround(places, place_of, outlines)


def open_chip_set(
    chips: ChipSet | str | Path,
    *,
    allow_shared: bool = False,
    trust_vrt: bool = False,
    allow_remote: Sequence[str] = (),
) -> ChipSet:
    """A chip set in its present state: edits of splits, keep flags and labels in `chips.gpkg` apply.

    Args:
        chips: Folder of the chip set. An opened chip set is returned as it is.
        allow_shared: Also open a set in which edited splits share ground, e.g. to show where.
        trust_vrt: Let its VRTs name files outside their own folder; what the chip set says of it does not
            count.
        allow_remote: Hosts on which it may name scenes, e.g. "tiles.example.org".

    Raises:
        ChipSetError: The folder is no finished chip set, a scene moved or changed, lies on a host that is not
            allowed, or edited splits share ground.

    Example:
        >>> open_chip_set("chips/").summary()  # doctest: +SKIP
    """
    if isinstance(chips, ChipSet):
        return chips
    folder = Path(chips)
    manifest = read_manifest(folder)
    trust = SceneOptions(trust_vrt=trust_vrt, allow_remote=allow_remote)
    try:
        return _opened(folder, manifest, allow_shared, trust)
    except EoDlError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, IndexError) as cause:
        raise ChipSetError(
            f"{folder}: its chips.json was edited by hand and is incomplete ({cause!r}); restore it or tile "
            "again"
        ) from cause


def _opened(folder: Path, manifest: dict[str, Any], allow_shared: bool, trust: SceneOptions) -> ChipSet:
    scenes = tuple(reopen_scene(entry, folder, trust) for entry in manifest["scenes"])
    classes = classes_of(manifest["classes"])
    chip_px = int(manifest["chip_px"])
    records = read_records(folder / INDEX, classes, scenes, chip_px)
    labels = read_back_labels(folder / INDEX, classes, scenes, manifest["labels"], folder, trust)
    _check_files(folder, records)
    digest = content_hash(scenes, labels, records, chip_px)
    shared_ground, notes = dict(manifest["shared_ground"]), list(manifest["notes"])
    if digest != manifest["content_hash"]:
        notes.append(
            "chips.gpkg was edited after tiling: its splits, keep flags and labels apply; band statistics "
            "are those of the original train chips"
        )
        ground = chip_ground(scenes, records, chip_px)
        shared_ground = _shared_ground(ground, records)
        if any(shared_ground.values()) and not allow_shared:
            raise ChipSetError(_shared_message(folder, ground, records))
    return ChipSet(
        path=folder,
        scenes=scenes,
        labels=labels,
        classes=classes,
        records=records,
        statistics=tuple(BandStatistics(**entry) for entry in manifest["statistics"]),
        value_statistics={
            split: tuple(BandStatistics(**entry) for entry in of_split)
            for split, of_split in manifest.get("value_statistics", {}).items()
        },
        bands=scenes[0].bands,
        gsd_m=manifest["gsd_m"],
        chip_px=chip_px,
        seed=manifest["seed"],
        content_hash=digest,
        shared_ground=shared_ground,
        guard_px=manifest["guard_px"],
        label_report=manifest["labels"].get("report", {}),
        folds=manifest["folds"],
        notes=tuple(notes),
    )


def _check_files(folder: Path, records: Sequence[ChipRecord]) -> None:
    missing = [record.file for record in records if record.file and not (folder / record.file).is_file()]
    if missing:
        raise ChipSetError(
            f"{folder}: {len(missing)} written chips are missing (first: {missing[0]}); restore them or tile "
            "again"
        )


def _shared_ground(ground: ChipGround, records: Sequence[ChipRecord]) -> dict[str, float]:
    return ground.shared_ground([record.counted_split for record in records])


def _shared_message(folder: Path, ground: ChipGround, records: Sequence[ChipRecord]) -> str:
    """Which chips of two splits share ground."""
    clashes = []
    pairs = ground.near_pairs(0, [record.counted_split for record in records])
    for first, second in zip(*pairs, strict=True):
        pair = (records[first], records[second])
        splits = {record.counted_split for record in pair}
        if len(splits) == 2 and "none" not in splits:
            clashes.append(" and ".join(f"{record.chip_id} ({record.split})" for record in pair))
    return (
        f"{folder}: edited splits share ground, {len(clashes)} pairs of chips: "
        f"{'; '.join(clashes[:_EXAMPLES])}; set one of each pair to 'none' or to the split of the other"
    )
