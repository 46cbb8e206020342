"""`Plan`: one scene, one model and one output, settled before any work."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely

from ..bundle import Bundle
from ..io.aoi import Aoi, read_aoi
from ..io.discover import relative_path
from ..io.outputtags import (
    GRID_TAG,
    KIND_TAG,
    SCENE_PATH_TAG,
    SCENE_TAG,
    class_rule_tags,
    grid_tag,
    one_object_tags,
)
from ..io.qgisstyles import CLASSES_TAG, classes_tag
from ..io.scene import Scene, SceneReader
from ..networks.compute import Compute
from ..tasks import CHIPS, OBJECTS
from ..version import __version__
from .backends import Backend, Scaling, reader_threads
from .contract import fit_scene
from .engine import ChipJob, Source, batch_size_for

# Drivers that can only be read from the first row on: a second reader would decode everything twice.
_SEQUENTIAL = ("PNG", "JPEG")
_DEFAULT_SCORE = 0.5
_DEFAULT_IOU = 0.5


@dataclass(frozen=True)
class Request:
    """Prediction options other than model, scene and output path."""

    aoi: str | Path | None = None
    margin_px: int | None = None
    compute: Compute = Compute()
    min_score: float | None = None
    keep_gsd: bool = False
    overwrite: bool = False
    resume: bool = True


@dataclass(frozen=True)
class Plan:
    """One scene, ready to run. `key` names the work: equal keys give equal bytes. `tags` go into the output."""

    bundle: Bundle
    scene: Scene
    out: Path
    probabilities: Path | None
    job: ChipJob
    aoi: Aoi | None
    request: Request
    key: str
    tags: dict[str, str]
    notes: tuple[str, ...]

    @property
    def job_key(self) -> str | None:
        """None where nothing is to be kept of a run that stops."""
        return self.key if self.request.resume else None

    @property
    def min_score(self) -> float:
        """Objects below it are left out."""
        own = self.bundle.spec.thresholds.get("score", _DEFAULT_SCORE)
        return own if self.request.min_score is None else self.request.min_score

    @property
    def suppress_iou(self) -> float:
        """Of two objects of a class that overlap by more than this, one is left out."""
        return self.bundle.spec.thresholds.get("iou", _DEFAULT_IOU)


def make_plan(
    bundle: Bundle, scene: Scene, out: Path, probabilities: Path | None, request: Request, backend: Backend
) -> Plan:
    """Everything settled. Raises `InputError` where model, scene and request do not go together."""
    fitted = fit_scene(bundle, scene, keep_gsd=request.keep_gsd)
    work = fitted.scene
    margin = bundle.spec.margin_px if request.margin_px is None else request.margin_px
    chip_grid = bundle.task.output.chip_grid
    grid = chip_grid(work.grid.height, work.grid.width, bundle.spec.chip_px, margin)
    own_aoi = None if request.aoi is None else read_aoi(request.aoi, work.native, work.name)
    ratio = work.grid.width / work.native.width, work.grid.height / work.native.height
    aoi = own_aoi.scaled(*ratio) if own_aoi is not None and work.resampled else own_aoi
    size = request.compute.batch_size or batch_size_for(backend, grid.size_px, len(work.bands))
    job = ChipJob(
        _source(work, request.compute.workers),
        grid,
        Scaling.of(bundle.normalization, work.bands),
        size,
        aoi,
        str(bundle.path),
    )
    plan = Plan(bundle, work, out, probabilities, job, own_aoi, request, "", {}, fitted.notes)
    said = _said(plan, backend)
    key = hashlib.sha256(
        json.dumps(said | {"scene_file": work.fingerprint()}, sort_keys=True).encode()
    ).hexdigest()
    return replace(plan, key=key, tags=said)


def chip_tags(bundle: Bundle) -> dict[str, str]:
    """What `evaluate` must know of classes of whole chips."""
    return {
        KIND_TAG: CHIPS.name,
        CLASSES_TAG: classes_tag(bundle.classes),
        **class_rule_tags(bundle.codec_for(CHIPS).rule),
    }


def _object_tags(plan: Plan) -> dict[str, str]:
    """By which thresholds objects were chosen, and what `evaluate` must know of one object per chip."""
    tags = {"min_score": f"{plan.min_score:g}", "suppress_iou": f"{plan.suppress_iou:g}"}
    rule = plan.bundle.codec_for(OBJECTS).one_object
    return tags if rule is None else tags | one_object_tags(rule)


def _source(scene: Scene, workers: int | None) -> Source:
    rows = max(1, round(scene.file.block_px[0] * scene.grid.height / scene.native.height))
    most = reader_threads() if workers is None else max(1, workers)
    threads = 1 if scene.file.driver in _SEQUENTIAL else most
    return Source(lambda: SceneReader(scene), scene.bands, scene.dtype, rows, threads)


def _said(plan: Plan, backend: Backend) -> dict[str, str]:
    """Everything that decides the bytes of the output, as tags; no date, so that equal work gives equal
    files.
    """
    scene, job, request = plan.scene, plan.job, plan.request
    said = {
        "eo_dl": __version__,
        "numpy": np.__version__,
        "model": plan.bundle.path.name,
        "model_sha256": plan.bundle.hash,
        "task": plan.bundle.task.name,
        SCENE_TAG: scene.name,
        "scene_header_sha256": str(scene.fingerprint()["header_sha256"]),
        "bands": ", ".join(f"{band.name}={band.number}" for band in scene.bands),
        "units": ", ".join(f"{band.scale:g}*x{band.offset:+g}" for band in scene.bands),
        "nodata": ", ".join(str(band.nodata) for band in scene.bands),
        GRID_TAG: grid_tag(scene.native),
        "working_size_px": f"{scene.grid.width} x {scene.grid.height}",
        "chip_px": str(job.grid.size_px),
        "margin_px": str(job.grid.margin_px),
        "batch_size": str(job.batch_size),
        "backend": ", ".join(f"{name} {value}" for name, value in backend.identity.items() if value),
    }
    if scene.grid.crs is None and not scene.remote:
        said[SCENE_PATH_TAG] = relative_path(scene.path, plan.out.parent)
    if plan.aoi is not None:
        said["aoi"] = Path(str(request.aoi)).name
        said["aoi_sha256"] = hashlib.sha256(shapely.to_wkb(shapely.normalize(plan.aoi.area))).hexdigest()
    if plan.bundle.task.output == CHIPS:
        said |= chip_tags(plan.bundle)
    if plan.bundle.task.output == OBJECTS:
        said |= _object_tags(plan)
    return said
