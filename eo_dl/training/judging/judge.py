"""The final word on a run: the best weights and the baselines, scored on validation and test ground."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from ...chips.dataset import Sample, collate
from ...core.arrays import Objects
from ...core.display import display_bands, stretch
from ...networks.tasknetwork import TaskNetwork
from ...tasks.task import Answer
from ..record.results import SplitScores
from ..setup.loading import fixed_batches
from ..setup.taskdata import TaskData
from .baselines import FIT_CHIPS, Baseline, fit_baselines
from .preview import PreviewRow, draw_preview, telling
from .scoring import ChipScoring, DecodedChip, object_pairs, predict_chips
from .thresholds import best_threshold
from .worstchips import WorstChips

log = logging.getLogger(__name__)

NETWORK = "this model"
_SHOWN = 0.5  # objects in pictures made while training, before the threshold is chosen


@dataclass(frozen=True)
class Verdict:
    """Scores by split, the baselines', the thresholds for the bundle, and validation chips to look at."""

    scores: tuple[SplitScores, ...]
    baselines: tuple[SplitScores, ...]
    thresholds: dict[str, float]
    preview: tuple[PreviewRow, ...]
    worst: tuple[PreviewRow, ...] = ()


@dataclass(frozen=True)
class Judge:
    """Scores predictors on the splits of a chip set."""

    data: TaskData
    device: torch.device
    precision: str
    workers: int

    def verdict(self, network: TaskNetwork) -> Verdict:
        """Everything, with the object threshold chosen on the validation split and used on both."""
        log.info("scoring the best epoch on validation and test chips")
        thresholds = self._thresholds(network)
        threshold = thresholds.get("score")
        worst = WorstChips(self._bands, threshold)
        scored = tuple(self._score_network(network, split, threshold, worst) for split in self._splits())
        baselines = self._baselines() if self.data.config.baselines else ()
        return Verdict(scored, baselines, thresholds, self._preview(network, threshold), worst.rows())

    def first_word(self, network: TaskNetwork) -> Verdict:
        """What a person who stopped the run waits for: the validation split alone, without baselines."""
        thresholds = self._thresholds(network)
        threshold = thresholds.get("score")
        worst = WorstChips(self._bands, threshold)
        scored = tuple(
            self._score_network(network, split, threshold, worst)
            for split in self._splits()[:1]
            if split == "val"
        )
        return Verdict(scored, (), thresholds, self._preview(network, threshold), worst.rows())

    def picture(self, network: TaskNetwork) -> npt.NDArray[np.uint8]:
        """(H, W, 3) what the network says of the chips that show most, beside the truth."""
        with Image.open(
            io.BytesIO(draw_preview(self._preview(network, _SHOWN), self.data.classes))
        ) as picture:
            return np.asarray(picture.convert("RGB"), np.uint8)

    def _score_network(
        self, network: TaskNetwork, split: str, threshold: float | None, worst: WorstChips
    ) -> SplitScores:
        answered = self._answers(network, split)
        return self._score(NETWORK, split, worst.watch(answered) if split == "val" else answered, threshold)

    @cached_property
    def _bands(self) -> tuple[int, ...]:
        return display_bands(self.data.chips.bands.names)

    def _splits(self) -> list[str]:
        return [split for split in ("val", "test") if self.data.records[split]]

    def _answers(self, network: TaskNetwork, split: str) -> Iterator[DecodedChip]:
        batches = fixed_batches(self.data.dataset(split), self.data.batch_size, self.workers)
        return predict_chips(network, batches, self.data.codec, self.device, self.precision)

    def _thresholds(self, network: TaskNetwork) -> dict[str, float]:
        """From the validation split, never from test; from train where there is no validation split."""
        if self.data.task.output != "objects":
            return {}
        if self.data.task.one_object:
            return {"score": 0.0}  # the network itself says where there is nothing
        split = "val" if self.data.records["val"] else "train"
        return {"score": best_threshold(object_pairs(self._answers(network, split)))[0]}

    def _score(
        self, name: str, split: str, answered: Iterable[DecodedChip], threshold: float | None
    ) -> SplitScores:
        scoring = ChipScoring(self.data.task, self.data.codec, self.data.places, threshold)
        for one in answered:
            scoring.add_answer(one)
        return SplitScores(name, split, tuple(scoring.scores()), scoring.draws())

    def _baselines(self) -> tuple[SplitScores, ...]:
        data = self.data
        log.info("fitting and scoring the baselines")
        fitted = fit_baselines(data.task, data.codec, self._to_fit_on(), data.config.seed)
        found = []
        for baseline in fitted:
            for split in self._splits():
                found.append(
                    self._score(baseline.name, split, self._answers_of(baseline, split), baseline.threshold)
                )
        return tuple(found)

    def _answers_of(self, baseline: Baseline, split: str) -> Iterator[DecodedChip]:
        for sample in self._samples(split):
            yield DecodedChip(
                sample.chip_id,
                sample.image,
                baseline.answer(sample.image),
                self.data.codec.truth(sample.target),
            )

    def _to_fit_on(self) -> Iterator[Sample]:
        """Train chips: all, or for objects some with objects in them, evenly over the split."""
        records = self.data.records["train"]
        places = list(range(len(records)))
        if self.data.task.output == "objects":
            full = [place for place in places if any(records[place].object_counts.values())]
            places = full[:: -(-len(full) // FIT_CHIPS)] if full else []
        dataset = self.data.dataset("train")
        return (dataset[place] for place in places)

    def _samples(self, split: str) -> Iterator[Sample]:
        dataset = self.data.dataset(split)
        return (dataset[index] for index in range(len(dataset)))

    @cached_property
    def _shown(self) -> list[Sample]:
        """The validation chips that show most (train chips where there are none)."""
        split = "val" if self.data.records["val"] else "train"
        dataset = self.data.dataset(split)
        truths = [self.data.codec.truth(dataset[index].target) for index in range(len(dataset))]
        places = telling(truths, [(record.scene_index, record.window) for record in self.data.records[split]])
        return [dataset[index] for index in places]

    def _preview(self, network: TaskNetwork, threshold: float | None) -> tuple[PreviewRow, ...]:
        answered = predict_chips(
            network, [collate(self._shown)], self.data.codec, self.device, self.precision
        )
        return tuple(
            PreviewRow(
                a.chip_id,
                stretch(sample.image[list(self._bands)], sample.valid),
                a.truth,
                _reported(a.predicted, threshold),
            )
            for a, sample in zip(answered, self._shown, strict=True)
        )


def _reported(predicted: Answer, threshold: float | None) -> Answer:
    """What `predict` would write: objects from the threshold on."""
    return (
        predicted.take(predicted.scores >= threshold)
        if isinstance(predicted, Objects) and threshold is not None
        else predicted
    )
