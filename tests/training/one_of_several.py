"""One process of a training in the tiny world: `python one_of_several.py FOLDER BATCH_SIZE [RESUME_AFTER]`,
alone or under torchrun.

Leaves in FOLDER the last and best weights, the history, and which process saw which chips.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from eo_dl.chips.dataset import Sample
from eo_dl.core.arrays import MaskTarget
from eo_dl.networks.lossconfig import LossConfig
from eo_dl.networks.losses import ClassLoss, truth_of_masks
from eo_dl.training.record.checkpoint import CheckpointFolder
from eo_dl.training.setup.processes import process_layout
from eo_dl.training.trainconfig import TrainConfig
from tests.training.conftest import MemoryChips, TinyNetwork, World

SEEN: list[tuple[bool, int, str]] = []


class ExactNetwork(TinyNetwork):
    """Learns by sums over the whole batch, which processes can only know together."""

    def loss(self, images: torch.Tensor, targets: Any) -> dict[str, torch.Tensor]:
        loss = ClassLoss(LossConfig.model_validate(["cross_entropy", "dice", "bce"]))
        return loss(
            self(images)["logits"], truth_of_masks(targets, 3, images.device), torch.tensor([0.5, 1.0, 2.0])
        )


@dataclass
class UnequalChips(MemoryChips):
    """Chips of which more or less is ignored; notes which were asked for."""

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        SEEN.append((self.augment is None, self.epoch, sample.chip_id))
        mask = sample.target.mask
        assert mask is not None
        ignored = np.where(np.arange(12)[:, None] < index % 7, np.uint8(255), mask)
        return Sample(sample.image, sample.valid, MaskTarget(mask=ignored), sample.chip_id)


def main(folder: Path, batch_size: int) -> None:
    known = {
        "task": "segmentation",
        "epochs": 3,
        "batch_size": batch_size,
        "min_steps": 1,
        "lr": 0.02,
        "ema": 0.9,
        "accumulate": 2,
        "clip_norm": 0.5,
    }
    config = TrainConfig.model_validate(known)
    processes = process_layout(config)
    folder.mkdir(exist_ok=True)
    world = World(
        folder,
        config,
        count=13,
        processes=processes,
        new_network=ExactNetwork,
        new_chips=UnequalChips,
        val_count=5,
    )
    state = world.train(plain=True)
    (folder / f"seen-{processes.rank}.json").write_text(json.dumps(SEEN))
    if processes.rank == 0:
        torch.save(world.weights(), folder / "last.pt")
        torch.save(
            CheckpointFolder(folder / "checkpoints").load_best(state.best_epoch or 0), folder / "best.pt"
        )
        (folder / "history.json").write_text(json.dumps(state.history))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
