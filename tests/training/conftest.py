"""A tiny world for training: chips in memory and a network with batch normalization and dropout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import torch
from affine import Affine
from pyproj import CRS

from eo_dl.chips.augment import Augment
from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.dataset import Sample
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.arrays import MaskTarget
from eo_dl.core.classes import ClassSet
from eo_dl.core.features import Features
from eo_dl.core.maplabels import MapLabels
from eo_dl.core.progress import OnProgress, silent
from eo_dl.core.seeds import generator
from eo_dl.networks.tasknetwork import TaskNetwork
from eo_dl.tasks import load_task
from eo_dl.training.judging.scoring import ChipScoring
from eo_dl.training.loop.fit import fit
from eo_dl.training.loop.lightningmodule import LoopInputs, TrainingModule
from eo_dl.training.loop.stopping import StopRequest
from eo_dl.training.record.checkpoint import CheckpointFolder
from eo_dl.training.record.runstate import RunState
from eo_dl.training.setup.budget import budget_of
from eo_dl.training.setup.hardware import Hardware
from eo_dl.training.setup.loading import fixed_batches, train_batches
from eo_dl.training.setup.processes import ALONE, ProcessLayout
from eo_dl.training.setup.sampler import EpochPlan
from eo_dl.training.trainconfig import TrainConfig

CLASSES = ClassSet.of_names(["field", "water"], background=True)


class TinyNetwork(TaskNetwork):
    """Two convolutions, batch normalization and dropout: all that makes an exact resume hard. `plain`: no
    chip depends on another.
    """

    def __init__(self, plain: bool = False) -> None:
        super().__init__()
        norm = torch.nn.GroupNorm(2, 8) if plain else torch.nn.BatchNorm2d(8)
        self.backbone = torch.nn.Sequential(torch.nn.Conv2d(2, 8, 3, padding=1), norm, torch.nn.ReLU())
        self.rest = torch.nn.Sequential(torch.nn.Dropout(0 if plain else 0.3), torch.nn.Conv2d(8, 3, 1))

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.rest(self.backbone(images))}

    def loss(self, images: torch.Tensor, targets: Any) -> dict[str, torch.Tensor]:
        mask = torch.from_numpy(np.stack([target.mask for target in targets])).long()
        value = torch.nn.functional.cross_entropy(self(images)["logits"], mask, ignore_index=255)
        return {"loss": value, "cross_entropy": value}


@dataclass
class MemoryChips:
    """`count` chips of 12 px in which one band tells the class; chip ids "chip-N"."""

    count: int
    augment: Augment | None = None
    poison: str | None = None
    epoch: int = 0

    def __len__(self) -> int:
        return self.count

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, index: int) -> Sample:
        rng = generator(1, "chip", index)
        mask = np.repeat(rng.integers(0, 3, (12, 1)), 12, axis=1).astype(np.uint8)
        image = np.stack([mask + rng.normal(0, 0.4, (12, 12)), rng.normal(0, 1, (12, 12))]).astype(np.float32)
        chip_id, valid = f"chip-{index}", np.ones((12, 12), np.bool_)
        if chip_id == self.poison:
            image[:] = np.nan
        target = MaskTarget(mask=mask)
        if self.augment is not None:
            image, valid, target = self.augment.apply(
                image, valid, target, generator(7, "augment", self.epoch, chip_id)
            )
        return Sample(image, valid, target, chip_id)


@dataclass
class World:
    """One run in a folder; `train` may be called again with `resume=True`, as a new process would."""

    folder: Path
    config: TrainConfig
    count: int = 9
    poison: str | None = None
    stop: StopRequest = field(default_factory=StopRequest)
    network: TinyNetwork | None = None
    rows: list[dict[str, float]] = field(default_factory=list)
    val_count: int = 4
    processes: ProcessLayout = ALONE
    new_network: Callable[[bool], TinyNetwork] = TinyNetwork
    new_chips: Callable[..., MemoryChips] = MemoryChips

    def train(
        self, *, resume: bool = False, plain: bool = False, on_progress: OnProgress = silent
    ) -> RunState:
        torch.manual_seed(11)
        self.network = self.new_network(plain)
        checkpoints = CheckpointFolder(self.folder / "checkpoints")
        restored = checkpoints.latest() if resume else None
        state = RunState()
        if restored is not None:
            state = RunState.from_dict(restored["state"])
            self.network.load_state_dict(restored["network"])
        rank, world = self.processes.rank, self.processes.world
        plan = EpochPlan(
            self.count, (self.config.batch_size or 2) * world, self.config.seed, self.config.min_steps, world
        )
        task = replace(load_task("segmentation"))
        codec = task.make_codec(CLASSES, task.config(network="unet"))
        inputs = LoopInputs(
            config=self.config,
            plan=plan,
            budget=budget_of(self.config, plan.steps, on_cpu=True),
            state=state,
            checkpoints=checkpoints,
            new_scoring=lambda: ChipScoring(task, codec),
            primary="mean_iou",
            on_progress=on_progress,
            on_epoch=self._note,
            stop=self.stop,
            check_scenes=lambda: None,
        )
        chips = self.new_chips(self.count, Augment(self.config.augment), self.poison)
        batches = train_batches(
            chips, plan, lambda: (state.epoch, state.batch), self.config.workers or 0, rank
        )
        module = TrainingModule(self.network, inputs, restored)
        val = fixed_batches(self.new_chips(self.val_count), 3, 0, rank, world)
        fit(
            module,
            batches,
            val,
            folder=self.folder,
            hardware=Hardware(torch.device("cpu"), processes=self.processes),
        )
        return state

    def weights(self) -> dict[str, torch.Tensor]:
        assert self.network is not None
        return {name: value.clone() for name, value in self.network.state_dict().items()}

    def _note(self, state: RunState) -> None:
        self.rows = [dict(row) for row in state.history]


@pytest.fixture
def new_world(tmp_path: Path) -> Callable[..., World]:
    """`new_world(name, count=..., poison=..., epochs=..., ...)`: a world in a folder of its own, with that
    configuration.
    """

    def make(name: str = "run", *, count: int = 9, poison: str | None = None, **settings: Any) -> World:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        known = {"task": "segmentation", "epochs": 3, "batch_size": 2, "min_steps": 1, "lr": 0.01, **settings}
        return World(folder, TrainConfig.model_validate(known), count, poison)

    return make


SIDE, CHIP = 192, 32


def scene_and_labels(folder: Path) -> tuple[Path, MapLabels]:
    """Bright roofs of 8 px on dark noise, a column of nodata at the left."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(1000, 150, (2, SIDE, SIDE))
    corners = [
        (col + int(rng.integers(4)), row + int(rng.integers(4)))
        for row in range(2, SIDE - 16, 16)
        for col in range(6, SIDE - 16, 16)
    ]
    corners = [corner for corner in corners if rng.random() < 0.6]
    for col, row in corners:
        pixels[0, row : row + 8, col : col + 8] += 1500
    pixels[:, :, :3] = 0
    path, crs = folder / "scene.tif", "EPSG:32633"
    transform = Affine(1, 0, 500000, 0, -1, 5000000)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=SIDE,
        height=SIDE,
        count=2,
        dtype="uint16",
        crs=crs,
        transform=transform,
        nodata=0,
    ) as file:
        file.write(pixels.clip(1, 5000).astype(np.uint16) * (pixels > 0))
        file.descriptions = ("red", "nir")
    boxes = np.array(
        [
            shapely.box(500000 + col, 5000000 - row - 8, 500000 + col + 8, 5000000 - row)
            for col, row in corners
        ],
        dtype=object,
    )
    features = Features(
        geometries=boxes,
        class_ids=np.ones(len(boxes), np.int64),
        feature_ids=np.arange(len(boxes)).astype(object),
        ignore=np.zeros(len(boxes), np.bool_),
    )
    return path, MapLabels(ClassSet.of_names(["roof"]), features, CRS(crs), "roofs")


@pytest.fixture(scope="session")
def small_chips(tmp_path_factory: pytest.TempPathFactory) -> ChipSet:
    folder = tmp_path_factory.mktemp("scene")
    path, labels = scene_and_labels(folder)
    return tile(path, labels, out=folder / "chips", size_px=CHIP, split=Split(block_px=64, guard_px=0))
