"""The STAC item of a model keeps the rules of STAC 1.1 and of the MLM extension 1.5.

The schema of MLM cannot be part of this repository, so its rules are written down here: required fields,
types, allowed values, and what fields say about each other. Two libraries judge the same items without the
network: pystac, by the schema of STAC that it carries, and stac-model, by its own model of MLM.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from eo_dl.bundle import save_bundle
from eo_dl.modelitem import model_item
from eo_dl.modelspec import BandSpec, ClassSpec, MemberSpec, ModelSpec, Provenance
from eo_dl.tasks import VALUES, Task, load_task
from tests.tinynetworks import EVERY_TASK, make_tiny_network, network_inputs, tiny_config, tiny_spec

MLM_TASKS = {
    "regression",
    "classification",
    "scene-classification",
    "detection",
    "object-detection",
    "segmentation",
    "semantic-segmentation",
    "instance-segmentation",
    "panoptic-segmentation",
    "similarity-search",
    "generative",
    "image-captioning",
    "super-resolution",
    "downscaling",
}
DATA_TYPES = {"uint8", "uint16", "uint32", "int8", "int16", "int32", "int64", "float32", "float64"}
EXTENT: Any = {"type": "Polygon", "coordinates": [[[4.0, 50.0], [4.5, 50.0], [4.5, 50.25], [4.0, 50.0]]]}
CREATED = "2026-11-30T04:00:00+00:00"
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def check_item(item: dict[str, Any]) -> None:
    """Raises `AssertionError` for an item that a validator of STAC and MLM would refuse."""
    assert item["type"] == "Feature" and item["stac_version"] == "1.1.0"
    assert isinstance(item["id"], str) and item["id"]
    assert isinstance(item["links"], list)
    assert "geometry" in item
    assert (item["geometry"] is None) == ("bbox" not in item), "a bbox wherever there is a geometry"
    properties = item["properties"]
    if properties["datetime"] is None:
        assert RFC3339.fullmatch(properties["start_datetime"])
        assert properties["start_datetime"] <= properties["end_datetime"]
    else:
        assert RFC3339.fullmatch(properties["datetime"])
    prefixes = {key.split(":")[0] for key in _keys(item) if ":" in key}
    named = {
        re.sub(r".*github\.io/(\w+)/v[\d.]+/schema\.json", r"\1", url) for url in item["stac_extensions"]
    }
    assert prefixes <= named, "every prefix belongs to a listed extension"
    check_mlm(properties)
    assets = item["assets"].values()
    assert any("mlm:model" in asset["roles"] for asset in assets)
    assert any("bands" in asset for asset in assets), "only then may the properties have bands"
    for asset in assets:
        assert asset["href"].startswith("./") and isinstance(asset["type"], str)
        assert ("mlm:artifact_type" in asset) == ("mlm:model" in asset["roles"])
        assert re.fullmatch(r"1220[0-9a-f]{64}", asset["file:checksum"])
        assert isinstance(asset["file:size"], int)


def check_mlm(properties: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.-]+[a-zA-Z0-9]", properties["mlm:name"])
    assert isinstance(properties["mlm:architecture"], str) and properties["mlm:architecture"]
    assert properties["mlm:framework"] in ("PyTorch", "ONNX")
    check_tasks(properties["mlm:tasks"])
    described = {band["name"] for band in properties["bands"]}
    for entry in properties["mlm:input"]:
        assert isinstance(entry["name"], str) and entry["name"]
        assert set(entry["bands"]) <= described, "every band is described in the item"
        assert "bands" in entry["input"]["dim_order"]
        check_array(entry["input"])
        assert None not in entry.values(), "an absent field is omitted, never null"
        assert len(entry["value_scaling"]) == len(entry["bands"])
        for scaling in entry["value_scaling"]:
            assert scaling.keys() == {"type", "mean", "stddev"} and scaling["type"] == "z-score"
    for entry in properties["mlm:output"]:
        assert isinstance(entry["name"], str) and entry["name"]
        check_tasks(entry["tasks"])
        check_array(entry["result"])
        for info in entry.get("classification:classes", []):  # values have none
            assert info.keys() == {"value", "name", "description", "color_hint"}, "no title"
            assert isinstance(info["value"], int)
            assert re.fullmatch(r"[0-9A-Za-z_-]+", info["name"])
            assert re.fullmatch(r"[0-9A-F]{6}", info["color_hint"])


def check_tasks(tasks: list[str]) -> None:
    assert tasks and set(tasks) <= MLM_TASKS and len(set(tasks)) == len(tasks)


def check_array(array: dict[str, Any]) -> None:
    assert len(array["shape"]) == len(array["dim_order"]) > 0
    assert all(isinstance(length, int) and length >= -1 for length in array["shape"])
    assert all(re.fullmatch(r"[a-z-_]+", name) for name in array["dim_order"])
    assert len(set(array["dim_order"])) == len(array["dim_order"])
    assert array["data_type"] in DATA_TYPES


def judge(item: dict[str, Any]) -> None:
    """Raises an error of pystac or stac-model for an item that they refuse."""
    pystac = pytest.importorskip("pystac")
    from pystac.validation.stac_validator import JsonSchemaSTACValidator
    from stac_model.schema import MLModelProperties

    JsonSchemaSTACValidator().validate_core(item, pystac.STACObjectType.ITEM, item["stac_version"])
    read = pystac.Item.from_dict(item, preserve_dict=True)
    MLModelProperties.model_validate(
        {name: value for name, value in read.properties.items() if name.startswith("mlm:")}
    )


def _keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for part in value.values() for key in _keys(part)}
    if isinstance(value, list):
        return {key for part in value for key in _keys(part)}
    return set()


def _item(spec: ModelSpec, **origin: Any) -> dict[str, Any]:
    dated = spec.model_copy(update={"provenance": Provenance(**({"created": CREATED} | origin))})
    content = model_item(dated, {"weights.safetensors": MemberSpec(size=1, sha256="0" * 64)})
    assert content is not None
    item: dict[str, Any] = json.loads(content)
    return item


def _spec(task: Task) -> ModelSpec:
    return tiny_spec(task, tiny_config(task), network_inputs(task).classes)


@EVERY_TASK
def test_every_task_gives_a_valid_item(task: Task, tmp_path: Path) -> None:
    spec = _spec(task).model_copy(update={"provenance": Provenance(created=CREATED, extent=EXTENT)})
    bundle = save_bundle(tmp_path / "model.eodl", spec, make_tiny_network(task).state_dict())
    item = json.loads(bundle.read("item.json"))
    check_item(item)
    assert item["bbox"] == [4.0, 50.0, 4.5, 50.25]
    assert item["properties"]["datetime"] == "2026-11-30T04:00:00Z"
    weights = item["assets"]["weights.safetensors"]
    digest = hashlib.sha256(bundle.read("weights.safetensors")).hexdigest()
    assert weights["file:checksum"] == f"1220{digest}"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects fails."""

    def connect(*address: object) -> None:
        raise AssertionError(f"connects to {address}")

    monkeypatch.setattr("socket.socket.connect", connect)


@EVERY_TASK
def test_pystac_and_stac_model_accept_the_item(task: Task, offline: None) -> None:
    judge(_item(_spec(task), extent=EXTENT))
    judge(_item(_spec(task).model_copy(update={"gsd_m": None}), acquired=("2024-06-01", "2025-06-01")))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("links",), None),
        (("properties", "datetime"), "yesterday"),
        (("assets",), None),
        (("properties", "mlm:name"), ""),
        (("properties", "mlm:tasks"), ["mapping"]),
        (("properties", "mlm:input", 0, "input", "data_type"), "float"),
        (("properties", "mlm:input", 0, "input", "dim_order"), "bchw"),
        (("properties", "mlm:input", 0, "value_scaling", 0, "type"), "normal"),
        (("properties", "mlm:output", 0, "result", "shape"), None),
    ],
)
def test_they_would_refuse_a_wrong_item(path: tuple[str | int, ...], value: object, offline: None) -> None:
    """Else the test above would prove nothing."""
    item = _item(_spec(load_task("segmentation")), extent=EXTENT)
    place: Any = item
    for step in path[:-1]:
        place = place[step]
    assert path[-1] in place
    place[path[-1]] = value
    with pytest.raises(Exception, match=re.escape(str(path[-1]))):
        judge(item)


@EVERY_TASK
def test_names_and_units_of_users_are_made_valid(task: Task) -> None:
    spec = _spec(task).model_copy(
        update={
            "name": "9 Dächer!",
            "bands": (
                BandSpec(name="red", number=1, dtype="uint16", scale=1e-4, offset=-0.1, wavelength_um=0.66),
                *_spec(task).bands[1:],
            ),
            "classes": (
                ClassSpec(id=0, name="ground", color="#e8e6e0"),
                ClassSpec(id=1, name="dach | <b>", color="#ff00ab"),
                ClassSpec(id=2, name="水", color="#0000ff"),
            ),
        }
    )
    item = _item(spec)
    check_item(item)
    red = item["properties"]["bands"][0]
    assert red["raster:scale"] == 1e-4 and red["eo:center_wavelength"] == 0.66
    output = item["properties"]["mlm:output"][0]
    if task.output == VALUES:
        assert "dach | <b>" in output["description"] and output["tasks"] == ["regression"]
        return
    names = [info["name"] for info in output["classification:classes"]]
    assert names == ["ground", "dach_b", "class_2"]


@pytest.mark.parametrize(
    ("acquired", "expected"),
    [
        (("2024-06-01",), ("2024-06-01T00:00:00Z", "2024-06-01T00:00:00Z")),
        (
            ("2024-07-01T12:00:00+02:00", "2023-06-01T10:00:00Z"),
            ("2023-06-01T10:00:00Z", "2024-07-01T10:00:00Z"),
        ),
        (("2024-06-01", "in June"), None),
    ],
)
def test_the_time_is_that_of_the_scenes_where_all_are_known(
    acquired: tuple[str, ...], expected: tuple[str, str] | None
) -> None:
    item = _item(_spec(load_task("segmentation")), acquired=acquired)
    check_item(item)
    properties = item["properties"]
    if expected is None:
        assert properties["datetime"] == "2026-11-30T04:00:00Z"
    else:
        assert (properties["start_datetime"], properties["end_datetime"]) == expected


def test_without_a_time_there_is_no_item() -> None:
    assert model_item(_spec(load_task("segmentation")), {}) is None
