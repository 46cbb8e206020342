"""`ReadOptions`: how labels are to be read, as it reaches the reader of a format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Sizes = Mapping[str, tuple[int, int]]
"""(width, height) in pixels of images, by file name."""


@dataclass(frozen=True)
class ReadOptions:
    """Options of `read_labels`; a format obeys those that it lists in `LabelFormat.options`."""

    class_field: str | None = None
    """Attribute or column that holds the class (None: detected)."""

    layer: str | None = None
    """Layer of a vector file (None: the only one)."""

    where: str | None = None
    """Attribute filter, "FIELD=VALUE|VALUE"."""

    crs: str | None = None
    """CRS of a vector file, in place of its own."""

    buffer_m: float | None = None
    """Radius in metres by which points and lines become areas."""

    attributes: bool = False
    """Keep the other attributes and the scores of vector features."""

    voc_origin: int | None = None
    """Number of the first pixel in Pascal VOC boxes (None: 1, unless a coordinate is 0)."""

    sizes_px: Sizes | None = None
    """Image sizes, for formats whose label files do not contain them."""
