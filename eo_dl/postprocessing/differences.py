"""`diff`: what changed between two layers of objects, or between two class maps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ..core.arraytypes import AnyArray, Int64Array
from ..core.classes import ClassSet
from ..core.commandline import command_line
from ..core.pixelgrid import PixelGrid
from ..core.progress import OnProgress, silent
from ..errors import ConfigError, LabelError
from ..io.atomic import atomic_file, refuse_existing, write_bytes
from ..io.classmap import open_class_map
from ..io.discover import GEOTIFF_SUFFIXES, VECTOR_SUFFIXES
from ..io.outputlock import locks_output
from ..io.outputtags import COMMAND_TAG
from ..io.polygontable import PolygonTable
from ..io.qgisstyles import categories_qml, outline_qml
from ..io.rasterwriter import RasterWriter
from ..io.vectorlayers import check_vector_suffix, geometry_kind, write_layer, write_layers
from .changerow import ChangeRow
from .cleanup import Cleanup
from .datedlayer import DatedLayer, read_dated_layer
from .differencereport import Differences, difference_page
from .mapcleaning import CleaningCounts, cleaned_rows
from .mapdiff import MapPair, Transitions, change_rows, find_transitions
from .mappolygons import MapPolygons, edited_polygons, polygonized, scored_polygons
from .objectdiff import object_changes
from .objectmatching import MatchRules
from .outlineediting import OUTLINE_FIELD

CHANGES_LAYER, BEFORE_LAYER = "changes", "before"
CHANGE_COLORS = {
    "gone": "#d7191c",
    "new": "#1a9641",
    "changed": "#f28e2b",
    "split": "#7b3294",
    "merged": "#2b7bba",
    "same": "#9e9e9e",
}
_BEFORE_COLOR = "#5f5f5f"


@dataclass(frozen=True)
class DiffOptions:
    """How two dates are compared.

    Example:
        >>> options = DiffOptions(MatchRules(distance_m=3), old_id="parcel")
        >>> diff("cadastre.gpkg", "roofs.gpkg", out="changes.gpkg", options=options)  # doctest: +SKIP
    """

    rules: MatchRules = MatchRules()
    """When two objects are the same one."""
    with_same: bool = False
    """Also list objects that are the same."""
    old_layer: str | None = None
    """Layer of the earlier file, if it has several."""
    new_layer: str | None = None
    """Layer of the later file, if it has several."""
    old_crs: str | None = None
    """CRS of the earlier layer, in place of its file's own."""
    new_crs: str | None = None
    """CRS of the later layer, in place of its file's own."""
    old_class: str | None = None
    """Field of the earlier layer with the class (default: class_name, if there is one)."""
    old_id: str | None = None
    """Field of the earlier layer with the name of an object (default: its id in the file)."""
    cleanup: Cleanup = Cleanup()
    """Class maps: which changed areas are listed, and their outlines; see `vectorize`."""
    old_probabilities: str | Path | None = None
    """Class maps: probabilities of the earlier map, on the grid of the later one; they become `score_old`."""
    new_probabilities: str | Path | None = None
    """Class maps: probabilities of the later map; they become `score_new`."""


@locks_output
def diff(
    old: str | Path,
    new: str | Path,
    *,
    out: str | Path,
    options: DiffOptions = DiffOptions(),
    page: str | Path | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> Differences:
    """Compare objects or class maps of two dates, and list what changed.

    Objects (polygons, boxes, points) are matched by overlap, then by distance: gone, new, changed, split,
    merged, same. The earlier file may be any layer: a cadastre, an extract of OpenStreetMap. Each change
    carries class, score and area of both dates, and a rank, the order of the review panel of QGIS.

    Class maps are compared pixel by pixel on the grid of the later one: transitions with their areas.

    Args:
        old: The earlier layer or class map.
        new: The later one.
        out: The changes: a vector file, of class maps also a .tif of transitions. A GeoPackage of objects has
            a second layer with the old outlines of what was altered.
        options: How to compare.
        page: Also write this HTML page, with the numbers and the largest changes.
        overwrite: Replace existing files.
        on_progress: Called with (done, total, what).

    Returns:
        Numbers and areas by kind of change.

    Raises:
        InputError: A file cannot be read, or the two cannot be compared; the message says why.
        OutputExistsError: An output exists and `overwrite` is False.
        WriteError: An output cannot be written.

    Example:
        >>> diff("roofs2025.gpkg", "roofs2026.gpkg", out="changes.gpkg")  # doctest: +SKIP
    """
    target = Path(out)
    refuse_existing(target, overwrite)
    if page is not None:
        refuse_existing(page, overwrite)
    rasters = [Path(path).suffix.lower() in GEOTIFF_SUFFIXES for path in (old, new)]
    if rasters[0] != rasters[1]:
        raster = old if rasters[0] else new
        raise ConfigError(
            f"{raster}: is a class map and the other file a layer; convert it first: eo-dl vectorize "
            f"{raster} -o {Path(raster).stem}.gpkg"
        )
    compare = _diff_maps if rasters[0] else _diff_objects
    found = compare(str(old), str(new), target, options, overwrite, on_progress)
    if page is not None:
        found = replace(found, page=Path(page))
        with atomic_file(page, overwrite=overwrite) as temporary:
            write_bytes(temporary, difference_page(found).encode())
    return found


def _tags(old: str, new: str) -> dict[str, str]:
    tags = {"old": Path(old).name, "new": Path(new).name}
    return tags | {COMMAND_TAG: command_line()} if command_line() else tags


# Objects


def _diff_objects(
    old: str, new: str, target: Path, options: DiffOptions, overwrite: bool, on_progress: OnProgress
) -> Differences:
    check_vector_suffix(target)
    _refuse_for_objects(options)
    before = read_dated_layer(
        old,
        layer=options.old_layer,
        crs=options.old_crs,
        class_field=options.old_class,
        id_field=options.old_id,
    )
    after = read_dated_layer(new, layer=options.new_layer, crs=options.new_crs)
    _refuse_points_without_distance(before, after, options.rules)
    on_progress(1, 3, "steps")
    found = object_changes(before, after, options.rules, with_same=options.with_same)
    on_progress(2, 3, "steps")
    tags = _tags(old, new) | {row.change: f"{row.old_count} > {row.new_count}" for row in found.rows}
    if target.suffix.lower() == ".gpkg":
        styles = {
            CHANGES_LAYER: categories_qml(
                "change", CHANGE_COLORS, geometry_kind(found.changes), filled=False
            ),
            BEFORE_LAYER: outline_qml(_BEFORE_COLOR, geometry_kind(found.before)),
        }
        layers = {CHANGES_LAYER: found.changes, BEFORE_LAYER: found.before}
        write_layers(target, layers, styles, metadata=tags, overwrite=overwrite)
    else:
        colors = dict(enumerate(CHANGE_COLORS.values(), start=1))
        classes = ClassSet.of_ids(dict(enumerate(CHANGE_COLORS, start=1)), colors)
        write_layer(
            target,
            found.changes,
            layer=CHANGES_LAYER,
            classes=classes,
            style_field="change",
            outlines=True,
            metadata=tags,
            overwrite=overwrite,
        )
    on_progress(3, 3, "steps")
    return Differences(target, "objects", old, new, found.rows, notes=(*before.notes, *after.notes))


def _refuse_for_objects(options: DiffOptions) -> None:
    if options.cleanup != Cleanup() or options.old_probabilities or options.new_probabilities:
        raise ConfigError(
            "cleaning and probabilities are for class maps, but these are layers of objects; omit them"
        )


def _refuse_points_without_distance(before: DatedLayer, after: DatedLayer, rules: MatchRules) -> None:
    for layer in (before, after):
        if rules.distance_m is None and not layer.has_areas:
            raise LabelError(
                f"{layer.path}: holds points, which have no overlap; say with `distance_m` how far apart two "
                "points of one object may lie"
            )


# Class maps


def _diff_maps(
    old: str, new: str, target: Path, options: DiffOptions, overwrite: bool, on_progress: OnProgress
) -> Differences:
    if target.suffix.lower() not in (*GEOTIFF_SUFFIXES, *VECTOR_SUFFIXES):
        raise ConfigError(
            f"{target}: changes of class maps are .tif, {', '.join(VECTOR_SUFFIXES)}; choose one of those"
        )
    pair = MapPair(open_class_map(old), open_class_map(new))
    pair.check()
    options.cleanup.check_grid(pair.grid, new)
    transitions = find_transitions(pair)
    ids, classes, pair_of_id = transitions.change_ids()
    strips, counts = cleaned_rows(partial(change_rows, pair, ids), pair.grid, options.cleanup, True)
    polygons = polygonized(strips, pair.grid, on_progress)
    rows = _map_rows(polygons, classes)
    tags = _tags(old, new) | options.cleanup.tags() | counts.tags() | {"transitions": _as_json(transitions)}
    if target.suffix.lower() in GEOTIFF_SUFFIXES:
        with RasterWriter(
            target,
            pair.grid,
            nodata=255,
            descriptions=("change",),
            tags=tags,
            classes=classes,
            overwrite=overwrite,
        ) as writer:
            for row0, change_ids in strips():
                writer.write(row0, change_ids)
    else:
        scores = {
            "score_old": _scores(polygons, pair_of_id, pair, options.old_probabilities, "old"),
            "score_new": _scores(polygons, pair_of_id, pair, options.new_probabilities, "new"),
        }
        if options.cleanup.changes_outlines:
            polygons = edited_polygons(polygons, options.cleanup, pair.grid)
        table = _map_table(polygons, classes, transitions, pair_of_id, pair.grid, scores)
        write_layer(
            target,
            table,
            layer=CHANGES_LAYER,
            classes=classes.without_background(),
            style_field="change",
            metadata=tags,
            overwrite=overwrite,
        )
    return Differences(
        target, "classes", old, new, rows, transitions.listed(), _map_notes(transitions, pair, counts)
    )


def _as_json(transitions: Transitions) -> str:
    return json.dumps([[one.old, one.new, round(one.area_m2, 3)] for one in transitions.listed()])


def _map_notes(transitions: Transitions, pair: MapPair, counts: CleaningCounts) -> tuple[str, ...]:
    notes = [*pair.old.notes, *pair.new.notes, *counts.notes()]
    if not transitions.listed():
        notes.append("the maps share no measured ground: nothing was compared")
    return tuple(notes)


def _map_rows(polygons: MapPolygons, classes: ClassSet) -> tuple[ChangeRow, ...]:
    names = {info.id: info.name for info in classes.foreground}
    counts = np.bincount(polygons.class_ids, minlength=256)
    areas = np.bincount(polygons.class_ids, polygons.areas_m2, minlength=256)
    return tuple(
        ChangeRow(name, int(counts[number]), int(counts[number]), float(areas[number]), float(areas[number]))
        for number, name in names.items()
        if counts[number]
    )


def _scores(
    polygons: MapPolygons,
    pair_of_id: Mapping[int, int],
    pair: MapPair,
    path: str | Path | None,
    date: Literal["old", "new"],
) -> AnyArray | None:
    """(N,) mean probability of the class that changed ground had, or has; None without probabilities."""
    if path is None:
        return None
    class_map = pair.old if date == "old" else pair.new
    if class_map.classes is None:
        raise ConfigError(
            f"{path}: {class_map.scene.path} names no classes, so its probabilities cannot be read"
        )
    class_ids = np.array(
        [divmod(pair_of_id.get(number, 0), 256)[date == "new"] for number in polygons.class_ids.tolist()],
        np.int64,
    )
    return scored_polygons(replace(polygons, class_ids=class_ids), class_map.classes, pair.grid, path).scores


def _map_table(
    polygons: MapPolygons,
    classes: ClassSet,
    transitions: Transitions,
    pair_of_id: Mapping[int, int],
    grid: PixelGrid,
    scores: Mapping[str, AnyArray | None],
) -> PolygonTable:
    """Changed areas as features, the largest first."""
    order = np.argsort(-polygons.areas_m2, kind="stable")
    numbers = polygons.class_ids[order]
    names = {info.id: info.name for info in classes}
    old_names, new_names = {}, {}
    for number, pair in pair_of_id.items():
        old_id, new_id = divmod(pair, 256)
        old_names[number], new_names[number] = transitions.old_names[old_id], transitions.new_names[new_id]
    columns: dict[str, AnyArray] = {
        "change": _named(numbers, names),
        "class_name": _named(numbers, new_names),
        "class_old": _named(numbers, old_names),
        "class_new": _named(numbers, new_names),
        "area_m2": polygons.areas_m2[order].round(3),
    }
    columns |= {name: values[order].round(4) for name, values in scores.items() if values is not None}
    if polygons.status is not None:
        columns[OUTLINE_FIELD] = polygons.status[order]
    columns["rank"] = np.arange(1, len(order) + 1, dtype=np.int32)
    columns["reviewed"] = np.zeros(len(order), np.bool_)
    return PolygonTable(polygons.outlines[order], columns, grid.crs)


def _named(numbers: Int64Array, names: Mapping[int, str]) -> AnyArray:
    return np.array([names.get(number, "") for number in numbers.tolist()], dtype=object)
