"""The torch engine says what the network says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from eo_dl.bundle import Bundle, load_model, save_bundle
from eo_dl.core.bands import Band, BandSet
from eo_dl.core.chipgrid import ChipGrid
from eo_dl.core.classes import ClassSet
from eo_dl.core.normalization import Normalization
from eo_dl.errors import BundleError, ConfigError
from eo_dl.inference.backends.backend import CHANNELS, Scaling, check_raw
from eo_dl.inference.backends.choice import make_backend
from eo_dl.inference.backends.torchbackend import TorchBackend
from eo_dl.inference.mapextras import MapExtras
from eo_dl.inference.predict import predict
from eo_dl.modelspec import ModelSpec, NormalizationSpec, band_specs, class_specs
from eo_dl.networks.compute import Compute
from eo_dl.tasks import NetworkInputs, load_task
from eo_dl.tasks.segmentation.codec import SegmentationCodec

PROBABILITIES = MapExtras(probabilities=True)

BANDS = BandSet((Band("red", 1, scale=1e-4), Band("nir", 2, scale=1e-4, offset=-0.1)))
NORMALIZATION = Normalization((0.2, 0.3), (0.1, 0.2))
CPU = torch.device("cpu")


class Small(torch.nn.Module):
    """A network of one convolution."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layer = torch.nn.Conv2d(2, 4, 3, padding=1)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.layer(images)}


def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stored pixels, their valid mask, and what a network sees of them."""
    rng = np.random.default_rng(1)
    stored, valid = rng.integers(1, 9000, (3, 2, 16, 16)).astype(np.uint16), rng.random((3, 16, 16)) > 0.1
    seen = np.stack([NORMALIZATION.apply(p, v, BANDS) for p, v in zip(stored, valid, strict=True)])
    return stored, valid, seen


def test_the_network_is_asked_as_it_is() -> None:
    network, (_, valid, seen) = Small().eval(), batch()
    backend = TorchBackend(network, CPU, "32")
    buffer = backend.buffer(3, 2, 16, "float32")
    buffer.pixels[...] = seen
    raw = backend.run(buffer.pixels, valid, Scaling.of(NORMALIZATION, BANDS))
    with torch.inference_mode():
        expected = network(torch.from_numpy(seen).contiguous(memory_format=torch.channels_last))[
            "logits"
        ].numpy()
    assert np.array_equal(raw["logits"], expected) and torch.from_numpy(buffer.pixels).is_contiguous(
        memory_format=torch.channels_last
    )


def test_normalising_and_choosing_on_the_device_gives_the_same() -> None:
    network, (stored, valid, seen) = Small(), batch()
    scaling = Scaling.of(NORMALIZATION, BANDS)
    plain = TorchBackend(network, CPU, "32").run(seen, valid, scaling)
    on_device = TorchBackend(network, CPU, "32", labels_only=True)
    on_device.takes_stored = on_device._take_channels = True  # as on a GPU
    raw = on_device.run(stored, valid, scaling)
    codec = SegmentationCodec(ClassSet.of_names(["a", "b", "c", "d"]))
    assert np.array_equal(
        codec.classes.id_of_channel[raw[CHANNELS]],
        np.stack([codec.answer({"logits": one}) for one in plain["logits"]]),
    )


def test_half_precision_answers_arrive_as_float32() -> None:
    _, valid, seen = batch()
    raw = TorchBackend(Small(), CPU, "bf16").run(seen, valid, Scaling.of(NORMALIZATION, BANDS))
    exact = TorchBackend(Small(), CPU, "32").run(seen, valid, Scaling.of(NORMALIZATION, BANDS))
    assert (
        raw["logits"].dtype == np.float32
        and 0 < np.abs(np.subtract(raw["logits"], exact["logits"])).max() < 0.1
    )


def test_a_compiled_network_is_another_engine() -> None:
    """Compiling changes the last bits, so a stopped run must not continue with it."""
    identities = [
        TorchBackend(Small(), CPU, "32", compiled=compiled).identity["compiled"] for compiled in (False, True)
    ]
    assert identities == ["", "yes"]


def test_an_answer_that_is_not_one_a_chip_is_refused() -> None:
    with pytest.raises(BundleError):
        check_raw({"logits": np.zeros((2, 1))}, 3, "model.eodl")


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A real, untrained U-Net in a real bundle."""
    task, classes = load_task("segmentation"), ClassSet.of_names(["water", "woods"], background=True)
    config = task.config.model_validate({"network": "unet", "decoder_channels": (16, 8, 8)})
    inputs = NetworkInputs(2, classes, 64)
    torch.manual_seed(0)
    config = task.settle(config, inputs)
    network = task.make_network(config, inputs)
    spec = ModelSpec(
        task="segmentation",
        config=config.model_dump(mode="json"),
        bands=band_specs(BANDS),
        classes=class_specs(classes),
        chip_px=64,
        margin_px=16,
        normalization=NormalizationSpec(mean=NORMALIZATION.mean, std=NORMALIZATION.std),
    )
    return save_bundle(tmp_path_factory.mktemp("model") / "unet.eodl", spec, network.state_dict())


def scene(path: Path, write_scene: Callable[..., Path]) -> Path:
    pixels = np.random.default_rng(7).integers(500, 6000, (2, 150, 170)).astype(np.uint16)
    return write_scene(path, pixels, names=("red", "nir"), scales=(1e-4, 1e-4), block_px=64)


def test_a_real_model_gives_what_its_network_says_chip_by_chip(
    unet: Bundle, tmp_path: Path, write_scene: Callable[..., Path]
) -> None:
    path = scene(tmp_path / "scene.tif", write_scene)
    result = predict(unet.path, path, out=tmp_path / "map.tif", compute=Compute("cpu", "32", batch_size=1))
    with rasterio.open(path) as source, rasterio.open(result.path) as found:
        stored, labels = source.read(), found.read(1)
    bands = BandSet((Band("red", 1, scale=1e-4), Band("nir", 2, scale=1e-4)))
    network, codec = unet.make_network(), unet.codec()
    expected = np.full(labels.shape, 255, np.uint8)
    for cell in ChipGrid(150, 170, 64, 16):
        rows, cols = cell.read.slices
        seen = unet.normalization.apply(stored[:, rows, cols], np.ones((64, 64), np.bool_), bands)
        with torch.inference_mode():
            logits = network(torch.from_numpy(seen[None]).contiguous(memory_format=torch.channels_last))[
                "logits"
            ][0].numpy()
        expected[cell.keep.slices] = codec.answer({"logits": logits})[cell.keep.relative_to(cell.read).slices]
    assert np.array_equal(labels, expected) and len(np.unique(labels)) > 1


def test_the_same_command_gives_the_same_bytes(
    unet: Bundle, tmp_path: Path, write_scene: Callable[..., Path]
) -> None:
    path = scene(tmp_path / "scene.tif", write_scene)
    first, second = (tmp_path / name / "map.tif" for name in "ab")
    for out in (first, second):
        out.parent.mkdir()
        predict(load_model(unet.path), path, out=out, compute=Compute("cpu"), extras=PROBABILITIES)
    assert first.read_bytes() == second.read_bytes()
    assert first.with_name("map_prob.tif").read_bytes() == second.with_name("map_prob.tif").read_bytes()


def test_an_unknown_engine_is_refused(unet: Bundle) -> None:
    with pytest.raises(ConfigError, match=r"`backend` .tensorflow. is unknown"):
        make_backend("tensorflow", unet, compute=Compute("cpu", "32"), labels_only=True)
