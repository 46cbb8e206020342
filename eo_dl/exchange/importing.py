"""`import_labels`: labels that were corrected in an annotation tool, back in map coordinates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..core.imagelabels import ImageLabels, WholeImageLabels
from ..core.labelset import LabelSet
from ..core.maplabels import MapLabels
from ..core.rasterlabels import RasterLabels
from ..core.wording import listed
from ..errors import ConfigError, LabelError
from ..io.outputlock import locks_output
from ..io.scene import Scene, open_scene
from ..labels.formats.annotations import Losses
from ..labels.formats.formatlist import format_of_written, written_formats
from ..labels.formats.labelfile import LabelFile
from ..labels.labeloptions import LabelOptions, ReadingOptions
from ..labels.labelsources import recognised
from ..labels.projectlayout import CLASS_FIELD
from ..labels.reading import LabelFiles, classes_of
from .converting import check_target, format_of_suffix, report_of, write_labels
from .imageindex import ImageIndex, find_index, read_index
from .imageobjects import annotations_of
from .pixelset import label_set_of
from .placing import place_labels, place_map_labels
from .writtenlabels import WrittenLabels


@locks_output
def import_labels(
    source: LabelFiles,
    *,
    out: str | Path,
    index: str | Path | None = None,
    label_options: LabelOptions = LabelOptions(),
    join: bool = True,
    overwrite: bool = False,
) -> WrittenLabels:
    """Bring labels of exported images back to map coordinates.

    Labels of whole images become the frames of their images. Labels of scenes without a CRS stay in pixels,
    those of the scenes. A GeoPackage also gets the layer `annotated` with the ground of the images that came
    back.

    Args:
        source: The folder of an export, whose index says where the labels are, or the corrected file or
            files.
        out: The output: .gpkg, .geojson, .fgb or .parquet; .json (COCO) for scenes without a CRS.
        index: The `eo_dl_index.json` of the export (default: beside or above the labels).
        label_options: How the corrected files are read.
        join: Join the pieces of an object that several images show.
        overwrite: Replace an existing output.

    Returns:
        The labels that were written; `notes` counts what was joined or lost.

    Raises:
        LabelError: The labels or the index cannot be read, or do not belong together; names file and record.
        ConfigError: `out` has the suffix of no format.
        OutputExistsError: `out` exists.

    Example:
        >>> import_labels("cvat/annotations.xml", out="labels.gpkg")  # doctest: +SKIP
    """
    target = Path(out)
    written = format_of_suffix(target)
    if written is None:
        raise ConfigError(f"{target}: expected the suffix .gpkg, .geojson, .fgb, .parquet or .json (COCO)")
    check_target(target, written, overwrite)
    index_path = find_index(source) if index is None else Path(index)
    image_index = read_index(index_path)
    if not image_index.images:
        raise LabelError(f"{index_path}: lists no images, so nothing can be placed; export the labels again")
    labels = _labels(source, image_index, index_path, label_options)
    report = report_of(labels)
    placed = _placed(labels, image_index, join)
    notes = write_labels(placed, target, written, _scenes(image_index), overwrite)
    return WrittenLabels(target, placed, (*placed.notes, *notes), report)


def _labels(source: LabelFiles, index: ImageIndex, index_path: Path, options: LabelOptions) -> LabelSet:
    """The labels: of the folder of an export those that the index names, else those of the files."""
    sizes = index.sizes_px
    if not index.labels or index.format not in written_formats() or not _is_export(source, index_path):
        return classes_of(source, replace(options, sizes_px=sizes))
    folder = index_path.parent
    _refuse_other_labels(folder, index)
    label_format = format_of_written(index.format)
    if label_format.vector:
        options = ReadingOptions.of(replace(options, class_field=CLASS_FIELD), attributes=True)
    else:
        options = replace(options, sizes_px=sizes)
    paths = [folder / path for path in index.labels]
    return classes_of(paths, replace(options, format=label_format.name))


def _is_export(source: LabelFiles, index_path: Path) -> bool:
    """Whether the labels are one folder, that of the index."""
    paths = [source] if isinstance(source, str | Path) else list(source)
    if len(paths) != 1 or not Path(paths[0]).is_dir():
        return False
    return Path(paths[0]).resolve() == index_path.resolve().parent


def _refuse_other_labels(folder: Path, index: ImageIndex) -> None:
    """A corrected file beside the exported one must not be overlooked."""
    if "." in index.labels:
        return  # labels lie beside their images, so any label file is one of them
    exported = {folder / path for path in index.labels}
    others = [
        path.name
        for path in sorted(folder.iterdir())
        if path.is_file() and path not in exported and _is_label_file(path)
    ]
    if others:
        raise LabelError(
            f"{folder}: besides the exported {', '.join(index.labels[:3])} there are other label files "
            f"({listed(others)}); name the file to import instead of the folder"
        )


def _is_label_file(path: Path) -> bool:
    """Whether a file holds labels for sure; rasters may be the exported images."""
    label_format = recognised(LabelFile(path))
    return label_format is not None and label_format.read_rasters is None


def _placed(labels: LabelSet, index: ImageIndex, join: bool) -> MapLabels | ImageLabels:
    """Labels of exported images, back on their scenes."""
    match labels:
        case MapLabels():
            return place_map_labels(labels, index)
        case ImageLabels() | WholeImageLabels():
            return place_labels(labels, index, join=join)
        case RasterLabels():
            return place_labels(_patches(labels), index, join=join)
        case _:
            raise TypeError(f"{labels.source}: unknown kind of labels {type(labels).__name__}")


def _patches(labels: RasterLabels) -> ImageLabels:
    """Label rasters as patches of connected pixels.

    Patches have no attributes, not even an id: an id is only of use if it names an exported object.
    """
    losses = Losses()
    patches = label_set_of(annotations_of(labels, [], losses))
    features = replace(patches.features, attributes={})
    return replace(patches, features=features, notes=(*labels.notes, *losses.notes))


def _scenes(index: ImageIndex) -> list[Scene]:
    """The scenes of the exported images, as far as their files exist."""
    paths = dict.fromkeys(image.scene_path for image in index.images if image.scene_path)
    return [open_scene(path) for path in paths if Path(path).is_file()]
