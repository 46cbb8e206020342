"""A chip set as one task sees it: chips, classes, codec, normalization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...chips.augment import Augment
from ...chips.chiprecord import ChipRecord, SplitName
from ...chips.chipset import ChipSet
from ...chips.dataset import ChipDataset
from ...chips.samplecache import SampleCache
from ...core.classes import ClassSet
from ...core.normalization import Normalization
from ...errors import ChipSetError, ConfigError
from ...networks.weightsources import WeightsSource, find_weights
from ...tasks import (
    CHIPS,
    OBJECTS,
    RASTER,
    VALUES,
    Codec,
    NetworkInputs,
    OutputKind,
    Task,
    TaskConfig,
    codec_for,
    load_task,
)
from ...tasks.codecs import CodecT
from ..trainconfig import TrainConfig, batch_size_for, task_config_of, task_name, with_rate
from .classweights import class_weights
from .initialweights import with_weights
from .weightsnorm import weights_normalization
from .wholechips import chip_covers, classified_chips

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
_WITHOUT = {
    "val": "the weights of the last epoch are kept instead of the best ones",
    "test": "the model is not scored on held-out ground",
}


@dataclass(frozen=True)
class TaskData:
    """A chip set as one task sees it."""

    chips: ChipSet
    config: TrainConfig
    task: Task
    task_config: TaskConfig
    """The task's options, with everything that the data decide filled in."""
    inputs: NetworkInputs
    """What the data decide about the network."""
    codec: Codec
    normalization: Normalization
    records: dict[str, tuple[ChipRecord, ...]]
    """The usable chips of each split of `SPLITS`."""
    notes: tuple[str, ...]
    """What was left out or decided, one sentence each."""
    cache: SampleCache | None = None
    """Keeps the chips that were read; None: they are read from their files each time."""

    @property
    def classes(self) -> ClassSet:
        """The network's classes in channel order."""
        return self.inputs.classes

    @property
    def batch_size(self) -> int:
        """Chips per batch of one process."""
        return batch_size_for(self.config.batch_size, self.chips.chip_px, self.task.output)

    def refuse_changed_scenes(self) -> None:
        """Check that the scenes from which chips are read are as they were when the chip set was opened.

        Raises:
            SceneChangedError: One has changed.
        """
        records = [record for of_split in self.records.values() for record in of_split]
        for index in sorted({record.scene_index for record in records if record.file is None}):
            self.chips.scenes[index].refuse_if_changed()

    @cached_property
    def blocks(self) -> dict[str, str]:
        """The block of ground of each chip id."""
        return {
            record.chip_id: f"{record.scene_index}/{record.block}"
            for records in self.records.values()
            for record in records
        }

    def codec_for(self, kind: OutputKind[CodecT]) -> CodecT:
        """The codec, typed by the output kind.

        Raises:
            ConfigError: The task is of another kind.
        """
        return codec_for(kind, self.task, self.classes, self.task_config)

    def dataset(self, split: str, *, augmented: bool = False) -> ChipDataset:
        """The chips of a split, in order.

        Tasks with objects see no pixels of ground where objects may be unlabelled.
        """
        return ChipDataset(
            self.chips,
            self.records[split],
            self.codec,
            self.normalization,
            augment=Augment(self.config.augment) if augmented else None,
            seed=self.config.seed,
            hide_unannotated=self.task.output.hides_unannotated,
            cache=self.cache,
        )


def prepare_data(chips: ChipSet, config: TrainConfig, *, on_cpu: bool = False) -> TaskData:
    """Look at a chip set as the task of a configuration needs it.

    Args:
        chips: The chip set.
        config: The configuration.
        on_cpu: True where the network will be trained on a CPU.

    Raises:
        ConfigError: The task has no such option, or the weights are unknown or do not fit.
        ChipSetError: No train chip can be used.
    """
    task = load_task(task_name(config))
    _check_kind(task, chips)
    records, notes = _usable_records(chips)
    shares = chips.class_pixel_shares("train")
    band_names = [band.name if band.named else "" for band in chips.bands]
    config, more_notes = with_weights(with_rate(config, task), band_names)
    notes += more_notes
    source = find_weights(config.weights, task_config_of(config).backbone, band_names)

    inputs = NetworkInputs(
        in_channels=len(chips.bands),
        classes=task.output_classes(chips.classes, shares),
        chip_px=chips.chip_px,
        weights=source or "none",
        on_cpu=on_cpu,
    )
    if task.output == RASTER:
        weights = class_weights(config.class_weights, inputs.classes, shares)
        inputs = replace(inputs, class_weights=weights)
    if task.output == OBJECTS:
        sizes = np.asarray(chips.object_sizes_px("train"), np.float64)
        inputs = replace(inputs, object_sizes_px=sizes)
    if task.output == VALUES:
        inputs = replace(inputs, value_moments=_value_moments(chips))
    if task.output == CHIPS:
        inputs = replace(inputs, chip_covers=chip_covers(chips, records["train"], inputs.classes))

    task_config = task.settle(task_config_of(config), inputs)
    inputs = replace(inputs, classes=task.settled_classes(inputs.classes, task_config))
    codec = task.make_codec(inputs.classes, task_config)
    normalization, more_notes = _normalization(chips, config, source)
    notes += more_notes
    if task.output == CHIPS:
        chip_codec = codec_for(CHIPS, task, inputs.classes, task_config)
        classified = classified_chips(chips, records, chip_codec, normalization)
        records = classified.records
        notes += classified.notes
        weights = class_weights(config.class_weights, inputs.classes, classified.shares)
        inputs = replace(inputs, class_weights=weights)
    notes += task.remarks(task_config, _object_counts(records))
    return TaskData(
        chips=chips,
        config=config,
        task=task,
        task_config=task_config,
        inputs=inputs,
        codec=codec,
        normalization=normalization,
        records=records,
        notes=notes,
    )


def _check_kind(task: Task, chips: ChipSet) -> None:
    """Refuse a task of classes on chips of values, and the other way round."""
    if task.output == VALUES and not chips.classes.are_values:
        raise ConfigError(
            f"{chips.path}: its labels are classes ({', '.join(chips.classes.names[:5])}), and {task.name} "
            "learns numbers; choose another `task`, or tile again with `values`"
        )
    if task.output != VALUES and chips.classes.are_values:
        raise ConfigError(
            f"{chips.path}: its labels are numbers ({', '.join(chips.classes.names[:5])}), and {task.name} "
            "learns classes; choose `task` regression, or tile again with `values=none`"
        )


def _value_moments(chips: ChipSet) -> tuple[tuple[float, float], ...]:
    """Mean and standard deviation of each value on the train chips."""
    return tuple((one.mean, one.std) for one in chips.value_statistics["train"])


def _normalization(
    chips: ChipSet, config: TrainConfig, source: WeightsSource | None
) -> tuple[Normalization, tuple[str, ...]]:
    if config.normalization == "weights":
        return weights_normalization(chips, source)
    return Normalization.of(chips.statistics), ()


def _usable_records(chips: ChipSet) -> tuple[dict[str, tuple[ChipRecord, ...]], tuple[str, ...]]:
    """The chips of each split with at least one labelled pixel, and notes on what is missing."""
    usable: dict[str, tuple[ChipRecord, ...]] = {}
    notes = []
    for split in SPLITS:
        records = chips.split(split)
        usable[split] = tuple(record for record in records if sum(record.class_shares.values()) > 0)
        unlabelled = len(records) - len(usable[split])
        if unlabelled:
            notes.append(
                f"{unlabelled} of {len(records)} {split} chips have no labelled pixel and are not used"
            )
    if not usable["train"]:
        raise ChipSetError(
            f"{chips.path}: no chip of the split 'train' can be used (of {len(chips.records)} chips); tile "
            "again, or check `split` and `keep` in chips.gpkg"
        )
    notes += [f"no {split} chips: {effect}" for split, effect in _WITHOUT.items() if not usable[split]]
    return usable, tuple(notes)


def _object_counts(records: Mapping[str, tuple[ChipRecord, ...]]) -> dict[str, list[int]]:
    """The number of objects in each chip of each split."""
    return {
        split: [sum(record.object_counts.values()) for record in chips] for split, chips in records.items()
    }
