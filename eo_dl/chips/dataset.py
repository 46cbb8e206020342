"""`ChipDataset`: the chips of a set as network input. The only module of this package that needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol

import numpy as np
import numpy.typing as npt
import torch

from ..core.arrays import Chip, MaskTarget, Target, TargetT
from ..core.classes import IGNORE_ID
from ..core.labelset import PixelLabels
from ..core.normalization import Normalization
from ..core.seeds import generator
from ..labels.classcover import annotated_mask
from .augment import Augment
from .chiprecord import ChipRecord
from .chipset import ChipSet
from .chipsource import ChipSource


class Encoder(Protocol):
    """What is asked of a task's codec (`tasks.task.Codec`)."""

    def encode(self, labels: PixelLabels, height: int, width: int) -> Target:
        """The target of a chip; `labels` lie in its pixels."""
        ...


@dataclass(frozen=True)
class Sample(Generic[TargetT]):
    """One chip as a network gets it: `image` (C, H, W) float32 standard scores, 0 where not `valid` (H, W)."""

    image: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    target: TargetT
    chip_id: str


@dataclass(frozen=True)
class Batch(Generic[TargetT]):
    """Chips put together: `images` (N, C, H, W) float32."""

    images: torch.Tensor
    targets: list[TargetT]
    chip_ids: list[str]

    def __len__(self) -> int:
        return len(self.chip_ids)


def collate(samples: Sequence[Sample[TargetT]]) -> Batch[TargetT]:
    """A batch of samples of one size."""
    images = torch.from_numpy(np.stack([sample.image for sample in samples]))
    return Batch(images, [sample.target for sample in samples], [sample.chip_id for sample in samples])


class ChipDataset(torch.utils.data.Dataset[Sample]):
    """Chips by index, read when asked for, from the written file or else from the scene.

    What comes out depends on the chip, the seed and the epoch, never on the worker or on what was read
    before. Pixels that are not valid are ignored in masks (255) and have no class in soft ones (0); so is
    ground outside `annotated`. `hide_unannotated` also blanks the pixels there, for tasks whose targets are
    objects: what nobody looked at must not be learnt as background. Handles are opened per process, never
    taken over a fork, and one data set must not be used by two threads at once.
    """

    def __init__(
        self,
        chips: ChipSet,
        records: Sequence[ChipRecord],
        codec: Encoder,
        normalization: Normalization,
        *,
        augment: Augment | None = None,
        seed: int = 0,
        hide_unannotated: bool = False,
    ) -> None:
        self.chips, self.records, self.codec, self.normalization = chips, tuple(records), codec, normalization
        self.augment, self.seed, self.hide_unannotated = augment, seed, hide_unannotated
        self.epoch = 0
        self._source = ChipSource(chips.path, chips.scenes)

    def __len__(self) -> int:
        return len(self.records)

    def set_epoch(self, epoch: int) -> None:
        """The pass by which augmentation is keyed."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> Sample:
        record = self.records[index]
        chip = self.read(record)
        labels = self._labels(record, chip.valid)
        image = self.normalization.apply(chip.pixels, chip.valid, chip.bands)
        target, valid = self.codec.encode(labels, record.window.height, record.window.width), chip.valid
        if isinstance(target, MaskTarget) and not valid.all():
            target = _without_invalid(target, valid)
        if self.hide_unannotated:
            known = annotated_mask(labels, record.window.height, record.window.width)
            if known is not None:
                valid = valid & known
                image[:, ~known] = 0
        if self.augment is not None:
            image, valid, target = self.augment.apply(
                image, valid, target, generator(self.seed, "augment", self.epoch, record.chip_id)
            )
        return Sample(image, valid, target, record.chip_id)

    def labels_of(self, record: ChipRecord) -> PixelLabels:
        """The labels of a chip as the codec gets them; pixels are read only where some were not measured."""
        return self._labels(record, None if record.valid_share >= 1 else self.read(record).valid)

    def _labels(self, record: ChipRecord, valid: npt.NDArray[np.bool_] | None) -> PixelLabels:
        labels = self.chips.truth_of(record.scene_index).chip(record.window)
        return labels if valid is None or valid.all() else replace(labels, valid=valid)

    def read(self, record: ChipRecord) -> Chip:
        """Stored pixels of a chip."""
        return self._source.read(record)


def _without_invalid(target: MaskTarget, valid: npt.NDArray[np.bool_]) -> MaskTarget:
    """The target with pixels that were not measured ignored."""
    mask = np.where(valid, target.mask, np.uint8(IGNORE_ID))
    return MaskTarget(mask, None if target.soft is None else np.where(valid, target.soft, np.float32(0)))
