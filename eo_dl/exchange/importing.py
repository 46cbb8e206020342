"""`import_labels`: labels that were corrected in another tool, back on the ground."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..core.labelset import LabelSet
from ..errors import ConfigError, LabelError
from ..io.scene import open_scene
from ..labels.formats.annotations import Losses
from ..labels.formats.formatlist import format_of_written, written_formats
from ..labels.formats.labelfile import LabelFile
from ..labels.geometry import named
from ..labels.labeloptions import LabelOptions
from ..labels.labelsources import recognised
from ..labels.projectlayout import CLASS_FIELD
from ..labels.reading import LabelFiles, labels_of
from .converting import check_target, format_of_suffix, write_labels
from .imageindex import ImageIndex, find_index, read_index
from .imageobjects import annotations_of
from .pixelset import label_set_of
from .placing import place_labels, place_map_labels
from .writtenlabels import WrittenLabels


def import_labels(
    source: LabelFiles,
    *,
    out: str | Path,
    index: str | Path | None = None,
    label_options: LabelOptions = LabelOptions(),
    join: bool = True,
    overwrite: bool = False,
) -> WrittenLabels:
    """Labels of exported images, in map coordinates, written to `out` (.gpkg, .geojson, .fgb, .parquet; in
    pixels of scenes without CRS: .json, COCO).

    `source`: the whole folder of an export, whose index says where its labels are, or the corrected file or
    files. `index`: the eo_dl_index.json of the export (default: beside or above the labels). `label_options`:
    how the corrected files are read. Labels of whole images become the frames of their images.
    `join`: pieces of one object that several images show become one. A GeoPackage also has the layer
    `annotated`: the ground of the images that came back.

    Raises `LabelError`, naming file and record; `OutputExistsError`.

    >>> import_labels("cvat/annotations.xml", out="labels.gpkg")  # doctest: +SKIP
    """
    target = Path(out)
    written = format_of_suffix(target)
    if written is None:
        raise ConfigError(f"{target}: expected the suffix .gpkg, .geojson, .fgb, .parquet or .json (COCO)")
    check_target(target, written, overwrite)
    where = Path(index) if index is not None else find_index(source)
    found = read_index(where)
    if not found.images:
        raise LabelError(f"{where}: lists no images, so nothing can be placed; export the labels again")
    labels = _read(source, found, where, label_options)
    placed = (
        place_map_labels(labels, found)
        if labels.crs is not None
        else place_labels(_as_objects(labels), found, join=join)
    )
    scenes = [
        open_scene(path)
        for path in dict.fromkeys(one.scene_path for one in found.images if one.scene_path)
        if Path(path).is_file()
    ]
    notes = write_labels(placed, target, written, scenes, overwrite)
    return WrittenLabels(target, placed, (*placed.notes, *notes))


def _read(source: LabelFiles, index: ImageIndex, where: Path, options: LabelOptions) -> LabelSet:
    """The labels: of a whole export what its index says, else what their content is."""
    if not index.labels or index.format not in written_formats() or not _is_export(source, where):
        return labels_of(source, replace(options, sizes_px=index.sizes_px))
    folder = where.parent
    _refuse_strangers(folder, index)
    label_format = format_of_written(index.format)
    paths = [folder / place for place in index.labels]
    if label_format.vector:
        vector_options = replace(options, class_field=CLASS_FIELD, format=label_format.name, attributes=True)
        return labels_of(paths, vector_options)
    return labels_of(paths, replace(options, format=label_format.name, sizes_px=index.sizes_px))


def _is_export(source: LabelFiles, where: Path) -> bool:
    """True for the folder of an export: the one that its index is in."""
    given = [source] if isinstance(source, str | Path) else list(source)
    return (
        len(given) == 1
        and Path(str(given[0])).is_dir()
        and Path(str(given[0])).resolve() == where.resolve().parent
    )


def _refuse_strangers(folder: Path, index: ImageIndex) -> None:
    """A corrected file that was put beside the one that was exported must not be passed over."""
    if "." in index.labels:
        return
    known = {folder / place for place in index.labels}
    strangers = [
        path.name
        for path in sorted(folder.iterdir())
        if path.is_file() and path not in known and _is_label_file(path)
    ]
    if strangers:
        raise LabelError(
            f"{folder}: holds label files that were not exported ({named(strangers)}) beside {', '.join(index.labels[:3])}; give the file to import, not the folder"
        )


def _is_label_file(path: Path) -> bool:
    """Whether a file holds labels for sure; rasters may be the exported images."""
    label_format = recognised(LabelFile(path))
    return label_format is not None and label_format.read_rasters is None


def _as_objects(labels: LabelSet) -> LabelSet:
    """Label rasters as patches, which bear no names of their own; others as they are."""
    if not labels.masks:
        return labels
    losses = Losses()
    found = label_set_of(annotations_of(labels, [], losses))
    return replace(found, notes=(*labels.notes, *losses.notes), attributes={})
