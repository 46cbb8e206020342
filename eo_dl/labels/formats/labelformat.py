"""`LabelFormat`: everything eo_dl knows about one format of labels.

The module of a format ends with its `FORMAT`. Recognition, reading, export, conversion, the choices of the
command line and the table in docs/reference/label-formats.md all take what they need from that one object.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Literal

from ...core.classes import ClassSet
from ...core.labelset import LabelSet
from ...core.rasterlabels import RasterLabels
from ..classrequest import ClassRequest
from ..labeloptions import ReadingOptions, Unlabelled
from ..records import Records
from .annotations import Annotations, LabelledImage, Losses
from .labelfile import LabelFile

Shape = Literal["boxes", "turned boxes", "polygons", "pixels", "classes"]
Fidelity = Literal["yes", "pixels", "no"]

RecordReader = Callable[[Sequence[Path], str, ReadingOptions], Records]
"""(label files, their name in messages, options) -> the annotations."""
RasterReader = Callable[[Sequence[str], str, ClassRequest | None, Unlabelled], RasterLabels]
"""(label rasters, their name in messages, requested classes, what unlabelled ground is) -> the labels."""
ImageWriter = Callable[[Annotations, Path, Losses], None]
"""(annotations, folder, losses): writes label files into the folder and counts what they cannot hold."""
MapWriter = Callable[[LabelSet, Path, Sequence[str], bool], None]
"""(labels, file, paths of their scenes, overwrite): writes one file in map coordinates."""
ImageFolder = Callable[[LabelledImage, Losses], str | None]
"""The folder of an exported image, relative to that of the export; None if the format cannot hold it."""


class Certainty(IntEnum):
    """How sure it is that a file holds labels. Only the most certain files of a folder are read."""

    TABLE = 0
    """Any table may be something else: statistics, a list of images."""

    RASTER = 1
    """Any raster may be an image that other label files describe."""

    LABELS = 2
    """Nothing else looks like it."""


@dataclass(frozen=True)
class Recognition:
    """How the files of a format are recognised."""

    suffixes: frozenset[str]
    """Suffixes that its files may have, in lower case."""

    content: Callable[[LabelFile], bool] = lambda file: True
    """Whether a file with such a suffix is of this format (default: the suffix is enough)."""

    hint: str = ""
    """What such a file contains, for the message about one that fits no format."""

    magic: Callable[[bytes], bool] = lambda head: False
    """Whether a file that the user names is of this format by its first bytes, whatever its suffix."""

    certainty: Certainty = Certainty.LABELS
    """Whether such files give way to others in their folder."""

    named_images: Callable[[Path], Sequence[str]] = lambda path: ()
    """The images that a table names. Rasters of these names beside it are its images, not label rasters."""

    text_per_image: bool = False
    """Each image has a .txt file. If the format is named, every .txt counts; an empty one has no objects."""

    data_set_suffixes: frozenset[str] = frozenset()
    """Suffixes of files that describe a whole data set; such a file stands for everything in its folder."""

    folder: Callable[[Path], bool] = lambda folder: False
    """Whether a folder without label files is itself a set of labels."""

    folder_doubt: Callable[[Path], str | None] = lambda folder: None
    """Why such a folder is probably something else; None: nothing speaks against it."""

    reason: str = ""
    """Why files are taken for this format, where they may be something else; "" where nothing else looks like
    it."""

    remote: bool = False
    """Files behind a URL are of this format, since they are not opened to find out."""

    other_suffixes: bool = False
    """Named files with a suffix that no format has are tried in this format."""

    def fits(self, file: LabelFile) -> bool:
        """Whether suffix and content of a file are those of this format."""
        return file.suffix in self.suffixes and self.content(file)


@dataclass(frozen=True)
class Capabilities:
    """What a written format can hold. Everything else is simplified or left out, and counted."""

    shape: Shape
    """The outline of an object; "classes": none, labels are of whole images."""

    holes: Fidelity = "no"
    """Holes in outlines: exactly, as a mask of whole pixels, or filled."""

    parts: Fidelity = "no"
    """Objects of several parts: exactly, as a mask of whole pixels, or as several objects."""

    scores: bool = False
    """The score of an object."""

    attributes: bool = False
    """Further attributes of an object."""

    ignore: bool = False
    """Objects or ground that count neither for nor against."""

    partial: bool = False
    """Images that are annotated only in part, with the ground on which they are."""

    bands: bool = True
    """Images with any number of bands."""


ANNOTATION_TOOL = Capabilities(
    shape="polygons", holes="pixels", parts="yes", scores=True, attributes=True, bands=False
)
"""What the file of an annotation tool holds: polygons, masks for those with holes, 8-bit pictures."""


def images_in(folder: str) -> ImageFolder:
    """Images in one folder; "{split}" in its name gives each split its own."""
    return lambda image, losses: folder.format(split=image.split)


@dataclass(frozen=True)
class WrittenFormat:
    """A format as `labels export` and `labels convert` write it."""

    name: str
    """What the user calls it."""

    title: str
    """Its name in messages."""

    holds: Capabilities
    """What it can hold."""

    label_files: tuple[str, ...]
    """Where the labels lie in an export: patterns, "{split}" for the name of a split, "." for everywhere."""

    write_images: ImageWriter | None = None
    """Writes labels in pixels of images."""

    write_map: MapWriter | None = None
    """Writes labels in map coordinates."""

    image_folder: ImageFolder = field(default=images_in("images"))
    """Where an exported image lies."""

    image_kind: Literal["tif", "png"] = "tif"
    """Images to export by default; "png" for formats whose tools show nothing else than PNG and JPEG."""

    single_file: str | None = None
    """The name of its label file in an export; None for formats with several files."""

    default_suffix: str = ""
    """Output files with this suffix are written in this format unless another one is named."""

    output_names: tuple[str, ...] = ()
    """Patterns of the names in an output folder; only a folder without other names may be overwritten."""

    needs_images: bool = False
    """The labels are in where the images lie, so they cannot be converted without writing the images."""

    predictions: bool = False
    """Objects with scores are predictions from which annotators start."""

    class_name: Callable[[str], str] = str
    """How a class name is spelled in it."""

    def __post_init__(self) -> None:
        if (self.write_images is None) == (self.write_map is None):
            raise ValueError(f"{self.name}: a written format needs one writer, for images or for the map")

    def labels_in(self, folder: Path, splits: Sequence[str]) -> tuple[str, ...]:
        """Where the labels lie in a folder that was exported in this format: files, or folders of files.

        Args:
            folder: The export.
            splits: The splits that were exported.

        Returns:
            Paths relative to `folder` with forward slashes; "." if labels lie beside their images.
        """
        names: set[str] = set()
        for pattern in self.label_files:
            for split in splits:
                matches = folder.glob(pattern.format(split=split)) if pattern != "." else ()
                names |= {path.relative_to(folder).as_posix() for path in matches}
        return tuple(sorted(names)) or (".",)

    def original_names(self, classes: ClassSet) -> dict[str, str]:
        """The class names that this format spells differently, each with the original one.

        A spelling that several classes share is left out, as it does not say which of them is meant.
        """
        originals: dict[str, list[str]] = {}
        for info in classes:
            originals.setdefault(self.class_name(info.name), []).append(info.name)
        return {
            spelling: names[0]
            for spelling, names in originals.items()
            if len(names) == 1 and names[0] != spelling
        }


@dataclass(frozen=True)
class LabelFormat:
    """Everything eo_dl knows about one format of labels."""

    name: str
    """What the user calls it."""

    title: str
    """Its name in messages."""

    recognition: Recognition
    """How its files are recognised."""

    read_records: RecordReader | None = None
    """Reads its objects; None for label rasters."""

    read_rasters: RasterReader | None = None
    """Reads its label rasters; None for formats of objects."""

    options: frozenset[str] = frozenset()
    """The names of those `VECTOR_OPTIONS` of `read_labels` that it obeys; others are refused."""

    vector: bool = False
    """Its files are vector layers in map coordinates; a GeoPackage may be a labelling project."""

    written: tuple[WrittenFormat, ...] = ()
    """The ways in which it is written."""

    def __post_init__(self) -> None:
        if (self.read_records is None) == (self.read_rasters is None):
            raise ValueError(f"{self.name}: a label format needs one reader, of objects or of rasters")


VECTOR_OPTIONS = ("class_field", "layer", "where", "label_crs", "buffer_m")
"""Options of `read_labels` that are about attributes and geometry; a format without these refuses them."""
