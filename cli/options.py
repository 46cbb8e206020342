"""Options that mean the same in every command, each written once."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from eo_dl.labels.formats import READ_FORMATS

from .reporter import Reporter

Command = TypeVar("Command", bound=Callable[..., Any])

bands = click.option(
    "-b",
    "--bands",
    "bands",
    help="Bands by name or 1-based number, in order: 'red,green,blue', '3,2,1', or named: 'red=3,nir=4'.",
    metavar="LIST",
)
nodata = click.option(
    "--nodata",
    help="Stored value that means 'not measured' ('none': every value is a measurement).",
    metavar="VALUE",
)
scene_crs = click.option("--crs", help="CRS of a scene whose file has none, e.g. EPSG:32633.", metavar="CRS")
trust_vrt = click.option(
    "--trust-vrt", is_flag=True, help="Open a VRT whose sources lie outside its own folder."
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
aoi = click.option("--aoi", help="Polygons (any vector file): only this ground.", metavar="FILE", type=str)
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
precision = click.option(
    "--precision",
    type=click.Choice(["auto", "32", "bf16", "16"]),
    default="auto",
    show_default=True,
    help="32 keeps the last bit; auto uses bf16 where the processor has it.",
)
workers = click.option(
    "-j",
    "--workers",
    type=click.IntRange(min=0),
    help="Threads or processes that read (default: as many as help).",
)
seed = click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same files.")
class_field = click.option(
    "--class-field",
    help="Attribute that holds the class (guessed, and said, when only one can be).",
    metavar="NAME",
)
label_layer = click.option("--layer", help="Layer of a file with several.", metavar="NAME")
label_where = click.option("--where", help="Only features with this attribute value.", metavar="FIELD=VALUE")
label_crs = click.option("--label-crs", help="CRS of labels whose file has none.", metavar="CRS")
label_classes = click.option(
    "--classes",
    help="Order, names or merging of classes: 'water,woods', 'building=1|2', 'Road=#6EC1E4'.",
    metavar="LIST",
)
label_format = click.option(
    "--format",
    "label_format",
    type=click.Choice(READ_FORMATS),
    help="What the labels are, where their content does not say it.",
)
buffer_m = click.option(
    "--buffer-m",
    type=click.FloatRange(min=0, min_open=True),
    help="Turn points and lines into areas of this radius, metres.",
)


def said(command: Command) -> Command:
    """Adds -q, -v, --progress and --json, and hands the command a `Reporter` as first argument."""

    @click.option(
        "--progress",
        "progress_mode",
        type=click.Choice(["bar", "json", "none"]),
        default="bar",
        show_default=True,
        help="How to show progress; json is one object a line on stdout.",
    )
    @click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
    @click.option("-q", "--quiet", is_flag=True, help="Warnings and errors only.")
    @click.option("-v", "--verbose", is_flag=True, help="Say more.")
    @functools.wraps(command)
    def _wrapper(
        *args: Any, progress_mode: str, as_json: bool, quiet: bool, verbose: bool, **options: Any
    ) -> Any:
        level = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
        with Reporter(
            "none" if quiet and progress_mode == "bar" else progress_mode, level, as_json
        ) as reporter:
            return command(reporter, *args, **options)

    return _wrapper  # type: ignore[return-value]  # the options are added to the command's own


def split_list(text: str | None) -> list[str] | None:
    """'a, b' as ['a', 'b']; None stays None."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def parse_size(text: str) -> tuple[int | None, float | None]:
    """'256', '256px' or '128m' as (pixels, None) or (None, metres)."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(px|m)?\s*", text)
    if match is None or float(match[1]) <= 0:
        raise click.BadParameter(f"{text!r} is not a size; write 256, 256px or 128m")
    if match[2] == "m":
        return None, float(match[1])
    if not float(match[1]).is_integer():
        raise click.BadParameter(f"{text!r}: pixels are whole; write 256, or 128.5m for metres")
    return int(float(match[1])), None


def parse_split(text: str) -> tuple[float, float, float]:
    """'70,15,15' as shares (0.7, 0.15, 0.15)."""
    try:
        parts = [float(part) for part in text.split(",")]
    except ValueError:
        parts = []
    if len(parts) != 3 or min(parts) < 0 or sum(parts) <= 0 or parts[0] == 0:
        raise click.BadParameter(
            f"{text!r} is not three shares; write train,val,test such as 70,15,15", param_hint="--split"
        )
    total = sum(parts)
    return parts[0] / total, parts[1] / total, parts[2] / total


def parse_nodata(text: str | None) -> float | str | None:
    """A number, 'none', or nothing."""
    if text is None or text.strip().lower() == "none":
        return text if text is None else "none"
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a number nor 'none'", param_hint="--nodata") from None
