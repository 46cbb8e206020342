"""From a chip set and a configuration to everything that training reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...chips.augment import Augment
from ...chips.chiprecord import ChipRecord, SplitName
from ...chips.chipset import ChipSet
from ...chips.dataset import ChipDataset
from ...core.classes import ClassSet
from ...core.normalization import Normalization
from ...errors import ChipSetError
from ...networks.weightsources import WeightsSource, find_weights
from ...tasks import (
    CHIPS,
    OBJECTS,
    RASTER,
    Codec,
    NetworkInputs,
    OutputKind,
    Task,
    TaskConfig,
    codec_for,
    load_task,
)
from ...tasks.codecs import CodecT
from ..trainconfig import TrainConfig, batch_size_for, task_config_of, task_name
from .classweights import class_weights
from .weightsnorm import weights_normalization
from .wholechips import chip_covers, with_classes

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class TaskData:
    """A chip set as one task sees it. `records` and the data sets by split; `notes`: what was left out,
    counted.
    """

    chips: ChipSet
    config: TrainConfig
    task: Task
    task_config: TaskConfig
    inputs: NetworkInputs
    codec: Codec
    normalization: Normalization
    records: dict[str, tuple[ChipRecord, ...]]
    notes: tuple[str, ...]

    @property
    def classes(self) -> ClassSet:
        """The network's classes in channel order."""
        return self.inputs.classes

    @property
    def batch_size(self) -> int:
        """Chips in a step."""
        return batch_size_for(self.config.batch_size, self.chips.chip_px, self.task.output)

    @cached_property
    def blocks(self) -> dict[str, str]:
        """The block of ground of each chip id."""
        return {
            record.chip_id: f"{record.scene_index}/{record.block}"
            for records in self.records.values()
            for record in records
        }

    def codec_for(self, kind: OutputKind[CodecT]) -> CodecT:
        """The codec, typed by the output kind. Raises `ConfigError` for a task of another kind."""
        return codec_for(kind, self.task, self.classes, self.task_config)

    def dataset(self, split: str, *, augmented: bool = False) -> ChipDataset:
        """The chips of a split, in order. Objects tasks see no pixels of ground where objects may be
        unlabelled.
        """
        augment = Augment(self.config.augment) if augmented else None
        return ChipDataset(
            self.chips,
            self.records[split],
            self.codec,
            self.normalization,
            augment=augment,
            seed=self.config.seed,
            hide_unannotated=self.task.output.hides_unannotated,
        )


def prepare_data(chips: ChipSet, config: TrainConfig) -> TaskData:
    """Read the chip set as the task needs it. Raises `ConfigError` for options that are not the task's,
    `ChipSetError` without train chips.
    """
    task = load_task(task_name(config))
    records, notes = _usable(chips)
    shares = chips.class_pixel_shares("train")
    classes = task.output_classes(chips.classes, shares)
    source = find_weights(
        config.weights,
        task_config_of(config).backbone,
        [band.name if band.named else "" for band in chips.bands],
    )
    inputs = NetworkInputs(len(chips.bands), classes, chips.chip_px, weights=source or "none")
    if task.output == RASTER:
        inputs = replace(inputs, class_weights=class_weights(config.class_weights, classes, shares))
    if task.output == OBJECTS:
        inputs = replace(inputs, object_sizes_px=np.asarray(chips.object_sizes_px("train"), np.float64))
    if task.output == CHIPS:
        inputs = replace(inputs, chip_covers=chip_covers(chips, records["train"], classes))
    task_config = task.settle(task_config_of(config), inputs)
    classes = task.settled_classes(classes, task_config)
    codec = task.make_codec(classes, task_config)
    normalization, said = _normalization(chips, config, source)
    notes += said
    inputs = replace(inputs, classes=classes)
    if task.output == CHIPS:
        chip_codec = codec_for(CHIPS, task, classes, task_config)
        found = with_classes(chips, records, chip_codec, normalization)
        records, notes = found.records, (*notes, *found.notes)
        inputs = replace(inputs, class_weights=class_weights(config.class_weights, classes, found.shares))
    notes += task.remarks(
        task_config,
        {split: [sum(record.object_counts.values()) for record in own] for split, own in records.items()},
    )
    return TaskData(chips, config, task, task_config, inputs, codec, normalization, records, notes)


def _normalization(
    chips: ChipSet, config: TrainConfig, source: WeightsSource | None
) -> tuple[Normalization, tuple[str, ...]]:
    if config.normalization == "weights":
        return weights_normalization(chips, source)
    return Normalization.of(chips.statistics), ()


def _usable(chips: ChipSet) -> tuple[dict[str, tuple[ChipRecord, ...]], tuple[str, ...]]:
    found: dict[str, tuple[ChipRecord, ...]] = {}
    notes = []
    for split in SPLITS:
        records = chips.split(split)
        found[split] = tuple(record for record in records if sum(record.class_shares.values()) > 0)
        if len(found[split]) < len(records):
            notes.append(
                f"{len(records) - len(found[split])} of {len(records)} {split} chips hold no pixel with a known label and are left out"
            )
    if not found["train"]:
        raise ChipSetError(
            f"{chips.path}: no chip of the split 'train' can be used (of {len(chips.records)} chips); tile again, or look at `split` and `keep` in chips.gpkg"
        )
    for split, loss in (
        ("val", "the last epoch is taken instead of the best one"),
        ("test", "there is no score on ground held out"),
    ):
        if not found[split]:
            notes.append(f"no chip of the split '{split}': {loss}")
    return found, tuple(notes)
