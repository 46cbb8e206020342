"""`evaluate`: a prediction against the reference ("truth")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..chips.chipset import ChipSet
from ..core.daskcluster import check_cluster
from ..core.labelset import LabelSet
from ..core.progress import OnProgress, silent
from ..errors import ConfigError, LabelError
from ..inference.prediction import Prediction
from ..io.atomic import refuse_existing
from ..io.outputlock import locks_output
from ..labels.placement import with_own_paths
from ..labels.reading import read_labels, read_values
from ..labels.valuerequest import values_text
from .chipreport import measure_chips
from .comparison import Comparison, Measurement
from .limits import Limits
from .objectreport import measure_objects
from .page import write_report
from .pixelreport import measure_pixels
from .predictionfiles import Part, parts_of
from .report import Report
from .valuereport import measure_values
from .valuewise import values_of_map


@locks_output
def evaluate(
    prediction: Prediction | str | Path,
    truth: LabelSet | str | Path,
    *,
    out: str | Path | None = None,
    aoi: str | Path | None = None,
    iou: float = 0.5,
    class_map: Mapping[str, str] | None = None,
    chips: ChipSet | str | Path | None = None,
    split: str = "test",
    scene: str | Path | None = None,
    seed: int = 0,
    cluster: str | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> Report:
    """Score a class map, a map of values, detected objects, or classes of whole chips or images.

    Only areas are scored where the truth is complete and the prediction has values. Headline scores carry a
    95 % confidence interval: the scene is cut into squares (8 along its longer side), which are resampled
    with replacement (block bootstrap).

    Args:
        prediction: The result of `predict`, its file or folder, or a class raster or polygons of other
            software.
        truth: The reference: labels, or a file in any format that `read_labels` reads.
        out: Folder for report.json, report.html and the figures; None writes nothing.
        aoi: Vector file with the area to score.
        iou: IoU from which an object counts as found.
        class_map: Name in the truth -> name in the prediction, or "ignore". Other classes are matched by
            name.
        chips: Score only the chips of a split of this chip set, so that training areas are not scored.
        split: The split of `chips`: "train", "val" or "test".
        scene: The scene that was predicted, if the prediction's file does not name it and it matters.
        seed: Seed of the bootstrap.
        cluster: Score the files of the prediction on a Dask cluster, one task each, with the same numbers:
            address of its scheduler, e.g. "tcp://10.0.0.1:8786", or "local:N" for N processes here. Workers
            must see the files, their scenes and label rasters under the same paths. None: in this process.
        overwrite: Replace an existing report.
        on_progress: Called with (done, total, what).

    Returns:
        The report; with `out`, its `path` is the HTML file.

    Raises:
        LabelError: The truth cannot be read, or does not overlap the prediction.
        SceneError: A raster cannot be read.
        InputError: The prediction cannot be read, or its files do not fit together.
        ConfigError: A parameter is out of range.
        ChipSetError: The chip set cannot be read, or has no chip on the prediction.
        OutputExistsError: The folder exists and `overwrite` is False.
        ClusterError: The scheduler cannot be reached, or workers die.
        MissingExtraError: Dask is not installed.
        WriteError: The report cannot be written.

    Example:
        >>> report = evaluate("map.tif", "truth.gpkg", out="report/")  # doctest: +SKIP
        >>> report.score("mean_iou").text()  # doctest: +SKIP
        '0.713 [0.662, 0.758]'
    """
    if not 0 < iou <= 1:
        raise ConfigError(f"`iou` must lie in (0, 1], found {iou:g}")
    if cluster is not None:
        check_cluster(cluster)
    if out is not None:
        refuse_existing(out, overwrite)
    parts = parts_of(prediction, scene)
    labels = _read_truth(truth, parts[0])
    if not len(labels) and not labels.states_extent:
        raise LabelError(f"{labels.source}: the truth holds no features; choose a file that does")
    limits = Limits.of(aoi, chips, split)
    comparison = Comparison(
        parts, labels, limits, class_map, iou=iou, seed=seed, on_progress=on_progress, cluster=cluster
    )
    if cluster is not None:
        comparison = _with_own_paths(comparison)
    measured = _measure(comparison)
    report = Report(
        kind=measured.kind,
        scores=measured.scores,
        classes=measured.classes,
        counts=measured.counts,
        prediction=str(prediction.path if isinstance(prediction, Prediction) else prediction),
        truth=labels.source,
        settings=_settings(comparison, measured),
        notes=(*labels.notes, *measured.notes),
        confusion=measured.confusion,
        pictures=measured.pictures,
    )
    return report if out is None else write_report(report, out, overwrite)


def _read_truth(truth: LabelSet | str | Path, first: Part) -> LabelSet:
    """The reference; that of a map of values is read as the same values."""
    asked = values_asked(first)
    if isinstance(truth, LabelSet) or asked is None:
        return read_labels(truth)
    return read_values(truth, asked)


def values_asked(part: Part) -> str | None:
    """How to ask `read_labels` for the values of a map; None where it holds classes or objects."""
    classes = values_of_map(part) if part.of_values else None
    return None if classes is None else values_text(classes)


def _with_own_paths(comparison: Comparison) -> Comparison:
    """The same for workers, which run in other folders."""
    return replace(
        comparison,
        parts=[part.with_own_paths() for part in comparison.parts],
        labels=with_own_paths(comparison.labels),
        limits=comparison.limits.with_own_paths(),
    )


def _measure(comparison: Comparison) -> Measurement:
    first = comparison.parts[0]
    if first.of_chips:
        return measure_chips(comparison)
    if first.is_raster and (first.of_values or comparison.labels.classes.are_values):
        return measure_values(comparison)
    if first.is_raster:
        return measure_pixels(comparison)
    return measure_objects(comparison)


def _settings(comparison: Comparison, measured: Measurement) -> dict[str, str]:
    limits = comparison.limits
    settings = {}
    if measured.kind == "objects":
        settings["found from IoU"] = f"{comparison.iou:g}"
    if limits.aoi is not None:
        settings["only inside"] = Path(str(limits.aoi)).name
    if limits.chips is not None:
        settings["only on"] = f"the {limits.split} chips of {limits.chips.path.name}"
    return settings
