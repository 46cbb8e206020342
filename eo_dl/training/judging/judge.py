"""The last word on a run: the best weights and the baselines, scored on validation and test ground."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from ...chips.dataset import Sample, collate
from ...core.arraytypes import UInt8Array
from ...core.display import display_bands, stretch
from ...mosaic.suppress import Suppression
from ...networks.tasknetwork import TaskNetwork
from ...tasks import OBJECTS
from ..record.results import SplitScores
from ..setup.loading import fixed_batches
from ..setup.runsetup import RunSetup
from ..setup.taskdata import TaskData
from .baselines import FIT_CHIPS, Baseline, fit_baselines
from .calibrate import Calibration, Calibrator
from .preview import PreviewRow, chips_to_show, draw_preview
from .scoring import (
    ChipScoring,
    DecodedChip,
    RawChip,
    answer_chips,
    object_pairs,
    predict_chips,
    score_chips,
)
from .thresholds import best_suppression
from .worstchips import WorstChips

log = logging.getLogger(__name__)

NETWORK = "this model"
_SHOWN_SCORE = 0.5
"""Least score of the objects in pictures drawn during training: the threshold is chosen at the end."""


@dataclass(frozen=True)
class Verdict:
    """What the network of a run is worth."""

    scores: tuple[SplitScores, ...]
    """The network's scores, one item per split."""
    baselines: tuple[SplitScores, ...]
    """The scores of each baseline on each split."""
    threshold: float | None
    """The score from which an object is reported; None where the output is not objects."""
    suppression: Suppression | None
    """Which boxes are one object; None where the output is not boxes."""
    preview: tuple[PreviewRow, ...]
    """The validation chips with most to see (train chips where there is no validation split)."""
    worst: tuple[PreviewRow, ...]
    """The validation chips with the largest errors, worst first."""
    calibration: Calibration | None = None
    """What makes its probabilities mean shares; None without validation blocks."""


@dataclass(frozen=True)
class Judge:
    """Scores the network of a run, and baselines, on the splits of its chip set."""

    setup: RunSetup

    def verdict(
        self, network: TaskNetwork, splits: Sequence[str] = ("val", "test"), *, baselines: bool = True
    ) -> Verdict:
        """Score a network, running it once over each split.

        Args:
            network: The network with the weights to judge, on the device of the run.
            splits: Splits to score; empty ones are left out.
            baselines: Also fit baselines on the train split and score them.

        Returns:
            The verdict. Threshold and suppression of objects come from the validation split (from the train
            split where there is none), never from the test split, and hold for all splits.
        """
        task, scored = self._data.task, [split for split in splits if self._data.records[split]]
        log.info("scoring the network on the %s chips", " and ".join(scored))
        threshold, suppression = None, None
        calibrator = Calibrator(self._data)
        held: dict[str, list[DecodedChip]] = {}
        if task.output == OBJECTS and self._data.codec_for(OBJECTS).one_object is not None:
            threshold = 0.0  # the network itself decides whether a chip holds an object
        elif task.output == OBJECTS:
            # Held until the threshold is chosen from them: objects are a few numbers per chip. Class maps,
            # which are not, need no threshold and are scored one by one.
            split = self._looked_at
            decoded = list(self._decode(network, split))
            suppression, threshold = best_suppression(object_pairs(decoded))
            held[split] = [chip.suppressed(suppression) for chip in decoded]

        worst = WorstChips(threshold)
        shown: dict[str, DecodedChip] = {}
        scores = []
        for split in scored:
            chips: Iterable[DecodedChip] = held.get(split, ())
            if task.output == OBJECTS:
                chips = chips or self._suppressed(network, split, suppression)
                chips = calibrator.watch_objects(split, chips)
            else:
                answers = calibrator.watch(split, self._answers(network, split))
                chips = (chip.decoded(self._data.codec) for chip in answers)
            if split == "val":
                chips = worst.watch(self._note_shown(chips, shown))
            scores.append(score_chips(NETWORK, split, chips, self._new_scoring(threshold)))
        return Verdict(
            scores=tuple(scores),
            baselines=self._score_baselines(scored) if baselines else (),
            threshold=threshold,
            suppression=suppression,
            preview=self._preview(network, shown, threshold, suppression),
            worst=self._worst_rows(worst),
            calibration=calibrator.calibration(),
        )

    def picture(self, network: TaskNetwork) -> UInt8Array:
        """(H, W, 3): what the network predicts for the chips with most to see, beside the truth."""
        rows = self._preview(network, {}, _SHOWN_SCORE)
        with Image.open(io.BytesIO(draw_preview(rows, self._data.classes))) as picture:
            return np.asarray(picture.convert("RGB"), np.uint8)

    @property
    def _data(self) -> TaskData:
        return self.setup.data

    @property
    def _looked_at(self) -> str:
        """The split by which decisions are taken and which is shown: never the test split."""
        return "val" if self._data.records["val"] else "train"

    @cached_property
    def _samples_to_show(self) -> list[Sample]:
        records = self._data.records[self._looked_at]
        dataset = self._data.dataset(self._looked_at)
        truths = [self._data.codec.truth(dataset[index].target) for index in range(len(dataset))]
        windows = [(record.scene_index, record.window) for record in records]
        return [dataset[index] for index in chips_to_show(truths, windows)]

    def _answers(self, network: TaskNetwork, split: str) -> Iterator[RawChip]:
        setup, data = self.setup, self._data
        with closing(fixed_batches(data.dataset(split), data.batch_size, setup.workers)) as batches:
            yield from answer_chips(network, batches, setup.device, setup.precision)

    def _decode(self, network: TaskNetwork, split: str) -> Iterator[DecodedChip]:
        for chip in self._answers(network, split):
            yield chip.decoded(self._data.codec)

    def _suppressed(
        self, network: TaskNetwork, split: str, suppression: Suppression | None
    ) -> Iterator[DecodedChip]:
        for chip in self._decode(network, split):
            yield chip.suppressed(suppression)

    def _new_scoring(self, threshold: float | None) -> ChipScoring:
        return ChipScoring(self._data.task, self._data.codec, self._data.blocks, threshold)

    def _note_shown(
        self, chips: Iterable[DecodedChip], shown: dict[str, DecodedChip]
    ) -> Iterator[DecodedChip]:
        """The chips, unchanged; those of the preview are noted in `shown`."""
        wanted = {sample.chip_id for sample in self._samples_to_show}
        for chip in chips:
            if chip.chip_id in wanted:
                shown[chip.chip_id] = chip
            yield chip

    def _preview(
        self,
        network: TaskNetwork,
        shown: dict[str, DecodedChip],
        threshold: float | None,
        suppression: Suppression | None = None,
    ) -> tuple[PreviewRow, ...]:
        """The rows of the preview; chips that are not in `shown` are predicted now."""
        missing = [sample for sample in self._samples_to_show if sample.chip_id not in shown]
        if missing:
            batches, setup = [collate(missing)], self.setup
            for chip in predict_chips(network, batches, self._data.codec, setup.device, setup.precision):
                shown[chip.chip_id] = chip.suppressed(suppression)
        return tuple(
            self._row(sample, shown[sample.chip_id].reported(threshold), sample.chip_id)
            for sample in self._samples_to_show
        )

    def _worst_rows(self, worst: WorstChips) -> tuple[PreviewRow, ...]:
        dataset = self._data.dataset("val")
        index_of = {record.chip_id: index for index, record in enumerate(self._data.records["val"])}
        return tuple(
            self._row(dataset[index_of[chip.chip_id]], chip, f"{chip.chip_id}\n{errors}")
            for chip, errors in worst.chips()
        )

    def _row(self, sample: Sample, chip: DecodedChip, caption: str) -> PreviewRow:
        bands = list(display_bands(self._data.chips.bands.names))
        image = stretch(sample.image[bands], sample.valid)
        return PreviewRow(caption, image, chip.truth, chip.predicted)

    def _score_baselines(self, splits: Sequence[str]) -> tuple[SplitScores, ...]:
        data = self._data
        log.info("fitting and scoring the baselines")
        scores = []
        baselines = fit_baselines(
            data.task, data.classes, data.task_config, self._samples_to_fit(), data.config.seed
        )
        for baseline in baselines:
            for split in splits:
                chips = self._decode_baseline(baseline, split)
                scores.append(score_chips(baseline.name, split, chips, self._new_scoring(baseline.threshold)))
        return tuple(scores)

    def _decode_baseline(self, baseline: Baseline, split: str) -> Iterator[DecodedChip]:
        dataset = self._data.dataset(split)
        for index in range(len(dataset)):
            sample = dataset[index]
            truth = self._data.codec.truth(sample.target)
            yield DecodedChip(sample.chip_id, baseline.answer(sample.image), truth)

    def _samples_to_fit(self) -> Iterator[Sample]:
        """Train chips: all of them, or for objects at most `FIT_CHIPS` with objects, evenly over the
        split."""
        records = self._data.records["train"]
        indices = list(range(len(records)))
        if self._data.task.output == OBJECTS:
            indices = [index for index in indices if any(records[index].object_counts.values())]
            step = -(-len(indices) // FIT_CHIPS)  # rounded up
            indices = indices[:: max(1, step)]
        dataset = self._data.dataset("train")
        return (dataset[index] for index in indices)
