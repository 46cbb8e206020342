"""Decode what a network says about chips and score it with the scorers of `evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from ...chips.dataset import Batch
from ...core.arrays import Objects
from ...networks.device import autocast
from ...networks.tasknetwork import TaskNetwork
from ...scores.chipscores import ChipScorer
from ...scores.intervals import Draws
from ...scores.localizationscores import LocalizationScorer
from ...scores.objectscores import ObjectScorer
from ...scores.score import Score
from ...tasks import ChipCodec, Codec, Task
from ...tasks.task import Answer, RawArrays, Scorer
from ..setup.processes import gather_to_rank0, is_distributed


@dataclass(frozen=True)
class DecodedChip:
    """One chip, what was predicted for it and what is true; `image` (C, H, W) normalized."""

    chip_id: str
    image: npt.NDArray[np.float32]
    predicted: Answer
    truth: Answer


def decode_batch(raw: Mapping[str, torch.Tensor], batch: Batch, codec: Codec) -> Iterator[DecodedChip]:
    """The chips of one batch, decoded."""
    arrays = {
        name: tensor.detach().float().cpu().numpy()
        if tensor.is_floating_point()
        else tensor.detach().cpu().numpy()
        for name, tensor in raw.items()
    }
    images = batch.images.detach().float().cpu().numpy()
    for index, (chip_id, target) in enumerate(zip(batch.chip_ids, batch.targets, strict=True)):
        one: RawArrays = {name: array[index] for name, array in arrays.items()}
        yield DecodedChip(chip_id, images[index], codec.answer(one), codec.truth(target))


def predict_chips(
    network: TaskNetwork, batches: Iterable[Batch], codec: Codec, device: torch.device, precision: str
) -> Iterator[DecodedChip]:
    """Every chip of some batches, decoded; the network is used in eval mode on `device`."""
    network.eval()
    for batch in batches:
        with torch.inference_mode(), autocast(device, precision):
            raw = network(batch.images.to(device).contiguous(memory_format=torch.channels_last))
        yield from decode_batch(raw, batch, codec)


_NO_IMAGE = np.empty((0, 0, 0), np.float32)


class ChipScoring:
    """Adds up the scores of chips.

    `places` gives the block of ground of each chip id, by which intervals are taken; without it there are
    none, which is what each epoch needs (resampling costs more than the scores).
    """

    def __init__(
        self,
        task: Task,
        codec: Codec,
        places: Mapping[str, str] | None = None,
        min_score: float | None = None,
    ) -> None:
        self._codec = codec
        self._places = places or {}
        self._held: list[DecodedChip] = []
        self._scorer: Scorer = task.make_scorer(codec.classes)
        if min_score is not None and isinstance(self._scorer, ObjectScorer | LocalizationScorer):
            self._scorer.min_score = min_score
        if isinstance(self._scorer, ChipScorer) and isinstance(codec, ChipCodec):
            self._scorer.several = codec.several

    def add(self, raw: Mapping[str, torch.Tensor], batch: Batch) -> None:
        """Score one batch of raw outputs; of several processes, note it for `gather`."""
        for answered in decode_batch(raw, batch, self._codec):
            if is_distributed():
                self._held.append(replace(answered, image=_NO_IMAGE))
            else:
                self.add_answer(answered)

    def gather(self) -> None:
        """Several processes: the first one scores the chips of all, in the order of their names. Called in
        all of them.
        """
        for answered in (
            sorted(gather_to_rank0(self._held), key=lambda one: one.chip_id) if is_distributed() else ()
        ):
            self.add_answer(answered)
        self._held = []

    def add_answer(self, answered: DecodedChip) -> None:
        """Score one decoded chip."""
        self._scorer.update(answered.predicted, answered.truth, self._places.get(answered.chip_id, ""))

    def scores(self) -> list[Score]:
        """All scores so far."""
        return self._scorer.scores()

    def draws(self) -> Draws:
        """The overall scores in each resampling of the ground; {} where the scorer takes none."""
        return self._scorer.draws()

    def values(self) -> dict[str, float]:
        """Overall scores by name, then those of the classes as "name:class"; NaN where not defined."""
        return {
            score.name if score.class_name is None else f"{score.name}:{score.class_name}": score.value
            for score in self.scores()
        }


def object_pairs(answered: Iterable[DecodedChip]) -> list[tuple[Objects, Objects]]:
    """(found, true) of chips whose answers are objects."""
    return [
        (a.predicted, a.truth)
        for a in answered
        if isinstance(a.predicted, Objects) and isinstance(a.truth, Objects)
    ]
