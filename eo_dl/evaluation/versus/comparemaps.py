"""`compare`: two maps or two models on the same ground."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ...bundle import Bundle, load_model
from ...chips.chipset import ChipSet
from ...core.labelset import LabelSet
from ...core.progress import OnProgress, silent
from ...errors import ConfigError, InputError
from ...inference.predict import predict
from ...inference.prediction import Prediction
from ...io.atomic import refuse_existing
from ...io.outputlock import locks_output
from ...io.scene import Scene
from ...labels.reading import read_labels
from ..limits import Limits
from ..predictionfiles import Part, parts_of
from .chipversus import compare_chips
from .contrast import Contrasted, RivalMaps
from .objectversus import compare_objects
from .pixelversus import compare_pixels
from .versusreport import VersusReport, write_versus

MapOrModel = Prediction | Bundle | str | Path
_MODEL_SUFFIX = ".eodl"


@locks_output
def compare(
    first: MapOrModel,
    second: MapOrModel,
    *,
    truth: LabelSet | str | Path,
    out: str | Path | None = None,
    scene: Scene | str | Path | None = None,
    aoi: str | Path | None = None,
    iou: float = 0.5,
    class_map: Mapping[str, str] | None = None,
    chips: ChipSet | str | Path | None = None,
    split: str = "test",
    seed: int = 0,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> VersusReport:
    """Score two maps, or two models on a scene, on the same ground, and say by how much the second is ahead.

    Only ground counts on which both maps and the reference have a value. The interval of a difference is that
    of a paired block bootstrap: blocks of ground are drawn with replacement, the same ones for both maps,
    since both fail on the same difficult ground. It is narrower than two intervals apart suggest.

    Args:
        first: A class map, objects, classes of whole chips, or a model (`.eodl`), which predicts `scene`.
        second: The same of the other one.
        truth: The reference: labels, or a file in any format that `read_labels` reads.
        out: Folder for compare.json, compare.html, the picture and the map of differences; None writes
            nothing.
        scene: The scene: for models, and where the files of objects do not name it.
        aoi: Vector file with the area to score.
        iou: IoU from which an object counts as found.
        class_map: Name in the truth -> name in the maps, or "ignore". Other classes are matched by name.
        chips: Score only the chips of a split of this chip set.
        split: The split of `chips`: "train", "val" or "test".
        seed: Seed of the bootstrap.
        overwrite: Replace an existing report.
        on_progress: Called with (done, total, what).

    Returns:
        The scores of both and their differences; with `out`, its `path` is the HTML file.

    Raises:
        ConfigError: A parameter is out of range, or a model has no scene.
        InputError: A map cannot be read, has several files, or the two do not show the same.
        LabelError: The truth cannot be read, or does not overlap the maps.
        OutputExistsError: The folder exists and `overwrite` is False.
        WriteError: The report cannot be written.

    Example:
        >>> report = compare("old.tif", "new.tif", truth="truth.gpkg")  # doctest: +SKIP
        >>> report.difference("mean_iou").text()  # doctest: +SKIP
        '0.031 [0.012, 0.049]'
    """
    if not 0 < iou <= 1:
        raise ConfigError(f"`iou` must lie in (0, 1], found {iou:g}")
    if out is not None:
        refuse_existing(out, overwrite)
    labels = read_labels(truth)
    with tempfile.TemporaryDirectory(prefix="eo_dl_compare_") as folder:
        parts = [
            _part(one, scene, Path(folder) / name, on_progress)
            for one, name in ((first, "first"), (second, "second"))
        ]
        pair = RivalMaps(
            *_on_one_ground(parts[0], parts[1]),
            labels=labels,
            limits=Limits.of(aoi, chips, split),
            class_map=class_map,
            iou=iou,
            seed=seed,
            on_progress=on_progress,
        )
        differences = Path(folder) / _differences_name(pair)
        contrasted = _contrasted(pair, None if out is None else differences)
        report = VersusReport(
            kind=contrasted.kind,
            first=_name(first),
            second=_name(second),
            truth=labels.source,
            classes=contrasted.classes,
            contrasts=contrasted.contrasts,
            counts=contrasted.counts,
            settings=_settings(pair, contrasted),
            notes=(*labels.notes, *contrasted.notes),
            thumbnail=contrasted.thumbnail,
        )
        if out is None:
            return report
        return write_versus(report, Path(out), Path(folder), overwrite)


def _part(
    one: MapOrModel, scene: Scene | str | Path | None, predicted: Path, on_progress: OnProgress
) -> Part:
    """The file of a map, or that of what a model predicts."""
    scene_path = scene.path if isinstance(scene, Scene) else scene
    is_model = isinstance(one, Bundle) or (
        isinstance(one, str | Path) and str(one).lower().endswith(_MODEL_SUFFIX)
    )
    prediction: Prediction | str | Path
    if is_model:
        if scene is None:
            raise ConfigError(f"{_name(one)}: is a model, so it needs a `scene` to predict")
        bundle = one if isinstance(one, Bundle) else load_model(str(one))
        out = predicted.with_suffix(bundle.task.output.default_suffix)
        prediction = predict(bundle, scene, out=out, on_progress=on_progress)
    else:
        assert not isinstance(one, Bundle)
        prediction = one
    parts = parts_of(prediction, scene_path)
    if len(parts) != 1:
        raise InputError(f"{_name(one)}: holds {len(parts)} maps; compare two files of one ground")
    if parts[0].of_values:
        raise InputError(
            f"{_name(one)}: is a map of values, and maps of classes, objects or chips are compared; score "
            "each map of values with evaluate"
        )
    return parts[0]


def _on_one_ground(first: Part, second: Part) -> tuple[Part, Part]:
    """Both with the grid that one of them names, and with the same blocks.

    Raises `InputError` where one is a raster and the other is not.
    """
    if (first.is_raster, first.of_chips) != (second.is_raster, second.of_chips):
        raise InputError(
            f"{first.path.name} and {second.path.name}: one is a class map and one is not; compare two of "
            "a kind"
        )
    grid = first.grid or second.grid
    if not first.is_raster and grid is None:
        raise InputError(f"{first.path}: does not say which scene it is of; name it with `scene`")
    scene_path = first.scene_path or second.scene_path
    return (
        replace(first, grid=first.grid or grid, scene_path=first.scene_path or scene_path, ground="ground"),
        replace(
            second, grid=second.grid or grid, scene_path=second.scene_path or scene_path, ground="ground"
        ),
    )


def _differences_name(pair: RivalMaps) -> str:
    return "differences.tif" if pair.first.is_raster else "differences.gpkg"


def _contrasted(pair: RivalMaps, differences: Path | None) -> Contrasted:
    if pair.first.of_chips:
        return compare_chips(pair)
    if pair.first.is_raster:
        return compare_pixels(pair, differences)
    return compare_objects(pair, differences)


def _name(one: MapOrModel) -> str:
    return str(one.path if isinstance(one, Bundle | Prediction) else one)


def _settings(pair: RivalMaps, contrasted: Contrasted) -> dict[str, str]:
    settings = {}
    if contrasted.kind == "objects":
        settings["found from IoU"] = f"{pair.iou:g}"
    if pair.limits.aoi is not None:
        settings["only inside"] = Path(str(pair.limits.aoi)).name
    if pair.limits.chips is not None:
        settings["only on"] = f"the {pair.limits.split} chips of {pair.limits.chips.path.name}"
    return settings
