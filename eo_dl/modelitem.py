"""The STAC item of a model: item.json of a bundle, by which catalogues find it.

Fields are those of STAC 1.1 and of its extension for machine learning models (MLM 1.5).
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from typing import TypeAlias

from pydantic import JsonValue

from .modelspec import BandSpec, ClassSpec, MemberSpec, ModelSpec
from .tasks import CHIPS, OBJECTS, RASTER, VALUES, OutputKind, Task, codec_for, load_task
from .tasks.codecs import VALUES_NAME

Fields: TypeAlias = dict[str, JsonValue]

_EXTENSIONS = "https://stac-extensions.github.io"
_MLM = f"{_EXTENSIONS}/mlm/v1.5.2/schema.json"
_FILE = f"{_EXTENSIONS}/file/v2.1.0/schema.json"
_CLASSIFICATION = f"{_EXTENSIONS}/classification/v2.0.0/schema.json"
_RASTER = f"{_EXTENSIONS}/raster/v2.0.0/schema.json"
_EO = f"{_EXTENSIONS}/eo/v2.0.0/schema.json"
_MULTIHASH_SHA256 = "1220"  # the prefix of a SHA-256 as a multihash, which file:checksum is

# Names of tasks in MLM that are not the title of a task of ours with hyphens.
_KNOWN_TASKS = {"semantic-segmentation", "instance-segmentation", "object-detection"}
_TASK_OF_KIND: dict[OutputKind, str] = {
    RASTER: "segmentation",
    OBJECTS: "object-detection",
    CHIPS: "scene-classification",
    VALUES: "regression",
}

_ASSETS: dict[str, Fields] = {
    "weights.safetensors": {
        "roles": ["mlm:model", "mlm:weights"],
        "type": "application/octet-stream; application=safetensors",
        "mlm:artifact_type": "safetensors.torch.save_file",
    },
    "model.onnx": {
        "roles": ["mlm:model"],
        "type": "application/octet-stream; application=onnx",
        "mlm:artifact_type": "onnx",
    },
    "model.eodl": {
        "roles": ["mlm:model"],
        "type": "application/zip",
        "mlm:artifact_type": "eo_dl",
    },
    "README.md": {"roles": ["metadata"], "type": "text/markdown"},
    "preview.png": {"roles": ["overview"], "type": "image/png"},
}


def model_item(spec: ModelSpec, files: Mapping[str, MemberSpec]) -> bytes | None:
    """The item as JSON; equal models give equal bytes.

    Args:
        spec: The description of the model.
        files: Size and hash of the files beside the item.

    Returns:
        The file's content. None where neither the time of training nor that of the scenes is known: an item
        without a time is not valid.
    """
    times = _times(spec)
    if times is None:
        return None
    geometry = spec.provenance.extent
    # MLM wants the bands among the properties; STAC allows them there only if assets have them, too.
    bands: list[JsonValue] = [_band(band) for band in spec.bands]
    item: Fields = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(_extensions(spec)),
        "id": _machine_name(spec.name),
        "geometry": geometry,
        "properties": {**times, **_properties(spec), "bands": bands},
        "links": [],
        "assets": {name: _asset(name, files[name], bands) for name in _ASSETS if name in files},
    }
    corners = list(_corners(geometry["coordinates"])) if isinstance(geometry, dict) else []
    if corners:
        cols, rows = [corner[0] for corner in corners], [corner[1] for corner in corners]
        item["bbox"] = [min(cols), min(rows), max(cols), max(rows)]
    text = json.dumps(item, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def _properties(spec: ModelSpec) -> Fields:
    task = load_task(spec.task)
    properties: Fields = {
        "title": spec.name,
        "description": f"A model for {task.title}.",
        "mlm:name": _machine_name(spec.name),
        "mlm:architecture": spec.graph_from or _architecture(spec),
        "mlm:tasks": [_mlm_task(task)],
        "mlm:framework": "ONNX" if spec.graph_from else "PyTorch",
        "mlm:input": [_input(spec)],
        "mlm:output": _outputs(spec, task),
    }
    if spec.gsd_m is not None:
        properties["gsd"] = spec.gsd_m
    if spec.provenance.licence:
        properties["license"] = spec.provenance.licence
    return properties


def _architecture(spec: ModelSpec) -> str:
    return f"{spec.config.get('network', spec.task)}, {spec.config.get('backbone', '')}"


def _mlm_task(task: Task) -> str:
    name = task.title.replace(" ", "-")
    return name if name in _KNOWN_TASKS else _TASK_OF_KIND[task.output]


def _extensions(spec: ModelSpec) -> tuple[str, ...]:
    used = [_MLM, _FILE, _CLASSIFICATION]
    if any(not _unscaled(band) for band in spec.bands):
        used.append(_RASTER)
    if any(band.wavelength_um is not None for band in spec.bands):
        used.append(_EO)
    return tuple(used)


def _unscaled(band: BandSpec) -> bool:
    return band.scale == 1 and band.offset == 0


def _band(band: BandSpec) -> Fields:
    fields: Fields = {"name": band.name, "data_type": band.dtype}
    if not _unscaled(band):
        fields |= {"raster:scale": band.scale, "raster:offset": band.offset}
    if band.wavelength_um is not None:
        fields["eo:center_wavelength"] = band.wavelength_um
    return fields


def _input(spec: ModelSpec) -> Fields:
    scaling: list[JsonValue] = [
        {"type": "z-score", "mean": mean, "stddev": std}
        for mean, std in zip(spec.normalization.mean, spec.normalization.std, strict=True)
    ]
    return {
        "name": "images",
        "description": "Physical values (stored * scale + offset) as standard scores; 0 where not measured.",
        "bands": [band.name for band in spec.bands],
        "input": {
            "shape": [-1, len(spec.bands), spec.chip_px, spec.chip_px],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": scaling,
    }


def _outputs(spec: ModelSpec, task: Task) -> list[JsonValue]:
    count, side = len(spec.classes), spec.chip_px
    if task.output == RASTER:
        shapes: dict[str, Fields] = {
            "logits": _array([-1, count, side, side], ["batch", "class", "height", "width"])
        }
    elif task.output == CHIPS:
        shapes = {"logits": _array([-1, count], ["batch", "class"])}
    elif task.output == VALUES:
        return [_value_output(spec, task)]
    else:
        shapes = {
            "boxes": _array([-1, -1, 4], ["batch", "object", "coordinate"]),
            "scores": _array([-1, -1], ["batch", "object"]),
            "channels": _array([-1, -1], ["batch", "object"], "int64"),
        }
    return [
        {
            "name": name,
            "tasks": [_mlm_task(task)],
            "result": shape,
            "classification:classes": [_class(info) for info in spec.classes],
        }
        for name, shape in shapes.items()
    ]


def _value_output(spec: ModelSpec, task: Task) -> Fields:
    """The output of a model of values, which has no classes but planes with a unit."""
    codec = codec_for(VALUES, task, spec.class_set(), task.config.model_validate(spec.config))
    planes, side = list(codec.band_names), spec.chip_px
    named = [
        f"{info.name} ({info.value.unit})" if info.value and info.value.unit else info.name
        for info in spec.classes
    ]
    return {
        "name": VALUES_NAME,
        "description": f"Numbers of {', '.join(named)}. Planes: {', '.join(planes)}.",
        "tasks": [_mlm_task(task)],
        "result": _array([-1, len(planes), side, side], ["batch", "value", "height", "width"]),
    }


def _array(shape: list[JsonValue], dim_order: list[JsonValue], data_type: str = "float32") -> Fields:
    return {"shape": shape, "dim_order": dim_order, "data_type": data_type}


def _class(info: ClassSpec) -> Fields:
    return {
        "value": info.id,
        "name": re.sub(r"[^0-9A-Za-z_-]+", "_", info.name).strip("_") or f"class_{info.id}",
        "description": info.name,
        "color_hint": info.color.removeprefix("#").upper(),
    }


def _asset(name: str, member: MemberSpec, bands: list[JsonValue]) -> Fields:
    known = _ASSETS[name]
    described: Fields = {"bands": bands} if "mlm:artifact_type" in known else {}
    return {
        "href": f"./{name}",
        **known,
        **described,
        "file:size": member.size,
        "file:checksum": _MULTIHASH_SHA256 + member.sha256,
    }


def _machine_name(name: str) -> str:
    """Letters, digits, `_`, `.` and `-`, at least three, a letter first and a letter or digit last."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-_.")
    if len(plain) < 3 or not plain[0].isalpha():
        return f"model-{plain}".rstrip("-")
    return plain


def _times(spec: ModelSpec) -> Fields | None:
    """When the scenes were taken, or else when the model was trained."""
    acquired = [_utc(text) for text in spec.provenance.acquired]
    known = sorted(time for time in acquired if time is not None)
    created = _utc(spec.provenance.created)
    fields: Fields = {} if created is None else {"created": created}
    if known and len(known) == len(acquired):
        return {**fields, "datetime": None, "start_datetime": known[0], "end_datetime": known[-1]}
    return None if created is None else {**fields, "datetime": created}


def _utc(text: str) -> str | None:
    """RFC 3339 in UTC; None for a text that is no time in ISO 8601. Without a zone it counts as UTC."""
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    aware = time if time.tzinfo is not None else time.replace(tzinfo=datetime.UTC)
    return aware.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _corners(coordinates: JsonValue) -> list[list[float]]:
    """All positions of nested GeoJSON coordinates."""
    if not isinstance(coordinates, list) or not coordinates:
        return []
    if all(isinstance(value, int | float) for value in coordinates):
        return [[float(value) for value in coordinates if isinstance(value, int | float)]]
    corners: list[list[float]] = []
    for part in coordinates:
        corners += _corners(part)
    return corners
