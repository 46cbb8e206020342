"""`convert_labels`: labels of one format in another; and how all exchange writes labels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

from ..core.imagelabels import ImageLabels, WholeImageLabels
from ..core.imagenames import composed, names_of, stem_of
from ..core.labelreport import LabelReport
from ..core.labelset import LabelSet
from ..core.maplabels import MapLabels
from ..core.wording import listed
from ..errors import ConfigError, LabelError, OutputExistsError
from ..io.atomic import atomic_file, atomic_folder, disk_errors, refuse_existing, work_folder, write_bytes
from ..io.outputlock import locks_output
from ..io.scene import Scene, SceneSources, open_scenes
from ..io.workfolder import MARK, make_marked_folder, remove_marked_folder
from ..labels.formats.annotations import Annotations, Losses
from ..labels.formats.formatlist import written_format, written_formats
from ..labels.formats.labelformat import WrittenFormat
from ..labels.imagecoverage import check_frames, image_notes
from ..labels.labeloptions import LabelOptions, ReadingOptions
from ..labels.plausibility import parts_by_image, report_on_pixels
from ..labels.reading import LabelFiles, classes_of
from .imageobjects import annotations_of
from .placing import place_on_scenes
from .writtenlabels import WrittenLabels


@locks_output
def convert_labels(
    source: LabelFiles,
    *,
    out: str | Path,
    out_format: str | None = None,
    images: SceneSources = (),
    label_options: LabelOptions = LabelOptions(),
    overwrite: bool = False,
) -> WrittenLabels:
    """Write labels of any format that `read_labels` knows in another format.

    Args:
        source: Label files, a folder of them, or a pattern.
        out: The output: a file, or a folder for formats with one file per image.
        out_format: One of `eo_dl.labels.formats.WRITTEN_FORMATS` (default: by the suffix of `out`).
        images: The images of the labels. Needed where map coordinates become pixels or pixels become map
            coordinates, and where the labels do not contain the size of their images.
        label_options: How `source` is read; `sizes_px` and `attributes` are set by `images` and `out`.
        overwrite: Replace an existing output.

    Returns:
        The labels that were written; `notes` counts what the new format cannot hold.

    Raises:
        LabelError: The labels cannot be read, placed or written; names the file and the record.
        ConfigError: The output format is unknown or does not fit `out`.
        OutputExistsError: `out` exists.

    Example:
        >>> convert_labels("boxes.json", out="labels.gpkg", images=["ortho.tif"])  # doctest: +SKIP
    """
    target = Path(out)
    written = format_of_suffix(target) if out_format is None else written_format(out_format)
    if written is None:
        raise ConfigError(
            f"{target}: the suffix does not tell the format to write; choose one with `out_format`"
        )
    check_target(target, written, overwrite)
    scenes = open_scenes(images)
    names = names_of([composed(scene.place) for scene in scenes])
    sizes = {
        name: (scene.native.width, scene.native.height) for name, scene in zip(names, scenes, strict=True)
    }
    paths = tuple(scene.path for scene in scenes)
    options = ReadingOptions.of(replace(label_options, sizes_px=sizes), attributes=True)
    labels = classes_of(source, options, images=paths)
    report = report_of(labels, scenes)
    if report.used == 0:
        raise LabelError(
            f"{labels.source}: none of {len(labels)} objects lies in its image; check that names and sizes "
            "belong together, and that coordinates are pixels"
        )
    frame_notes = [*_image_notes(labels, scenes), *check_frames(labels, scenes)]
    if written.write_map is not None:
        labels = place_on_scenes(labels, scenes)
    notes = write_labels(labels, target, written, scenes, overwrite)
    return WrittenLabels(target, labels, (*labels.notes, *frame_notes, *notes), report)


def report_of(labels: LabelSet, scenes: Sequence[Scene] = ()) -> LabelReport:
    """What became of the objects of label files, by the images that are known.

    Args:
        labels: The labels as they were read.
        scenes: Their images. Labels in map coordinates show nothing in pixels without them.
    """
    if isinstance(labels, ImageLabels):
        sized = _with_sizes(labels, scenes)
        return report_on_pixels(labels.report, parts_by_image(sized), labels.features, labels.classes)
    if isinstance(labels, MapLabels) and scenes:
        parts = (labels.for_grid(scene.native, scene.place) for scene in scenes)
        return report_on_pixels(labels.report, parts, labels.features, labels.classes)
    return labels.report


def _with_sizes(labels: ImageLabels, scenes: Sequence[Scene]) -> ImageLabels:
    """The labels with the sizes of those images that are known, where the files do not say them."""
    size_of = {
        labels.covered_names.by_stem(scene.place): (scene.native.width, scene.native.height)
        for scene in scenes
    }
    covered = tuple(
        replace(image, size_px=image.size_px or size_of.get(stem_of(image.name))) for image in labels.covered
    )
    return replace(labels, covered=covered)


def _image_notes(labels: LabelSet, scenes: Sequence[Scene]) -> list[str]:
    """Notes on images and labels that do not belong together. Raises `LabelError` where none do."""
    if not scenes or not isinstance(labels, ImageLabels | WholeImageLabels):
        return []
    return image_notes(labels, scenes)


def format_of_suffix(target: Path) -> WrittenFormat | None:
    """The format in which a file is written by default, by its suffix; None if the suffix tells none."""
    suffix = target.suffix.lower()
    for written in written_formats().values():
        if suffix and written.default_suffix == suffix:
            return written
    return None


def check_target(target: Path, written: WrittenFormat, overwrite: bool) -> None:
    """Check an output before any work is done.

    Raises:
        ConfigError: The format does not fit the suffix of `target`, or needs images.
        OutputExistsError: `target` exists and must not be replaced.
    """
    if written.needs_images:
        raise ConfigError(f"{target}: {written.title} needs the images themselves; export it from a chip set")
    if written.write_map is not None and target.suffix.lower() != written.default_suffix:
        raise ConfigError(f"{target}: expected the suffix {written.default_suffix} for {written.title}")
    refuse_existing(target, overwrite)


def write_labels(
    labels: LabelSet,
    out: Path,
    written: WrittenFormat,
    scenes: Sequence[Scene] = (),
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write a label set in a format.

    Args:
        labels: In map coordinates or in pixels of images; formats of the map need the former.
        out: The output file or folder.
        written: The format.
        scenes: The images, for formats in pixels; labels of named images of known size do without.
        overwrite: Replace an existing output.

    Returns:
        What the format could not hold, counted.

    Raises:
        LabelError: The format needs scenes or map coordinates that are missing.
        OutputExistsError: `out` exists.
    """
    if written.write_map is not None:
        written.write_map(labels, out, [scene.path for scene in scenes], overwrite)
        return ()
    losses = Losses()
    write_annotations(annotations_of(labels, scenes, losses), written, out, losses, overwrite)
    return losses.notes


def write_annotations(
    annotations: Annotations, written: WrittenFormat, out: Path, losses: Losses, overwrite: bool = False
) -> None:
    """Write annotations in a format of images: as the file `out`, or as the folder `out`.

    Further files of a format with a single label file, such as the configuration for Label Studio, are
    written beside `out`.

    Raises:
        LabelError: The format cannot hold objects.
        OutputExistsError: `out` exists.
    """
    if written.write_images is None:
        raise ValueError(f"{written.name} is not a format of images")
    if written.holds.shape == "classes" and not annotations.whole_images:
        raise LabelError(
            f"{annotations.source}: contains objects, and {written.title} holds labels of whole images only; "
            "use `out_format=csv` or another format of objects"
        )
    if written.single_file is not None:
        with _placed_beside(out, written.single_file, overwrite) as folder:
            written.write_images(annotations, folder, losses)
        return
    _refuse_other_content(out, written)
    with atomic_folder(out, overwrite=overwrite) as folder:
        written.write_images(annotations, folder, losses)


@contextlib.contextmanager
def _placed_beside(out: Path, single_file: str, overwrite: bool) -> Iterator[Path]:
    """A temporary folder; then its file `single_file` becomes `out`, and other files lie beside `out`."""
    folder = work_folder(out)
    with disk_errors(out):
        make_marked_folder(folder)
    try:
        yield folder
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARK):
            target = out if path.name == single_file else out.with_name(path.name)
            with atomic_file(target, overwrite=overwrite) as temporary:
                write_bytes(temporary, path.read_bytes())
    finally:
        remove_marked_folder(folder)


def _refuse_other_content(out: Path, written: WrittenFormat) -> None:
    """A folder is overwritten only if it holds nothing but labels: images that lie beside them must stay."""
    if not out.is_dir():
        return
    others = sorted(
        path.name
        for path in out.iterdir()
        if not any(fnmatch(path.name, pattern) for pattern in written.output_names)
    )
    if others:
        raise OutputExistsError(
            f"{out}: not overwritten, as it contains more than {written.title} labels ({listed(others)}); "
            "choose another folder"
        )
