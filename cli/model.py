"""`eo-dl model`: networks and weights, looked at before anything is trained."""

from __future__ import annotations

from dataclasses import asdict

import click

from . import options
from .reporter import Reporter, table


@click.group("model", short_help="Networks and pretrained weights.")
def command() -> None:
    """Networks and pretrained weights: what there is, and what is inside."""


@command.command("backbones", short_help="Backbones with weights to start from.")
@click.option("--backbone", help="Only those of this backbone.", metavar="NAME")
@options.said
def backbones(reporter: Reporter, backbone: str | None) -> None:
    """Backbones with pretrained weights: what to give to --backbone and --weights, the bands they saw, ground resolution, licence and source.

    Any other timm backbone with a pyramid of feature maps works too (--weights none or imagenet). Weights are downloaded when they are used.
    """
    from eo_dl.networks.catalogue import named_weights

    found = [weights for weights in named_weights() if backbone in (None, weights.backbone)]
    rows = [(w.backbone, w.short, ",".join(w.bands), w.gsd_m, w.licence, w.source) for w in found]
    lines = table(rows, ("--backbone", "--weights", "bands", "GSD (m)", "licence", "source"))
    keys = ("name", "short", "backbone", "bands", "gsd_m", "licence", "source")
    reporter.result({"weights": [{key: asdict(w)[key] for key in keys} for w in found]}, lines)
