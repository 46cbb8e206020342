"""`chips.gpkg`: the chips, labels and annotated ground as layers that QGIS opens styled, and that are read
back.

A person may change `split` and `keep` of a chip, delete chips, and mend labels; everything else about a chip
must stay as it is.

All layers lie in one frame (`LayerFrame`): the CRS of the scenes where they share one, else longitude and
latitude; plain images, which have no place, are laid side by side in pixels with rows downwards. Labels that
came in map coordinates stay in their own CRS; those that came in pixels are shown in the frame and brought
back to pixels when read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from affine import Affine
from pyproj import CRS

from ..core.arraytypes import GeometryArray
from ..core.classes import IGNORE_ID, ClassSet
from ..core.geometries import reproject
from ..core.gridwindow import GridWindow
from ..core.imagenames import ImageNames, stem_of
from ..core.labelset import LabelSet
from ..core.pixelgrid import PixelGrid, map_coordinates
from ..core.window import Window
from ..errors import ChipSetError
from ..io.qgisstyles import categories_qml, outline_qml, polygons_qml
from ..io.scene import Scene
from ..io.vectorlayers import read_layer, write_layers
from .chiprecord import SPLITS, ChipRecord, SplitName

SPLIT_COLORS: dict[SplitName, str] = {
    "train": "#2a7fb8",
    "val": "#e8a33d",
    "test": "#c8352b",
    "none": "#9a9a9a",
}
_GAP_PX = 32
_IGNORED = "(ignored)"  # shown for features of no class, which count neither way
_LONLAT = CRS.from_epsg(4326)


@dataclass(frozen=True)
class LayerFrame:
    """Where layers lie: `crs`, or side by side in pixels (`places`: a transform for each scene's file
    pixels).
    """

    crs: CRS | None
    places: tuple[Affine, ...]

    @classmethod
    def of(cls, scenes: Sequence[Scene]) -> LayerFrame:
        """The frame for these scenes."""
        kinds = list(dict.fromkeys(scene.native.crs for scene in scenes))
        if None not in kinds:
            return cls(kinds[0] if len(kinds) == 1 else _LONLAT, ())
        starts = np.cumsum([0, *(scene.native.width + _GAP_PX for scene in scenes)])
        return cls(None, tuple(Affine(1, 0, float(start), 0, -1, 0) for start in starts[:-1]))

    def to_layer(
        self, geometries: GeometryArray, grid: PixelGrid, native: PixelGrid, scene_index: int
    ) -> GeometryArray:
        """Geometries in pixels of `grid` (of the scene whose file has `native`), in the layer."""
        if not self.places:
            assert grid.crs is not None and self.crs is not None
            return reproject(grid.geometries_to_map(geometries), grid.crs, self.crs, "chips")
        scale = Affine.scale(native.width / grid.width, native.height / grid.height)
        return map_coordinates(geometries, Affine(*tuple(self.places[scene_index] @ scale)[:6]))

    def to_native(self, geometries: GeometryArray, native: PixelGrid, scene_index: int) -> GeometryArray:
        """Geometries of the layer, in pixels of a scene's file."""
        if not self.places:
            assert native.crs is not None and self.crs is not None
            return native.geometries_to_pixel(reproject(geometries, self.crs, native.crs, "chips.gpkg"))
        return map_coordinates(geometries, Affine(*tuple(~self.places[scene_index])[:6]))


def write_index(path: Path, scenes: Sequence[Scene], labels: LabelSet, records: Sequence[ChipRecord]) -> None:
    """Write all layers, styled."""
    frame = LayerFrame.of(scenes)
    layers = {
        "annotated": _annotated_layer(frame, scenes, labels),
        "labels": _labels_layer(frame, scenes, labels),
        "chips": _chips_layer(frame, scenes, labels, records),
    }
    styles = {
        "chips": categories_qml("split", {str(name): color for name, color in SPLIT_COLORS.items()}),
        "labels": polygons_qml(labels.classes, "class_name"),
        "annotated": outline_qml("#5b5b5b"),
    }
    write_layers(path, layers, styles)


# Chips


def _chips_layer(
    frame: LayerFrame, scenes: Sequence[Scene], labels: LabelSet, records: Sequence[ChipRecord]
) -> gpd.GeoDataFrame:
    names = {info.id: info.name for info in labels.classes.with_background()}
    columns: dict[str, Any] = {
        "chip_id": [r.chip_id for r in records],
        "split": [r.split for r in records],
        "keep": [r.keep for r in records],
        "fold": pd.array([r.fold for r in records], "Int32"),
        "scene": [scenes[r.scene_index].name for r in records],
        "scene_index": [r.scene_index for r in records],
        "col": [r.window.col for r in records],
        "row": [r.window.row for r in records],
        "width": [r.window.width for r in records],
        "height": [r.window.height for r in records],
        "valid_share": [r.valid_share for r in records],
        "objects": [sum(r.object_counts.values()) for r in records],
        "class_shares": [_by_name(r.class_shares, names) for r in records],
        "object_counts": [_by_name(r.object_counts, names) for r in records],
        "block": [r.block for r in records],
        "file": [r.file for r in records],
    }
    outlines = np.empty(len(records), dtype=object)
    by_scene = np.array([r.scene_index for r in records], np.int64)
    windows = np.array([_shown(r, scenes) for r in records], np.float64).reshape(-1, 4)
    for index in np.unique(by_scene):
        mine = by_scene == index
        scene = scenes[int(index)]
        outlines[mine] = frame.to_layer(
            np.asarray(shapely.box(*windows[mine].T), dtype=object), scene.grid, scene.native, int(index)
        )
    return gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(outlines, crs=frame.crs))


def _shown(record: ChipRecord, scenes: Sequence[Scene]) -> tuple[int, int, int, int]:
    inside = record.window.intersection(scenes[record.scene_index].grid.window)
    return (inside or record.window).box


def _by_name(values: dict[int, float] | dict[int, int], names: dict[int, str]) -> str:
    """JSON by class name, as it is read in an attribute table."""
    return json.dumps(
        {names.get(class_id, str(class_id)): value for class_id, value in sorted(values.items())},
        ensure_ascii=False,
    )


def read_records(
    path: Path, classes: ClassSet, scenes: Sequence[Scene], chip_px: int
) -> tuple[ChipRecord, ...]:
    """The chips as they are now, in their order. Raises `ChipSetError` for what a person cannot change."""
    table = read_layer(path, layer="chips")
    ids = {info.name: info.id for info in classes.with_background()}
    try:
        found = tuple(
            _record(row, ids, scenes) for row in table.drop(columns=table.geometry.name).to_dict("records")
        )
    except (KeyError, ValueError, TypeError) as cause:
        raise ChipSetError(
            f"{path}: its layer 'chips' was changed beyond `split` and `keep` ({cause!r}); restore it or tile again"
        ) from cause
    _check_records(path, found, scenes, chip_px)
    return found


def _record(row: dict[str, Any], ids: dict[str, int], scenes: Sequence[Scene]) -> ChipRecord:
    split = str(row["split"]).strip().lower()
    if split not in SPLITS:
        raise ChipSetError(
            f"chip {row['chip_id']}: split {row['split']!r} is none of {', '.join(SPLITS)}; correct it in chips.gpkg"
        )
    scene_index = int(row["scene_index"])
    if not 0 <= scene_index < len(scenes):
        raise ChipSetError(
            f"chip {row['chip_id']}: the chip set has {len(scenes)} scenes, none with the number {scene_index}; "
            "restore chips.gpkg or tile again"
        )
    window = Window(int(row["col"]), int(row["row"]), int(row["width"]), int(row["height"]))
    return ChipRecord(
        chip_id=str(row["chip_id"]),
        scene_index=scene_index,
        window=GridWindow.of(window, scenes[scene_index].grid),
        split=split,
        fold=None if pd.isna(row["fold"]) else int(row["fold"]),
        keep=not pd.isna(row["keep"]) and bool(row["keep"]),
        valid_share=float(row["valid_share"]),
        class_shares={ids[name]: float(share) for name, share in json.loads(row["class_shares"]).items()},
        object_counts={ids[name]: int(count) for name, count in json.loads(row["object_counts"]).items()},
        block=str(row["block"]),
        file=None if pd.isna(row["file"]) else str(row["file"]),
    )


def _check_records(path: Path, records: Sequence[ChipRecord], scenes: Sequence[Scene], chip_px: int) -> None:
    if not records:
        raise ChipSetError(f"{path}: its layer 'chips' is empty; tile again")
    seen: set[str] = set()
    for record in records:
        window = record.window
        if record.chip_id in seen:
            raise ChipSetError(f"{path}: chip {record.chip_id} is there twice; delete the copy")
        seen.add(record.chip_id)
        if (window.width, window.height) != (chip_px, chip_px):
            raise ChipSetError(
                f"{path}: chip {record.chip_id} has another size than it was cut with; restore the file or tile again"
            )
        if window.intersection(scenes[record.scene_index].grid.window) is None:
            raise ChipSetError(
                f"{path}: chip {record.chip_id} lies outside its scene; restore the file or tile again"
            )


# Labels


def _labels_layer(frame: LayerFrame, scenes: Sequence[Scene], labels: LabelSet) -> gpd.GeoDataFrame:
    names = {info.id: info.name for info in labels.classes}
    geometries, crs, index = labels.geometries, labels.crs, np.arange(len(labels))
    if labels.crs is None:
        geometries, index = _pixel_features(frame, scenes, labels.geometries, labels.images)
        crs = frame.crs
    table = {
        "class_name": [names.get(int(i), _IGNORED) for i in labels.class_ids[index]],
        "class_id": labels.class_ids[index],
        "feature_id": [str(f) for f in labels.feature_ids[index]],
        "image": None if labels.images is None else [str(name) for name in labels.images[index]],
        "ignore": labels.ignore[index] if labels.ignore is not None else np.zeros(len(index), np.bool_),
    }
    return gpd.GeoDataFrame(
        table, index=range(len(index)), geometry=gpd.GeoSeries(geometries, index=range(len(index)), crs=crs)
    )


def _pixel_features(
    frame: LayerFrame,
    scenes: Sequence[Scene],
    geometries: GeometryArray,
    images: npt.NDArray[np.object_] | None,
) -> tuple[GeometryArray, npt.NDArray[np.int64]]:
    """Features in file pixels brought to the layer, and which they are; those of images that are no scene
    here are left out.
    """
    if images is None:  # label rasters: no features at all
        return geometries, np.arange(len(geometries))
    of_scene = _scene_of_image(images, scenes)
    index = np.flatnonzero(of_scene >= 0)
    out = np.empty(len(index), dtype=object)
    for number in np.unique(of_scene[index]):
        mine, native = of_scene[index] == number, scenes[int(number)].native
        out[mine] = frame.to_layer(geometries[index[mine]], native, native, int(number))
    return out, index


def _scene_of_image(images: npt.NDArray[np.object_], scenes: Sequence[Scene]) -> npt.NDArray[np.int64]:
    """For each image name the scene of that name, else of that stem; -1 where there is none. The rule of
    `LabelSet.for_grid`.
    """
    known = ImageNames(map(str, images))
    found = [known.exact(scene.place) for scene in scenes]
    exact = {name: number for number, name in enumerate(found) if name is not None}
    by_stem = {
        known.by_stem(scene.place): number for number, scene in enumerate(scenes) if found[number] is None
    }
    return np.array([exact.get(str(n), by_stem.get(stem_of(str(n)), -1)) for n in images], np.int64)


def read_back_labels(
    path: Path, classes: ClassSet, scenes: Sequence[Scene], entry: dict[str, Any], crs: CRS | None
) -> LabelSet:
    """The labels as they are now. `entry` is the manifest's; masks are not in the layer."""
    table = read_layer(path, layer="labels")
    geometries = np.asarray(table.geometry.array, dtype=object)
    images = table["image"].to_numpy(dtype=object) if entry["by_image"] else None
    if crs is None and images is not None:
        geometries = _to_native(LayerFrame.of(scenes), scenes, geometries, images)
    return LabelSet(
        classes=classes,
        geometries=geometries,
        class_ids=_class_ids(path, table, classes),
        crs=crs,
        source=entry["source"],
        feature_ids=table["feature_id"].to_numpy(dtype=object),
        images=images,
        ignore=table["ignore"].fillna(False).to_numpy(np.bool_),
        image_names=tuple(entry["image_names"]),
        class_field=entry["class_field"],
        notes=tuple(entry["notes"]),
        **({} if entry["everywhere"] else _read_annotated(path, scenes, crs, entry["annotated_by_image"])),
    )


def _class_ids(path: Path, table: gpd.GeoDataFrame, classes: ClassSet) -> npt.NDArray[np.int64]:
    """By name, which is what a person edits."""
    ids = {info.name: info.id for info in classes} | {_IGNORED: IGNORE_ID}
    unknown = sorted({str(name) for name in table["class_name"] if name not in ids})
    if unknown:
        raise ChipSetError(
            f"{path}: labels of class {', '.join(unknown[:5])}, which the chip set does not have ({', '.join(classes.names)}); correct them or tile again"
        )
    return np.array([ids[name] for name in table["class_name"]], np.int64)


def _to_native(
    frame: LayerFrame, scenes: Sequence[Scene], geometries: GeometryArray, images: npt.NDArray[np.object_]
) -> GeometryArray:
    of_scene = _scene_of_image(images, scenes)
    out = geometries.copy()
    for number in np.unique(of_scene[of_scene >= 0]):
        mine = of_scene == number
        out[mine] = frame.to_native(geometries[mine], scenes[int(number)].native, int(number))
    return out


# Annotated ground


def _annotated_layer(frame: LayerFrame, scenes: Sequence[Scene], labels: LabelSet) -> gpd.GeoDataFrame:
    """Where labels are complete: their polygons, or, where that is everywhere, the outlines of the scenes."""
    if labels.annotated is None:
        outlines = np.array(
            [frame.to_layer(_outline(s), s.native, s.native, i)[0] for i, s in enumerate(scenes)],
            dtype=object,
        )
        return gpd.GeoDataFrame(
            {"what": ["scene"] * len(scenes), "image": [s.name for s in scenes]},
            geometry=gpd.GeoSeries(outlines, crs=frame.crs),
        )
    geometries, crs, images = labels.annotated, labels.crs, labels.annotated_images
    index = np.arange(len(geometries))
    if labels.crs is None:
        geometries, index = _pixel_features(frame, scenes, labels.annotated, labels.annotated_images)
        crs = frame.crs
    table = {
        "what": ["annotated"] * len(geometries),
        "image": None if images is None else [str(name) for name in images[index]],
    }
    return gpd.GeoDataFrame(
        table,
        index=range(len(geometries)),
        geometry=gpd.GeoSeries(geometries, index=range(len(geometries)), crs=crs),
    )


def _outline(scene: Scene) -> GeometryArray:
    return np.array([shapely.box(0, 0, scene.native.width, scene.native.height)], dtype=object)


def _read_annotated(path: Path, scenes: Sequence[Scene], crs: CRS | None, by_image: bool) -> dict[str, Any]:
    table = read_layer(path, layer="annotated")
    geometries = np.asarray(table.geometry.array, dtype=object)
    images = table["image"].to_numpy(dtype=object) if by_image else None
    if crs is None and images is not None:
        geometries = _to_native(LayerFrame.of(scenes), scenes, geometries, images)
    return {"annotated": geometries, "annotated_images": images}
