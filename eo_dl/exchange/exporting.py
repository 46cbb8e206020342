"""`export_labels`: chips with their labels for annotation tools, and the index by which labels come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..chips.chiprecord import SPLITS, ChipRecord
from ..chips.chipset import ChipSet, open_chip_set
from ..chips.chipsource import ChipSource
from ..chips.truth import SceneTruth
from ..chips.writing import chip_geotiff
from ..core.arrays import Chip
from ..core.classes import ClassSet
from ..core.features import LabelRows
from ..core.htmlcard import card
from ..core.labelset import LabelSet, features_of
from ..core.pixellabels import PixelLabels
from ..core.progress import OnProgress, silent
from ..errors import ConfigError, LabelError
from ..io.atomic import atomic_folder, refuse_existing
from ..io.outputlock import locks_output
from ..labels.classcover import class_mask
from ..labels.coverage import match_labels
from ..labels.formats.annotations import NO_SPLIT, Annotations, LabelledImage, LabelledObject, Losses
from ..labels.formats.formatlist import written_format
from ..labels.formats.labelformat import WrittenFormat
from ..labels.formats.safefile import put
from ..labels.labeloptions import LabelOptions, ReadingOptions
from ..labels.reading import classes_of
from .chippictures import PICTURES, Stretch, picture_bytes, stretch_of
from .imageindex import INDEX_NAME, ImageIndex, IndexedImage, index_text
from .imageobjects import mask_objects, objects_of
from .pixelset import label_set_of
from .placing import place_labels

ImageKind = Literal["tif", "png", "jpg"]
_WHOLE = 1 - 1e-9


@dataclass(frozen=True)
class ExportedLabels:
    """What `export_labels` wrote."""

    path: Path
    """The folder."""

    format: str
    """The name of the format."""

    images: int
    """Number of images."""

    objects: int
    """Number of objects; one that several chips show counts in each."""

    notes: tuple[str, ...]
    """What the format could not hold, counted."""

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


@locks_output
def export_labels(
    chips: ChipSet | str | Path,
    *,
    out: str | Path,
    out_format: str,
    labels: LabelSet | str | Path | None = None,
    predictions: LabelSet | str | Path | None = None,
    label_options: LabelOptions = LabelOptions(),
    splits: Sequence[str] = ("train", "val", "test"),
    images: ImageKind | None = None,
    bands: Sequence[str] | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> ExportedLabels:
    """Export the images of a chip set and their labels, ready to open in an annotation tool.

    The folder also gets `eo_dl_index.json`, by which `import_labels` brings corrected labels back to the map.

    Args:
        chips: The chip set or its folder.
        out: The output folder.
        out_format: One of `eo_dl.labels.formats.WRITTEN_FORMATS`.
        labels: Labels in place of those of the chip set, e.g. the output of `predict`.
        predictions: Objects with scores that annotators start from; Label Studio only.
        label_options: How the file `labels` is read.
        splits: The splits to export; "none" for chips without a split.
        images: "tif" keeps all bands and values; "png" and "jpg" are stretched to 8 bits, alike in all chips,
            and are the default for tools that show nothing else. The index records the stretch.
        bands: One or three bands to show in PNG and JPEG (default: red, green, blue).
        overwrite: Replace an earlier export.
        on_progress: Called with the number of finished chips.

    Returns:
        The folder, what is in it, and what the format could not hold.

    Raises:
        ConfigError: The format or an option is unknown, or does not fit the others.
        LabelError: The labels cannot be read, or the format cannot hold them.
        ChipSetError: `chips` is not a chip set.
        OutputExistsError: `out` exists.

    Example:
        >>> export_labels("chips/", out_format="cvat", out="for_cvat/")  # doctest: +SKIP
    """
    written = written_format(out_format)
    target = Path(out)
    refuse_existing(target, overwrite)
    chip_set = open_chip_set(chips)
    if labels is None and chip_set.classes.are_values:
        raise LabelError(
            f"{chip_set.path}: its labels are numbers ({', '.join(chip_set.classes.names)}), which no tool "
            "draws; give `labels` of classes, or export other chips"
        )
    if labels is None:
        layers = [_LabelLayer.of(chip_set.labels, chip_set.truth_of)]
    else:
        layers = [_layer_of(chip_set, labels, label_options)]
    if predictions is not None:
        if not written.predictions:
            raise ConfigError(
                f"`predictions`: {written.title} has none to start from; pass them as `labels` to export them"
            )
        layers.append(_layer_of(chip_set, predictions, LabelOptions()))
    image_kind = _image_kind(written, images)
    stretch = _stretch(chip_set, image_kind, bands)
    export = _Export(chip_set, written, image_kind, tuple(layers), stretch)
    records = _chosen(chip_set, splits)
    losses = Losses()
    labelled_images = tuple(export.labelled(record, losses) for record in records)
    annotations = Annotations(
        layers[0].classes, labelled_images, str(chip_set.path), _are_whole(labelled_images)
    )
    _check_format(written, annotations)
    with atomic_folder(target, overwrite=overwrite, marker=INDEX_NAME) as folder:
        files = export.write_images(folder, records, labelled_images, losses, on_progress)
        if not files:
            raise LabelError(
                f"{chip_set.path}: no chip has exactly one class, so none fits into a folder of one class; "
                "use `out_format=csv` or another one"
            )
        index = export.index(annotations, files, records)
        notes = _write_labels(written, annotations, index, folder, losses)
        index = replace(index, labels=written.labels_in(folder, annotations.splits))
        put(folder, INDEX_NAME, index_text(index))
    objects = sum(len(image.objects) for image in labelled_images)
    all_notes = (*_note_on_splits(chip_set, splits), *losses.notes, *notes)
    return ExportedLabels(target, written.name, len(files), objects, all_notes)


@dataclass(frozen=True)
class _LabelLayer:
    """Labels that are exported: their classes, their rows, and those of each scene by its number."""

    classes: ClassSet
    rows: LabelRows
    truth_of: Callable[[int], SceneTruth]

    @classmethod
    def of(cls, labels: LabelSet, truth_of: Callable[[int], SceneTruth]) -> _LabelLayer:
        return cls(labels.classes, features_of(labels), truth_of)


def _layer_of(chips: ChipSet, labels: LabelSet | str | Path, options: LabelOptions) -> _LabelLayer:
    """Labels other than those of the chip set, matched with its scenes."""
    if not isinstance(labels, LabelSet):
        labels = classes_of(labels, ReadingOptions.of(options, attributes=True))
    matched = match_labels(labels, chips.scenes)
    truths = [SceneTruth(placed) for placed in matched.placed]
    return _LabelLayer.of(matched.labels, truths.__getitem__)


def _image_kind(written: WrittenFormat, images: ImageKind | None) -> ImageKind:
    if images is None:
        return written.image_kind
    if images not in ("tif", *PICTURES):
        raise ConfigError(f"`images` is {images!r}; expected tif, png or jpg")
    return images


def _stretch(chips: ChipSet, image_kind: ImageKind, bands: Sequence[str] | None) -> Stretch | None:
    """How pixels become pictures; None for GeoTIFFs, which keep them."""
    if image_kind != "tif":
        return stretch_of(chips.bands, chips.statistics, bands)
    if bands is not None:
        raise ConfigError("`bands`: GeoTIFFs keep all bands; leave it out, or use `images=png`")
    return None


def _chosen(chips: ChipSet, splits: Sequence[str]) -> tuple[ChipRecord, ...]:
    """The kept chips of some splits."""
    for split in splits:
        if split not in SPLITS:
            raise ConfigError(f"unknown split {split!r}; set `splits` to some of {', '.join(SPLITS)}")
    records = tuple(record for record in chips.records if record.keep and record.split in splits)
    if not records:
        raise ConfigError(f"{chips.path}: no chips are kept in {', '.join(splits)}; set `splits` to others")
    return records


def _note_on_splits(chips: ChipSet, splits: Sequence[str]) -> list[str]:
    skipped = sum(record.keep and record.split == NO_SPLIT for record in chips.records)
    if NO_SPLIT in splits or not skipped:
        return []
    return [f"{skipped} chips without a split are not exported; add 'none' to the splits to export them"]


def _are_whole(images: Sequence[LabelledImage]) -> bool:
    """Whether every object covers its whole chip, as labels of whole images do."""
    objects = 0
    for image in images:
        objects += len(image.objects)
        area = image.width * image.height * _WHOLE
        if any(labelled.outline.area < area for labelled in image.objects):
            return False
    return objects > 0


def _check_format(written: WrittenFormat, annotations: Annotations) -> None:
    """Refuse labels that a format cannot hold at all, before images are written."""
    only_classes = written.holds.shape == "classes" and not written.needs_images
    if only_classes and not annotations.whole_images:
        raise LabelError(
            f"{annotations.source}: contains objects, and {written.title} holds labels of whole images only; "
            "use `out_format=csv` or another format of objects"
        )
    crs_of = [None if image.grid is None else image.grid.crs for image in annotations.images]
    if written.write_map is not None and None in crs_of:
        raise LabelError(
            f"{annotations.source}: {written.title} needs map coordinates, but the scenes have no CRS; "
            "georeference them, or set `out_format` to one in pixels"
        )


def _write_labels(
    written: WrittenFormat, annotations: Annotations, index: ImageIndex, folder: Path, losses: Losses
) -> tuple[str, ...]:
    """Write the label files of an export; returns notes of placing objects on the map."""
    if written.write_images is not None:
        written.write_images(annotations, folder, losses)
        return ()
    assert written.write_map is not None and written.single_file is not None
    placed = place_labels(label_set_of(annotations), index)
    scenes = list(dict.fromkeys(image.scene_path for image in index.images))
    written.write_map(placed, folder / written.single_file, scenes, False)
    return placed.notes


@dataclass(frozen=True)
class _Export:
    """What is exported, and how."""

    chips: ChipSet
    written: WrittenFormat
    image_kind: ImageKind
    layers: tuple[_LabelLayer, ...]
    """The labels, and predictions if there are any."""
    stretch: Stretch | None

    def labelled(self, record: ChipRecord, losses: Losses) -> LabelledImage:
        """A chip with its labels, cut at its edges."""
        width, height = record.window.width, record.window.height
        truths = [layer.truth_of(record.scene_index) for layer in self.layers]
        chip_labels = [truth.chip(record.window) for truth in truths]
        objects: tuple[LabelledObject, ...] = ()
        for layer, placed in zip(self.layers, chip_labels, strict=True):
            if placed.mask is None:
                objects += objects_of(layer.rows, placed, width, height, losses)
        first = chip_labels[0]
        mask = None
        if first.mask is not None:
            objects = mask_objects(first.mask, first.classes, record.chip_id)
            mask = _MaskReader(truths[0], record)
        if first.annotated is not None and not self.written.holds.partial:
            losses.count(
                "images are annotated only in part, which the format cannot say",
                int(first.annotated.area < width * height),
            )
        bands = len(self.chips.bands) if self.stretch is None else self.stretch.channels
        return LabelledImage(
            name=f"{record.chip_id}.{self.image_kind}",
            width=width,
            height=height,
            objects=objects,
            bands=bands,
            split=record.split,
            grid=self.chips.scenes[record.scene_index].grid.crop(record.window),
            annotated=first.annotated,
            mask=mask,
        )

    def write_images(
        self,
        folder: Path,
        records: Sequence[ChipRecord],
        images: Sequence[LabelledImage],
        losses: Losses,
        on_progress: OnProgress,
    ) -> dict[str, str]:
        """Write the images; returns the path of each in the folder, by name."""
        files: dict[str, str] = {}
        with ChipSource(self.chips.path, self.chips.scenes) as source:
            for done, (record, image) in enumerate(zip(records, images, strict=True), start=1):
                image_folder = self.written.image_folder(image, losses)
                if image_folder is not None:
                    files[image.name] = f"{image_folder}/{image.name}".lstrip("/")
                    put(folder, files[image.name], self._encoded(source.read(record)))
                on_progress(done, len(records), "chips")
        return files

    def _encoded(self, chip: Chip) -> bytes:
        if self.stretch is None:
            return chip_geotiff(chip)
        return picture_bytes(chip, self.stretch, self.image_kind)

    def index(
        self, annotations: Annotations, files: dict[str, str], records: Sequence[ChipRecord]
    ) -> ImageIndex:
        """Where each image lies on the map; images of scenes without CRS lie in pixels of their scene."""
        images = []
        for image, record in zip(annotations.images, records, strict=True):
            scene = self.chips.scenes[record.scene_index]
            images.append(
                IndexedImage(
                    name=image.name,
                    grid=scene.grid.crop(record.window),
                    scene=scene.name,
                    scene_path=scene.path,
                    split=image.split,
                    file=files.get(image.name, ""),
                    chip_id=record.chip_id,
                )
            )
        return ImageIndex(
            images=tuple(images),
            classes=annotations.classes,
            format=self.written.name,
            source=str(self.chips.path),
            stretch={} if self.stretch is None else self.stretch.values(),
            whole_images=annotations.whole_images,
        )


@dataclass(frozen=True)
class _MaskReader:
    """Reads the class ids of a chip when they are needed: those of all chips would not fit into memory."""

    truth: SceneTruth
    record: ChipRecord

    def __call__(self) -> npt.NDArray[np.uint8]:
        labels: PixelLabels = replace(self.truth.chip(self.record.window), valid=None)
        return class_mask(labels, self.record.window.height, self.record.window.width)
