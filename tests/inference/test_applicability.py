"""Ground unlike the training is marked in the pass of the map, and its share is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import rasterio

from eo_dl.bundle import Bundle
from eo_dl.core.arraytypes import AnyArray
from eo_dl.core.classes import ClassSet
from eo_dl.core.rawnames import FEATURE_MAP
from eo_dl.errors import ConfigError
from eo_dl.inference.chipoptions import ChipOptions
from eo_dl.inference.mapextras import MapExtras
from eo_dl.inference.predict import predict
from eo_dl.inference.shards import assemble_shards, predict_shard
from eo_dl.uncertainty.applicability import Applicability, fit_applicability
from eo_dl.uncertainty.featurecells import cell_features, on_pixels
from tests.making import notes_of

Make = Callable[..., Bundle]
Write = Callable[..., Path]
TWO = ClassSet.of_names(["water"], background=True)
EXTRAS = MapExtras(applicability=True)
STEP = 16


def smooth(rng: np.random.Generator, side: int) -> np.ndarray:
    """A texture of large patches."""
    return np.kron(rng.random((side // 32, side // 32)), np.ones((32, 32))).astype(np.float32)


def features(images: np.ndarray) -> np.ndarray:
    """(N, 3, h, w) of images (N, H, W): mean, spread and roughness of squares of 16 px."""
    count, height, width = images.shape
    squares = images.reshape(count, height // STEP, STEP, width // STEP, STEP)
    rough = np.abs(np.diff(squares, axis=4)).mean(axis=(2, 4))
    return np.stack([squares.mean(axis=(2, 4)), squares.std(axis=(2, 4)), rough], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def known() -> Applicability:
    rng = np.random.default_rng(0)
    rows, blocks = [], []
    for block in range(8):
        cells = cell_features(features(smooth(rng, 256)[None])[0], 256, whole=False)
        rows.append(cells.reshape(3, -1).T)
        blocks += [str(block)] * len(rows[-1])
    fitted = fit_applicability(np.concatenate(rows), blocks)
    assert fitted is not None
    return fitted.applicability


@pytest.fixture
def bundle(
    make_bundle: Make,
    known: Applicability,
    use_engine: Callable,
    engines: dict,
    monkeypatch: pytest.MonkeyPatch,
) -> Bundle:
    made = make_bundle(classes=TWO, chip_px=128, margin_px=16)
    monkeypatch.setattr(type(made), "applicability", lambda self: known)
    engine = use_engine(engines["certainty"], made)
    plain = engine.run

    def run(pixels: AnyArray, valid: np.ndarray, scaling: object) -> Mapping[str, AnyArray]:
        return {**plain(pixels, valid, scaling), FEATURE_MAP: features(np.asarray(pixels[:, 0], np.float32))}

    monkeypatch.setattr(engine, "run", run)
    return made


def scene_with_foreign_half(path: Path, write_scene: Write) -> Path:
    rng = np.random.default_rng(5)
    pixels = smooth(rng, 384)
    pixels[:, 192:] = rng.random((384, 192))  # noise from pixel to pixel
    return write_scene(path, pixels)


@pytest.mark.parametrize("options", [ChipOptions(), ChipOptions(blend="hann"), ChipOptions(views=2)])
def test_a_foreign_texture_is_outside_and_the_own_one_inside(
    options: ChipOptions, tmp_path: Path, bundle: Bundle, write_scene: Write
) -> None:
    scene = scene_with_foreign_half(tmp_path / "scene.tif", write_scene)
    result = predict(bundle, scene, out=tmp_path / "map.tif", extras=EXTRAS, chip_options=options)
    with rasterio.open(tmp_path / "map_applicability.tif") as dataset:
        index, inside = dataset.read()
        assert dataset.descriptions == ("dissimilarity", "inside") and dataset.scales[0] == 0.01
    # Cells of 64 px at the border of the two textures see both.
    assert (inside[:, 256:] == 0).mean() > 0.9 and (inside[:, :128] == 1).mean() > 0.9
    np.testing.assert_array_equal(index > 100, inside == 0)
    share = (inside == 0).mean()
    assert any(f"{share:.1%} of the ground is outside" in note for note in notes_of(result))
    assert (tmp_path / "map_applicability.qml").is_file()


def test_shards_give_the_same_bytes(tmp_path: Path, bundle: Bundle, write_scene: Write) -> None:
    scene = scene_with_foreign_half(tmp_path / "scene.tif", write_scene)
    for folder in ("once", "shards"):
        (tmp_path / folder).mkdir()
    once, shards = tmp_path / "once" / "map.tif", tmp_path / "shards" / "map.tif"
    predict(bundle, scene, out=once, extras=EXTRAS)
    for number in (1, 2):
        predict_shard(bundle, scene, shard=f"{number}/2", out=shards, extras=EXTRAS)
    result = assemble_shards(bundle, scene, out=shards, extras=EXTRAS)
    assert any("of the ground is outside" in note for note in notes_of(result))
    name = "map_applicability.tif"
    assert (once.parent / name).read_bytes() == (shards.parent / name).read_bytes()


def test_a_model_that_keeps_nothing_of_its_training_is_refused(
    tmp_path: Path, make_bundle: Make, write_scene: Write
) -> None:
    scene = write_scene(tmp_path / "scene.tif", np.zeros((32, 32), np.float32))
    with pytest.raises(ConfigError, match="keeps nothing of its training ground"):
        predict(make_bundle(classes=TWO), scene, out=tmp_path / "map.tif", extras=EXTRAS)


def test_cells_cover_a_chip_whatever_its_size() -> None:
    values = np.arange(49, dtype=np.float32).reshape(1, 7, 7)
    cells = cell_features(values, 224, whole=False)  # 32 px per value, so 2 values per cell
    assert cells.shape == (1, 4, 4) and cells[0, 0, 0] == values[0, :2, :2].mean()
    assert cells[0, 3, 3] == values[0, 6, 6] and cells[0, 0, 3] == values[0, :2, 6].mean()
    pixels = on_pixels(cells[0], 7, 224)
    assert pixels.shape == (224, 224) and pixels[0, 0] == cells[0, 0, 0]
    assert pixels[63, 64] == cells[0, 0, 1] and pixels[223, 223] == cells[0, 3, 3]
    assert cell_features(values, 224, whole=True).tolist() == [[[24.0]]]
