"""Where a model comes from, for its bundle."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import shapely
from pydantic import JsonValue
from pyproj import CRS

from ...chips.chipset import ChipSet
from ...core.commandline import command_line
from ...core.geometries import reproject
from ...io.maskrules import short_mask
from ...modelspec import MASK_KEY, Provenance, ScoreSpec
from ...version import __version__
from ..setup.taskdata import TaskData
from .results import SplitScores
from .runstate import RunState
from .trainedvalues import trained_ground

_LIBRARIES = (
    "torch",
    "torchvision",
    "lightning",
    "timm",
    "segmentation-models-pytorch",
    "albumentations",
    "numpy",
    "rasterio",
)
_LONGITUDE_LATITUDE = CRS.from_epsg(4326)
_SEGMENTS = 32
"""A footprint's outline gets at least so many vertices, because its edges are curved in longitude and
latitude."""


def provenance(
    data: TaskData, state: RunState, baselines: Sequence[SplitScores], notes: Sequence[str]
) -> Provenance:
    """Versions, seed, chip set, extent, and how the training went.

    Args:
        data: What was trained on.
        state: The state of the finished run.
        baselines: The scores of the baselines, of which the primary ones are kept.
        notes: What users of the model should know.
    """
    chips, config = data.chips, data.config
    return Provenance(
        eo_dl=__version__,
        versions={name: _version(name) for name in _LIBRARIES},
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        seed=config.seed,
        chip_set=chips.content_hash,
        chip_counts={split: len(records) for split, records in data.records.items()},
        scenes=tuple(scene.name for scene in chips.scenes),
        acquired=tuple(sorted({scene.file.acquired for scene in chips.scenes if scene.file.acquired})),
        extent=train_extent(chips),
        trained_ground=trained_ground(data),
        licence=config.licence,
        weights_from=Path(config.weights).name,
        command=command_line(),
        training={
            "config": config.model_dump(mode="json"),
            "epochs": state.epoch,
            "best_epoch": state.best_epoch,
            "steps": state.step,
            "stopped": state.stopped,
            "minutes": round(state.seconds / 60, 2),
            **_masks(chips),
        },
        baselines=_baseline_specs(baselines, data.task.primary_score),
        notes=tuple(notes),
    )


def train_extent(chips: ChipSet) -> JsonValue:
    """The outline of the scenes with train chips as a GeoJSON geometry in longitude and latitude.

    None if no scene has a CRS.
    """
    outlines = []
    for index in sorted({record.scene_index for record in chips.split("train")}):
        scene = chips.scenes[index]
        if scene.grid.crs is None:
            continue
        footprint = scene.grid.footprint()
        segmented = shapely.segmentize(footprint, footprint.length / _SEGMENTS)
        in_degrees = reproject(
            np.array([segmented], dtype=object), scene.grid.crs, _LONGITUDE_LATITUDE, scene.name
        )
        outlines.append(in_degrees[0])
    if not outlines:
        return None
    outline = shapely.set_precision(shapely.union_all(outlines).simplify(1e-6), 1e-7)  # 1e-7 degrees: 1 cm
    return _json(shapely.geometry.mapping(outline))


def _masks(chips: ChipSet) -> dict[str, JsonValue]:
    """The rules of ground that was not trained on, without the folders of mask files; nothing without any."""
    rules = {short_mask(rule) for scene in chips.scenes for rule in scene.options.mask}
    return {MASK_KEY: list[JsonValue](sorted(rules))} if rules else {}


def _baseline_specs(baselines: Sequence[SplitScores], primary: str) -> tuple[ScoreSpec, ...]:
    specs: list[ScoreSpec] = []
    for baseline in baselines:
        of_baseline = baseline.specs({primary}, prefix=f"{baseline.name}: ")
        specs += [spec for spec in of_baseline if spec.class_name is None]
    return tuple(specs)


def _json(value: object) -> JsonValue:
    """The value with lists for tuples: shapely gives tuples, and a strict model refuses them."""
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return value if isinstance(value, str | int | float | bool) else None


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
