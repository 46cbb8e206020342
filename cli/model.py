"""`eo-dl model`: networks and weights, looked at before anything is trained."""

from __future__ import annotations

from dataclasses import asdict
from typing import cast

import click

from . import options
from .reporter import Reporter, table


@click.group("model", short_help="Networks and pretrained weights.")
def command() -> None:
    """Networks and pretrained weights: what there is, and what is inside."""


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
@click.option("-b", "--bands", help="Names of the bands.", metavar="LIST")
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
            resolved, options.split_list(bands) or ("red", "green", "blue"), classes, size_px, depth
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
@options.overwrite
def export(reporter: Reporter, model: str, out: str | None, target: str | None, overwrite: bool) -> None:
    """Write a model for other programs. Without --out, add the graph to a model that has none, so that it
    predicts without torch, and faster on a CPU; `train` does this for every new model.

    A new graph is compared with the network before anything is written.

    \b
    eo-dl model export roofs.eodl -o roofs.onnx --for deepness
    eo-dl model export roofs.eodl -o roofs/ --for huggingface
    """
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
    with needs_extra("exporting a model"):
        path = export_model(model, out, target=chosen, overwrite=overwrite)
    reporter.result({"path": str(path), "target": chosen}, [str(path)])
