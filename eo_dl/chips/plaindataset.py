"""`PlainDataset`: chips as plain dictionaries of tensors, for training loops of your own.

Keys and shapes are those of torchvision and torchgeo: "image", and "mask", or "boxes" and "labels" (and
"masks", one per object). `collate` puts samples of one size together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np
import shapely
import torch

from ..core.arrays import Chip
from ..core.arraytypes import BoolArray, Float32Array
from ..core.classes import IGNORE_ID, ClassSet
from ..core.normalization import BandStatistics, Normalization, fill_missing
from ..core.pixellabels import PixelLabels
from ..io.gdal import one_environment
from ..io.rasterize import burn
from ..io.scene import Scene
from ..labels.classcover import class_mask
from ..labels.visibleobjects import visible_objects
from .chiprecord import ChipRecord
from .chipsource import ChipSource
from .truth import SceneTruth

TargetKind = Literal["mask", "boxes", "instances"]
Tensors: TypeAlias = dict[str, torch.Tensor | str]
"""A sample: tensors by name, and the "chip_id"."""
Transform = Callable[[Tensors], Tensors]

_STACKED = frozenset({"image", "valid", "mask"})


class Chips(Protocol):
    """What is needed of a `ChipSet`, which makes these data sets."""

    @property
    def path(self) -> Path:
        """Its folder."""
        ...

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """Its scenes."""
        ...

    @property
    def classes(self) -> ClassSet:
        """Its classes."""
        ...

    @property
    def statistics(self) -> tuple[BandStatistics, ...]:
        """Statistics of the train chips, one per band."""
        ...

    def truth_of(self, scene_index: int) -> SceneTruth:
        """The labels of a scene, ready to be cut to chips."""
        ...


class PlainDataset(torch.utils.data.Dataset[Tensors]):
    """The chips of a split as dictionaries, read on demand; `ChipSet.dataset` makes it.

    - "image": (C, H, W) float32: standard scores, 0 where a band was not measured; or physical values, NaN
      there, and 0 where no pixel is valid;
    - "valid": (H, W) bool: pixels that were measured;
    - "mask": (H, W) int64 class ids, 255 = ignore (target "mask");
    - "boxes": (N, 4) float32 col0, row0, col1, row1 half open, and "labels": (N,) int64 class ids, of the
      objects that count (targets "boxes" and "instances");
    - "masks": (N, H, W) bool, one per object (target "instances");
    - "chip_id": the name of the chip.

    Args:
        chips: The chip set.
        records: Its chips, in the order of the indices.
        target: What the labels become.
        normalize: Standard scores by the statistics of the train chips; otherwise physical values.
        min_visible: An object with a smaller share of its box in the chip does not count.
        transform: Changes each sample, for example an augmentation; gets and gives a dictionary.
    """

    def __init__(
        self,
        chips: Chips,
        records: Sequence[ChipRecord],
        *,
        target: TargetKind,
        normalize: bool = True,
        min_visible: float = 0.3,
        transform: Transform | None = None,
    ) -> None:
        self.chips, self.records, self.target = chips, tuple(records), target
        self.min_visible, self.transform = min_visible, transform
        self.normalization = Normalization.of(chips.statistics) if normalize else None
        self._source = ChipSource(chips.path, chips.scenes)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Tensors:
        record = self.records[index]
        with one_environment():
            chip = self._source.read(record)
            labels = self.chips.truth_of(record.scene_index).chip(record.window)
            sample: Tensors = {
                "image": torch.from_numpy(self._image(chip)),
                "valid": torch.from_numpy(np.ascontiguousarray(chip.valid)),
                **self._target(labels, chip.valid),
                "chip_id": record.chip_id,
            }
        return sample if self.transform is None else self.transform(sample)

    def _image(self, chip: Chip) -> Float32Array:
        if self.normalization is None:
            unscaled = Normalization((0.0,) * len(chip.bands), (1.0,) * len(chip.bands))
            return unscaled.standard_scores(chip.pixels, chip.valid, chip.bands)
        image = self.normalization.standard_scores(chip.pixels, chip.valid, chip.bands)
        fill_missing(image)
        return image

    def _target(self, labels: PixelLabels, valid: BoolArray) -> dict[str, torch.Tensor]:
        height, width = valid.shape
        if self.target == "mask":
            mask = class_mask(labels, height, width, None if valid.all() else valid)
            return {"mask": torch.from_numpy(mask.astype(np.int64))}
        seen = visible_objects(labels, self.chips.classes, self.min_visible, height, width)
        counts = seen.class_ids != IGNORE_ID
        target = {
            "boxes": torch.from_numpy(seen.boxes[counts]),
            "labels": torch.from_numpy(seen.class_ids[counts]),
        }
        if self.target == "instances":
            outlines = shapely.make_valid(seen.geometries[counts])
            planes = [burn([outline], [1], height, width) == 1 for outline in outlines]
            masks = np.stack(planes) if planes else np.zeros((0, height, width), np.bool_)
            target["masks"] = torch.from_numpy(masks)
        return target


def collate(samples: Sequence[Tensors]) -> dict[str, torch.Tensor | list[torch.Tensor] | list[str]]:
    """Samples of one size as a batch: images, masks and valid pixels stacked, all else in lists."""
    batch: dict[str, torch.Tensor | list[torch.Tensor] | list[str]] = {}
    for name in samples[0]:
        values = [sample[name] for sample in samples]
        batch[name] = torch.stack(values) if name in _STACKED else values  # type: ignore[arg-type, assignment]
    return batch
