from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from eo_dl.bundle import MEMBERS, Bundle, load_model, save_bundle
from eo_dl.core.bands import Band, BandSet
from eo_dl.core.classes import ClassInfo, ClassSet
from eo_dl.errors import BundleError, OutputExistsError
from eo_dl.modelcard import model_card
from eo_dl.modelspec import (
    ModelSpec,
    NormalizationSpec,
    Provenance,
    ScoreSpec,
    band_specs,
    class_specs,
    read_spec,
)
from eo_dl.tasks import NetworkInputs, load_task
from eo_dl.tasks.segmentation.config import SegmentationConfig

BANDS = BandSet(
    (
        Band("red", 3, True, "uint16", 1e-4, -0.1, 0.0, 0.66),
        Band("nir", 4, True, "float32", nodata=float("nan")),
    )
)
CLASSES = ClassSet(
    (ClassInfo(0, "background", "#e8e6e0"), ClassInfo(9, "roof | <b>tile</b>\n# x", "#ff0000"))
)
PNG = b"\x89PNG\r\n\x1a\n picture"


def _spec(**changes: object) -> ModelSpec:
    config = SegmentationConfig(backbone="test_resnet", decoder_channels=(8,)).model_dump(mode="json")
    spec = ModelSpec(
        name="roofs: 'x'",
        task="segmentation",
        config=config,
        bands=band_specs(BANDS),
        classes=class_specs(CLASSES),
        gsd_m=0.5,
        chip_px=64,
        margin_px=8,
        normalization=NormalizationSpec(mean=(0.1, 2.0), std=(0.05, 1.0)),
        scores=(
            ScoreSpec(name="mean_iou", value=0.75, count=100, low=0.7, high=0.8),
            ScoreSpec(name="iou", value=None, class_name="roof", count=0),
        ),
        provenance=Provenance(
            eo_dl="0.1.0", versions={"torch": "2"}, seed=3, scenes=("a.tif",), licence="MIT"
        ),
    )
    return spec.model_copy(update=changes)


def _network() -> torch.nn.Module:
    torch.manual_seed(0)
    task = load_task("segmentation")
    return task.make_network(
        SegmentationConfig(backbone="test_resnet", decoder_channels=(8,)), NetworkInputs(2, CLASSES, 64)
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "model.eodl"
    save_bundle(path, _spec(), _network().state_dict(), preview=PNG)
    return path


def _repacked(
    source: Path,
    target: Path,
    change: Callable[[dict[str, bytes]], object],
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target


def _edited(key: str, value: object) -> Callable[[dict[str, bytes]], object]:
    def change(members: dict[str, bytes]) -> None:
        data = json.loads(members["model.json"])
        if value is None:
            del data[key]
        else:
            data[key] = value
        members["model.json"] = json.dumps(data).encode()

    return change


def test_everything_comes_back_as_it_was_saved(saved: Path) -> None:
    bundle = load_model(saved)
    assert bundle.spec.model_copy(update={"members": {}}) == _spec()
    assert bundle.classes == CLASSES
    assert bundle.bands[0] == BANDS[0]
    assert bundle.bands[1].nodata is not None
    assert np.isnan(bundle.bands[1].nodata)
    assert bundle.normalization.std == (0.05, 1.0)
    assert bundle.read("preview.png") == PNG
    assert bundle.members == ("model.json", "README.md", "preview.png", "weights.safetensors")
    expected = _network().state_dict()
    assert bundle.state().keys() == expected.keys()
    for name, array in bundle.state().items():
        assert array.shape == tuple(expected[name].shape)
        assert torch.equal(torch.from_numpy(np.array(array)), expected[name])


def test_equal_models_give_equal_bytes(saved: Path, tmp_path: Path) -> None:
    state = dict(reversed(_network().state_dict().items()))
    again = save_bundle(tmp_path / "other.eodl", _spec(), state, preview=PNG)
    assert again.path.read_bytes() == saved.read_bytes()
    assert again.hash == load_model(saved).hash
    assert save_bundle(tmp_path / "third.eodl", _spec(gsd_m=0.6), state).hash != again.hash


def test_the_network_is_made_in_eval_mode(saved: Path) -> None:
    network = load_model(saved).make_network()
    assert not network.training
    with torch.inference_mode():
        assert torch.equal(
            network(torch.ones(1, 2, 64, 64))["logits"], _network().eval()(torch.ones(1, 2, 64, 64))["logits"]
        )


def test_places_for_onnx_and_stac_are_kept(tmp_path: Path) -> None:
    origin = Provenance(created="2026-11-30T04:00:00+00:00")
    bundle = save_bundle(
        tmp_path / "m.eodl",
        _spec(provenance=origin),
        _network().state_dict(),
        extra={"model.onnx": b"graph"},
    )
    assert bundle.read("model.onnx") == b"graph"
    assert set(bundle.members) == set(MEMBERS) - {"preview.png", "config.yaml", "applicability.safetensors"}
    with pytest.raises(BundleError, match=r"holds no preview\.png; it has model\.json"):
        bundle.read("preview.png")
    with pytest.raises(BundleError, match=r"unexpected or repeated member 'run\.py'"):
        save_bundle(tmp_path / "n.eodl", _spec(), _network().state_dict(), extra={"run.py": b""})


def test_an_existing_bundle_is_not_replaced_unasked(saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(OutputExistsError, match="overwrite=True"):
        save_bundle(saved, _spec(), _network().state_dict())
    assert saved.read_bytes() == before


def test_weights_that_are_not_finite_are_never_written(tmp_path: Path) -> None:
    state = _network().state_dict()
    state["head.bias"][0] = float("inf")
    with pytest.raises(BundleError, match=r"1 of \d+ tensors hold NaN or infinity, first 'head\.bias'"):
        save_bundle(tmp_path / "m.eodl", _spec(), state)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a bundle"),
        (b"II*\0 a tiff", "not a bundle"),
        (b"PK\x05\x06" + bytes(18), r"model\.json is missing"),
    ],
)
def test_what_is_no_bundle_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x.eodl"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=says):
        load_model(path)


def test_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
    for path, says in ((tmp_path, "a folder"), (tmp_path / "no.eodl", "no such file")):
        with pytest.raises(BundleError, match=says):
            load_model(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.pop("weights.safetensors"), r"weights\.safetensors is missing"),
        (lambda m: m.pop("README.md"), r"README\.md is missing, but listed"),
        (lambda m: m.update({"item.json": b"{}"}), r"item\.json is not listed"),
        (lambda m: m.update({"../evil.py": b""}), r"unexpected or repeated member '\.\./evil\.py'"),
        (lambda m: m.update({"weights.safetensors": m["weights.safetensors"][:-1]}), "SHA-256 differs"),
        (lambda m: m.update({"model.json": b"{"}), "not JSON"),
        (lambda m: m.update({"model.json": b"[" * 100_000}), "not JSON"),
        (lambda m: m.update({"model.json": b"[]"}), "no format version"),
        (_edited("format_version", 2), "bundle format 2 is newer than 1.*update eo_dl"),
        (_edited("format_version", True), "no format version"),
        (_edited("task", "forecasting"), "unknown task 'forecasting'; expected one of"),
        (_edited("task", "../x"), "not valid at task"),
        (_edited("bands", []), "not valid at bands"),
        (_edited("chip_px", 1e9), "not valid at chip_px"),
        (_edited("chip_px", 10), "a margin of 8 px leaves nothing"),
        (_edited("gsd_m", None), None),
        (_edited("classes", None), "not valid at classes"),
        (_edited("surprise", 1), "has the entry surprise, which this version.*update eo_dl"),
        (_edited("normalization", {"mean": [0.0], "std": [1.0]}), "one mean and std a band"),
        (
            _edited("normalization", {"mean": [0.0, 0.0], "std": [1.0, 0.0]}),
            r"not valid at normalization\.std",
        ),
        (_edited("config", {"network": "unet", "decoder_channels": [1e6]}), "not valid at decoder_channels"),
        (_edited("config", {"run": "x"}), "not valid at run"),
    ],
)
def test_tampered_bundles_are_refused_in_one_line(
    saved: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], object], says: str | None
) -> None:
    path = _repacked(saved, tmp_path / "tampered.eodl", change)
    if says is None:  # an optional field may be left out
        assert load_model(path).spec.gsd_m is None
        return
    with pytest.raises(BundleError, match=says) as raised:
        load_model(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_weights_of_another_network_are_refused_by_tensor_name(saved: Path, tmp_path: Path) -> None:
    config = _spec().config | {"decoder_channels": [16]}
    path = _repacked(saved, tmp_path / "other.eodl", _edited("config", config))
    with pytest.raises(BundleError, match=r"\d+ tensors differ, first 'decoder"):
        load_model(path).make_network()
    path = _repacked(saved, tmp_path / "third.eodl", _edited("config", config | {"backbone": "hf-hub:a/b"}))
    with pytest.raises(BundleError, match="unknown backbone"):
        load_model(path).make_network()


def test_compressed_members_are_refused_before_they_are_unpacked(saved: Path, tmp_path: Path) -> None:
    path = _repacked(
        saved,
        tmp_path / "bomb.eodl",
        lambda m: m.update({"README.md": bytes(3_000_000)}),
        zipfile.ZIP_DEFLATED,
    )
    with pytest.raises(BundleError, match="compressed or encrypted"):
        load_model(path)


def test_members_that_are_too_large_or_twice_there_are_refused(saved: Path, tmp_path: Path) -> None:
    path = _repacked(
        saved, tmp_path / "large.eodl", lambda m: m.update({"README.md": bytes(MEMBERS["README.md"] + 1)})
    )
    with pytest.raises(BundleError, match=r"README\.md has \d+ bytes; at most"):
        load_model(path)
    path.write_bytes(saved.read_bytes())
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("model.json", b"{}")
    with pytest.raises(BundleError, match="unexpected or repeated"):
        load_model(path)


def test_no_flipped_or_lost_byte_gives_a_traceback(saved: Path, tmp_path: Path) -> None:
    data, rng = saved.read_bytes(), np.random.default_rng(0)
    path = tmp_path / "damaged.eodl"
    with zipfile.ZipFile(saved) as archive:
        start = archive.getinfo("weights.safetensors").header_offset
    places = [*rng.integers(0, start + 400, 60), *rng.integers(len(data) - 400, len(data), 60)]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        _loads_or_is_refused(path)
    for length in rng.integers(0, len(data), 30):
        path.write_bytes(data[:length])
        with pytest.raises(BundleError):
            load_model(path)


def _loads_or_is_refused(path: Path) -> None:
    try:
        bundle = load_model(path)
    except BundleError:
        return
    assert isinstance(bundle, Bundle)  # e.g. a changed date in the zip's directory


def test_older_formats_would_be_upgraded_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from eo_dl import modelspec

    old = json.loads(_spec().to_json()) | {"format_version": 1, "title": "t"}
    steps = {1: lambda data: {k: v for k, v in data.items() if k != "title"} | {"format_version": 2}}
    monkeypatch.setattr(modelspec, "_UPGRADES", steps)
    upgraded = modelspec._upgraded(old, 1, 2)
    assert upgraded["format_version"] == 2
    assert "title" not in upgraded


def test_specs_survive_json_to_the_last_digit() -> None:
    spec = _spec(gsd_m=0.1 + 0.2)
    assert read_spec(spec.to_json(), "x") == spec
    assert read_spec(spec.to_json(), "x").to_json() == spec.to_json()


def test_the_card_is_front_matter_and_escaped_markdown() -> None:
    card = model_card(_spec())
    _, front, body = card.split("---\n", maxsplit=2)
    matter = yaml.safe_load(front)
    assert matter["pipeline_tag"] == "image-segmentation"
    assert matter["license"] == "MIT"
    assert matter["model-index"][0]["name"] == "roofs: 'x'"
    assert matter["model-index"][0]["results"][0]["metrics"] == [{"type": "mean_iou", "value": 0.75}]
    assert "0.700 to 0.800" in body
    assert "not defined" in body
    assert "<b>" not in body.replace("\\<b", "")
    assert "roof \\| \\<b\\>tile\\</b\\> \\# x" in body


def test_the_card_files_each_score_under_its_own_split() -> None:
    scores = (
        ScoreSpec(name="mean_iou", value=0.75, count=100, split="val"),
        ScoreSpec(name="mean_iou", value=0.5, count=90, split="test"),
    )
    matter = yaml.safe_load(model_card(_spec(scores=scores)).split("---\n")[1])
    results = matter["model-index"][0]["results"]
    assert [(one["dataset"]["name"], one["metrics"][0]["value"]) for one in results] == [
        ("held-out blocks (val)", 0.75),
        ("held-out blocks (test)", 0.5),
    ]
