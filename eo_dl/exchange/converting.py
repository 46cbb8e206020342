"""`convert_labels`: labels of one format as another; and the writing of labels that all exchange ends in."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..core.labelset import LabelSet
from ..errors import ConfigError, LabelError, OutputExistsError
from ..io.atomic import atomic_file, atomic_folder, refuse_existing, write_bytes
from ..io.scene import Scene, open_scene
from ..labels.formats.annotations import Annotations, Losses
from ..labels.formats.mapfile import write_map_labels
from ..labels.formats.table import FOLDERS, MAP_FORMATS, PIXEL_FORMATS, FormatInfo, known_format
from ..labels.geometry import named
from ..labels.labelsources import Format
from ..labels.reading import read_labels
from .imageobjects import annotations_of
from .placing import place_on_scenes
from .writtenlabels import WrittenLabels

_BY_SUFFIX = {
    **{suffix: name for name, suffix in MAP_FORMATS.items()},
    ".json": "coco",
    ".xml": "cvat",
    ".csv": "csv",
}


def convert_labels(
    source: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    format: str | None = None,
    images: Sequence[Scene | str | Path] = (),
    class_field: str | None = None,
    layer: str | None = None,
    where: str | None = None,
    crs: str | None = None,
    classes: Sequence[str] | str | Path | None = None,
    source_format: Format | None = None,
    overwrite: bool = False,
) -> WrittenLabels:
    """Labels of any format that `read_labels` knows, written in another; what the new one cannot carry is
    counted in `notes`.

    `format`: one of `formats.table.FORMATS` (default: by the suffix of `out`). `images`: the scenes, where
    map coordinates become pixels or the other way round, and where the labels do not say the size of their
    images. Formats of one file are written to `out`, others into the folder `out`.

    Raises `LabelError`, naming file and record; `ConfigError`; `OutputExistsError`.

    >>> convert_labels("boxes.json", out="labels.gpkg", images=["ortho.tif"])  # doctest: +SKIP
    """
    target = Path(out)
    name = check_target(target, format, overwrite)
    scenes = [one if isinstance(one, Scene) else open_scene(one) for one in images]
    sizes = {scene.name: (scene.native.width, scene.native.height) for scene in scenes}
    labels = read_labels(
        source,
        class_field=class_field,
        layer=layer,
        where=where,
        crs=crs,
        classes=classes,
        format=source_format,
        sizes_px=sizes,
        attributes=True,
    )
    if name in MAP_FORMATS and labels.crs is None:
        labels = place_on_scenes(labels, scenes)
    notes = write_labels(labels, target, name, scenes, overwrite)
    return WrittenLabels(target, labels, (*labels.notes, *notes))


def check_target(target: Path, format: str | None, overwrite: bool) -> str:
    """The format to write, before any work is done. Raises `ConfigError`, `OutputExistsError`."""
    name = _BY_SUFFIX.get(target.suffix.lower()) if format is None else known_format(format)
    if name is None:
        raise ConfigError(f"{target}: its suffix does not say the format; name it with --format")
    if name == FOLDERS:
        raise ConfigError(
            f"{target}: a folder for each class holds the images themselves; export it from a chip set with labels export"
        )
    if name in MAP_FORMATS and target.suffix.lower() != MAP_FORMATS[name]:
        raise ConfigError(
            f"{target}: labels of the format {name} are in a file that ends in {MAP_FORMATS[name]}"
        )
    refuse_existing(target, overwrite)
    return name


def write_labels(
    labels: LabelSet, out: Path, format: str, scenes: Sequence[Scene] = (), overwrite: bool = False
) -> tuple[str, ...]:
    """A label set in a format; what was lost, counted. Raises `LabelError` where the format needs scenes that
    are not given.
    """
    if format in MAP_FORMATS:
        write_map_labels(labels, out, [scene.path for scene in scenes], overwrite)
        return ()
    losses = Losses()
    write_annotations(annotations_of(labels, scenes, losses), PIXEL_FORMATS[format], out, losses, overwrite)
    return losses.notes


def write_annotations(
    found: Annotations, info: FormatInfo, out: Path, losses: Losses, overwrite: bool = False
) -> None:
    """Annotations as the file `out`, where the format is one file (others of it lie beside), else as the
    folder `out`.
    """
    if info.shape == "classes" and not found.whole_images:
        raise LabelError(
            f"{found.source}: holds objects, and {info.title} is for labels of whole images; choose csv, or another --format"
        )
    if info.single is None:
        _refuse_foreign(out, info)
        with atomic_folder(out, overwrite=overwrite) as folder:
            info.writer(found, folder, losses)
        return
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".part.d", dir=out.parent) as name:
        folder = Path(name)
        info.writer(found, folder, losses)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            target = out if path.name == info.single else out.with_name(path.name)
            with atomic_file(target, overwrite=overwrite) as temporary:
                write_bytes(temporary, path.read_bytes())


_WRITTEN = frozenset(
    {
        "data.yaml",
        "labels",
        "Annotations",
        "ImageSets",
        "labelmap.txt",
        "labelTxt",
        "SegmentationClass",
        "SegmentationObject",
        "masks",
    }
)


def _refuse_foreign(out: Path, info: FormatInfo) -> None:
    """A folder is overwritten only where it holds nothing but what such a folder holds: not the images that
    somebody put beside the labels.
    """
    if not out.is_dir():
        return
    strangers = sorted(
        path.name
        for path in out.iterdir()
        if path.name not in _WRITTEN and not (info.name == "labelme" and path.suffix == ".json")
    )
    if strangers:
        raise OutputExistsError(
            f"{out}: holds {named(strangers)}, which labels are not, so it is not overwritten; choose another folder"
        )
