"""Flags that mean the same in every command, each written once, in groups that become one object.

A group is a decorator: it adds its flags and hands the command one value of the library. `Command` adds the
flags of reporting and hands the command its `Reporter`:

    @click.command("tile", cls=options.Command)
    @options.scenes("bands", "nodata")
    def command(reporter: Reporter, scene_options: SceneOptions) -> None: ...

Flags and the commands that use them (a test compares):

scenes -> scene_options
    -b, --bands     inspect, tile, map, predict, compare, stress, labels check, labels queue, labels weak
    --nodata        inspect, tile, map, predict, compare, stress, labels queue, labels weak
    --crs           inspect, tile, map, predict, compare, stress, labels check, labels queue, labels start,
                    labels weak
    --scale         predict, labels queue
    --offset        predict, labels queue
    --valid         inspect, tile, map, predict, labels check, labels queue, labels weak
    --mask          inspect, tile, map, predict, labels check, labels queue, labels weak
    --derive        inspect, tile, map
    --trust-vrt     inspect, tile, map, train, retrain, predict, evaluate, compare, stress, labels check,
                    labels export, labels queue, labels start, labels weak
    --allow-remote  inspect, tile, map, train, retrain, predict, evaluate, compare, labels check,
                    labels export, labels queue
    --force         tile, map, predict, labels check, labels queue

labels -> label_options
    --class-field   inspect, tile, map, retrain, evaluate, sample, compare, stress, labels check,
                    labels convert, labels export, labels merge, labels queue, labels status
    --classes       tile, map, retrain, evaluate, compare, stress, labels check, labels convert, labels import
    --values        tile, map, evaluate
    --layer         inspect, tile, map, retrain, evaluate, sample, compare, stress, labels check,
                    labels convert, labels export, labels merge, labels queue, labels status
    --where         inspect, tile, map, evaluate, compare, stress, labels check, labels convert
    --label-crs     inspect, tile, map, evaluate, compare, stress, labels check, labels convert
    --buffer-m      tile, map, evaluate, compare, stress, labels check
    --annotated     tile, map, evaluate, compare, stress, labels check
    --unlabelled    tile, map
    --format        tile, map, evaluate, compare, stress, labels check, labels import
    --voc-origin    tile, map, evaluate, compare, stress, labels check, labels convert, labels import
    --crowds        tile, map, evaluate, compare, stress, labels check, labels convert, labels import
    --accept-shift  tile, map, evaluate, compare, stress, labels check, labels convert

sampling -> sampling
    --sampling, --count, --overlap, --keep-empty, --add-empty, --min-valid
                    tile

split -> split
    --split, --split-by, --block-m, --guard-px, --folds, --split-like
                    tile

compute -> compute
    --device        train, map, retrain, predict, labels check, labels queue
    --precision     train, predict
    --batch-size    train, predict
    -j, --workers   train

chips -> chip_options
    --chip, --margin, --blend, --views, --max-overlap, --max-inside
                    predict

cleanup -> cleanup
    --min-score, --sieve, --fill-holes, --min-area, --simplify, --smooth, --regularize
                    predict, vectorize, diff

Alone: --drop-dead-bands (inspect, tile), --gsd and --colors (tile, map), --iou, --chips and --split
(evaluate, compare), --class-map (evaluate, compare, stress), --aoi, -j/--workers (tile), --dask, --seed,
--overwrite (each command's `--help` shows them).
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from eo_dl.labels.formats import READ_FORMATS

from .flagnames import FlagNames
from .reporter import Reporter

if TYPE_CHECKING:
    from eo_dl.chips.chipset import ChipSet
    from eo_dl.core.labelset import LabelSet
    from eo_dl.io.scene import Scene
    from eo_dl.io.sceneoptions import SceneOptions
    from eo_dl.labels.labeloptions import LabelOptions

Function = Callable[..., None]
Decorator = Callable[[Function], Function]


# Reporting

_REPORTING = (
    click.Option(
        ["--progress", "progress_mode"],
        type=click.Choice(["bar", "json", "none"]),
        default="bar",
        show_default=True,
        help="How to show progress; json: one JSON object per line on stdout.",
    ),
    click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON on stdout."),
    click.Option(["-q", "--quiet"], is_flag=True, help="Print warnings and errors only."),
    click.Option(["-v", "--verbose"], is_flag=True, help="Verbose output."),
)


class Command(click.Command):
    """A command with --progress, --json, -q and -v, whose function gets a `Reporter` as `reporter`."""

    def __init__(
        self, name: str | None, params: list[click.Parameter] | None = None, **attributes: Any
    ) -> None:
        super().__init__(name, params=[*(params or []), *_REPORTING], **attributes)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the function with a reporter in the mode of the flags."""
        mode, as_json, quiet, verbose = (
            ctx.params.pop(name) for name in ("progress_mode", "as_json", "quiet", "verbose")
        )
        if quiet:
            level = logging.WARNING
        elif verbose:
            level = logging.DEBUG
        else:
            level = logging.INFO
        silent = quiet and mode == "bar"
        with Reporter("none" if silent else mode, level, as_json, FlagNames.of(self)) as reporter:
            ctx.params["reporter"] = reporter
            return super().invoke(ctx)


# Groups


def _group(flags: Mapping[str, Decorator], make: Callable[[dict[str, Any]], tuple[str, Any]]) -> Decorator:
    """Adds `flags` (by the name of their parameter); the command gets what `make` makes of their values."""

    def decorate(command: Function) -> Function:
        @functools.wraps(command)
        def with_object(*args: Any, **values: Any) -> None:
            name, value = make({flag: values.pop(flag) for flag in flags})
            command(*args, **{name: value}, **values)

        decorated: Function = with_object
        for flag in reversed(list(flags.values())):
            decorated = flag(decorated)
        return decorated

    return decorate


_SCENE_FLAGS: dict[str, Decorator] = {
    "bands": click.option(
        "-b",
        "--bands",
        metavar="LIST",
        help="Bands by name, 1-based number or range, in order: 'red,green,blue', '3,2,1', '1-126,130-224', "
        "or named: 'red=3,nir=4'.",
    ),
    "nodata": click.option(
        "--nodata",
        metavar="VALUE",
        help="Stored value of pixels that were not measured ('none': all were).",
    ),
    "crs": click.option(
        "--crs", metavar="CRS", help="CRS of a scene, in place of its file's own, e.g. EPSG:32633."
    ),
    "scale": click.option(
        "--scale",
        type=float,
        metavar="NUMBER",
        help="Scale factor for stored values, in place of the file's: physical = stored * scale + offset.",
    ),
    "offset": click.option(
        "--offset", type=float, metavar="NUMBER", help="Offset for stored values, in place of the file's."
    ),
    "valid": click.option(
        "--valid",
        metavar="all|any|N",
        help="Which pixels count: measured in all bands, in any, or in N of them; what a band lacks becomes "
        "its mean (default: all, and for a model its own rule).",
    ),
    "mask": click.option(
        "--mask",
        multiple=True,
        metavar="RULE",
        help="Ground that is not used, e.g. clouds: 'SCL in 3,8,9,10', 'QA_PIXEL bits 1,3,4', "
        "'prob.tif > 40', a mask file (0: not used), or 'clouds' for the product's own (repeatable).",
    ),
    "derive": click.option(
        "--derive",
        multiple=True,
        metavar="LIST",
        help="Bands to make from others: 'ndvi, slope, relief(12m), hillshade(315,35)', or NAME=FORMULA; "
        "kept in the model.",
    ),
    "trust_vrt": click.option(
        "--trust-vrt", is_flag=True, help="Open a VRT whose sources lie outside its own folder."
    ),
    "allow_remote": click.option(
        "--allow-remote",
        multiple=True,
        metavar="HOST",
        help="Open scenes on this host that a chip set names (repeatable).",
    ),
    "force": click.option(
        "--force",
        is_flag=True,
        help="Use scenes that show other values than the model was trained on, or are resampled by more than "
        "a factor of 4; otherwise they are refused.",
    ),
}


drop_dead_bands = click.option(
    "--drop-dead-bands",
    is_flag=True,
    help="Leave out bands that hold one value or none, and name them; every pixel is read for that.",
)


def scenes_with_labels(
    scenes: Sequence[str],
    labels: Sequence[str],
    scene_options: SceneOptions,
    label_options: LabelOptions,
    colors: str | None,
) -> tuple[tuple[Scene, ...], LabelSet]:
    """The scenes and labels that chips are cut from.

    The annotated areas are left to the verb that gets both, because areas in pixels need the scenes.
    """
    from eo_dl.core.classcolors import parse_colors
    from eo_dl.core.imagelabels import WholeImageLabels
    from eo_dl.io.discover import named_scenes
    from eo_dl.io.scene import open_scenes
    from eo_dl.labels.labelcolors import in_colors
    from eo_dl.labels.reading import labels_of

    label_set = labels_of(
        labels[0] if len(labels) == 1 else labels,
        replace(label_options, annotated=None),
        images=named_scenes(scenes),
    )
    if colors is not None:
        label_set = in_colors(label_set, parse_colors(colors))
    opened = open_scenes(scenes, scene_options, below=isinstance(label_set, WholeImageLabels))
    return opened, label_set


def chip_set(path: str, trust: SceneOptions, *, allow_shared: bool = False) -> ChipSet:
    """The chip set, trusted as far as the flags of this command say."""
    from eo_dl.chips.chipset import open_chip_set

    return open_chip_set(
        path, allow_shared=allow_shared, trust_vrt=trust.trust_vrt, allow_remote=trust.allow_remote
    )


TRUST = ("trust_vrt", "allow_remote", "force")
"""Fields of `scenes` about what a command may open and use without asking back."""


def scenes(*fields: str) -> Decorator:
    """Flags for opening scenes; the command gets `scene_options`, a `SceneOptions` with these fields."""

    def make(values: dict[str, Any]) -> tuple[str, Any]:
        from eo_dl.io.sceneoptions import SceneOptions

        return "scene_options", SceneOptions(**values)

    return _group({field: _SCENE_FLAGS[field] for field in fields}, make)


_LABEL_FLAGS: dict[str, Decorator] = {
    "class_field": click.option(
        "--class-field",
        metavar="NAME",
        help="Class attribute (detected and reported if only one field qualifies).",
    ),
    "classes": click.option(
        "--classes",
        metavar="LIST",
        help="Order, names or merging of classes: 'water,woods', 'building=1|2', 'Road=#6EC1E4'.",
    ),
    "values": click.option(
        "--values",
        metavar="LIST",
        help="Learn numbers, not classes: fields of a vector layer or names for the bands of a raster, with "
        "unit and range: 'height:m:0..60', 'share::0..1'; 'none': classes.",
    ),
    "layer": click.option("--layer", metavar="NAME", help="Layer name, for multi-layer files."),
    "where": click.option("--where", metavar="FIELD=VALUE", help="Only features with this attribute value."),
    "label_crs": click.option(
        "--label-crs", metavar="CRS", help="CRS of labels, in place of their file's own."
    ),
    "buffer_m": click.option(
        "--buffer-m",
        type=click.FloatRange(min=0, min_open=True),
        metavar="METRES",
        help="Turn points and lines into areas of this radius, metres.",
    ),
    "annotated": click.option(
        "--annotated",
        metavar="FILE",
        help="Polygons in which the labels are complete; ground outside is ignored, not background.",
    ),
    "unlabelled": click.option(
        "--unlabelled",
        type=click.Choice(["background", "ignore"]),
        default="background",
        show_default=True,
        help="How to treat unlabelled pixels.",
    ),
    "format": click.option(
        "--format",
        type=click.Choice(READ_FORMATS),
        help="Format of the labels, if their content does not tell.",
    ),
    "voc_origin": click.option(
        "--voc-origin",
        type=click.IntRange(0, 1),
        metavar="0|1",
        help="Number of the first pixel in VOC boxes (default: 1, unless a coordinate is 0 or a fraction).",
    ),
    "crowds": click.option(
        "--crowds",
        type=click.Choice(["ignore", "use"]),
        default="ignore",
        show_default=True,
        help="How to treat objects marked as crowds (COCO) or difficult (Pascal VOC, DOTA).",
    ),
    "accept_shift_m": click.option(
        "--accept-shift",
        "accept_shift_m",
        type=click.FloatRange(min=0, min_open=True),
        metavar="METRES",
        help="Accept labels whose datum can only be changed this accurately (default: to a pixel).",
    ),
}


ABOUT_FEATURES = ("class_field", "layer", "where", "label_crs", "buffer_m")
"""Fields of `labels` about vector layers."""

ABOUT_FORMATS = ("format", "voc_origin", "crowds", "accept_shift_m")
"""Fields of `labels` about other formats, and what their files do not say."""


def labels(*fields: str) -> Decorator:
    """Flags for reading labels; the command gets `label_options`, a `LabelOptions` with these fields."""

    def make(values: dict[str, Any]) -> tuple[str, Any]:
        from eo_dl.labels.labeloptions import LabelOptions

        return "label_options", LabelOptions(**values)

    return _group({field: _LABEL_FLAGS[field] for field in fields}, make)


_SAMPLING_FLAGS: dict[str, Decorator] = {
    "sampling": click.option(
        "--sampling",
        type=click.Choice(["grid", "random", "objects", "single", "balanced"]),
        default="grid",
        show_default=True,
        help="Where chips are cut; single: around one object each, showing no other (for localization).",
    ),
    "count": click.option(
        "--count",
        type=click.IntRange(min=1),
        metavar="N",
        help="Number of chips (not with --sampling grid).",
    ),
    "overlap_px": click.option(
        "--overlap",
        "overlap_px",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        metavar="PX",
        help="Pixels that neighbouring grid chips share.",
    ),
    "keep_empty": click.option(
        "--keep-empty",
        type=click.FloatRange(0, 1),
        metavar="SHARE",
        help="Share of the chips without objects to keep; for grid and random (default: all).",
    ),
    "add_empty": click.option(
        "--add-empty",
        type=click.FloatRange(0, 1),
        metavar="SHARE",
        help="Chips without objects to add, as a share of the others; for objects, single and balanced "
        "(default: 0.1).",
    ),
    "min_valid": click.option(
        "--min-valid",
        type=click.FloatRange(0, 1),
        default=0.5,
        show_default=True,
        metavar="SHARE",
        help="Leave out chips with a smaller share of measured pixels.",
    ),
}


def sampling(command: Function) -> Function:
    """Flags for where chips are cut; the command gets `sampling`, a `Sampling`."""

    def make(values: dict[str, Any]) -> tuple[str, Any]:
        from eo_dl.chips.sampling import Sampling

        return "sampling", Sampling(method=values.pop("sampling"), **values)

    return _group(_SAMPLING_FLAGS, make)(command)


_SPLIT_FLAGS: dict[str, Decorator] = {
    "split": click.option(
        "--split",
        default="70,15,15",
        show_default=True,
        metavar="A,B,C",
        help="Shares of train, val and test.",
    ),
    "split_by": click.option(
        "--split-by",
        type=click.Choice(["block", "scene"]),
        default="block",
        show_default=True,
        help="Unit that is never divided between splits.",
    ),
    "block_m": click.option(
        "--block-m",
        type=click.FloatRange(min=0, min_open=True),
        metavar="METRES",
        help="Side of a block of ground, metres (default: chosen from the size of the scenes).",
    ),
    "guard_px": click.option(
        "--guard-px",
        type=click.FloatRange(min=0),
        metavar="PX",
        help="Minimum distance between chips of two splits, px (default: one chip, less if that costs too "
        "much).",
    ),
    "folds": click.option(
        "--folds",
        type=click.IntRange(min=2),
        metavar="K",
        help="Also assign blocks to K folds for cross-validation.",
    ),
    "split_like": click.option(
        "--split-like",
        metavar="FOLDER",
        help="Hold out the same ground as this chip set, so that models of both can be compared.",
    ),
}


def split(command: Function) -> Function:
    """Flags for dividing chips among splits; the command gets `split`, a `Split`."""

    def make(values: dict[str, Any]) -> tuple[str, Any]:
        from eo_dl.chips.splits import Split

        shares = parse_split(values.pop("split"))
        return "split", Split(shares, by=values.pop("split_by"), like=values.pop("split_like"), **values)

    return _group(_SPLIT_FLAGS, make)(command)


_COMPUTE_FLAGS: dict[str, Decorator] = {
    "device": click.option(
        "--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, cuda:1 or mps."
    ),
    "precision": click.option(
        "--precision",
        type=click.Choice(["auto", "32", "bf16", "16"]),
        default="auto",
        show_default=True,
        help="32: float32; auto: bfloat16 for class maps if the hardware supports it.",
    ),
    "batch_size": click.option(
        "--batch-size", type=int, metavar="N", help="Batch size (chips; training needs at least 2)."
    ),
    "workers": click.option(
        "-j",
        "--workers",
        type=click.IntRange(min=0),
        metavar="N",
        help="Reader threads or processes (default: chosen automatically).",
    ),
}


def compute(*fields: str) -> Decorator:
    """Flags for running networks; the command gets `compute`, a `Compute` with these fields."""

    def make(values: dict[str, Any]) -> tuple[str, Any]:
        from eo_dl.networks.compute import Compute

        return "compute", Compute(**values)

    return _group({field: _COMPUTE_FLAGS[field] for field in fields}, make)


_CHIP_FLAGS: dict[str, Decorator] = {
    "chip_px": click.option(
        "--chip",
        "chip_px",
        type=click.IntRange(min=1),
        help="Side of a chip, px (default: chosen; larger than in training where the network allows it).",
    ),
    "margin_px": click.option(
        "--margin",
        "margin_px",
        type=click.IntRange(min=0),
        help="Context pixels per side, discarded from the output (default: the model's).",
    ),
    "blend": click.option(
        "--blend",
        type=click.Choice(["clip", "hann"]),
        default="clip",
        show_default=True,
        help="How overlapping chips are put together; hann: their weighted mean (class maps).",
    ),
    "views": click.option(
        "--views",
        type=click.Choice(["1", "2", "4", "8"]),
        default="1",
        show_default=True,
        help="Average over this number of flips and turns of each chip; not for objects.",
    ),
    "max_overlap": click.option(
        "--max-overlap",
        type=click.FloatRange(0, 1),
        help="IoU above which two boxes of a class are one object (default: the model's own).",
    ),
    "max_inside": click.option(
        "--max-inside",
        type=click.FloatRange(0, 1),
        help="Share of a box inside another of its class above which they are one object; 1: none is "
        "(default: the model's own).",
    ),
}


def chips(command: Function) -> Function:
    """Flags for cutting a scene into chips; the command gets `chip_options`, a `ChipOptions`."""

    def make(values: dict[str, Any]) -> tuple[str, Any]:
        from eo_dl.inference.chipoptions import ChipOptions

        return "chip_options", ChipOptions(views=int(values.pop("views")), **values)

    return _group(_CHIP_FLAGS, make)(command)


_CLEANUP_FLAGS: dict[str, Decorator] = {
    "min_score": click.option(
        "--min-score",
        type=click.FloatRange(0, 1),
        help="Leave out objects below this score (default: the model's own threshold; of polygons of a class "
        "map: needs --probabilities).",
    ),
    "min_area_m2": click.option(
        "--min-area",
        "min_area_m2",
        type=click.FloatRange(min=0),
        metavar="M2",
        help="Leave out areas of a class and objects smaller than this, square metres (they are counted).",
    ),
    "fill_holes_m2": click.option(
        "--fill-holes",
        "fill_holes_m2",
        type=click.FloatRange(min=0),
        metavar="M2",
        help="Fill holes smaller than this, square metres, that one class encloses.",
    ),
    "sieve_px": click.option(
        "--sieve",
        "sieve_px",
        type=click.IntRange(min=0),
        metavar="PX",
        help="Give connected areas of fewer pixels to their largest neighbour (class maps).",
    ),
    "simplify_px": click.option(
        "--simplify",
        "simplify_px",
        type=click.FloatRange(min=0),
        metavar="PX",
        help="Simplify outlines with a tolerance of about N pixels; shared borders stay shared.",
    ),
    "smooth_px": click.option(
        "--smooth",
        "smooth_px",
        type=click.FloatRange(min=0),
        metavar="PX",
        help="Round the corners of outlines, which move by at most N pixels; shared borders stay shared.",
    ),
    "regularize_px": click.option(
        "--regularize",
        "regularize_px",
        type=click.FloatRange(min=0),
        metavar="PX",
        help="Give buildings straight walls and right angles, or make circles of them, within N pixels of "
        "the outlines found (2 to 3 is usual); shared walls stay shared.",
    ),
}


def cleanup(command: Function) -> Function:
    """Flags for which results are kept, and their outlines; the command gets `cleanup`, a `Cleanup`."""

    def make(values: dict[str, Any]) -> tuple[str, Any]:
        from eo_dl.postprocessing.cleanup import Cleanup

        return "cleanup", Cleanup(**values)

    return _group(_CLEANUP_FLAGS, make)(command)


# Alone

gsd = click.option(
    "--gsd",
    "gsd_m",
    type=click.FloatRange(min=0, min_open=True),
    help="Resample scenes to this GSD (ground sample distance), metres.",
    metavar="METRES",
)
colors = click.option(
    "--colors",
    metavar="LIST",
    help="Colours of classes in maps and reports: 'water=#2b7bba,forest=#1f7a3a' (default: those of the "
    "layer's style in QGIS, else by name).",
)

iou = click.option(
    "--iou",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="Least overlap (IoU) at which an object counts as found.",
)
chips_to_score = click.option(
    "--chips", help="Score only the ground of one split of this chip set (see --split).", metavar="FOLDER"
)
split_to_score = click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="The split of --chips.",
)
class_map = click.option(
    "--class-map",
    "class_map",
    multiple=True,
    help="Match a class of the reference with one of the prediction; NAME=ignore leaves it out (repeatable).",
    metavar="TRUTH=PREDICTION",
)
aoi = click.option("--aoi", metavar="FILE", help="Only inside these polygons (any vector file).")
overwrite = click.option("--overwrite", is_flag=True, help="Replace an existing output.")
workers = _COMPUTE_FLAGS["workers"]
dask = click.option(
    "--dask",
    "cluster",
    metavar="ADDRESS",
    help="Work on the Dask cluster with this scheduler; local:N: on N processes of this machine.",
)
seed = click.option(
    "--seed", type=int, default=0, show_default=True, help="Random seed (reproducible output)."
)


# Values of flags


def split_bands(text: str | None) -> list[str] | None:
    """As `split_list`, with ranges of numbers ("1-3") as the numbers."""
    from eo_dl.core.bands import expanded_ranges

    items = split_list(text)
    return None if items is None else expanded_ranges(items)


def split_list(text: str | None) -> list[str] | None:
    """'a, b' as ['a', 'b']; None stays None."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def class_pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """Options of the form TRUTH=PREDICTION."""
    wrong = [text for text in texts if not all(text.partition("="))]
    if wrong:
        raise click.BadParameter(
            f"{wrong[0]!r} is not TRUTH=PREDICTION, e.g. forest=woods", param_hint="--class-map"
        )
    return dict(text.split("=", 1) for text in texts)


def named_numbers(text: str, flag: str) -> dict[str, float]:
    """'forest=0.9, water=0.95' as numbers by name."""
    numbers = {}
    for item in split_list(text) or []:
        name, sign, value = item.rpartition("=")
        try:
            numbers[name.strip()] = float(value)
        except ValueError:
            sign = ""
        if not sign or not name.strip():
            raise click.BadParameter(f"{item!r} is not NAME=NUMBER, e.g. forest=0.9", param_hint=flag)
    return numbers


def parse_size(text: str) -> tuple[int | None, float | None]:
    """'256', '256px' or '128m' as (pixels, None) or (None, metres)."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(px|m)?\s*", text)
    if match is None or float(match[1]) <= 0:
        raise click.BadParameter(f"{text!r} is not a size; write 256, 256px or 128m", param_hint="--size")
    if match[2] == "m":
        return None, float(match[1])
    if not float(match[1]).is_integer():
        raise click.BadParameter(
            f"{text!r}: pixels are whole; write 256, or 128.5m for metres", param_hint="--size"
        )
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
