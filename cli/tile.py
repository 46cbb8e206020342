"""`eo-dl tile`: scenes and labels to a chip set."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.chips.sampling import Sampling
    from eo_dl.chips.splits import Split
    from eo_dl.io.sceneoptions import SceneOptions
    from eo_dl.labels.labeloptions import LabelOptions


@click.command("tile", cls=options.Command, short_help="Cut scenes and labels into chips for training.")
@click.argument("scenes", nargs=-1, required=True, metavar="SCENE...")
@click.option(
    "--labels",
    "labels",
    multiple=True,
    required=True,
    metavar="FILE",
    help="Labels: vectors, rasters, COCO, Pascal VOC, CSV ..., or ROOT of ROOT/CLASS/images; one file for "
    "all scenes, or one per scene (repeatable; or a folder).",
)
@click.option(
    "-o", "--out", default="chips", show_default=True, help="Folder of the chip set.", metavar="FOLDER"
)
@click.option(
    "--size",
    help="Side of a chip: 256, 256px or 128m (default: 256, up to 512 if objects need it, down to 64 if "
    "three splits need it; for images labelled as a whole, their size).",
    metavar="SIZE",
)
@options.gsd
@options.labels(
    *options.ABOUT_FEATURES, "classes", "values", "annotated", "unlabelled", *options.ABOUT_FORMATS
)
@options.colors
@options.aoi
@options.sampling
@options.split
@click.option(
    "--write-chips/--read-scenes",
    default=None,
    help="Write chips as GeoTIFFs, or read them from the scenes on demand (default: whichever decodes less).",
)
@options.scenes("bands", "nodata", "valid", "crs", "mask", "derive", *options.TRUST)
@options.drop_dead_bands
@options.seed
@options.workers
@options.dask
@options.overwrite
def command(
    reporter: Reporter,
    scenes: tuple[str, ...],
    labels: tuple[str, ...],
    out: str,
    size: str | None,
    gsd_m: float | None,
    label_options: LabelOptions,
    colors: str | None,
    aoi: str | None,
    sampling: Sampling,
    split: Split,
    write_chips: bool | None,
    scene_options: SceneOptions,
    drop_dead_bands: bool,
    seed: int,
    workers: int | None,
    cluster: str | None,
    overwrite: bool,
) -> None:
    """Cut scenes and labels into chips for training.

    SCENE is a GeoTIFF, VRT, JPEG 2000, PNG or JPEG, a folder of them, or a quoted pattern; for labels of
    whole images (ROOT/CLASS/NAME.jpg, or a CSV of file and class) also the folder ROOT. Splits are blocks of
    ground, and no two splits share ground. chips.gpkg opens in QGIS; train uses the splits and keep flags as
    they are edited there.
    """
    if cluster is not None and workers is not None:
        raise click.UsageError("--workers and --dask cannot be combined; the cluster has workers of its own")
    from eo_dl import drop_dead_bands as without_dead_bands
    from eo_dl import tile, tile_on_cluster

    size_px, size_m = (None, None) if size is None else options.parse_size(size)
    opened, label_set = options.scenes_with_labels(scenes, labels, scene_options, label_options, colors)
    if drop_dead_bands:
        opened = without_dead_bands(opened)
    wanted: dict[str, Any] = {
        "out": out,
        "size_px": size_px,
        "size_m": size_m,
        "gsd_m": gsd_m,
        "annotated": label_options.annotated,
        "seed": seed,
        "write_chips": write_chips,
        "overwrite": overwrite,
        "on_progress": reporter.progress,
        "sampling": replace(sampling, aoi=aoi),
        "split": split,
    }
    if cluster is None:
        chips = tile(opened, label_set, workers=workers, **wanted)
    else:
        chips = tile_on_cluster(opened, label_set, cluster=cluster, **wanted)
    reporter.notes(chips.notes)
    if chips.label_report["line"]:
        reporter.log(str(chips.label_report["line"]))
    summary = chips.summary()
    lines = [
        f"{chips.path}: {len(chips.records)} chips of {chips.chip_px} px, bands {chips.bands.describe()}",
        "",
        *table(summary.rows, summary.header),
        "",
    ]
    lines += [
        f"ground shared by {pair}: {area:g} {summary.area_unit}" for pair, area in chips.shared_ground.items()
    ]
    reporter.result(summary.values, lines)
