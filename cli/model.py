"""`eo-dl model`: networks, pretrained weights, and models for and of other programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.export.foreigngraph import OutputValues


@click.group("model", short_help="Networks, pretrained weights, export and import.")
def command() -> None:
    """Networks, pretrained weights, and what is inside them; models of and for other programs."""


@command.command("backbones", cls=options.Command, short_help="Backbones with weights to start from.")
@click.option("--backbone", help="Only those of this backbone.", metavar="NAME")
def backbones(reporter: Reporter, backbone: str | None) -> None:
    """Backbones with pretrained weights: what to give to --backbone and --weights, the bands they saw, ground
    resolution, licence and source.

    Any other timm backbone with a pyramid of feature maps works too (--weights none or imagenet). Weights are
    downloaded when they are used.
    """
    from eo_dl.networks.catalogue import named_weights

    found = [weights for weights in named_weights() if backbone in (None, weights.backbone)]
    rows = [(w.backbone, w.short, ",".join(w.bands), w.gsd_m, w.licence, w.source) for w in found]
    lines = table(rows, ("--backbone", "--weights", "bands", "GSD (m)", "licence", "source"))
    keys = ("name", "short", "backbone", "bands", "gsd_m", "licence", "source")
    reporter.result({"weights": [{key: asdict(w)[key] for key in keys} for w in found]}, lines)


@command.command("list", cls=options.Command, short_help="Ready models, which predict by their name.")
@click.option(
    "--shelf", help="Folder or https address of a shelf (default: all that are known).", metavar="PLACE"
)
def list_(reporter: Reporter, shelf: str | None) -> None:
    """Models on the shelves: task, bands, ground resolution, licence, and a score on named ground.

    Shelves are the folders and https addresses in EO_DL_SHELVES (with ; between), your own, and the package
    eo_dl_models, if it is installed.

    \b
    eo-dl model list
    eo-dl predict roofs_1m town.tif -o roofs.tif
    """
    from eo_dl.modelshelf import own_shelf, ready_models
    from eo_dl.shelving import describe

    ready = ready_models(shelf)
    rows = [
        (
            one.model.name,
            one.model.task,
            ",".join(one.model.bands),
            "" if one.model.gsd_m is None else f"{one.model.gsd_m:g}",
            ",".join(one.model.classes),
            one.model.licence,
            describe(one.model),
        )
        for one in ready
    ]
    header = ("name", "task", "bands", "GSD (m)", "classes", "licence", "score")
    lines = table(rows, header) if rows else [f"no model: there is no shelf; yours would be {own_shelf()}"]
    values = [{"shelf": one.shelf, **one.model.model_dump(mode="json")} for one in ready]
    reporter.result({"models": values}, lines)


@command.command("get", cls=options.Command, short_help="Copy or download a ready model.")
@click.argument("name", metavar="NAME")
@click.option(
    "-o", "--out", help="The new file, .eodl (default: your own shelf, for use by name).", metavar="FILE"
)
@click.option("--shelf", help="Folder or https address of the shelf (default: all known).", metavar="PLACE")
@options.overwrite
def get(reporter: Reporter, name: str, out: str | None, shelf: str | None, overwrite: bool) -> None:
    """Copy or download a ready model, checked by its hash.

    \b
    eo-dl model get roofs_1m --shelf https://example.org/models
    """
    from eo_dl.shelving import get_model

    path = get_model(name, out, shelf=shelf, overwrite=overwrite)
    reporter.result({"model": str(path)}, [str(path)])


@command.command(
    "shelf", cls=options.Command, short_help="List the models of a folder, which becomes a shelf."
)
@click.argument("folder", metavar="FOLDER")
def shelf_(reporter: Reporter, folder: str) -> None:
    """Write shelf.json into a folder of models: names (those of the files), hashes, licences and scores.

    The folder can then be named in EO_DL_SHELVES, or be put on a web server.
    """
    from eo_dl.shelving import write_shelf

    index = write_shelf(folder)
    rows = [(model.name, model.task, model.licence) for model in index.models]
    reporter.result(index.model_dump(mode="json"), table(rows, ("name", "task", "licence")))


@command.command(
    "show",
    cls=options.Command,
    short_help="Layers, shapes, weights and receptive field of a model or a network.",
)
@click.argument("model", metavar="[MODEL]", required=False)
@click.option(
    "--task", help="Instead of a model: the network that `train` would make for this task.", metavar="NAME"
)
@click.option("--config", "config", help="YAML with options of training.", metavar="FILE")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="One option of the configuration."
)
@click.option("--network", help="Network of the task, e.g. unet.", metavar="NAME")
@click.option("--backbone", help="Any timm backbone with features.", metavar="NAME")
@click.option("--weights", help="As in train; says what would be matched.", metavar="NAME|PATH")
@click.option(
    "--freeze",
    type=click.Choice(["none", "backbone", "probe"]),
    help="As in train; says what would learn in the first epoch.",
)
@click.option("-b", "--bands", help="Names of the bands, or a range of numbers: 1-224.", metavar="LIST")
@click.option(
    "--classes", type=click.IntRange(min=1), default=2, show_default=True, help="Number of classes."
)
@click.option(
    "--size",
    "size_px",
    type=click.IntRange(min=8, max=4096),
    default=256,
    show_default=True,
    help="Side of a chip, pixels.",
)
@click.option(
    "--depth", type=click.IntRange(min=1), default=2, show_default=True, help="Levels of layers to show."
)
def show(
    reporter: Reporter,
    model: str | None,
    task: str | None,
    config: str | None,
    settings: tuple[str, ...],
    network: str | None,
    backbone: str | None,
    weights: str | None,
    freeze: str | None,
    bands: str | None,
    classes: int,
    size_px: int,
    depth: int,
) -> None:
    """Layers with the shapes of their outputs, weights (learning or not), receptive field, size and the input
    that is expected.

    \b
    eo-dl model show roofs.eodl
    eo-dl model show --task detection --backbone resnet18 --bands red,green,blue,nir
    """
    asked = (task, config, network, backbone, weights, freeze, bands)
    if (model is None) == (task is None and config is None) or (
        model is not None and (settings or any(asked))
    ):
        raise click.UsageError(
            "give a MODEL, or --task (or --config) with the options of a network; not both"
        )
    from eo_dl.training.modelview import show_bundle, show_network

    if model is not None:
        view = show_bundle(model, depth)
    else:
        from eo_dl.training.trainconfig import resolve_config

        overrides = {
            "task_options.network": network,
            "task_options.backbone": backbone,
            "weights": weights,
            "freeze": freeze,
        }
        resolved = resolve_config(config, task=task, settings=settings, overrides=overrides)
        view = show_network(
            resolved, options.split_bands(bands) or ("red", "green", "blue"), classes, size_px, depth
        )
    layers = table(view.layers, ("layer", "kind", "output", "weights", "trainable"))
    maps = [*table(view.maps, ("map", "stride (px)", "channels", "receptive field")), ""] if view.maps else []
    totals = table(view.totals, ("network", ""))
    reporter.notes(view.notes)
    reporter.result(view.values, [view.title, "", *layers, "", *maps, *totals])


@command.command(
    "export", cls=options.Command, short_help="Write a model as ONNX, for other programs or Hugging Face."
)
@click.argument("model", metavar="MODEL")
@click.option(
    "-o", "--out", help="The new file or folder (default: model.onnx is added to MODEL).", metavar="FILE"
)
@click.option(
    "--for",
    "target",
    type=click.Choice(["onnx", "deepness", "huggingface"]),
    help="onnx: the graph with the model's contract; deepness: for the QGIS plug-in Deepness; huggingface: a "
    "folder ready to push. Needs --out.",
)
@click.option(
    "--int8",
    is_flag=True,
    help="A model (--out NAME.eodl) whose graph computes in 8-bit integers; prints what that costs.",
)
@click.option(
    "--calibration",
    help="With --int8: a chip set; its train chips calibrate, its test chips are scored.",
    metavar="CHIPS",
)
@options.overwrite
def export(
    reporter: Reporter,
    model: str,
    out: str | None,
    target: str | None,
    int8: bool,
    calibration: str | None,
    overwrite: bool,
) -> None:
    """Write a model for other programs. Without --out, add the graph to a model that has none, so that it
    predicts without torch, and faster on a CPU; `train` does this for every new model.

    A new graph is compared with the network before anything is written.

    \b
    eo-dl model export roofs.eodl -o roofs.onnx --for deepness
    eo-dl model export roofs.eodl -o roofs/ --for huggingface
    eo-dl model export roofs.eodl -o roofs_int8.eodl --int8 --calibration chips/
    """
    if int8 or calibration is not None:
        _export_int8(reporter, model, out, target, int8, calibration, overwrite)
        return
    if out is None and target is not None:
        raise click.UsageError("--for writes a file; name it with --out")
    from eo_dl import load_model
    from eo_dl.core.extras import needs_extra

    if out is None:
        with needs_extra("exporting a model"):
            from eo_dl.export.bundlegraph import add_graph

        bundle, agreement = add_graph(load_model(model))
        reporter.result(
            {"model": str(bundle.path), "members": list(bundle.members), "agreement": agreement.text},
            [f"{bundle.path}: model.onnx added; compared with torch: {agreement.text}"],
        )
        return
    with needs_extra("exporting a model"):
        from eo_dl.export.modelexport import ExportTarget, export_model

        chosen = cast("ExportTarget", target or "onnx")
        path = export_model(model, out, target=chosen, overwrite=overwrite)
    reporter.result({"path": str(path), "target": chosen}, [str(path)])


def _export_int8(
    reporter: Reporter,
    model: str,
    out: str | None,
    target: str | None,
    int8: bool,
    calibration: str | None,
    overwrite: bool,
) -> None:
    """A copy of a model whose graph computes in int8."""
    if not int8 or calibration is None or out is None or target is not None:
        raise click.UsageError(
            "--int8 needs --calibration CHIPS and --out NAME.eodl, and no --for; --calibration needs --int8"
        )
    from eo_dl.core.extras import needs_extra
    from eo_dl.modelcard import int8_text

    with needs_extra("exporting a model"):
        from eo_dl.export.int8graph import quantize_model

        bundle = quantize_model(model, calibration, out, overwrite=overwrite, on_progress=reporter.progress)
    measured = bundle.spec.int8
    assert measured is not None, "it was just made"
    reporter.result(
        {"model": str(bundle.path), "int8": measured.model_dump(mode="json")},
        [str(bundle.path), int8_text(measured)],
    )


@command.command("import", cls=options.Command, short_help="Make a model of an ONNX file of another program.")
@click.argument("graph", metavar="FILE.onnx")
@click.option("-o", "--out", required=True, help="The new model, .eodl.", metavar="FILE")
@click.option(
    "-b",
    "--bands",
    help="Names of the bands in the order of the input, or a range: 1-224.",
    metavar="LIST",
)
@click.option("--classes", help="Names of the classes, in the order of the output.", metavar="LIST")
@click.option("--gsd", "gsd_m", type=click.FloatRange(min=0, min_open=True), help="GSD of training, metres.")
@click.option(
    "--chip",
    "chip_px",
    type=click.IntRange(min=1, max=16_384),
    help="Side of a chip, pixels, where the graph leaves it free.",
)
@click.option(
    "--margin",
    "margin_px",
    type=click.IntRange(min=0),
    help="Context pixels per side, discarded from the output (default: half the overlap in the file, or an "
    "eighth of the chip).",
)
@click.option(
    "--divisor",
    type=click.FloatRange(min=0, min_open=True),
    help="Stored values are divided by it first (default: 255).",
)
@click.option("--mean", help="Mean per band of the divided values (default: 0).", metavar="LIST")
@click.option("--std", help="Standard deviation per band of the divided values (default: 1).", metavar="LIST")
@click.option(
    "--values",
    type=click.Choice(["auto", "probabilities", "logits"]),
    default="auto",
    show_default=True,
    help="What a class map is made of; auto: probabilities if all lie within 0 and 1.",
)
@click.option("--licence", default="", help="Licence of the model.", metavar="TEXT")
@options.overwrite
def import_(
    reporter: Reporter,
    graph: str,
    out: str,
    bands: str | None,
    classes: str | None,
    gsd_m: float | None,
    chip_px: int | None,
    margin_px: int | None,
    divisor: float | None,
    mean: str | None,
    std: str | None,
    values: OutputValues,
    licence: str,
    overwrite: bool,
) -> None:
    """Make a model of an ONNX file of another program: class maps (probabilities or logits) or boxes of YOLO.

    The keys of Deepness, GeoDeep and Ultralytics in the file are read; options state what they do not say, or
    replace them. Boxes: (1, 4 + K, M) of YOLO 8 and newer, or (1, M, 5 + K) of YOLO 5 and 7.

    \b
    eo-dl model import trees.onnx --bands red,green,blue --gsd 0.1 --classes tree -o trees.eodl
    eo-dl predict trees.eodl ortho.tif -o trees.gpkg
    """
    from eo_dl.core.extras import needs_extra

    with needs_extra("importing a model"):
        from eo_dl.export.modelimport import ForeignContract, import_model

    contract = ForeignContract(
        bands=options.split_bands(bands) or (),
        classes=options.split_list(classes),
        gsd_m=gsd_m,
        chip_px=chip_px,
        margin_px=margin_px,
        divisor=divisor,
        mean=_numbers("--mean", options.split_list(mean)),
        std=_numbers("--std", options.split_list(std)),
        values=values,
    )
    with needs_extra("importing a model"):
        bundle = import_model(graph, out, contract, licence=licence, overwrite=overwrite)
    spec = bundle.spec
    gsd = "unknown, so scenes are not resampled" if spec.gsd_m is None else f"{spec.gsd_m:g} m"
    lines = [
        str(bundle.path),
        f"task {spec.task}, classes {', '.join(bundle.classes.names)}",
        f"bands {bundle.bands.describe()}, GSD {gsd}, chips of {spec.chip_px} px, margin {spec.margin_px} px",
    ]
    reporter.result({"model": str(bundle.path), "spec": spec.model_dump(mode="json")}, lines)


def _numbers(flag: str, texts: Sequence[str] | None) -> tuple[float, ...] | None:
    if texts is None:
        return None
    try:
        return tuple(float(text) for text in texts)
    except ValueError as error:
        raise click.UsageError(f"{flag}: expected numbers, found {','.join(texts)}") from error
