"""`export_labels`: the chips of a chip set with their labels, ready to open in another tool, and an index by
which they come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..chips.chiprecord import SPLITS, ChipRecord
from ..chips.chipset import ChipSet, open_chip_set
from ..chips.measure import Readers
from ..chips.truth import SceneTruth, class_mask
from ..chips.writing import chip_geotiff, written_chip
from ..core.arrays import Chip
from ..core.htmlcard import card
from ..core.labelset import LabelSet, PixelLabels
from ..core.progress import OnProgress, silent
from ..errors import ConfigError, LabelError
from ..io.atomic import atomic_folder, refuse_existing
from ..labels.coverage import match_labels
from ..labels.formats.annotations import NO_SPLIT, Annotations, LabelledImage, LabelledObject, Losses
from ..labels.formats.classfiles import class_folder
from ..labels.formats.mapfile import write_map_labels
from ..labels.formats.safefile import put
from ..labels.formats.table import FOLDERS, MAP_FORMATS, PIXEL_FORMATS, known_format, label_places
from ..labels.reading import read_labels
from .chippictures import PICTURES, Stretch, picture_bytes, stretch_of
from .imageindex import INDEX_NAME, ImageIndex, IndexedImage, index_text
from .imageobjects import mask_objects, objects_of
from .pixelset import label_set_of
from .placing import place_labels

ImageKind = Literal["tif", "png", "jpg"]
_WHOLE = 1 - 1e-9


@dataclass(frozen=True)
class ExportedLabels:
    """What was exported: the folder, images and objects, and what was lost on the way."""

    path: Path
    format: str
    images: int
    objects: int
    notes: tuple[str, ...]

    def values(self) -> dict[str, object]:
        """For JSON and tables."""
        return {
            "output": str(self.path),
            "format": self.format,
            "images": self.images,
            "objects": self.objects,
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        return card(
            self.path.name, [(name, value) for name, value in self.values().items() if name != "notes"]
        )


def export_labels(
    chips: ChipSet | str | Path,
    *,
    out: str | Path,
    format: str,
    labels: LabelSet | str | Path | None = None,
    predictions: LabelSet | str | Path | None = None,
    class_field: str | None = None,
    layer: str | None = None,
    splits: Sequence[str] = ("train", "val", "test"),
    images: ImageKind | None = None,
    bands: Sequence[str] | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> ExportedLabels:
    """A folder with the chips' images, their labels in a format, and eo_dl_index.json, by which
    `import_labels` brings corrected labels back.

    `format`: one of `labels.formats.table.FORMATS`. `labels`: others than the chip set's, e.g. what a model
    found; `class_field` and `layer` say how their file is read. `predictions`: found objects with scores that
    go along for Label Studio to start from. `images`: "tif" keeps all bands and values; "png" and "jpg" are
    stretched (recorded in the index) and the default where a tool shows nothing else; `bands` says which are
    shown.

    Raises `ConfigError`, `LabelError`, `ChipSetError`, `OutputExistsError`.

    >>> export_labels("chips/", format="cvat", out="for_cvat/")  # doctest: +SKIP
    """
    name = known_format(format)
    target = Path(out)
    refuse_existing(target, overwrite)
    opened = chips if isinstance(chips, ChipSet) else open_chip_set(chips)
    if predictions is not None and name != "labelstudio":
        raise ConfigError(
            f"--predictions: only Label Studio starts from them; give them with --labels to export them as {name}"
        )
    sets = [
        _given(labels, opened, class_field, layer) or opened.labels,
        *([_given(predictions, opened)] if predictions is not None else []),
    ]
    job = _Job(
        opened,
        name,
        _kind(name, images),
        tuple(found for found in sets if found is not None),
        _stretch(opened, name, images, bands),
    )
    records = _chosen(opened, splits)
    losses = Losses()
    images_of = [job.labelled(record, losses) for record in records]
    found = Annotations(job.sets[0].classes, tuple(images_of), str(opened.path), _whole(images_of))
    _check_shape(found, name)
    with atomic_folder(target, overwrite=overwrite, marker=INDEX_NAME) as folder:
        kept = job.write_images(folder, records, images_of, losses, on_progress)
        if not kept:
            raise LabelError(
                f"{opened.path}: none of its chips is of one class, so no folder can hold it; choose csv, or another --format"
            )
        index = job.index(found, kept, records)
        remarks = _write_annotations(found, index, name, folder, losses)
        put(folder, INDEX_NAME, index_text(replace(index, labels=label_places(name, folder, found.splits))))
    objects = sum(len(image.objects) for image in images_of)
    skipped = (
        sum(record.keep and record.split == NO_SPLIT for record in opened.records)
        if NO_SPLIT not in splits
        else 0
    )
    notes = (
        [f"{skipped} chips are in no split and not exported; add none to --split for them"] if skipped else []
    )
    return ExportedLabels(target, name, len(kept), objects, (*notes, *losses.notes, *remarks))


def _given(
    labels: LabelSet | str | Path | None,
    chips: ChipSet,
    class_field: str | None = None,
    layer: str | None = None,
) -> LabelSet | None:
    """Other labels, on the scenes of the chip set."""
    if labels is None:
        return None
    found = (
        labels
        if isinstance(labels, LabelSet)
        else read_labels(labels, class_field=class_field, layer=layer, attributes=True)
    )
    return match_labels(found, chips.scenes)


def _kind(name: str, images: ImageKind | None) -> ImageKind:
    info = PIXEL_FORMATS.get(name)
    if images is None:
        return "png" if info is not None and info.pictures else "tif"
    if images not in ("tif", *PICTURES):
        raise ConfigError(f"--images {images!r}: is none of tif, png, jpg")
    return images


def _stretch(
    chips: ChipSet, name: str, images: ImageKind | None, bands: Sequence[str] | None
) -> Stretch | None:
    if _kind(name, images) == "tif":
        if bands is not None:
            raise ConfigError("--bands: GeoTIFFs keep all bands; give it with --images png or jpg")
        return None
    return stretch_of(chips.bands, chips.statistics, bands)


def _chosen(chips: ChipSet, splits: Sequence[str]) -> tuple[ChipRecord, ...]:
    wrong = [split for split in splits if split not in SPLITS]
    if wrong:
        raise ConfigError(f"--split {wrong[0]!r}: is none of {', '.join(SPLITS)}")
    found = tuple(record for record in chips.records if record.keep and record.split in splits)
    if not found:
        raise ConfigError(
            f"{chips.path}: has no kept chips in {', '.join(splits)}; choose others with --split"
        )
    return found


def _whole(images: Sequence[LabelledImage]) -> bool:
    """True where every object covers its whole chip, as labels of whole images do."""
    areas = [
        one.outline.area >= image.width * image.height * _WHOLE for image in images for one in image.objects
    ]
    return bool(areas) and all(areas)


def _check_shape(found: Annotations, name: str) -> None:
    info = PIXEL_FORMATS.get(name)
    if info is not None and info.shape == "classes" and not found.whole_images:
        raise LabelError(
            f"{found.source}: holds objects, and {name} is for labels of whole images; choose csv, or another --format"
        )
    placeless = name in MAP_FORMATS and any(
        image.grid is None or image.grid.crs is None for image in found.images
    )
    if placeless:
        raise LabelError(
            f"{found.source}: its scenes have no CRS, so {name} has no place to write; georeference them, or choose a pixel --format"
        )


def _write_annotations(
    found: Annotations, index: ImageIndex, name: str, folder: Path, losses: Losses
) -> tuple[str, ...]:
    """The annotation files beside the images, and what is to be said of them."""
    if name in PIXEL_FORMATS:
        PIXEL_FORMATS[name].writer(found, folder, losses)
        return ()
    if name == FOLDERS:
        losses.count(
            "objects became the class of their whole image",
            0 if found.whole_images else sum(len(image.objects) for image in found.images),
        )
        return ()
    placed = place_labels(label_set_of(found), index)
    write_map_labels(
        placed,
        folder / f"labels{MAP_FORMATS[name]}",
        list(dict.fromkeys(one.scene_path for one in index.images)),
    )
    return placed.notes


class _Job:
    """A chip set on its way into a folder."""

    def __init__(
        self, chips: ChipSet, name: str, kind: ImageKind, sets: tuple[LabelSet, ...], stretch: Stretch | None
    ) -> None:
        self.chips, self.name, self.kind, self.sets, self.stretch = chips, name, kind, sets, stretch
        self._truths: dict[tuple[int, int], SceneTruth] = {}

    def labelled(self, record: ChipRecord, losses: Losses) -> LabelledImage:
        """The labels of a chip, cut at its edges."""
        parts = [self._truth(number, record).chip(record.window) for number in range(len(self.sets))]
        width, height = record.window.width, record.window.height
        objects: tuple[LabelledObject, ...] = ()
        for labels, part in zip(self.sets, parts, strict=True):
            if part.mask is None:
                objects += objects_of(labels, part, width, height, losses)
        first = parts[0]
        mask = None
        if first.mask is not None:
            objects = mask_objects(first.mask, first.classes, record.chip_id)
            mask = _MaskReader(self._truth(0, record), record)
        if (
            first.annotated is not None
            and first.annotated.area < width * height
            and self.name not in ("masks", "voc-masks")
        ):
            losses.count("images are labelled only in part, which the format cannot say")
        return LabelledImage(
            f"{record.chip_id}.{self.kind}",
            width,
            height,
            objects,
            len(self.chips.bands) if self.stretch is None else self.stretch.channels,
            record.split,
            self.chips.scenes[record.scene_index].grid.crop(record.window),
            first.annotated,
            mask,
        )

    def _truth(self, number: int, record: ChipRecord) -> SceneTruth:
        if number == 0 and self.sets[0] is self.chips.labels:
            return self.chips.truth_of(record.scene_index)
        key = (number, record.scene_index)
        if key not in self._truths:
            self._truths[key] = SceneTruth.of(self.sets[number], self.chips.scenes[record.scene_index])
        return self._truths[key]

    def write_images(
        self,
        folder: Path,
        records: Sequence[ChipRecord],
        images: Sequence[LabelledImage],
        losses: Losses,
        on_progress: OnProgress,
    ) -> dict[str, str]:
        """The images where the format has them; for each its path in the folder."""
        kept: dict[str, str] = {}
        with Readers(self.chips.scenes) as readers:
            for number, (record, image) in enumerate(zip(records, images, strict=True), start=1):
                place = self._place(image, losses)
                if place is not None:
                    chip = (
                        written_chip(self.chips.path, record, self.chips.scenes[record.scene_index])
                        if record.file
                        else readers.of(record.scene_index).read(record.window)
                    )
                    kept[image.name] = f"{place}/{image.name}".lstrip("/")
                    put(folder, kept[image.name], self._bytes(chip))
                on_progress(number, len(records), "chips")
        return kept

    def _place(self, image: LabelledImage, losses: Losses) -> str | None:
        if self.name == FOLDERS:
            return class_folder(image, losses)
        info = PIXEL_FORMATS.get(self.name)
        return "images" if info is None else info.images.format(split=image.split).strip("/")

    def _bytes(self, chip: Chip) -> bytes:
        return chip_geotiff(chip) if self.stretch is None else picture_bytes(chip, self.stretch, self.kind)

    def index(self, found: Annotations, files: dict[str, str], records: Sequence[ChipRecord]) -> ImageIndex:
        """Where each image is on the ground; of a scene without CRS, in its file's pixels."""
        images = []
        for image, record in zip(found.images, records, strict=True):
            scene = self.chips.scenes[record.scene_index]
            assert image.grid is not None
            images.append(
                IndexedImage(
                    image.name,
                    image.grid,
                    scene.name,
                    scene.path,
                    image.split,
                    files.get(image.name, ""),
                    record.chip_id,
                )
            )
        stretch = {} if self.stretch is None else self.stretch.values()
        return ImageIndex(
            tuple(images),
            found.classes,
            self.name,
            str(self.chips.path),
            stretch,
            whole_images=found.whole_images,
        )


@dataclass(frozen=True)
class _MaskReader:
    """Reads the class ids of a chip when they are asked for: all at once would not fit into memory."""

    truth: SceneTruth
    record: ChipRecord

    def __call__(self) -> npt.NDArray[np.uint8]:
        labels: PixelLabels = replace(self.truth.chip(self.record.window), valid=None)
        return class_mask(labels, self.record.window.height, self.record.window.width)
