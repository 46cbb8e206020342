"""`LabelOptions`: how label files are read, where they do not say it themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from ..errors import ConfigError

Unlabelled = Literal["background", "ignore"]
Crowds = Literal["ignore", "use"]
Sizes = Mapping[str, tuple[int, int]]
"""Width and height of images in pixels, by file name."""


@dataclass(frozen=True)
class LabelOptions:
    """How labels are read; the parameters of `read_labels`, as one value.

    Raises `ConfigError` for values with which no labels could be read.

    Example:
        >>> retrain("trees.eodl", "chips", labels="trees.gpkg", out="trees_2.eodl",
        ...         label_options=LabelOptions(class_field="species"))  # doctest: +SKIP
    """

    class_field: str | None = None
    """Attribute (column) that holds the class; "none": all features are one class; "file": the file's name
    (default: detected where only one field qualifies)."""

    layer: str | None = None
    """Layer of a vector file (default: the only one; of a labelling project `labels`)."""

    where: str | None = None
    """Only features with this attribute value, "FIELD=VALUE|VALUE"; a list matches by any element."""

    label_crs: str | None = None
    """Coordinate reference system of vector labels, in place of the file's own, e.g. "EPSG:32633"."""

    buffer_m: float | None = None
    """Radius in metres on the ground by which points and lines become areas."""

    annotated: str | Path | None = None
    """Vector file of the polygons in which labels are complete; ground outside is ignored, not background."""

    classes: Sequence[str] | str | Path | None = None
    """Class names in order ("water,woods"), values to merge or rename ("building=1|2"), colours
    ("Road=#6EC1E4"), values to ignore ("-9"); "*" is all others; or a file with one class per line."""

    values: Sequence[str] | str | None = None
    """Numbers to learn in place of classes: fields of a vector layer, or names for the bands of a raster,
    each NAME, NAME:UNIT or NAME:UNIT:LOW..HIGH ("height:m:0..60", "share::0..1"); "none": read classes
    (default: classes, unless a raster has one band of numbers with fractions)."""

    unlabelled: Unlabelled = "background"
    """How ground without a label is treated; "ignore" leaves it out of training and scores."""

    voc_origin: int | None = None
    """Number of the first pixel in Pascal VOC boxes (default: 1, unless a coordinate is 0 or a fraction)."""

    crowds: Crowds = "ignore"
    """What to do with objects that are marked as crowds (COCO) or difficult (Pascal VOC, DOTA): "ignore", so
    that they count neither for nor against, or "use", like all others."""

    accept_shift_m: float | None = None
    """Accept labels in another datum whose transformation is only this accurate, metres, as PROJ lacks the
    grid file of a better one (default: up to a pixel)."""

    format: str | None = None
    """Format of the labels (default: detected by content)."""

    sizes_px: Sizes | None = None
    """Width and height of images by name, for formats whose files do not contain them."""

    def __post_init__(self) -> None:
        if self.unlabelled not in get_args(Unlabelled):
            raise ConfigError(f"`unlabelled`: expected 'background' or 'ignore', found {self.unlabelled!r}")
        if self.buffer_m is not None and not self.buffer_m > 0:
            raise ConfigError(f"`buffer_m`: expected a radius above 0 m, found {self.buffer_m:g}")
        if self.crowds not in get_args(Crowds):
            raise ConfigError(f"`crowds`: expected 'ignore' or 'use', found {self.crowds!r}")
        if self.accept_shift_m is not None and not self.accept_shift_m > 0:
            raise ConfigError(f"`accept_shift_m`: expected metres above 0, found {self.accept_shift_m:g}")
        if self.voc_origin not in (None, 0, 1):
            raise ConfigError(f"`voc_origin`: the first pixel is 0 or 1, found {self.voc_origin!r}")

    def stated(self) -> tuple[str, ...]:
        """Names of the fields that differ from their defaults."""
        return tuple(item.name for item in fields(self) if getattr(self, item.name) != item.default)


@dataclass(frozen=True)
class ReadingOptions(LabelOptions):
    """`LabelOptions`, and what a verb that writes labels again wants besides."""

    attributes: bool = False
    """Keep the other attributes and the scores of vector features."""

    @classmethod
    def of(cls, options: LabelOptions, *, attributes: bool = False) -> ReadingOptions:
        """The same options, with or without attributes."""
        fields_of = {item.name: getattr(options, item.name) for item in fields(LabelOptions)}
        return cls(**fields_of, attributes=attributes)
