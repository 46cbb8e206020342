"""`ChipDataset`: the chips of a set as network input. The only module of this package that needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol

import numpy as np
import torch

from ..core.arrays import Chip, MaskTarget, Target, TargetT, ValueTarget
from ..core.arraytypes import BoolArray, Float32Array
from ..core.classes import IGNORE_ID
from ..core.normalization import Normalization, fill_missing
from ..core.pixellabels import PixelLabels
from ..core.seeds import generator
from ..io.gdal import one_environment
from ..labels.classcover import annotated_mask
from .augment import Augmentation
from .chiprecord import ChipRecord
from .chipset import ChipSet
from .chipsource import ChipSource
from .samplecache import RawSample, SampleCache


class Encoder(Protocol):
    """The part of a task's codec that makes targets (`tasks.task.Codec`)."""

    def encode(self, labels: PixelLabels, height: int, width: int) -> Target:
        """The target of a chip; `labels` lie in its pixels."""
        ...


@dataclass(frozen=True)
class Sample(Generic[TargetT]):
    """One chip as a network receives it."""

    image: Float32Array
    """(C, H, W) standard scores, 0 if not valid or not measured in this band."""

    valid: BoolArray
    """(H, W) pixels that were measured, and may be seen."""

    target: TargetT
    """What the network shall give."""

    chip_id: str
    """Name of the chip."""


@dataclass(frozen=True)
class Batch(Generic[TargetT]):
    """Samples of one size put together."""

    images: torch.Tensor
    """(N, C, H, W) float32 standard scores."""

    targets: list[TargetT]
    """(N) targets."""

    chip_ids: list[str]
    """(N) names of the chips."""

    def __len__(self) -> int:
        return len(self.chip_ids)


def collate(samples: Sequence[Sample[TargetT]]) -> Batch[TargetT]:
    """A batch of samples of one size."""
    images = torch.from_numpy(np.stack([sample.image for sample in samples]))
    return Batch(images, [sample.target for sample in samples], [sample.chip_id for sample in samples])


class ChipDataset(torch.utils.data.Dataset[Sample]):
    """The chips of a set by index, read on demand from written files or else from the scenes.

    A sample depends on the chip, the seed and the epoch; never on the worker or on what was read before.
    Pixels that are not valid are ignored in masks (255) and in values (NaN), and have no class in soft masks
    (0); so is ground outside `annotated`. May be sent to other processes; handles of files are opened by each
    of them.

    Args:
        chips: The chip set.
        records: Its chips, in the order of the indices.
        codec: Makes targets of labels.
        normalization: Makes standard scores of physical values.
        augment: Varies the samples; None: they stay as they are.
        seed: Seed of the augmentation.
        hide_unannotated: Also blank the pixels outside `annotated`, for tasks whose targets are objects:
            ground that is not annotated must not be learnt as background.
        cache: Keeps what was read, for data sets of the same chip set, codec and `hide_unannotated`; None:
            every sample is read from its files. Samples are the same.
    """

    def __init__(
        self,
        chips: ChipSet,
        records: Sequence[ChipRecord],
        codec: Encoder,
        normalization: Normalization,
        *,
        augment: Augmentation | None = None,
        seed: int = 0,
        hide_unannotated: bool = False,
        cache: SampleCache | None = None,
    ) -> None:
        self.chips, self.records, self.codec, self.normalization = chips, tuple(records), codec, normalization
        self.augment, self.seed, self.hide_unannotated = augment, seed, hide_unannotated
        self.epoch, self._cache = 0, cache
        self._source = ChipSource(chips.path, chips.scenes)

    def __len__(self) -> int:
        return len(self.records)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, on which augmentation depends."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> Sample:
        record = self.records[index]
        raw = self.raw(index)
        image, valid, target = self._standard_scores(record, raw), raw.valid, raw.target
        if self.augment is not None:
            rng = generator(self.seed, "augment", self.epoch, record.chip_id)
            image, valid, target = self.augment.apply(image, valid, target, rng)
        fill_missing(image)
        return Sample(image, valid, target, record.chip_id)

    def raw(self, index: int) -> RawSample:
        """A sample before normalization and augmentation, from the cache if it is there."""
        record = self.records[index]
        if self._cache is None:
            return self._raw_from_files(record)
        raw = self._cache.get(record.chip_id)
        if raw is None:
            raw = self._raw_from_files(record)
            self._cache.put(record.chip_id, raw)
        return raw

    def _raw_from_files(self, record: ChipRecord) -> RawSample:
        height, width = record.window.height, record.window.width
        with one_environment():
            chip = self.read(record)
            labels = self._labels(record, chip.valid)
            target, valid = self.codec.encode(labels, height, width), chip.valid
            if isinstance(target, MaskTarget | ValueTarget) and not valid.all():
                target = _without_invalid(target, valid)
            if self.hide_unannotated:
                annotated = annotated_mask(labels, height, width)
                valid = valid if annotated is None else valid & annotated
        return RawSample(chip.pixels, valid, target)

    def _standard_scores(self, record: ChipRecord, raw: RawSample) -> Float32Array:
        bands = self.chips.scenes[record.scene_index].bands
        return self.normalization.standard_scores(raw.pixels, raw.valid, bands)

    def labels_of(self, record: ChipRecord) -> PixelLabels:
        """The labels of a chip as the codec receives them; pixels are read only if some were not measured."""
        return self._labels(record, None if record.valid_share >= 1 else self.read(record).valid)

    def _labels(self, record: ChipRecord, valid: BoolArray | None) -> PixelLabels:
        labels = self.chips.truth_of(record.scene_index).chip(record.window)
        if valid is None or valid.all():
            return labels
        return replace(labels, valid=valid)

    def read(self, record: ChipRecord) -> Chip:
        """The pixels of a chip as stored."""
        return self._source.read(record)


def _without_invalid(target: MaskTarget | ValueTarget, valid: BoolArray) -> MaskTarget | ValueTarget:
    """The target with pixels that were not measured ignored."""
    if isinstance(target, ValueTarget):
        return ValueTarget(np.where(valid, target.values, np.float32(np.nan)))
    mask = np.where(valid, target.mask, np.uint8(IGNORE_ID))
    return MaskTarget(mask, None if target.soft is None else np.where(valid, target.soft, np.float32(0)))
