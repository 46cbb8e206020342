"""Probabilities as labels, from the raster to what the loss sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio

from eo_dl.chips.augment import Augment, AugmentConfig
from eo_dl.chips.chipset import open_chip_set
from eo_dl.chips.dataset import ChipDataset
from eo_dl.chips.tile import tile
from eo_dl.core.arrays import MaskTarget
from eo_dl.core.normalization import Normalization
from eo_dl.core.seeds import generator
from eo_dl.curation.weak.weaklabels import weak_labels
from eo_dl.tasks.segmentation.codec import SegmentationCodec

from .conftest import Writer

CALM = Normalization((100.0, 100.0, 100.0), (50.0, 50.0, 50.0))


def test_every_chip_carries_the_probabilities_of_its_ground(write_scene: Writer, tmp_path: Path) -> None:
    scene = write_scene("a.tif", nodata=7)
    weak = weak_labels(
        scene,
        ["plants: nir > red", "plants: nir > green", "soil: red > green", "soil: nir < 40"],
        out=tmp_path / "weak.tif",
    )
    tile(scene, weak.paths[0], out=tmp_path / "chips", size_px=32)
    chips = open_chip_set(tmp_path / "chips")
    assert (
        chips.classes.names == ("plants", "soil")
        and chips.content_hash == open_chip_set(tmp_path / "chips").content_hash
    )
    data = ChipDataset(chips, chips.records, SegmentationCodec(chips.classes), CALM)
    with rasterio.open(weak.paths[0]) as out:
        planes = out.read()
    for place, record in enumerate(chips.records):
        stored = planes[(slice(None), *record.window.slices)]
        known = (stored != 255).all(0)
        target = data[place].target
        assert target.soft is not None
        assert np.allclose(target.soft, np.where(known, stored, 0) / 254, atol=1e-6)
        assert ((target.mask == 255) == ~known).all() and (
            target.mask[known] == stored.argmax(0)[known]
        ).all()
    assert 0 < np.mean([record.class_shares.get(1, 0) for record in chips.records]) < 1


def test_augmentation_moves_probabilities_with_their_pixels() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(3, 24, 24)).astype(np.float32)
    soft = np.stack([image[0], 1 - image[0]])
    config = AugmentConfig.nothing().model_copy(update={"dihedral": True, "scale": 0.5, "scale_share": 0.5})
    for key in range(12):
        mask = np.zeros((24, 24), np.uint8)
        _, valid, target = Augment(config).apply(
            image, np.ones((24, 24), np.bool_), MaskTarget(mask, soft), generator(0, key)
        )
        assert target.soft is not None and target.soft.shape == soft.shape
        assert (target.soft[:, target.mask == 255] == 0).all()
        inside = valid & (target.mask != 255)
        assert np.allclose(target.soft.sum(0)[inside], 1, atol=1e-5)
        turned, _, only = Augment(config.model_copy(update={"scale": 0})).apply(
            image, np.ones((24, 24), np.bool_), MaskTarget(mask, soft), generator(0, key)
        )
        assert only.soft is not None and (turned[0] == only.soft[0]).all(), (
            "a turned chip has its probabilities where its pixels are"
        )


def test_classes_of_the_model_in_another_order_get_their_own_planes(
    write_scene: Writer, tmp_path: Path
) -> None:
    scene = write_scene("a.tif", nodata=7)
    weak = weak_labels(scene, ["plants: nir > red", "soil: nir < green"], out=tmp_path / "weak.tif")
    chips = tile(scene, weak.paths[0], out=tmp_path / "chips", size_px=32)
    labels = chips.truth_of(0).chip(chips.records[0].window)
    turned = type(chips.classes)(tuple(reversed(chips.classes.classes)))
    target, other = (SegmentationCodec(classes).encode(labels, 32, 32) for classes in (chips.classes, turned))
    assert target.soft is not None and other.soft is not None and (target.soft[::-1] == other.soft).all()
