"""`chips.gpkg`: chips, labels and annotated ground as layers that QGIS opens styled, and that are read back.

Users may change `split` and `keep` of a chip, delete chips, and correct labels; everything else about a chip
must stay as it is.

All layers lie in one `LayerFrame`. Labels in map coordinates stay in their own CRS; labels in pixels are
shown in the frame and brought back to pixels when read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import geopandas as gpd
import numpy as np
import pandas as pd
from pyproj import CRS

from ..core.arraytypes import Float64Array, GeometryArray, Int64Array, ObjectArray
from ..core.classes import IGNORE_ID, ClassSet
from ..core.features import Features
from ..core.gridwindow import GridWindow, window_outlines
from ..core.imagelabels import CoveredImage, ImageLabels
from ..core.imagenames import ImageNames, composed, stem_of
from ..core.labeloutlines import ImageOutlines, MapOutlines, Outlines
from ..core.labelset import FeatureLabels, LabelSet
from ..core.maplabels import MapLabels
from ..core.rasterlabels import RasterLabels
from ..core.window import Window
from ..errors import ChipSetError
from ..io.confined import is_safe_id
from ..io.qgisstyles import categories_qml, outline_qml, polygons_qml
from ..io.scene import Scene
from ..io.sceneoptions import SceneOptions
from ..io.vectorlayers import read_layer, write_layers
from .chiprecord import SPLITS, ChipRecord, SplitName, chip_file
from .layerframe import LayerFrame
from .manifest import labels_crs, rasters_of

SPLIT_COLORS: dict[SplitName, str] = {
    "train": "#2a7fb8",
    "val": "#e8a33d",
    "test": "#c8352b",
    "none": "#9a9a9a",
}
_ANNOTATED_COLOR = "#5b5b5b"
_IGNORED = "(ignored)"  # shown for features of no class, which are neither learnt nor scored
_VALUE_PREFIX = "value_"  # fields of the numbers of labels
_EXAMPLES = 5
_MOST_FOLDS = 10_000
_MOST_OBJECTS = 2**31
Number = TypeVar("Number", int, float)


def write_index(
    path: Path,
    scenes: Sequence[Scene],
    labels: LabelSet,
    records: Sequence[ChipRecord],
    used: Int64Array,
) -> None:
    """Write all layers with their styles.

    Args:
        path: The GeoPackage.
        scenes: The scenes.
        labels: Their labels.
        records: The chips.
        used: (M,) indices of the labels that touch a scene, ascending.
    """
    frame = LayerFrame.of(scenes)
    layers = {
        "annotated": _annotated_layer(frame, scenes, labels),
        "labels": _labels_layer(frame, scenes, labels, used),
        "chips": _chips_layer(frame, scenes, labels, records),
    }
    styles = {
        "chips": categories_qml("split", {str(name): color for name, color in SPLIT_COLORS.items()}),
        "labels": polygons_qml(labels.classes, "class_name"),
        "annotated": outline_qml(_ANNOTATED_COLOR),
    }
    write_layers(path, layers, styles)


# Chips


def _chips_layer(
    frame: LayerFrame, scenes: Sequence[Scene], labels: LabelSet, records: Sequence[ChipRecord]
) -> gpd.GeoDataFrame:
    class_names = {info.id: info.name for info in labels.classes.with_background()}
    rows = [_row(record, scenes[record.scene_index], class_names) for record in records]
    table = pd.DataFrame(rows)
    table["fold"] = pd.array([record.fold for record in records], "Int32")  # integers with missing values
    return gpd.GeoDataFrame(table, geometry=gpd.GeoSeries(_outlines(frame, scenes, records), crs=frame.crs))


def _row(record: ChipRecord, scene: Scene, class_names: Mapping[int, str]) -> dict[str, object]:
    """The attributes of a chip, in the order of the attribute table."""
    return {
        "chip_id": record.chip_id,
        "split": record.split,
        "keep": record.keep,
        "fold": record.fold,
        "scene": scene.name,
        "scene_index": record.scene_index,
        "col": record.window.col,
        "row": record.window.row,
        "width": record.window.width,
        "height": record.window.height,
        "valid_share": record.valid_share,
        "objects": sum(record.object_counts.values()),
        "class_shares": _by_name(record.class_shares, class_names),
        "object_counts": _by_name(record.object_counts, class_names),
        "block": record.block,
        "file": record.file,
    }


def _outlines(frame: LayerFrame, scenes: Sequence[Scene], records: Sequence[ChipRecord]) -> GeometryArray:
    """(N,) outlines of the chips in the layer, clipped to their scenes."""
    outlines = np.empty(len(records), dtype=object)
    scene_of = np.array([record.scene_index for record in records], np.int64)
    for index in np.unique(scene_of).tolist():
        scene, of_scene = scenes[index], np.flatnonzero(scene_of == index)
        windows = [records[number].window for number in of_scene.tolist()]
        clipped = [window.intersection(scene.grid.window) or window for window in windows]
        outlines[of_scene] = frame.to_layer(window_outlines(clipped), scene.grid, scene.native, index)
    return outlines


def _by_name(values: Mapping[int, float], class_names: Mapping[int, str]) -> str:
    """JSON by class name, to be read in an attribute table."""
    named = {class_names.get(class_id, str(class_id)): value for class_id, value in sorted(values.items())}
    return json.dumps(named, ensure_ascii=False)


def read_records(
    path: Path, classes: ClassSet, scenes: Sequence[Scene], chip_px: int
) -> tuple[ChipRecord, ...]:
    """The chips as they are now, in their order.

    Args:
        path: The GeoPackage.
        classes: The classes of the chip set.
        scenes: Its scenes.
        chip_px: Side of its chips.

    Raises:
        ChipSetError: More was changed than splits, keep flags and labels.
    """
    table = read_layer(path, layer="chips")
    class_ids = {info.name: info.id for info in classes.with_background()}
    rows = table.drop(columns=table.geometry.name).to_dict("records")
    try:
        records = tuple(_record(path, row, class_ids, scenes) for row in rows)
    except ChipSetError:
        raise
    except (KeyError, ValueError, TypeError, OverflowError, AttributeError, RecursionError) as cause:
        raise ChipSetError(
            f"{path}: its layer 'chips' was changed beyond `split` and `keep` ({cause!r}); restore it or "
            "tile again"
        ) from cause
    _check_records(path, records, scenes, chip_px)
    return records


def _record(
    path: Path, row: dict[str, Any], class_ids: Mapping[str, int], scenes: Sequence[Scene]
) -> ChipRecord:
    name, scene_index = str(row["chip_id"]), int(row["scene_index"])
    if not is_safe_id(name):
        raise ChipSetError(
            f"{path}: the chip id {name[:80]!r} is no file name of letters, digits, '_' and '-'; restore the "
            "file or tile again"
        )
    file = None if pd.isna(row["file"]) else str(row["file"])
    if file not in (None, chip_file(name)):
        raise ChipSetError(
            f"{path}: chip {name} has the file {file!r:.80}, expected {chip_file(name)}; restore the file or "
            "tile again"
        )
    split = str(row["split"]).strip().lower()
    if split not in SPLITS:
        raise ChipSetError(
            f"{path}: chip {name} has the unknown split {row['split']!r}; choose one of {', '.join(SPLITS)}"
        )
    if not 0 <= scene_index < len(scenes):
        raise ChipSetError(
            f"{path}: chip {name} has the scene number {scene_index}, and there are {len(scenes)} scenes; "
            "restore the file or tile again"
        )
    window = Window(int(row["col"]), int(row["row"]), int(row["width"]), int(row["height"]))
    class_shares, object_counts = json.loads(row["class_shares"]), json.loads(row["object_counts"])
    return ChipRecord(
        chip_id=name,
        scene_index=scene_index,
        window=GridWindow.of(window, scenes[scene_index].grid),
        split=split,
        fold=None if pd.isna(row["fold"]) else _between(int(row["fold"]), 0, _MOST_FOLDS),
        keep=not pd.isna(row["keep"]) and bool(row["keep"]),
        valid_share=_between(float(row["valid_share"]), 0, 1),
        class_shares={class_ids[name]: _share(share) for name, share in class_shares.items()},
        object_counts={
            class_ids[name]: _between(int(n), 0, _MOST_OBJECTS) for name, n in object_counts.items()
        },
        block=str(row["block"]),
        file=file,
    )


def _share(value: object) -> float:
    return _between(float(str(value)), 0, 1.001)


def _between(value: Number, least: float, most: float) -> Number:
    """The value. Raises `ValueError` if it is out of range, as NaN is."""
    if not least <= value <= most:
        raise ValueError(f"{value} is not between {least} and {most}")
    return value


def _check_records(path: Path, records: Sequence[ChipRecord], scenes: Sequence[Scene], chip_px: int) -> None:
    if not records:
        raise ChipSetError(f"{path}: its layer 'chips' is empty; tile again")
    seen: set[str] = set()
    for record in records:
        window = record.window
        if record.chip_id in seen:
            raise ChipSetError(f"{path}: has chip {record.chip_id} twice; delete the copy")
        seen.add(record.chip_id)
        if (window.width, window.height) != (chip_px, chip_px):
            raise ChipSetError(
                f"{path}: chip {record.chip_id} has another size than it was cut with ({chip_px} px); "
                "restore the file or tile again"
            )
        if window.intersection(scenes[record.scene_index].grid.window) is None:
            raise ChipSetError(
                f"{path}: chip {record.chip_id} lies outside its scene; restore the file or tile again"
            )


# Labels


def _labels_layer(
    frame: LayerFrame, scenes: Sequence[Scene], labels: LabelSet, used: Int64Array
) -> gpd.GeoDataFrame:
    """The labels that touch a scene: they are read again whenever the chip set is opened."""
    features = Features.none()
    on_layer = _OnLayer(features.geometries, frame.crs, np.arange(0))
    if isinstance(labels, MapLabels):
        features = labels.features
        on_layer = _OnLayer(features.geometries[used], labels.crs, used)
    elif isinstance(labels, FeatureLabels):  # label rasters have no features
        features, on_layer = labels.features, _on_layer(frame, scenes, labels.outlines)
    rows = features.take(on_layer.index)
    class_names = {info.id: info.name for info in labels.classes}
    table = {
        "class_name": [class_names.get(class_id, _IGNORED) for class_id in rows.class_ids.tolist()],
        "class_id": rows.class_ids,
        "feature_id": [str(feature_id) for feature_id in rows.feature_ids],
        "image": _image_column(rows.images),
        "ignore": rows.ignore,
    }
    if rows.values is not None:
        names = labels.classes.names
        table |= {_VALUE_PREFIX + name: column for name, column in zip(names, rows.values.T, strict=True)}
    return _layer(table, on_layer.geometries, on_layer.crs)


def _image_column(images: ObjectArray | None) -> list[str | None] | None:
    if images is None:
        return None
    return [None if name is None else str(name) for name in images]


def _layer(table: dict[str, Any], geometries: GeometryArray, crs: CRS | None) -> gpd.GeoDataFrame:
    # An index of its own, so that a table of no rows has its columns, too.
    rows = range(len(geometries))
    return gpd.GeoDataFrame(table, index=rows, geometry=gpd.GeoSeries(geometries, index=rows, crs=crs))


@dataclass(frozen=True)
class _OnLayer:
    """Outlines as a layer has them: (N,) geometries, their CRS, and (N,) indices."""

    geometries: GeometryArray
    crs: CRS | None
    index: Int64Array


def _on_layer(frame: LayerFrame, scenes: Sequence[Scene], outlines: Outlines) -> _OnLayer:
    """Outlines on the map as they are, outlines in images brought to the layer; those of images that are no
    scene are left out.
    """
    if isinstance(outlines, MapOutlines):
        return _OnLayer(outlines.geometries, outlines.crs, np.arange(len(outlines.geometries)))
    scene_of = _scene_of_image(_names(outlines.images), scenes)
    index = np.flatnonzero(scene_of >= 0)
    on_layer = np.empty(len(index), dtype=object)
    for number in np.unique(scene_of[index]).tolist():
        of_scene, native = scene_of[index] == number, scenes[number].native
        on_layer[of_scene] = frame.to_layer(outlines.geometries[index[of_scene]], native, native, number)
    return _OnLayer(on_layer, frame.crs, index)


def _names(images: ObjectArray | None) -> ObjectArray:
    return np.empty(0, dtype=object) if images is None else images


def _scene_of_image(images: ObjectArray, scenes: Sequence[Scene]) -> Int64Array:
    """(N,) for each image name the scene of that name, else of that stem; -1 if there is none. As in
    `LabelSet.for_grid`.
    """
    called = [composed(str(image)) for image in images]
    names = ImageNames(called)
    by_name: dict[str, int] = {}
    by_stem: dict[str, int] = {}
    for number, scene in enumerate(scenes):
        exact, stem = names.exact(scene.place), names.by_stem(scene.place)
        if exact is not None:
            by_name[exact] = number
        elif stem is not None:
            by_stem[stem] = number
    return np.array([by_name.get(name, by_stem.get(stem_of(name), -1)) for name in called], np.int64)


def read_back_labels(
    path: Path,
    classes: ClassSet,
    scenes: Sequence[Scene],
    entry: dict[str, Any],
    folder: Path,
    trust: SceneOptions,
) -> LabelSet:
    """The labels as they are now, with what was edited in QGIS.

    Args:
        path: The GeoPackage.
        classes: The classes of the chip set.
        scenes: Its scenes.
        entry: What the manifest holds about the labels.
        folder: The folder of the chip set, from which moved label rasters are found.
        trust: The hosts on which label rasters may lie (`allow_remote`).

    Raises:
        ChipSetError: A label has a class that the chip set does not have, or a label raster is missing.
    """
    crs = labels_crs(entry)
    source, notes = entry["source"], tuple(entry["notes"])
    if entry["rasters"]:
        areas = None if entry["everywhere"] else _read_areas(path, scenes, crs, entry)
        return RasterLabels(classes, rasters_of(entry, folder, trust), source, areas, notes)
    features = _read_features(path, classes, entry["by_image"])
    if crs is not None:
        return MapLabels(
            classes,
            features,
            crs,
            source,
            areas=None if entry["everywhere"] else _read_map_areas(path, crs, entry["annotated_by_image"]),
            image_names=tuple(entry["image_names"]),
            accept_shift_m=entry.get("accept_shift_m"),  # missing in chip sets of older versions
            class_field=entry["class_field"],
            notes=notes,
        )
    native = _to_native(LayerFrame.of(scenes), scenes, features.geometries, _names(features.images))
    return ImageLabels(
        classes,
        replace(features, geometries=native),
        source,
        covered=tuple(CoveredImage(name) for name in entry["image_names"]),
        areas=None if entry["everywhere"] else _read_image_areas(path, scenes),
        class_field=entry["class_field"],
        notes=notes,
    )


def _read_features(path: Path, classes: ClassSet, by_image: bool) -> Features:
    """The layer `labels`, in its own frame."""
    table = read_layer(path, layer="labels")
    return Features(
        geometries=np.asarray(table.geometry.array, dtype=object),
        class_ids=_class_ids(path, table, classes),
        feature_ids=table["feature_id"].to_numpy(dtype=object),
        ignore=table["ignore"].fillna(False).to_numpy(np.bool_),
        images=table["image"].to_numpy(dtype=object) if by_image else None,
        values=_values(path, table, classes),
    )


def _values(path: Path, table: gpd.GeoDataFrame, classes: ClassSet) -> Float64Array | None:
    """(N, K) the numbers of the features; None where labels are classes."""
    if not classes.are_values:
        return None
    names = [_VALUE_PREFIX + name for name in classes.names]
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise ChipSetError(
            f"{path}: its layer 'labels' has no field {', '.join(missing)}; restore it or tile again"
        )
    columns = [pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64) for name in names]
    return np.column_stack(columns)


def _class_ids(path: Path, table: gpd.GeoDataFrame, classes: ClassSet) -> Int64Array:
    """By name, which is what users edit."""
    ids = {info.name: info.id for info in classes} | {_IGNORED: IGNORE_ID}
    names = table["class_name"]
    unknown = sorted({str(name) for name in names.unique() if name not in ids})
    if unknown:
        raise ChipSetError(
            f"{path}: has labels of class {', '.join(unknown[:_EXAMPLES])}; the chip set has "
            f"{', '.join(classes.names)}; correct them or tile again"
        )
    return np.asarray(names.map(ids).to_numpy(np.int64), np.int64)


def _to_native(
    frame: LayerFrame, scenes: Sequence[Scene], geometries: GeometryArray, images: ObjectArray
) -> GeometryArray:
    """Features of the layer brought back to file pixels of their images."""
    scene_of = _scene_of_image(images, scenes)
    in_pixels = geometries.copy()
    for number in np.unique(scene_of[scene_of >= 0]).tolist():
        of_scene = scene_of == number
        in_pixels[of_scene] = frame.to_native(geometries[of_scene], scenes[number].native, number)
    return in_pixels


# Annotated ground


def _annotated_layer(frame: LayerFrame, scenes: Sequence[Scene], labels: LabelSet) -> gpd.GeoDataFrame:
    """Where labels are complete: their polygons, or the outlines of the scenes if that is everywhere."""
    if labels.annotated is None:
        outlines = np.empty(len(scenes), dtype=object)
        for number, scene in enumerate(scenes):
            outline = window_outlines([scene.native.window])
            outlines[number] = frame.to_layer(outline, scene.native, scene.native, number)[0]
        table = {"what": ["scene"] * len(scenes), "image": [scene.name for scene in scenes]}
        return _layer(table, outlines, frame.crs)
    on_layer = _on_layer(frame, scenes, labels.annotated)
    images = labels.annotated.images
    names = None if images is None else _image_column(images[on_layer.index])
    columns: dict[str, object] = {"what": ["annotated"] * len(on_layer.index), "image": names}
    return _layer(columns, on_layer.geometries, on_layer.crs)


def _read_areas(
    path: Path, scenes: Sequence[Scene], crs: CRS | None, entry: dict[str, Any]
) -> MapOutlines | ImageOutlines:
    if crs is None:
        return _read_image_areas(path, scenes)
    return _read_map_areas(path, crs, entry["annotated_by_image"])


def _read_map_areas(path: Path, crs: CRS, by_image: bool) -> MapOutlines:
    """The layer `annotated`, in map coordinates."""
    table = read_layer(path, layer="annotated")
    geometries = np.asarray(table.geometry.array, dtype=object)
    images = None
    if by_image:
        images = np.array([None if pd.isna(name) else name for name in table["image"]], dtype=object)
    return MapOutlines(geometries, crs, str(path), images)


def _read_image_areas(path: Path, scenes: Sequence[Scene]) -> ImageOutlines:
    """The layer `annotated`, in pixels of the files of the scenes."""
    table = read_layer(path, layer="annotated")
    geometries = np.asarray(table.geometry.array, dtype=object)
    images = table["image"].to_numpy(dtype=object)
    return ImageOutlines(_to_native(LayerFrame.of(scenes), scenes, geometries, images), images)
