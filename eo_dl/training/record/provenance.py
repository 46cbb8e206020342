"""Where a model comes from, for its bundle."""

from __future__ import annotations

import datetime
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import shapely
from pydantic import JsonValue
from pyproj import CRS

from ...chips.chipset import ChipSet
from ...core.geometries import reproject
from ...modelspec import Provenance
from ...version import __version__
from ..setup.taskdata import TaskData
from .results import SplitScores
from .runstate import RunState

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


def provenance(
    data: TaskData, state: RunState, baselines: Sequence[SplitScores], notes: Sequence[str]
) -> Provenance:
    """Versions, seed, chip set, extent and how the training went."""
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
        weights_from=Path(config.weights).name,
        command=_command(),
        training={
            "config": config.model_dump(mode="json"),
            "epochs": state.epoch,
            "best_epoch": state.best_epoch,
            "steps": state.step,
            "stopped": state.stopped,
            "minutes": round(state.seconds / 60, 2),
        },
        baselines=tuple(
            spec
            for found in baselines
            for spec in found.specs({data.task.primary_score}, prefix=f"{found.name}: ")
            if spec.class_name is None
        ),
        notes=tuple(notes),
    )


def train_extent(chips: ChipSet) -> JsonValue:
    """GeoJSON outline (longitude, latitude) of the scenes with train chips; None where none has a CRS."""
    used = sorted({record.scene_index for record in chips.split("train")})
    outlines = []
    for scene in (chips.scenes[index] for index in used):
        if scene.grid.crs is not None:
            footprint = np.array(
                [shapely.segmentize(scene.grid.footprint(), scene.grid.footprint().length / 32)], dtype=object
            )
            outlines.append(reproject(footprint, scene.grid.crs, CRS.from_epsg(4326), scene.name)[0])
    if not outlines:
        return None
    extent: JsonValue = shapely.geometry.mapping(
        shapely.set_precision(shapely.union_all(outlines).simplify(1e-6), 1e-7)
    )
    return _listed(extent)


def _listed(value: object) -> JsonValue:
    # JSON knows lists; shapely gives tuples, and a strict model refuses them.
    if isinstance(value, dict):
        return {str(key): _listed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]
    return value if isinstance(value, str | int | float | bool) else None


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _command() -> str:
    program = Path(sys.argv[0]).name if sys.argv else ""
    return shlex.join([program, *sys.argv[1:]]) if program.startswith("eo-dl") else ""
