"""Predict chips, decode them, and score them with the scorers of `evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from ...chips.dataset import Batch
from ...core.arrays import Objects, Target
from ...core.arraytypes import AnyArray
from ...mosaic.suppress import Suppression
from ...networks.device import autocast
from ...networks.tasknetwork import TaskNetwork
from ...scores.intervals import Draws
from ...scores.score import Score
from ...tasks import Codec, Task
from ...tasks.codecs import Answer, RawArrays
from ...tasks.task import Scorer
from ..record.results import SplitScores
from ..setup.processes import gather_to_rank0, is_distributed


@dataclass(frozen=True)
class DecodedChip:
    """What a predictor says about one chip, beside the truth, in the form that scorers compare."""

    chip_id: str
    predicted: Answer
    truth: Answer

    def suppressed(self, suppression: Suppression | None) -> DecodedChip:
        """The chip without the boxes that `predict` takes for the same object as a likelier one."""
        if suppression is None or not isinstance(self.predicted, Objects):
            return self
        return replace(self, predicted=suppression.apply(self.predicted))

    def reported(self, threshold: float | None) -> DecodedChip:
        """The chip as `predict` would write it: only objects with at least this score."""
        if threshold is None or not isinstance(self.predicted, Objects):
            return self
        return replace(self, predicted=self.predicted.take(self.predicted.scores >= threshold))


@dataclass(frozen=True)
class RawChip:
    """What a network answers for one chip, beside the target."""

    chip_id: str
    raw: RawArrays
    target: Target

    def decoded(self, codec: Codec) -> DecodedChip:
        """The chip in the form that scorers compare."""
        return DecodedChip(self.chip_id, codec.answer(self.raw), codec.truth(self.target))


def decode_batch(raw: Mapping[str, torch.Tensor], batch: Batch, codec: Codec) -> Iterator[DecodedChip]:
    """The chips of one batch, from the network's raw outputs (N, ...)."""
    for chip in _raw_chips(raw, batch):
        yield chip.decoded(codec)


def _raw_chips(raw: Mapping[str, torch.Tensor], batch: Batch) -> Iterator[RawChip]:
    arrays = {name: _to_numpy(tensor) for name, tensor in raw.items()}
    for index, (chip_id, target) in enumerate(zip(batch.chip_ids, batch.targets, strict=True)):
        yield RawChip(chip_id, {name: array[index] for name, array in arrays.items()}, target)


def predict_chips(
    network: TaskNetwork, batches: Iterable[Batch], codec: Codec, device: torch.device, precision: str
) -> Iterator[DecodedChip]:
    """The chips of some batches, predicted and decoded one batch at a time; as `answer_chips`."""
    for chip in answer_chips(network, batches, device, precision):
        yield chip.decoded(codec)


def answer_chips(
    network: TaskNetwork, batches: Iterable[Batch], device: torch.device, precision: str
) -> Iterator[RawChip]:
    """What a network answers for the chips of some batches, one batch at a time.

    Args:
        network: On `device`; it is put into eval mode.
        batches: Chips and their targets.
        device: Where the network computes.
        precision: "32", "bf16" or "16".
    """
    network.eval()
    for batch in batches:
        images = batch.images.to(device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), autocast(device, precision):
            raw = network(images)
        yield from _raw_chips(raw, batch)


def score_chips(name: str, split: str, chips: Iterable[DecodedChip], scoring: ChipScoring) -> SplitScores:
    """The scores of the predictor `name` on a split, added up one chip at a time into an empty `scoring`."""
    for chip in chips:
        scoring.add_chip(chip)
    return SplitScores(name, split, tuple(scoring.scores()), scoring.draws())


class ChipScoring:
    """Adds up the scores of chips.

    Args:
        task: Whose scorer is used.
        codec: The task's.
        blocks: The block of ground of each chip id, by which confidence intervals are taken. Without it there
            are no intervals, as during training: resampling costs more than the scores themselves.
        min_score: Only objects with at least this score count (default: all).
    """

    def __init__(
        self,
        task: Task,
        codec: Codec,
        blocks: Mapping[str, str] | None = None,
        min_score: float | None = None,
    ) -> None:
        self._codec = codec
        self._blocks = blocks or {}
        self._held: list[DecodedChip] = []
        self._scorer: Scorer = task.make_scorer(codec, min_score or 0.0)

    def add_batch(self, raw: Mapping[str, torch.Tensor], batch: Batch) -> None:
        """Score one batch of raw outputs; with several processes the chips wait for `gather`."""
        for chip in decode_batch(raw, batch, self._codec):
            if is_distributed():
                self._held.append(chip)
            else:
                self.add_chip(chip)

    def gather(self) -> None:
        """Several processes: the first one scores the chips of all, in order of their ids.

        Called in all processes; with one process there is nothing to do.
        """
        if is_distributed():
            for chip in sorted(gather_to_rank0(self._held), key=lambda chip: chip.chip_id):
                self.add_chip(chip)
            self._held = []

    def add_chip(self, chip: DecodedChip) -> None:
        """Score one decoded chip."""
        self._scorer.update(chip.predicted, chip.truth, self._blocks.get(chip.chip_id, ""))

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


def object_pairs(chips: Iterable[DecodedChip]) -> list[tuple[Objects, Objects]]:
    """(predicted, true) objects of each chip; chips with another kind of output are left out."""
    return [
        (chip.predicted, chip.truth)
        for chip in chips
        if isinstance(chip.predicted, Objects) and isinstance(chip.truth, Objects)
    ]


def _to_numpy(tensor: torch.Tensor) -> AnyArray:
    values = tensor.detach()
    if values.is_floating_point():
        values = values.float()  # numpy has no bfloat16
    array: AnyArray = values.cpu().numpy()
    return array
