"""Splits that know of each other are found: the same ground, the same image, also turned or compressed anew;
what `tile` makes is left alone.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from eo_dl import open_chip_set, read_labels, tile
from eo_dl.chips.chiprecord import SplitName
from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.sampling import Sampling
from eo_dl.chips.splits import Split
from eo_dl.core.chipviews import VIEWS
from eo_dl.core.labelset import LabelSet
from eo_dl.curation.checks import checking
from eo_dl.curation.checks.audit import audit_labels
from eo_dl.curation.checks.copies import find_copies
from eo_dl.curation.checks.leakage import check_leakage
from eo_dl.errors import ChipSetError
from eo_dl.io.scene import open_scene
from eo_dl.labels.labeloptions import LabelOptions
from eo_dl.labels.reading import classes_of
from tests.making import NORTH_UP, rectangle, write_polygons, write_raster

SIDE = 128


@pytest.fixture(scope="module")
def chips(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("leak") / "chips"
    labels = read_labels(sample_data / "train_labels.gpkg", layer="landcover")
    tile(sample_data / "train.tif", labels, out=out, size_px=64, split=Split(block_m=128))
    return out


def test_splits_as_tile_makes_them_do_not_leak(chips: Path) -> None:
    opened = open_chip_set(chips)
    assert len(opened.split("train")) > 5 < len(opened.split("val")) + len(opened.split("test"))
    assert check_leakage(chips) == ()


def test_ground_in_two_splits_is_found_where_it_is(chips: Path) -> None:
    """A chip moved by half its width into another split; the ground counted pixel by pixel."""
    opened = open_chip_set(chips)
    first = next(record for record in opened.records if record.split == "train" and record.keep)
    twin = replace(
        first, chip_id="twin", split="val", window=replace(first.window, col=first.window.col + 32)
    )
    (found,) = check_leakage(replace(opened, records=(*opened.records, twin)))
    assert found.severity == "error" and {first.chip_id, "twin"} <= set(found.feature_ids)
    seen = np.zeros((2, 704, 704), np.bool_)
    for record in (*opened.split("train"), twin):
        seen[int(record is twin)][record.window.slices] = True
    area = float(found.text.partition("share ")[2].split()[0])
    assert area == pytest.approx(np.count_nonzero(seen[0, :640, :640] & seen[1, :640, :640]), rel=2e-3), (
        "pixels of one metre"
    )
    assert found.geometry is not None and found.geometry.contains(shapely.box(*first.window.box))


def test_an_edited_chip_set_is_looked_at_though_it_cannot_be_trained_on(
    sample_data: Path, tmp_path: Path
) -> None:
    labels = read_labels(sample_data / "train_labels.gpkg", layer="buildings", class_field="none")
    made = tile(
        sample_data / "train.tif",
        labels,
        out=tmp_path / "chips",
        size_px=64,
        sampling=Sampling("objects"),
        split=Split(block_m=128),
    )
    assert check_leakage(made) == ()
    train = made.split("train")
    one, other = next(
        (a, b) for a in train for b in train if a is not b and a.window.intersection(b.window) is not None
    )
    with closing(sqlite3.connect(made.path / "chips.gpkg")) as database, database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')  # those of the spatial index call functions of GDAL
        database.execute("UPDATE chips SET split = 'val' WHERE chip_id = ?", (other.chip_id,))
    with pytest.raises(ChipSetError, match="share ground"):
        open_chip_set(made.path)
    found = check_leakage(made.path)
    assert any({one.chip_id, other.chip_id} <= set(finding.feature_ids) for finding in found)


def image(seed: int) -> np.ndarray:
    """(3, H, W) uint8 with structure at every scale, as photographs have."""
    rng = np.random.default_rng(seed)
    total = np.zeros((3, SIDE, SIDE))
    for step in (64, 32, 16, 8, 4, 1):
        total += np.kron(rng.normal(size=(3, SIDE // step, SIDE // step)), np.ones((step, step))) * step**0.5
    return np.clip(total * 6 + 120, 0, 255).astype(np.uint8)


def chips_of(folder: Path, images: list[np.ndarray], splits: list[SplitName]) -> ChipSet:
    """A chip set of scenes far from each other, a chip of 128 px each, in the splits given."""
    scenes, drawn = [], []
    for number, pixels in enumerate(images):
        transform = NORTH_UP @ Affine.translation(5_000 * number, 0)
        scenes.append(open_scene(write_raster(folder / f"s{number}.tif", pixels, transform=transform)))
        drawn.append(rectangle(5, 20, 90, 100, transform))
    write_polygons(folder / "l.gpkg", drawn, kind=["a"] * len(drawn))
    made = tile(
        scenes, read_labels(folder / "l.gpkg", class_field="kind"), out=folder / "chips", size_px=SIDE
    )
    by_scene = {record.scene_index: record for record in made.records}
    return replace(
        made, records=tuple(replace(by_scene[i], split=split, keep=True) for i, split in enumerate(splits))
    )


def compressed(pixels: np.ndarray, folder: Path) -> np.ndarray:
    """As JPEG at quality 50 leaves it."""
    path = folder / "a.jpg"
    with rasterio.open(
        path, "w", driver="JPEG", count=3, height=SIDE, width=SIDE, dtype="uint8", QUALITY=50
    ) as file:
        file.write(pixels)
    with rasterio.open(path) as file:
        found: np.ndarray = file.read()
    return found


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_copies_are_found_and_other_images_are_not(tmp_path: Path) -> None:
    base = [image(seed) for seed in range(5)]
    images = [
        *base,
        base[0],
        np.ascontiguousarray(VIEWS[5].apply(base[1])),
        compressed(base[2], tmp_path),
        image(9),
        np.full((3, SIDE, SIDE), 7, np.uint8),
        np.full((3, SIDE, SIDE), 7, np.uint8),
    ]
    splits: list[SplitName] = ["train"] * 5
    splits += ["val", "test", "val", "val", "train", "test"]
    made = chips_of(tmp_path, images, splits)
    copies = {(one.first, one.second): one.similarity for one in find_copies(made, made.records)}
    assert copies.keys() == {(0, 5), (1, 6), (2, 7)}, "a chip of one value is a copy of nothing"
    assert copies[0, 5] == 1 and copies[1, 6] > 0.99 and copies[2, 7] < 1
    found = check_leakage(made)
    assert len(found) == 3 and {one.image for one in found} == {"s5.tif", "s6.tif", "s7.tif"}
    assert "the same pixels as" in found[0].text and "nearly" in found[2].text


def test_labels_are_checked_once_on_the_scenes_of_the_chip_set(
    chips: Path, sample_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[object] = []
    read = classes_of

    def counted(*arguments: Any) -> LabelSet:
        reads.append(arguments)
        return read(*arguments)

    monkeypatch.setattr(checking, "classes_of", counted)
    options = LabelOptions(layer="buildings", class_field="none")
    report = audit_labels(sample_data / "train_labels.gpkg", chips=chips, label_options=options)
    assert [scene.name for scene in report.scenes] == ["train.tif"] and report.registration
    assert len(reads) == 1
