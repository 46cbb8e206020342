"""Weights by name, and what they know of bands and units. Nothing is downloaded: the fetch fails, or is put
in place of.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from eo_dl.core.spectral import common_name, match_bands, sensor_of
from eo_dl.errors import BundleError, ConfigError
from eo_dl.networks import weightsources
from eo_dl.networks.backbones import make_backbone
from eo_dl.networks.catalogue import IMAGENET, find_named, is_name, named_weights
from eo_dl.networks.weights import load_weights
from eo_dl.networks.weightsources import WeightsSource, find_weights

S2 = ("b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b8a", "b9", "b10", "b11", "b12")


def _stem(backbone: torch.nn.Module) -> torch.Tensor:
    return next(value for value in backbone.state_dict().values() if value.ndim == 4)


def _donor(bands: int, seed: int = 1) -> torch.nn.Module:
    torch.manual_seed(seed)
    return make_backbone("resnet18", bands)


def _source(
    bands: tuple[str, ...], ours: tuple[str, ...], sensor: str = ""
) -> tuple[WeightsSource, torch.Tensor]:
    donor = _donor(len(bands))
    state = donor.state_dict()
    return WeightsSource("somebody", lambda: dict(state), bands, sensor, ours=ours), _stem(donor)


@pytest.mark.parametrize(
    ("ours", "theirs", "sensor", "expected"),
    [
        (("blue", "green", "red", "nir"), S2, "sentinel2", (1, 2, 3, 7)),
        (("B04", "B03", "B02", "B8A"), S2, "sentinel2", (3, 2, 1, 8)),
        (("Red", "SWIR 1", "thermal", ""), S2, "sentinel2", (3, 11, None, None)),
        (("red", "nir"), ("sr_b1", "sr_b2", "sr_b3", "sr_b4"), "landsat_etm", (2, 3)),
        # B8A: can only be Sentinel-2
        (("b2", "b3", "b4", "b8a"), ("red", "green", "blue"), "", (2, 1, 0, None)),
        (("b2", "b3", "b4"), ("red", "green", "blue"), "", (None, None, None)),  # could be of several sensors
        # red is the third band there, not the fourth
        (("b4", "b8a"), ("b1", "b2", "b3", "b4"), "landsat_tm", (2, None)),
    ],
)
def test_bands_are_matched_by_name_and_by_colour(
    ours: tuple[str, ...], theirs: tuple[str, ...], sensor: str, expected: tuple[int | None, ...]
) -> None:
    assert match_bands(ours, theirs, sensor) == expected


def test_number_names_are_colours_only_of_a_known_sensor() -> None:
    assert common_name("B04", "sentinel2") == common_name("SR_B3", "landsat_etm") == "red"
    assert common_name("b4") == "b4"
    assert sensor_of(("B02", "B03")) == ""
    assert sensor_of(("B8A",)) == "sentinel2"


def test_bands_in_common_are_copied_whatever_their_order_and_others_take_the_mean() -> None:
    source, theirs = _source(("red", "green", "blue"), ("blue", "red", "nir", "green"))
    backbone = _donor(4, seed=2)
    report = load_weights(backbone, source)
    stem = _stem(backbone)
    assert torch.equal(stem[:, 0], theirs[:, 2])
    assert torch.equal(stem[:, 1], theirs[:, 0])
    assert torch.equal(stem[:, 3], theirs[:, 1])
    torch.testing.assert_close(stem[:, 2], theirs.mean(1) * 3 / 4)
    assert report.bands == (("blue", "blue"), ("red", "red"), ("nir", ""), ("green", "green"))
    assert "bands by name: blue, red, green; nir from the mean of all" in report.describe()
    assert len(report.adapted) == 1
    assert report.random == ()


def test_three_of_thirteen_bands_are_taken_as_they_are() -> None:
    source, theirs = _source(S2, ("red", "green", "blue"), "sentinel2")
    backbone = _donor(3, seed=2)
    report = load_weights(backbone, source)
    assert torch.equal(_stem(backbone), theirs[:, [3, 2, 1]])
    assert "red from b4" in report.describe()


def test_the_same_bands_in_the_same_order_are_no_adaptation() -> None:
    source, theirs = _source(("red", "green", "blue"), ("red", "green", "blue"))
    backbone = _donor(3, seed=2)
    report = load_weights(backbone, source)
    assert torch.equal(_stem(backbone), theirs)
    assert report.adapted == ()


def test_without_names_bands_go_by_their_order_or_all_by_the_mean_and_it_is_said() -> None:
    for ours, count in ((("", "", ""), 3), (("red", "nir", "", "", ""), 5)):
        source, theirs = _source(("", "", ""), ours)
        backbone = _donor(count, seed=2)
        report = load_weights(backbone, source)
        assert "not all are known by name" in report.describe()
        torch.testing.assert_close(_stem(backbone).sum(1), theirs.sum(1))
    assert report.bands == ()


def test_no_band_in_common_takes_the_mean_that_keeps_the_response() -> None:
    source, theirs = _source(("vv", "vh"), ("red", "green", "blue"))
    backbone = _donor(3, seed=2)
    assert "no band in common" in load_weights(backbone, source).describe()
    torch.testing.assert_close(_stem(backbone).sum(1), theirs.sum(1))


def test_every_tensor_is_listed_by_name() -> None:
    source, _ = _source(("red", "green", "blue"), ("red", "nir"))
    report = load_weights(
        _donor(2),
        replace(source, read=lambda: {**source.read(), "fc.weight": torch.zeros(2, 512)}, licence="mit"),
    )
    lines = report.listing().splitlines()
    assert "adapted\tconv1.weight" in lines
    assert "not used\tfc.weight" in lines
    assert "band nir\tmean of all" in lines
    assert sum(line.startswith("matched\t") for line in lines) == len(report.matched)
    assert "licence mit" in lines[0]


def test_the_bands_of_a_bundle_are_read_from_it(tmp_path: Path) -> None:
    path = tmp_path / "other.eodl"
    donor = _donor(2)
    spec = {
        "classes": [{"id": 1, "name": "roof"}],
        "bands": [{"name": "red", "named": True}, {"name": "band_2", "named": False}],
        "normalization": {"mean": [1, 2], "std": [3, 4]},
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", json.dumps(spec))
        archive.writestr(
            "weights.safetensors",
            safetensors.torch.save({f"backbone.{k}": v.contiguous() for k, v in donor.state_dict().items()}),
        )
    found = find_weights(str(path), "resnet18", ("nir", "red"))
    assert found is not None
    assert found.bands == ("red", "")
    assert found.normalization is not None
    assert found.normalization.std == (3, 4)
    backbone = _donor(2, seed=2)
    report = load_weights(backbone, found)
    assert torch.equal(_stem(backbone)[:, 1], _stem(donor)[:, 0])
    assert report.prefix == "backbone"
    with zipfile.ZipFile(tmp_path / "bad.eodl", "w") as archive:
        archive.writestr("model.json", "{}x")
    with pytest.raises(BundleError, match="not JSON"):
        find_weights(str(tmp_path / "bad.eodl"), "resnet18")


def test_names_are_found_in_full_and_short_and_wrong_ones_answered() -> None:
    assert find_named("ResNet18_Weights.SENTINEL2_ALL_MOCO", "resnet18") is not None
    assert find_named("sentinel2-all-moco", "resnet50").name == "ResNet50_Weights.SENTINEL2_ALL_MOCO"
    assert find_named("SENTINEL2_ALL_MOCO", "resnet18").name == "ResNet18_Weights.SENTINEL2_ALL_MOCO"
    with pytest.raises(
        ConfigError, match="trained with resnet18 or resnet50, not resnet34; set `backbone` to resnet18"
    ):
        find_named("sentinel2-all-moco", "resnet34")
    with pytest.raises(ConfigError, match=r"did you mean ResNet18_Weights.SENTINEL2_ALL_MOCO\?"):
        find_named("ResNet18_Weights.SENTINEL2_ALL_MOCOO", "resnet18")
    with pytest.raises(ConfigError, match="no pyramid"):
        find_weights("ViTSmall16_Weights.SENTINEL2_ALL_DINO", "resnet18")
    assert not is_name("some/file.pth")
    with pytest.raises(BundleError, match=r"no such weights file. `weights` is none, imagenet, a name"):
        find_weights("sentinel2-al-moco", "resnet18")


def test_a_download_that_cannot_be_had_is_one_line_that_names_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The real way of torchgeo and timm, to a port where nobody listens.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for weights in ("sentinel2-all-moco", IMAGENET):
        source = find_weights(weights, "resnet18", ("red",))
        assert source is not None
        with pytest.raises(BundleError, match=r"cannot be downloaded .*path as `weights`") as raised:
            source.read()
        assert "\n" not in str(raised.value)


def test_a_torchgeo_weight_knows_its_bands_units_and_licence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    donor = _donor(13)
    torch.save(donor.state_dict(), tmp_path / "moco.pth")

    def fetch(url: str, *args: Any, **options: Any) -> dict[str, torch.Tensor]:
        assert url.startswith("https://")
        assert options["weights_only"]
        found: dict[str, torch.Tensor] = torch.load(tmp_path / "moco.pth", weights_only=True)
        return found

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    source = find_weights("ResNet18_Weights.SENTINEL2_ALL_MOCO", "resnet18", ("red", "nir", "B02", "dem"))
    assert source is not None
    assert source.normalization is not None
    assert (source.normalization.mean, source.normalization.std, source.full) == ((0,) * 13, (1e4,) * 13, 1e4)
    backbone = _donor(4, seed=2)
    report = load_weights(backbone, source)
    assert torch.equal(_stem(backbone)[:, :3], _stem(donor)[:, [3, 7, 1]])
    assert report.licence == "cc-by-4.0"
    assert "red from b4" in report.describe()


def test_imagenet_weights_are_timms_and_red_green_blue(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    torch.manual_seed(3)
    whole = timm.create_model("test_resnet", pretrained=False)
    monkeypatch.setattr(weightsources, "_timm_state", lambda name: dict(whole.state_dict()))
    source = find_weights(IMAGENET, "test_resnet", ("blue", "green", "red"))
    assert source is not None
    assert source.normalization is not None
    assert source.normalization.mean == (0.5, 0.5, 0.5)
    backbone = make_backbone("test_resnet", 3)
    report = load_weights(backbone, source)
    assert report.random == ()
    assert torch.equal(_stem(backbone), _stem(whole).flip(1))
    with pytest.raises(BundleError, match="timm has none of this name for backbone"):
        find_weights(IMAGENET, "resnet1_of_nobody")


def test_chained_normalizations_are_one() -> None:
    class Step:
        def __init__(self, mean: list[float], std: list[float]) -> None:
            self.mean, self.std = mean, std

    steps = [
        object(),
        Step([3.0, 2.0], [85.0, 101.0]),
        Step([0.0], [1 / 255]),
        Step([0.485, 0.456], [0.229, 0.224]),
    ]
    found = weightsources._normalization(steps, 2)
    assert found is not None
    for value in (0.0, 17.0, 255.0):
        for band, (low, width, mean, std) in enumerate(
            ((3.0, 85.0, 0.485, 0.229), (2.0, 101.0, 0.456, 0.224))
        ):
            assert (value - found.mean[band]) / found.std[band] == pytest.approx(
                ((value - low) / width * 255 - mean) / std
            )
    assert weightsources._normalization([object()], 2) is None


@pytest.mark.parametrize("suffix", ["pth", "pt", "ckpt", "safetensors", "eodl"])
def test_a_missing_file_named_like_the_backbone_is_no_timm_tag(suffix: str) -> None:
    with pytest.raises(BundleError, match="no such"):
        find_weights(f"resnet18.{suffix}", "resnet18")


def test_the_list_agrees_with_torchgeo_and_timm() -> None:
    from timm.models import get_pretrained_cfg
    from torchgeo.models import get_weight

    names = [(weights.name, weights.backbone) for weights in named_weights()]
    assert len(set(names)) == len(names)
    for weights in named_weights():
        if weights.name == IMAGENET:
            config = get_pretrained_cfg(weights.backbone)
            assert config.has_weights
            assert config.license == weights.licence
            continue
        meta = get_weight(weights.name).meta
        assert meta.get("encoder", weights.name.split("_")[0].lower()) == weights.backbone
        assert len(weights.bands) == meta["in_chans"]
        short = {"red": "R", "green": "G", "blue": "B"}
        if "bands" in meta:
            assert tuple(meta["bands"]) in (
                weights.bands,
                tuple(short.get(band, band) for band in weights.bands),
            )
        if "license" in meta:
            assert meta["license"].lower() == weights.licence


def test_the_list_needs_no_torch() -> None:
    code = (
        "import sys\nimport eo_dl.networks.catalogue\nprint({'torch', 'timm', 'torchgeo'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "set()"
