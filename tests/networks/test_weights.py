from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from eo_dl.errors import BundleError, ConfigError
from eo_dl.networks.backbones import feature_strides, make_backbone, padding_to
from eo_dl.networks.weights import fill_exactly, load_weights, read_state

NAME = "test_resnet"


def _backbone(bands: int = 3, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return make_backbone(NAME, bands)


class _CifarBlock(torch.nn.Module):
    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(channels)
        self.conv2 = torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(channels)


class _CifarResNet(torch.nn.Module):
    """The body of the CIFAR ResNets (He et al. 2015, section 4.2), to be filled by a stranger's file."""

    def __init__(self, blocks: int, bands: int = 3) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(bands, 16, 3, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(16)
        for level, (before, after) in enumerate(((16, 16), (16, 32), (32, 64)), start=1):
            layer = [_CifarBlock(before if k == 0 else after, after) for k in range(blocks)]
            setattr(self, f"layer{level}", torch.nn.Sequential(*layer))


@pytest.mark.parametrize(("file", "blocks"), [("resnet20-12fca82f.th", 3), ("resnet56-4bfd9763.th", 9)])
def test_a_strangers_checkpoint_fills_its_architecture(real_data: Path, file: str, blocks: int) -> None:
    backbone = _CifarResNet(blocks)
    report = load_weights(backbone, real_data / "weights-cifar-resnet" / file)
    assert report.prefix == "module"
    assert report.random == report.adapted == ()
    assert set(report.unused) == {"module.linear.weight", "module.linear.bias"}
    stored = torch.load(real_data / "weights-cifar-resnet" / file, map_location="cpu", weights_only=True)[
        "state_dict"
    ]
    weight = backbone.get_parameter("layer3.0.conv1.weight")
    assert torch.equal(weight, stored["module.layer3.0.conv1.weight"])


def test_another_number_of_bands_adapts_the_first_convolution(real_data: Path) -> None:
    path = real_data / "weights-cifar-resnet" / "resnet20-12fca82f.th"
    backbone = _CifarResNet(3, bands=7)
    report = load_weights(backbone, path)
    assert report.adapted == ("conv1.weight",)
    assert "adapted to the bands (7 bands from the mean of 3" in report.describe()
    three = _CifarResNet(3)
    load_weights(three, path)
    grey = torch.rand(1, 1, 8, 8)
    torch.testing.assert_close(
        backbone.conv1(grey.expand(1, 7, 8, 8)), three.conv1(grey.expand(1, 3, 8, 8)), atol=1e-5, rtol=1e-4
    )


def test_another_architecture_is_refused_with_the_counts(real_data: Path) -> None:
    with pytest.raises(BundleError, match=r"only \d+ of the backbone's \d+ tensors \(it has \d+"):
        load_weights(
            make_backbone("resnet18", 3), real_data / "weights-cifar-resnet" / "resnet20-12fca82f.th"
        )


def _plain(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(state, path)


def _lightning(state: dict[str, torch.Tensor], path: Path) -> None:
    head = {"model.segmentation_head.0.weight": torch.zeros(2, 16, 3, 3)}
    torch.save(
        {
            "epoch": 3,
            "state_dict": {f"model.encoder.{key}": value for key, value in state.items()} | head,
            "optimizer_states": [],
        },
        path,
    )


def _torchvision_detector(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save({"model": {f"backbone.body.{key}": value for key, value in state.items()}}, path)


def _safetensors(state: dict[str, torch.Tensor], path: Path) -> None:
    safetensors.torch.save_file({f"encoder.{key}": value.contiguous() for key, value in state.items()}, path)


@pytest.mark.parametrize(
    ("write", "file", "prefix"),
    [
        (_plain, "plain.pth", ""),
        (_lightning, "last.ckpt", "model.encoder"),
        (_torchvision_detector, "detector.pt", "backbone.body"),
        (_safetensors, "unet.safetensors", "encoder"),
    ],
)
def test_every_kind_of_file_fills_the_backbone(
    write: Callable[[dict[str, torch.Tensor], Path], None], file: str, prefix: str, tmp_path: Path
) -> None:
    donor = _backbone(seed=1)
    write(donor.state_dict(), tmp_path / file)
    backbone = _backbone(seed=2)
    report = load_weights(backbone, tmp_path / file)
    assert report.prefix == prefix
    assert report.random == ()
    for key, value in backbone.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, donor.state_dict()[key])


def test_names_that_timm_flattens_still_match(tmp_path: Path) -> None:
    import timm

    whole = timm.create_model("test_convnext", pretrained=False)
    torch.save(whole.state_dict(), tmp_path / "convnext.pth")
    report = load_weights(make_backbone("test_convnext", 3), tmp_path / "convnext.pth")
    assert report.random == ()
    assert any(name.startswith("head") for name in report.unused)


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    state = _backbone().state_dict()
    state["conv1.0.weight"][0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(BundleError, match=r"1 tensors contain NaN or infinity, first 'conv1.0.weight'"):
        load_weights(_backbone(), tmp_path / "nan.pth")


class _Harmful:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        import os

        return os.mkdir, ("harm",)


def test_a_file_that_would_run_code_is_refused_and_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": _Harmful()}, "new.pth")
    Path("old.pth").write_bytes(pickle.dumps(_Harmful()))
    for name in ("new.pth", "old.pth"):
        with pytest.raises(BundleError, match="without running code"):
            read_state(name)
    assert not Path("harm").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 not really", b"\x80\x02."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".eodl"])
def test_rubbish_is_refused_in_one_line(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(BundleError) as raised:
        read_state(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_files_without_tensors_and_missing_ones_are_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with zipfile.ZipFile(tmp_path / "bomb.eodl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights.safetensors", bytes(1000))
    for name, says in (
        ("empty.pth", "no tensors"),
        ("list.pth", "list"),
        ("bomb.eodl", "compressed"),
        ("nowhere.pth", "no such weights file"),
    ):
        with pytest.raises(BundleError, match=says):
            read_state(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("bias"), "'bias' is missing"),
        (lambda s: s.update(extra=np.zeros(1, np.float32)), "'extra' is not part of it"),
        (lambda s: s.update(bias=np.zeros(3, np.float32)), r"'bias' has shape \(3,\), not \(2,\)"),
        (lambda s: s.update(bias=np.zeros(2, np.int64)), "'bias' is int64"),
    ],
)
def test_weights_that_do_not_fit_exactly_are_refused_by_name(
    change: Callable[[dict[str, np.ndarray]], object], says: str
) -> None:
    state = {"weight": np.zeros((2, 2), np.float32), "bias": np.zeros(2, np.float32)}
    change(state)
    with pytest.raises(BundleError, match=says):
        fill_exactly(torch.nn.Linear(2, 2), state, "model.eodl")


def test_strides_that_a_backbone_has_not_are_refused() -> None:
    assert feature_strides(NAME) == [2, 4, 8, 16, 32]
    with pytest.raises(ConfigError, match=r"not at \[2\]"):
        make_backbone("test_convnext", 3, (2, 4))


def test_making_a_backbone_with_chosen_strides_keeps_the_names() -> None:
    whole, part = set(_backbone().state_dict()), set(make_backbone(NAME, 3, (4, 8, 16, 32)).state_dict())
    assert whole == part


def test_padding_reaches_the_stride_and_two_cells_for_a_lone_one() -> None:
    assert padding_to(torch.zeros(2, 1, 33, 64), 32, training=False) == (0, 31)
    assert padding_to(torch.zeros(1, 1, 20, 32), 32, training=True) == (0, 44)
    assert padding_to(torch.zeros(2, 1, 20, 32), 32, training=True) == (0, 12)
