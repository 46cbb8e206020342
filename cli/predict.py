"""`eo-dl predict`: a model and a scene to a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from . import options
from .reporter import Reporter

if TYPE_CHECKING:
    from pathlib import Path

    from eo_dl.bundle import Bundle
    from eo_dl.inference.backends.choice import BackendName
    from eo_dl.inference.chipoptions import ChipOptions
    from eo_dl.io.sceneoptions import SceneOptions
    from eo_dl.networks.compute import Compute
    from eo_dl.postprocessing.cleanup import Cleanup


@click.command("predict", cls=options.Command, short_help="Predict a map of a scene.")
@click.argument("model", metavar="MODEL")
@click.argument("scenes", nargs=-1, required=True, metavar="SCENE...")
@click.option(
    "-o",
    "--out",
    required=True,
    help="The map: .tif, .gpkg, .geojson, .fgb or .parquet; a folder for several "
    "scenes, or one map of neighbouring sheets; .csv: one row per image (classification).",
    metavar="FILE",
)
@options.aoi
@click.option("--probabilities", is_flag=True, help="Also write NAME_prob.tif with one band per class.")
@click.option(
    "--certainty",
    is_flag=True,
    help="Also write NAME_certainty.tif: largest probability, margin to the second, entropy.",
)
@click.option(
    "--set-coverage",
    type=click.FloatRange(0, 1),
    help="Also write NAME_sets.tif: per pixel the classes among which the true one is in this share of the "
    "ground, e.g. 0.9.",
    metavar="SHARE",
)
@click.option(
    "--applicability",
    is_flag=True,
    help="Also write NAME_applicability.tif: how unlike the training the ground is, and where the model may "
    "be used.",
)
@options.chips
@options.cleanup
@click.option(
    "--with",
    "further_models",
    multiple=True,
    help="Average the probabilities with those of this model (repeatable).",
    metavar="MODEL",
)
@click.option(
    "--keep-gsd",
    is_flag=True,
    help="Do not resample a scene whose GSD differs from the model's.",
)
@options.compute("batch_size", "device", "precision")
@click.option(
    "--backend",
    type=click.Choice(["auto", "openvino", "onnxruntime", "torch"]),
    default="auto",
    show_default=True,
    help="What runs the network; auto: torch on a GPU, else the fastest that can run the model.",
)
@options.scenes("bands", "nodata", "valid", "crs", "scale", "offset", "mask", *options.TRUST)
@click.option(
    "--shard",
    metavar="I/N",
    help="Predict only shard I of N, on one of several machines that share the storage.",
)
@options.dask
@click.option("--assemble", is_flag=True, help="Write the map from its N shards, all predicted.")
@click.option("--resume/--no-resume", default=True, show_default=True, help="Continue a stopped run.")
@options.overwrite
def command(
    reporter: Reporter,
    model: str,
    scenes: tuple[str, ...],
    out: str,
    aoi: str | None,
    probabilities: bool,
    certainty: bool,
    set_coverage: float | None,
    applicability: bool,
    chip_options: ChipOptions,
    cleanup: Cleanup,
    further_models: tuple[str, ...],
    keep_gsd: bool,
    compute: Compute,
    backend: BackendName,
    scene_options: SceneOptions,
    shard: str | None,
    cluster: str | None,
    assemble: bool,
    resume: bool,
    overwrite: bool,
) -> None:
    """Predict a map of a scene.

    The model file contains bands, units, GSD and classes; a scene that does not fit is refused, with the flag
    that resolves it. One whose values are unlike those of the training is named in a warning, and refused
    where they lie far away: two spreads (2 to 98 %) of the training in all bands, 20 in one, or in other
    units. The suffix of the output decides its kind: .tif is a map of classes or values, the others are
    polygons.

    MODEL may be an address, hf://owner/name or https://.../NAME.eodl#sha256=...; it is downloaded once.
    """
    modes = {"--shard": shard is not None, "--assemble": assemble, "--dask": cluster is not None}
    chosen = [flag for flag, is_chosen in modes.items() if is_chosen]
    if not resume:
        chosen.append("--no-resume")  # shards always continue
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} cannot be combined; choose one of them")
    reporter.log("loading the libraries")
    from eo_dl import MapExtras, assemble_shards, load_model, predict, predict_on_cluster, predict_shard
    from eo_dl.io.scene import open_scenes

    bundle = load_model(model)
    models: list[Bundle | str | Path] = [bundle, *further_models]
    below = bundle.task.output.class_folders
    opened = open_scenes(scenes, scene_options, below=below)
    common: dict[str, Any] = {
        "out": out,
        "aoi": aoi,
        "extras": MapExtras(probabilities, certainty, set_coverage, applicability),
        "chip_options": chip_options,
        "cleanup": cleanup,
        "keep_gsd": keep_gsd,
        "compute": compute,
        "overwrite": overwrite,
        "on_progress": reporter.progress,
    }
    if shard is not None:
        done = predict_shard(models, opened, shard=shard, backend=backend, **common)
        reporter.notes(done.notes)
        reporter.result(done.values(), [f"{out}: shard {done.shard.text} is done"])
        return
    if assemble:
        prediction = assemble_shards(models, opened, **common)
    elif cluster is not None:
        prediction = predict_on_cluster(models, opened, cluster=cluster, backend=backend, **common)
    else:
        prediction = predict(models, opened, backend=backend, resume=resume, **common)
    reporter.notes(prediction.notes)
    reporter.totals(prediction.totals)
    reporter.result(prediction.values(), [str(path) for path in prediction.paths])
