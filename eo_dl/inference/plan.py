"""`Plan`: one scene, one model and one output, settled before any work."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely

from ..bundle import Bundle
from ..errors import ConfigError
from ..io.aoi import Aoi, read_aoi
from ..io.derivedpixels import base_bands
from ..io.maskrules import relative_mask
from ..io.outputtags import (
    BANDS_TAG,
    DERIVE_TAG,
    GRID_TAG,
    KIND_TAG,
    MASK_TAG,
    MIN_SCORE_TAG,
    SCENE_PATH_TAG,
    SCENE_TAG,
    UNLIKE_TAG,
    VALID_TAG,
    VALUES_TAG,
    class_rule_tags,
    grid_tag,
    one_object_tags,
    values_tag,
)
from ..io.qgisstyles import CLASSES_TAG, classes_tag
from ..io.scene import Scene, SceneReader
from ..io.sceneaddress import relative_address
from ..io.validity import ALL
from ..mosaic.suppress import Suppression
from ..networks.compute import Compute
from ..postprocessing.cleanup import Cleanup
from ..tasks import CHIPS, OBJECTS, VALUES
from ..version import __version__
from .backends.backend import EngineFacts, Scaling, engine_text, reader_threads
from .chipoptions import ChipOptions
from .chipsize import prediction_chip_px, prediction_margin_px
from .contract import fit_scene
from .engine import ChipJob, Source, batch_size_for
from .mapextras import ExtraPath, MapExtras, set_notes
from .trainedground import trained_ground_tags

# Drivers that can only be read from the first row on: a second reader would decode everything twice.
_SEQUENTIAL = ("PNG", "JPEG")
_DEFAULT_SCORE = 0.5
_DEFAULT_IOU = 0.5


@dataclass(frozen=True)
class Request:
    """Prediction options other than model, scene and output path; `predict` describes them."""

    aoi: str | Path | None = None
    """Vector file outside of which nothing is predicted."""
    extras: MapExtras = MapExtras()
    """The rasters that are written beside the map."""
    chips: ChipOptions = ChipOptions()
    """How the scene is cut into chips, and how they are put together."""
    compute: Compute = Compute()
    """Device, precision, batch size and readers."""
    cleanup: Cleanup = Cleanup()
    """Which results are kept, and how their outlines are drawn."""
    keep_gsd: bool = False
    """Do not resample a scene whose GSD differs from the model's."""
    force: bool = False
    """Predict scenes that show something else than the model was trained on."""
    overwrite: bool = False
    """Replace existing outputs."""
    resume: bool = True
    """Keep finished parts of a stopped run."""


@dataclass(frozen=True)
class Plan:
    """One scene, ready to run."""

    bundle: Bundle
    """The model."""
    scene: Scene
    """The scene with the model's bands, on the working grid."""
    out: Path
    """The output."""
    extras: tuple[ExtraPath, ...]
    """The rasters beside it."""
    job: ChipJob
    """What to run over which chips."""
    aoi: Aoi | None
    """The AOI in pixels of the scene's own grid."""
    request: Request
    """The options."""
    key: str
    """Identifies the work: equal keys give equal bytes."""
    tags: dict[str, str]
    """Provenance, written into the output."""
    engine: str
    """What runs the network."""
    notes: tuple[str, ...]
    """What was done to fit the scene to the model."""

    @property
    def job_key(self) -> str | None:
        """The key if a stopped run is to be continued, else None."""
        return self.key if self.request.resume else None

    @property
    def min_score(self) -> float:
        """Objects below this score are left out."""
        if self.request.cleanup.min_score is not None:
            return self.request.cleanup.min_score
        return self.bundle.spec.thresholds.get("score", _DEFAULT_SCORE)

    @property
    def suppress_iou(self) -> float:
        """Of two objects of one class that overlap by more than this IoU, one is left out."""
        return _DEFAULT_IOU if self.suppression is None else self.suppression.iou

    @property
    def suppression(self) -> Suppression | None:
        """Which boxes of a chip are one object; None: what the network returns, as in older models."""
        chosen, wanted = self.bundle.spec.suppression, self.request.chips
        if wanted.max_overlap is None and wanted.max_inside is None:
            return chosen
        known = chosen or Suppression()
        return Suppression(
            iou=known.iou if wanted.max_overlap is None else wanted.max_overlap,
            inside=known.inside if wanted.max_inside is None else wanted.max_inside,
        )


def make_plan(
    bundle: Bundle,
    scene: Scene,
    out: Path,
    extras: tuple[ExtraPath, ...],
    request: Request,
    backend: EngineFacts,
) -> Plan:
    """Settle everything before any work. Raises `InputError` if model, scene and options do not fit."""
    request.cleanup.check_grid(scene.native, scene.path)
    if bundle.task.output == VALUES and request.cleanup.stated:
        raise ConfigError(
            f"{bundle.path}: predicts {bundle.task.output.gives}, which have no areas or scores to clean up; "
            f"leave {' and '.join(f'`{name}`' for name in request.cleanup.stated)} out"
        )
    fitted = fit_scene(bundle, scene, keep_gsd=request.keep_gsd, force=request.force)
    work = fitted.scene
    chip_grid = bundle.task.output.chip_grid
    chip_px = prediction_chip_px(
        bundle, request.chips.chip_px, backend.chip_px, min(work.grid.height, work.grid.width)
    )
    margin = request.chips.margin_px
    if margin is None:
        margin = prediction_margin_px(bundle)
    grid = chip_grid(work.grid.height, work.grid.width, chip_px, margin)
    native_aoi = None if request.aoi is None else read_aoi(request.aoi, work.native, work.name)
    working_aoi = native_aoi
    if native_aoi is not None and work.resampled:
        working_aoi = native_aoi.scaled(
            work.grid.width / work.native.width, work.grid.height / work.native.height
        )
    size = request.compute.batch_size or batch_size_for(backend, grid.size_px, len(work.bands))
    job = ChipJob(
        source=_source(work, request.compute.workers),
        grid=grid,
        scaling=Scaling.of(bundle.normalization, work.bands),
        batch_size=size,
        aoi=working_aoi,
        name=str(bundle.path),
        scratch=Path(os.environ.get("TMPDIR") or out.parent),
    )
    plan = Plan(
        bundle=bundle,
        scene=work,
        out=out,
        extras=extras,
        job=job,
        aoi=native_aoi,
        request=request,
        key="",
        tags={},
        engine=engine_text(backend),
        notes=(*fitted.notes, *set_notes(bundle, request.extras)),
    )
    tags = _tags(plan, backend) | trained_ground_tags(bundle, work)
    if fitted.warnings:
        tags[UNLIKE_TAG] = "; ".join(fitted.warnings)
    work_text = json.dumps(tags | {"scene_file": work.fingerprint()} | _extra_facts(request), sort_keys=True)
    return replace(plan, key=hashlib.sha256(work_text.encode()).hexdigest(), tags=tags)


def _extra_facts(request: Request) -> dict[str, str]:
    """What decides the rasters beside the map, for the key of the work."""
    extras = request.extras
    if not extras.kinds:
        return {}
    return {"beside the map": ", ".join(extras.kinds), "set coverage": str(extras.set_coverage)}


def chip_tags(bundle: Bundle) -> dict[str, str]:
    """Tags that `evaluate` needs for classes of whole chips."""
    return {
        KIND_TAG: CHIPS.name,
        CLASSES_TAG: classes_tag(bundle.classes),
        **class_rule_tags(bundle.codec_for(CHIPS).rule),
    }


def _object_tags(plan: Plan) -> dict[str, str]:
    """Thresholds, and what `evaluate` needs for models with one object per chip."""
    tags = {MIN_SCORE_TAG: f"{plan.min_score:g}", "suppress_iou": f"{plan.suppress_iou:g}"}
    if plan.suppression is not None and plan.suppression.inside is not None:
        tags["suppress_inside"] = f"{plan.suppression.inside:g}"
    if plan.suppression is not None:
        tags["suppress_in_chips"] = "yes"
    rule = plan.bundle.codec_for(OBJECTS).one_object
    return tags if rule is None else tags | one_object_tags(rule)


def _source(scene: Scene, workers: int | None) -> Source:
    block_height, block_width = scene.file.block_px
    rows = max(1, round(block_height * scene.grid.height / scene.native.height))
    cols = max(1, round(block_width * scene.grid.width / scene.native.width))
    most = reader_threads() if workers is None else max(1, workers)
    threads = 1 if scene.file.driver in _SEQUENTIAL else most
    return Source(lambda: SceneReader(scene), scene.bands, scene.dtype, rows, threads, cols, scene.fills)


def _bands_text(scene: Scene) -> str:
    """The bands that were read, NAME=NUMBER, and the names of those that were made from them."""
    read = [f"{band.name}={band.number}" for band in base_bands(scene.bands.bands)]
    return ", ".join([*read, *(band.name for band in scene.bands if band.derived is not None)])


def _tags(plan: Plan, backend: EngineFacts) -> dict[str, str]:
    """Everything that decides the bytes of the output, as tags. No date: equal work gives equal files."""
    scene, job, request = plan.scene, plan.job, plan.request
    tags = {
        "eo_dl": __version__,
        "numpy": np.__version__,
        "model": plan.bundle.path.name,
        "model_sha256": plan.bundle.hash,
        "task": plan.bundle.task.name,
        SCENE_TAG: scene.name,
        "scene_header_sha256": str(scene.fingerprint()["header_sha256"]),
        BANDS_TAG: _bands_text(scene),
        "units": ", ".join(f"{band.scale:g}*x{band.offset:+g}" for band in scene.bands),
        "nodata": ", ".join(str(band.nodata) for band in scene.bands),
        GRID_TAG: grid_tag(scene.native),
        "working_size_px": f"{scene.grid.width} x {scene.grid.height}",
        "chip_px": str(job.grid.size_px),
        "margin_px": str(job.grid.margin_px),
        "blend": request.chips.blend,
        "batch_size": str(job.batch_size),
        "backend": ", ".join(f"{name} {value}" for name, value in backend.identity.items() if value),
    }
    tags |= request.cleanup.tags()
    if scene.valid != ALL:
        tags[VALID_TAG] = str(scene.valid)
    recipes = [band.derived.text for band in scene.bands if band.derived is not None]
    if recipes:
        tags[DERIVE_TAG] = "; ".join(recipes)
    if scene.options.mask:
        tags[MASK_TAG] = "; ".join(relative_mask(rule, plan.out.parent) for rule in scene.options.mask)
    if scene.grid.crs is None and not scene.remote:
        tags[SCENE_PATH_TAG] = relative_address(scene.path, plan.out.parent)
    if plan.aoi is not None:
        tags["aoi"] = Path(str(request.aoi)).name
        tags["aoi_sha256"] = hashlib.sha256(shapely.to_wkb(shapely.normalize(plan.aoi.area))).hexdigest()
    if plan.bundle.task.output == CHIPS:
        tags |= chip_tags(plan.bundle)
    if plan.bundle.task.output == OBJECTS:
        tags |= _object_tags(plan)
    if plan.bundle.task.output == VALUES:
        tags |= {KIND_TAG: VALUES.name, VALUES_TAG: values_tag(plan.bundle.classes)}
    return tags
