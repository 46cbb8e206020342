"""Chips as network input."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from eo_dl.chips.augment import Augment, AugmentConfig
from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.dataset import ChipDataset, Sample, collate
from eo_dl.chips.plaindataset import PlainDataset
from eo_dl.chips.plaindataset import collate as plain_collate
from eo_dl.chips.sampling import Sampling
from eo_dl.chips.tile import tile
from eo_dl.core.arrays import BoxTarget, MaskTarget
from eo_dl.core.normalization import Normalization
from eo_dl.core.pixellabels import PixelLabels
from eo_dl.core.window import Window
from eo_dl.errors import ConfigError
from eo_dl.io.scene import open_scene
from eo_dl.labels.classcover import class_mask
from eo_dl.labels.reading import read_labels
from tests.making import write_polygons

from .conftest import UTM

Writer = Callable[..., Path]


@dataclass(frozen=True)
class Masks:
    """The simplest codec of class maps."""

    def encode(self, labels: PixelLabels, height: int, width: int) -> MaskTarget:
        return MaskTarget(class_mask(labels, height, width))


@dataclass(frozen=True)
class Boxes:
    """The simplest codec of objects."""

    def encode(self, labels: PixelLabels, height: int, width: int) -> BoxTarget:
        return BoxTarget(labels.bounds.astype(np.float32).clip(0, width), labels.class_ids)


BOTH = pytest.mark.parametrize("codec", [Masks(), Boxes()])


@pytest.fixture
def chips(write_scene: Writer, write_labels: Writer, tmp_path: Path) -> ChipSet:
    pixels = np.random.default_rng(0).integers(1, 5000, (3, 96, 160))
    pixels[:, 10:30, 20:60] = 0
    scene = write_scene("scene.tif", pixels=pixels, nodata=0, scale=0.0001)
    grid = open_scene(scene).grid
    area = write_polygons(tmp_path / "annotated.gpkg", [grid.footprint(Window(0, 0, 152, 90))], crs=UTM)
    return tile(
        scene,
        read_labels(write_labels("l.gpkg"), class_field="kind"),
        out=tmp_path / "c",
        size_px=32,
        annotated=area,
        sampling=Sampling(min_valid=0.1),
    )


def _dataset(chips: ChipSet, codec: Masks | Boxes = Masks(), **options: object) -> ChipDataset:
    return ChipDataset(chips, chips.records, codec, Normalization.of(chips.statistics), **options)  # type: ignore[arg-type]


def _equal(a: Sample, b: Sample) -> bool:
    arrays = [(s.image, s.valid, *vars(s.target).values()) for s in (a, b)]
    return a.chip_id == b.chip_id and all(np.array_equal(x, y) for x, y in zip(*arrays, strict=True))


def test_a_sample_is_standard_scores_and_what_is_known(chips: ChipSet) -> None:
    import rasterio
    from rasterio.features import rasterize

    with rasterio.open(chips.scenes[0].path) as source:
        stored, transform = source.read(), source.transform
    shapes = [
        (g, int(c))
        for g, c in zip(chips.labels.features.geometries, chips.labels.features.class_ids, strict=True)
    ]
    truth = rasterize(shapes, out_shape=(96, 160), transform=transform, dtype="uint8")
    measured = (stored != 0).all(axis=0)
    truth[~measured] = 255
    truth[90:] = truth[:, 152:] = 255
    dataset = _dataset(chips)
    assert len(dataset) == len(chips.records)
    for index, record in enumerate(chips.records):
        sample, place = dataset[index], record.window.slices
        mean, std = (
            np.array([getattr(s, name) for s in chips.statistics])[:, None, None] for name in ("mean", "std")
        )
        expected = np.where(measured[place], (stored[:, *place] * 0.0001 - mean) / std, 0)
        assert sample.image.dtype == np.float32 and np.abs(sample.image - expected).max() < 1e-4
        assert np.array_equal(sample.target.mask, truth[place])
        assert np.array_equal(sample.valid, measured[place])


def test_train_pixels_are_standard_scores_together(chips: ChipSet) -> None:
    dataset = ChipDataset(chips, chips.split("train"), Masks(), Normalization.of(chips.statistics))
    values = np.concatenate(
        [sample.image[:, sample.valid] for sample in (dataset[i] for i in range(len(dataset)))], axis=1
    )
    assert np.abs(values.mean(axis=1)).max() < 1e-4 and np.abs(values.std(axis=1) - 1).max() < 1e-4


def test_unannotated_ground_can_be_hidden(chips: ChipSet) -> None:
    hidden = _dataset(chips, hide_unannotated=True)
    for index, record in enumerate(chips.records):
        sample = hidden[index]
        outside = np.ones((96, 160), bool)
        outside[:90, :152] = False
        here = outside[record.window.slices]
        assert (sample.image[:, here] == 0).all() and not sample.valid[here].any()


@BOTH
def test_written_chips_give_the_same_samples(chips: ChipSet, codec: Masks | Boxes, tmp_path: Path) -> None:
    written = tile(
        chips.scenes[0],
        chips.labels,
        out=tmp_path / "w",
        size_px=32,
        write_chips=True,
        sampling=Sampling(min_valid=0.1),
    )
    assert [r.window for r in written.records] == [r.window for r in chips.records]
    fly, files = _dataset(chips, codec), _dataset(written, codec)
    assert all(_equal(fly[i], files[i]) for i in range(len(fly)))


@BOTH
def test_augmentation_is_keyed_by_seed_epoch_and_chip(chips: ChipSet, codec: Masks | Boxes) -> None:
    augment = Augment(AugmentConfig())
    one, two, other = (_dataset(chips, codec, augment=augment, seed=seed) for seed in (1, 1, 2))
    two.epoch = 0
    backwards = [two[i] for i in reversed(range(len(two)))][::-1]
    assert all(_equal(one[i], backwards[i]) for i in range(len(one)))
    assert not _equal(one[0], other[0])
    two.set_epoch(1)
    assert not _equal(one[0], two[0])
    two.set_epoch(0)
    assert _equal(one[0], two[0])


def test_worker_processes_change_nothing(chips: ChipSet) -> None:
    dataset = _dataset(chips, augment=Augment(AugmentConfig()), seed=5)
    assert dataset[0].chip_id == chips.records[0].chip_id  # a handle is open before the fork
    alone = [dataset[i] for i in range(len(dataset))]
    loader: DataLoader[Sample] = DataLoader(dataset, batch_size=None, num_workers=2)
    assert all(_equal(a, b) for a, b in zip(alone, loader, strict=True))


def test_it_travels_without_its_handles(chips: ChipSet) -> None:
    dataset = _dataset(chips)
    first = dataset[0]
    again: ChipDataset = pickle.loads(pickle.dumps(dataset))
    assert _equal(again[0], first) and _equal(dataset[0], first)


def test_batches(chips: ChipSet) -> None:
    dataset = _dataset(chips)
    batch = collate([dataset[i] for i in range(3)])
    assert batch.images.shape == (3, 3, 32, 32) and batch.images.dtype == torch.float32 and len(batch) == 3
    assert batch.chip_ids == [r.chip_id for r in chips.records[:3]] and len(batch.targets) == 3


# Plain dictionaries


def test_plain_masks_are_those_of_training(chips: ChipSet) -> None:
    records = chips.split("train")
    ours = ChipDataset(chips, records, Masks(), Normalization.of(chips.statistics))
    plain = chips.dataset("train")
    assert len(plain) == len(records) > 1
    for index, record in enumerate(records):
        sample, expected = plain[index], ours[index]
        assert sample["chip_id"] == record.chip_id
        assert np.array_equal(sample["image"], expected.image)
        assert np.array_equal(sample["valid"], expected.valid)
        assert np.array_equal(sample["mask"], expected.target.mask)
    physical = np.asarray(chips.dataset("train", normalize=False)[0]["image"])
    chip = ours.read(records[0])
    assert np.allclose(physical[:, chip.valid], chip.pixels[:, chip.valid].astype(np.float64) * 0.0001)


def test_plain_objects_have_boxes_classes_and_masks(chips: ChipSet) -> None:
    instances, boxes = chips.dataset("train", target="instances"), chips.dataset("train", target="boxes")
    found = 0
    for index in range(len(instances)):
        sample, other = instances[index], boxes[index]
        for name in ("boxes", "labels"):
            assert np.array_equal(np.asarray(sample[name]), np.asarray(other[name]))
        assert len(sample["boxes"]) == len(sample["labels"]) == len(sample["masks"])
        for box, mask in zip(sample["boxes"], sample["masks"], strict=True):
            rows, cols = torch.nonzero(mask, as_tuple=True)
            found += 1
            assert cols.min() >= box[0] - 1 and cols.max() < box[2] + 1
            assert rows.min() >= box[1] - 1 and rows.max() < box[3] + 1
    assert found
    with pytest.raises(ConfigError, match="expected mask, boxes or instances, found 'points'"):
        chips.dataset("train", target="points")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="unknown split"):
        chips.dataset("training")


def _flipped(sample: dict[str, torch.Tensor | str]) -> dict[str, torch.Tensor | str]:
    image = sample["image"]
    assert isinstance(image, torch.Tensor)
    return {**sample, "image": image.flip(2)}


@pytest.mark.parametrize("target", ["mask", "boxes", "instances"])
def test_plain_samples_go_through_a_loader_of_torch(chips: ChipSet, target: str) -> None:
    data: PlainDataset = chips.dataset("train", target=target, transform=_flipped)  # type: ignore[arg-type]
    batches = list(DataLoader(pickle.loads(pickle.dumps(data)), batch_size=2, collate_fn=plain_collate))
    first = batches[0]
    assert first["image"].shape == (2, 3, 32, 32) and first["valid"].dtype == torch.bool
    assert torch.equal(first["image"][0], chips.dataset("train")[0]["image"].flip(2))
    names = {"mask": {"mask"}, "boxes": {"boxes", "labels"}, "instances": {"boxes", "labels", "masks"}}
    assert set(first) == {"image", "valid", "chip_id"} | names[target]
    assert isinstance(first["chip_id"], list) and sum(len(batch["chip_id"]) for batch in batches) == len(data)
