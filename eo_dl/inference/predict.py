"""`predict`: a model and a scene to a map."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..bundle import Bundle, load_model
from ..core.progress import OnProgress, silent
from ..core.rawnames import FEATURE_MAP
from ..errors import ConfigError, OutputExistsError
from ..io.atomic import refuse_existing, work_folder
from ..io.chiptables import TABLE_SUFFIX
from ..io.companions import is_companion
from ..io.discover import GEOTIFF_SUFFIXES, VECTOR_SUFFIXES
from ..io.mapfolder import FolderJournal, outputs_in
from ..io.outputlock import locks_output
from ..io.scene import Scene, SceneSources, open_scenes
from ..io.sheets import sheets_as_scene
from ..networks.compute import Compute
from ..postprocessing.cleanup import Cleanup
from ..tasks import CHIPS, RASTER
from .backends.backend import Backend
from .backends.choice import BackendName, check_alike, make_engine
from .chipoptions import ChipOptions
from .chipsize import check_chip_px, common_freedom
from .mapextras import ExtraPath, MapExtras, extra_paths
from .outputs import is_raster
from .plan import Plan, Request, make_plan
from .prediction import Prediction, folder_prediction
from .runplan import EngineRunner, kept_prediction, run_plan
from .smallscenes import predict_scenes
from .spool import pieces_folder


@locks_output
def predict(
    model: Bundle | str | Path | Sequence[Bundle | str | Path],
    scenes: SceneSources,
    *,
    out: str | Path,
    aoi: str | Path | None = None,
    extras: MapExtras = MapExtras(),
    chip_options: ChipOptions = ChipOptions(),
    backend: BackendName = "auto",
    keep_gsd: bool = False,
    force: bool = False,
    cleanup: Cleanup = Cleanup(),
    compute: Compute = Compute(),
    overwrite: bool = False,
    resume: bool = True,
    on_progress: OnProgress = silent,
) -> Prediction:
    """Run a model over scenes and write maps, in memory that does not grow with the height of a scene.

    What the model needs is in its file; a scene that does not fit is refused, naming the parameter of
    `open_scene` that resolves it. Maps are on the scene's own grid, also where a scene is resampled for the
    model. A stopped run continues with the same call.

    Args:
        model: The model or its file; or several, whose probabilities are averaged.
        scenes: Opened scenes, paths, folders or patterns.
        out: The map. Its suffix decides the kind: .tif is a raster of class ids (255 = not measured), or of
            values (NaN = not measured) with the ends of their intervals if the model gives them; .gpkg,
            .geojson, .fgb and .parquet are polygons or boxes. For several scenes a folder with one file per
            scene, in folders like the scenes' own where two have one name; or one map, of scenes that are
            sheets of one grid: they are read as one, across their borders. A classification model writes one
            cell per chip, and into a .csv, or one vector file for several scenes, one row per image.
        aoi: Polygons outside of which nothing is predicted.
        extras: What is written beside the map: probabilities, certainty, sets of classes.
        chip_options: Size and margin of the chips, blending at seams, flips and turns.
        backend: What runs the network: "openvino", "onnxruntime", "torch", or "auto": torch on a GPU; on a
            CPU the first of the three that is installed and can run the model.
        keep_gsd: Do not resample a scene whose GSD differs from the model's.
        force: Predict scenes whose values differ widely from those of the training, or that are resampled by
            more than a factor of 4, which are refused otherwise; also per scene, by `open_scene`.
        cleanup: Which results are kept (least score, least area, holes), and how outlines are drawn. Class
            maps are cleaned as rasters and as polygons; not for classes of whole chips.
        compute: Device, precision, batch size and number of readers.
        overwrite: Replace existing maps.
        resume: Keep finished parts of a stopped run, and continue from them.
        on_progress: Called with (chips done, total, what).

    Returns:
        The maps with their kind, counts and notes.

    Raises:
        InputError: Bands, units, AOI, output or an option do not fit the model.
        DeviceError: This machine has no such device.
        WriteError: A map could not be written.
        Cancelled: The run was stopped, e.g. by Ctrl-C.

    Example:
        >>> predict("model.eodl", "scene.tif", out="map.tif")  # doctest: +SKIP
    """
    started = time.perf_counter()
    bundles = load_models(model)
    bundle = bundles[0]
    opened, into_folder = scenes_for(bundle, scenes, out, overwrite=overwrite)
    request = Request(
        aoi=aoi,
        extras=extras,
        chips=chip_options,
        compute=compute,
        cleanup=cleanup,
        keep_gsd=keep_gsd,
        force=force,
        overwrite=overwrite,
        resume=resume,
    )
    if has_row_per_image(bundle, Path(out), several=len(opened) > 1):
        if extras.kinds:
            raise ConfigError(
                f"{out}: a table of images already has one column of probabilities per class, and no rasters "
                "lie beside it; omit `probabilities`, `certainty`, `set_coverage` and "
                "`applicability`"
            )
        from .imagetable import predict_images  # lazy: loads pandas, which rasters do not need

        if chip_options.chip_px is not None:
            check_chip_px(bundle, chip_options.chip_px)
        engine = engine_for(bundles, backend, request, labels_only=False)
        return predict_images(bundle, opened, Path(out), request, engine, on_progress=on_progress)
    suffix = bundle.task.output.default_suffix
    outs = outputs_in(Path(out), opened, suffix) if into_folder else [Path(out)]
    beside = [extra_paths(bundle, path, extras, into_folder) for path in outs]
    journal = FolderJournal(Path(out), into_folder and resume)
    _check_outputs(bundle, opened, outs, beside, overwrite=overwrite, journal=journal)
    engine = engine_for(bundles, backend, request, labels_only=not extras.kinds)
    plans = (
        make_plan(bundle, scene, path, paths, request, backend=engine)
        for scene, path, paths in zip(opened, outs, beside, strict=True)
    )
    if len(opened) == 1:
        parts = [_run_or_keep(plan, engine, journal, on_progress) for plan in plans]
    else:
        parts = predict_scenes(plans, engine, journal, on_progress)
    if not into_folder:
        return parts[0]
    journal.remove()
    return folder_prediction(Path(out), tuple(parts), time.perf_counter() - started)


def engine_for(
    bundles: Sequence[Bundle], backend: BackendName, request: Request, labels_only: bool
) -> Backend:
    """The engine of a prediction.

    Args:
        bundles: The models.
        backend: As for `predict`.
        request: The options.
        labels_only: True if no probabilities are needed but for blending.

    Raises:
        ConfigError: Blending of what is not blended.
    """
    chips, output = request.chips, bundles[0].task.output
    if chips.blend != "clip" and not output.blends:
        raise ConfigError(
            f"`blend` {chips.blend}: {bundles[0].path} predicts {output.gives}, which are not blended; omit "
            "it"
        )
    labels_only = output == RASTER and labels_only and chips.blend == "clip"
    return make_engine(
        backend,
        bundles,
        compute=request.compute,
        labels_only=labels_only,
        views=chips.views,
        inner=FEATURE_MAP if request.extras.applicability else "",
    )


def load_models(model: Bundle | str | Path | Sequence[Bundle | str | Path]) -> list[Bundle]:
    """The models, alike enough to predict as one."""
    if isinstance(model, Bundle | str | Path):
        return [load_model(model)]
    if not model:
        raise ConfigError("`model`: expected one model or several, found none")
    bundles = [load_model(single) for single in model]
    check_alike(bundles)
    # The first one stands for all of them in a plan, so it takes only the chips that all take.
    spec = bundles[0].spec.model_copy(update={"any_chip": common_freedom(bundles)})
    return [replace(bundles[0], spec=spec), *bundles[1:]]


def has_row_per_image(bundle: Bundle, out: Path, several: bool) -> bool:
    """True if the output has one row per image: a CSV, or one vector file for several scenes.

    Raises `ConfigError` for a CSV of a model that does not classify whole images.
    """
    suffix = out.suffix.lower()
    if suffix == TABLE_SUFFIX and bundle.task.output != CHIPS:
        raise ConfigError(
            f"{out}: a CSV has one row per image, but a {bundle.task.name} model does not classify whole "
            "images; choose another suffix"
        )
    one_vector_file = several and suffix in VECTOR_SUFFIXES and not out.is_dir()
    return bundle.task.output == CHIPS and (suffix == TABLE_SUFFIX or one_vector_file)


def scenes_for(
    bundle: Bundle, scenes: SceneSources, out: str | Path, *, overwrite: bool
) -> tuple[tuple[Scene, ...], bool]:
    """The scenes of a prediction, and whether the output is a folder with one map per scene.

    Several scenes and one map are sheets of one scene. Raises `InputError` if they do not fit together.
    """
    opened = tuple(open_scenes(scenes, below=bundle.task.output.class_folders))
    is_map = Path(out).suffix.lower() in (*GEOTIFF_SUFFIXES, *VECTOR_SUFFIXES) and not _is_folder(out)
    if len(opened) > 1 and is_map and not has_row_per_image(bundle, Path(out), several=True):
        return (sheets_as_scene(opened, Path(out), overwrite=overwrite),), False
    listed = not isinstance(scenes, Scene | str | Path)
    return opened, len(opened) != 1 or _is_folder(out) or (listed and not Path(out).suffix)


def _is_folder(out: str | Path) -> bool:
    return str(out).endswith("/") or Path(out).is_dir()


def _run_or_keep(plan: Plan, engine: Backend, journal: FolderJournal, on_progress: OnProgress) -> Prediction:
    """Run a plan, unless a stopped run of the same command has finished it."""
    finished = journal.finished(plan.out, plan.key)
    if finished is not None:
        return kept_prediction(plan, finished.count)
    if journal.knows(plan.out):
        refuse_existing(plan.out, plan.request.overwrite)
    prediction = run_plan(plan, EngineRunner(engine), on_progress)
    journal.add(prediction.paths, plan.key, prediction.count, prediction.chips)
    return prediction


def _check_outputs(
    bundle: Bundle,
    scenes: Sequence[Scene],
    outs: list[Path],
    extras: Sequence[tuple[ExtraPath, ...]],
    overwrite: bool,
    journal: FolderJournal,
) -> None:
    check_inputs(bundle, scenes, outs, extras)
    for out in outs:
        refuse_existing(out, overwrite or journal.knows(out))
    for out, of_map in zip(outs, extras, strict=True):
        for extra in of_map:
            # of a run that was killed before the map itself was finished
            noted = any(is_companion(work(out), extra.path) for work in (work_folder, pieces_folder))
            refuse_existing(extra.path, overwrite or journal.knows(extra.path) or noted)


def _paths_of(extras: Sequence[tuple[ExtraPath, ...]]) -> list[Path]:
    return [extra.path for of_map in extras for extra in of_map]


def check_inputs(
    bundle: Bundle,
    scenes: Sequence[Scene],
    outs: Sequence[Path],
    extras: Sequence[tuple[ExtraPath, ...]],
) -> None:
    """Refuse outputs that the model cannot write or that are an input.

    Raises:
        ConfigError: The suffix of an output.
        OutputExistsError: An output is the model or a scene.
    """
    inputs = {path for scene in scenes for path in scene.local_files}
    inputs.add(bundle.path.resolve())
    for out in outs:
        is_raster(out, bundle.task.output)  # raises for a suffix that the model cannot write
    for path in (*outs, *_paths_of(extras)):
        if path.resolve() in inputs:
            raise OutputExistsError(
                f"{path}: is an input of this run and is never overwritten; choose another name"
            )
