"""`read_labels` and `read_values`: annotations of any format as one `LabelSet`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.labeloutlines import MapOutlines
from ..core.labelset import LabelSet
from ..core.maplabels import MapLabels
from ..core.rasterlabels import RasterLabels
from ..core.valueinfo import ValueInfo
from ..errors import LabelError
from ..io.vectorlayers import layer_length
from .classrequest import ClassRequest, parse_classes
from .formats.labelformat import VECTOR_OPTIONS
from .labelcolors import in_colors_of_layer
from .labeloptions import Crowds, LabelOptions, ReadingOptions, Sizes, Unlabelled
from .labelsources import Sources, find_sources
from .projectlayout import ANNOTATED, LABELS, is_project
from .raster.valuerasters import holds_fractions, read_value_rasters
from .records import Records, label_set
from .valuerequest import NO_VALUES, parse_values
from .vector.fields import NO_FIELD
from .vector.valuefields import with_values
from .vector.vectorlabels import read_areas

_GUESS = (
    "the labels are numbers with fractions, so they are read as values (task regression) and not as classes; "
    "change it with `values`, which also names them, their unit and range (height:m:0..60)"
)

LabelFiles = str | Path | Sequence[str | Path]
"""A label file, a folder, a pattern, or a list of these."""


def read_labels(
    source: LabelSet | LabelFiles,
    *,
    class_field: str | None = None,
    layer: str | None = None,
    where: str | None = None,
    label_crs: str | None = None,
    buffer_m: float | None = None,
    annotated: str | Path | None = None,
    classes: Sequence[str] | str | Path | None = None,
    unlabelled: Unlabelled = "background",
    voc_origin: int | None = None,
    crowds: Crowds = "ignore",
    accept_shift_m: float | None = None,
    format: str | None = None,
    sizes_px: Sizes | None = None,
) -> LabelSet:
    """Labels of a file, a folder, a pattern or a list of these, as one label set.

    Formats, detected by content: vectors (GPKG, GeoJSON, Shapefile, FlatGeobuf, GeoParquet), label rasters of
    ids or colours, Pascal VOC, COCO, YOLO, DOTA, Label Studio, CVAT, LabelMe, CSV boxes, and labels of whole
    images: a CSV of file and class (several with `;` or `|` between), or ROOT/CLASS/NAME.jpg. Of a labelling
    project (`labels start`) the layer `labels` is read; labels are complete in the areas of its layer
    `annotated`, unless that is empty. A raster of one band whose numbers have fractions is read as values, as
    by `read_values`. The parameters are fields of `LabelOptions`.

    Args:
        source: Label files of one format. A label set is returned as it is.
        class_field: Attribute (column) that holds the class; "none": all features are one class; "file": the
            name of the file (default: detected where only one field qualifies).
        layer: Layer of a vector file (default: the only one; of a labelling project `labels`).
        where: Only features with this attribute value, "FIELD=VALUE|VALUE"; a list matches by any element.
        label_crs: Coordinate reference system of vector labels, in place of the file's own.
        buffer_m: Radius in metres on the ground by which points and lines become areas.
        annotated: Vector file of the polygons in which labels are complete; ground outside is ignored.
        classes: Class names in order ("water,woods"), values to merge or rename ("building=1|2"), colours
            ("Road=#6EC1E4"), values to ignore ("-9"); "*" is all others; or a file with one class per line.
        unlabelled: How ground without a label is treated: "background", or "ignore", which leaves it out of
            training and scores.
        voc_origin: Number of the first pixel in Pascal VOC boxes (default: 1, unless a coordinate is 0 or a
            fraction).
        crowds: What to do with objects marked as crowds (COCO) or difficult (Pascal VOC, DOTA): "ignore", or
            "use" them like all others.
        accept_shift_m: Accept labels in another datum whose transformation is only this accurate, metres, as
            PROJ lacks the grid file of a better one (default: up to a pixel).
        format: Format of the labels (default: detected by content).
        sizes_px: Width and height of images by file name, for formats whose files do not contain them.

    Returns:
        The labels; their `notes` report what was repaired, dropped or guessed.

    Raises:
        LabelError: The files are missing, of several formats, or cannot be read as labels.
        ConfigError: A parameter has a value with which no labels could be read.

    Example:
        >>> labels = read_labels("trees.gpkg", class_field="species")  # doctest: +SKIP
    """
    options = LabelOptions(
        class_field=class_field,
        layer=layer,
        where=where,
        label_crs=label_crs,
        buffer_m=buffer_m,
        annotated=annotated,
        classes=classes,
        unlabelled=unlabelled,
        voc_origin=voc_origin,
        crowds=crowds,
        accept_shift_m=accept_shift_m,
        format=format,
        sizes_px=sizes_px,
    )
    return labels_of(source, options)


def read_values(
    source: LabelFiles,
    values: Sequence[str] | str,
    *,
    layer: str | None = None,
    where: str | None = None,
    label_crs: str | None = None,
    buffer_m: float | None = None,
    annotated: str | Path | None = None,
    accept_shift_m: float | None = None,
    format: str | None = None,
) -> LabelSet:
    """Labels that are numbers (heights, shares, yields) and not classes, as one label set.

    A raster of numbers may lie on any grid and in any CRS: a scene gets the mean of the ground of each pixel.
    Of polygons, and of points with a radius, the numbers are those in their fields. Ground without a number,
    or with one outside its valid range, is ignored.

    Args:
        source: Rasters or vector layers.
        values: Names for the bands of the raster in order, or fields of the layer, each NAME, NAME:UNIT or
            NAME:UNIT:LOW..HIGH: "height:m:0..60", "share::0..1". A list, or text with commas between them.
        layer: As for `read_labels`.
        where: As for `read_labels`.
        label_crs: As for `read_labels`.
        buffer_m: Radius in metres on the ground by which points and lines become areas.
        annotated: As for `read_labels`.
        accept_shift_m: As for `read_labels`.
        format: As for `read_labels`.

    Returns:
        The labels; their `notes` report what was found, and what is ignored.

    Raises:
        LabelError: The files cannot be read, or hold no such numbers.

    Example:
        >>> labels = read_values("canopy.tif", "height:m:0..60")  # doctest: +SKIP
    """
    options = LabelOptions(
        values=values,
        layer=layer,
        where=where,
        label_crs=label_crs,
        buffer_m=buffer_m,
        annotated=annotated,
        accept_shift_m=accept_shift_m,
        format=format,
    )
    return labels_of(source, options)


def labels_of(
    source: LabelSet | LabelFiles, options: LabelOptions, *, images: Sequence[str] = ()
) -> LabelSet:
    """What `read_labels` returns for the fields of `options`. Raises as it does.

    Args:
        source: As for `read_labels`, or labels that were read already.
        options: The options.
        images: Paths of the images of the labels, which are no label rasters even if they lie in the same
            folder.
    """
    if isinstance(source, LabelSet):
        stated = " and ".join(f"`{name}`" for name in options.stated())
        if stated:
            raise LabelError(
                f"{source.source}: was read already, so {stated} cannot be applied; give its path"
            )
        return source
    reading = options if isinstance(options, ReadingOptions) else ReadingOptions.of(options)
    spec = None if options.classes is None else parse_classes(options.classes)
    sources = find_sources(source, options.format, images)
    _refuse_useless(options, sources)
    values = _values_request(options, sources)
    labels = _read(sources, reading, spec) if values is None else _read_values(sources, reading, values)
    single = sources.format.vector and len(sources.paths) == 1
    if single and values is None:
        labels = _in_own_colors(labels, Path(sources.paths[0]), options.layer, spec)
    if options.annotated is not None:
        return _with_annotated(labels, Path(options.annotated))
    if single and is_project(sources.paths[0], options.layer):
        return _with_drawn_areas(labels, Path(sources.paths[0]))
    return labels


def classes_of(
    source: LabelSet | LabelFiles, options: LabelOptions, *, images: Sequence[str] = ()
) -> LabelSet:
    """What `labels_of` returns, for verbs that work on classes: a raster of numbers is refused, even where
    its fractions would make it values.
    """
    if isinstance(source, LabelSet) or options.values is not None:
        return labels_of(source, options, images=images)
    return labels_of(source, replace(options, values=NO_VALUES), images=images)


def _read(sources: Sources, options: ReadingOptions, request: ClassRequest | None) -> LabelSet:
    if sources.format.read_rasters is not None:
        rasters = sources.format.read_rasters(sources.paths, sources.name, request, options.unlabelled)
        return replace(rasters, notes=(*sources.notes, *rasters.notes))
    records = _one_class_by_name(read_records(sources, options), request)
    records = replace(records, notes=(*sources.notes, *records.notes))
    labels = label_set(records, request, options.unlabelled)
    if isinstance(labels, MapLabels):
        return replace(labels, accept_shift_m=options.accept_shift_m)
    return labels


@dataclass(frozen=True)
class _ValuesRequest:
    """That numbers are wanted."""

    values: Mapping[str, ValueInfo] | None
    """The values by name; None: the one band of the rasters, by its own name."""
    notes: tuple[str, ...] = ()


def _values_request(options: LabelOptions, sources: Sources) -> _ValuesRequest | None:
    """The numbers that are wanted; None: classes are.

    Raises `LabelError` where numbers are asked for and the labels can have none, or classes as well.
    """
    rasters, asked = sources.format.read_rasters is not None, options.values
    if asked is None:
        fractions = rasters and options.classes is None and holds_fractions(sources.paths[0])
        return _ValuesRequest(None, (_GUESS,)) if fractions else None
    if asked == NO_VALUES:
        return None
    if not rasters and not sources.format.vector:
        raise LabelError(
            f"{sources.name}: `values` does not apply to labels of the format {sources.format.name}; leave "
            "it out"
        )
    for name in ("classes", "class_field"):
        if getattr(options, name) is not None:
            raise LabelError(
                f"{sources.name}: `values` reads numbers and `{name}` classes; leave one of them out"
            )
    return _ValuesRequest(parse_values(asked))


def _read_values(sources: Sources, options: ReadingOptions, request: _ValuesRequest) -> LabelSet:
    """Labels whose numbers are learnt."""
    if sources.format.read_rasters is not None:
        rasters = read_value_rasters(sources.paths, request.values, sources.name)
        return replace(rasters, notes=(*sources.notes, *request.notes, *rasters.notes))
    plain = replace(options, attributes=True, class_field=NO_FIELD, unlabelled="ignore")
    return with_values(_read(sources, plain, None), request.values or {})


def read_records(sources: Sources, options: ReadingOptions) -> Records:
    """Annotations as their format has them, before anything is repaired, dropped or named.

    Raises:
        LabelError: A file is malformed.
        ValueError: The format is one of rasters, which have no objects.
    """
    reader = sources.format.read_records
    if reader is None:
        raise ValueError(f"{sources.name}: label rasters have no objects")
    return reader([Path(path) for path in sources.paths], sources.name, options)


def _one_class_by_name(records: Records, spec: ClassRequest | None) -> Records:
    """Where nothing tells classes apart, a single name given for them is theirs."""
    if (
        records.class_field is not None
        or spec is None
        or not spec.bare
        or len(spec.names) != 1
        or len(set(records.values)) != 1
    ):
        return records
    return replace(records, values=spec.names * len(records.values))


def _in_own_colors(labels: LabelSet, path: Path, layer: str | None, request: ClassRequest | None) -> LabelSet:
    """Labels in the colours that they have in QGIS."""
    styled = LABELS if layer is None and is_project(path, layer) else layer
    return in_colors_of_layer(labels, path, styled, request)


def _refuse_useless(options: LabelOptions, sources: Sources) -> None:
    """An option that has no meaning for a format is a misunderstanding, so it is not ignored."""
    for name in VECTOR_OPTIONS:
        if getattr(options, name) is not None and name not in sources.format.options:
            raise LabelError(
                f"{sources.name}: `{name}` does not apply to labels of the format {sources.format.name}; "
                "leave it out"
            )


def _with_drawn_areas(labels: LabelSet, path: Path) -> LabelSet:
    """The labels of a labelling project, complete in the areas drawn in it; everywhere, if there are none."""
    if layer_length(path, ANNOTATED):
        return _with_annotated(labels, path)
    return labels.with_notes(
        f"nothing is drawn in the layer '{ANNOTATED}': the labels are taken as complete everywhere"
    )


def _with_annotated(labels: LabelSet, path: Path) -> LabelSet:
    """Labels that are complete inside the polygons of a file."""
    match labels:
        case MapLabels():
            geometries, crs, notes = read_areas(path, labels.crs)
            labels = replace(labels, areas=MapOutlines(geometries, crs, str(path)))
        case RasterLabels():
            geometries, crs, notes = read_areas(path)
            labels = replace(labels, areas=MapOutlines(geometries, crs, str(path)))
        case _:
            raise LabelError(
                f"{path}: areas in map coordinates do not fit labels in pixels ({labels.source}); pass them "
                "to tile, which knows the scenes"
            )
    return labels.with_notes(f"labels are complete in {len(geometries)} areas of {path.name}", *notes)
