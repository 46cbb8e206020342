"""`Records`: annotations as a format gives them, before classes get their ids; every format ends here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS

from ..core.arraytypes import GeometryArray
from ..core.classes import IGNORE_ID
from ..core.labelset import LabelSet
from ..errors import LabelError
from .classnames import ClassRequest, Known, counted, name_classes
from .geometry import clean_polygons
from .labeloptions import Unlabelled

_MAX_NAME = 1024


@dataclass(frozen=True)
class ImageRecord:
    """An image that a pixel format covers: its name, and its (width, height) where the labels say it."""

    name: str
    size_px: tuple[int, int] | None = None


@dataclass(frozen=True)
class Records:
    """Features (N): `geometries` in the CRS, or in pixels of `images` where `crs` is None; `values` their
    class (None: not said).

    `ignore` marks objects that count neither way, `files` the label file of each where there are several
    (`file_names` all of them), `scores` and `attributes` as in `LabelSet`, `covered` the images of a pixel
    format, `known` what the source says of its classes. `whole_images` and `negatives` as in `LabelSet`.
    """

    source: str
    crs: CRS | None
    geometries: GeometryArray
    values: tuple[str | None, ...]
    feature_ids: npt.NDArray[np.object_]
    images: npt.NDArray[np.object_] | None = None
    ignore: npt.NDArray[np.bool_] | None = None
    negatives: GeometryArray | None = None
    files: npt.NDArray[np.object_] | None = None
    file_names: tuple[str, ...] = ()
    covered: tuple[ImageRecord, ...] = ()
    known: Known = field(default_factory=Known)
    class_field: str | None = None
    whole_images: bool = False
    notes: tuple[str, ...] = ()
    scores: npt.NDArray[np.float64] | None = None
    attributes: Mapping[str, GeometryArray] = field(default_factory=dict)


def label_set(records: Records, spec: ClassRequest | None, unlabelled: Unlabelled) -> LabelSet:
    """Records with clean geometries and class ids.

    Features without a class are ignored and counted, never dropped. With `unlabelled="ignore"` only the
    features themselves are annotated ground. Raises `LabelError` where nothing is left.
    """
    clean = clean_polygons(records.geometries, records.feature_ids, records.source)
    if not len(clean.index):
        dropped = f" ({'; '.join(clean.notes)})" if clean.notes else ""
        raise LabelError(
            f"{records.source}: holds no labelled area{dropped}; label something first, or check `layer` and `where`"
        )
    values = [records.values[place] for place in clean.index]
    naming = name_classes(counted(values), spec, records.source, records.known)
    class_ids = naming.class_ids(values)
    ignore = class_ids == IGNORE_ID
    unclassed = sum(value is None for value in values)
    notes = [*records.notes, *clean.notes, *naming.notes]
    if unclassed:
        notes.append(
            f"{unclassed} of {len(values)} features have no class and are ignored (they count neither as object nor as background)"
        )
    if records.ignore is not None:
        ignore = ignore | records.ignore[clean.index]
    images = None if records.images is None else records.images[clean.index]
    return LabelSet(
        classes=naming.classes,
        geometries=clean.geometries,
        class_ids=class_ids,
        crs=records.crs,
        source=records.source,
        feature_ids=records.feature_ids[clean.index],
        images=images,
        ignore=ignore if ignore.any() else None,
        negatives=records.negatives,
        annotated=clean.geometries if unlabelled == "ignore" else None,
        annotated_images=images if unlabelled == "ignore" else None,
        image_names=tuple(image.name for image in records.covered),
        image_sizes_px=tuple(image.size_px for image in records.covered),
        files=None if records.files is None else records.files[clean.index],
        file_names=records.file_names,
        whole_images=records.whole_images,
        class_field=records.class_field,
        notes=tuple(notes),
        scores=None if records.scores is None else records.scores[clean.index],
        attributes={name: values[clean.index] for name, values in records.attributes.items()},
    )


@dataclass(frozen=True)
class PixelObject:
    """One object of a pixel format; `outline` in pixels of `image` or None where there was nothing usable."""

    image: str
    outline: shapely.Geometry | None
    value: str | None
    feature_id: str
    ignore: bool = False
    score: float | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)


def pixel_records(
    source: str,
    objects: Sequence[PixelObject],
    covered: Sequence[ImageRecord],
    notes: Sequence[str] = (),
    known: Known | None = None,
    class_field: str | None = None,
) -> Records:
    """Records of a pixel format. Raises `LabelError` where two images of one name are covered."""
    names = [image.name for image in covered]
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise LabelError(
            f"{source}: covers two images called {twice!r}; read the labels of one folder at a time, or rename the images"
        )
    outlines = np.empty(len(objects), dtype=object)
    outlines[:] = [found.outline for found in objects]
    return Records(
        source=source,
        crs=None,
        geometries=outlines,
        values=tuple(found.value for found in objects),
        feature_ids=np.array([found.feature_id for found in objects], dtype=object),
        images=np.array([found.image for found in objects], dtype=object),
        ignore=np.array([found.ignore for found in objects], np.bool_),
        covered=tuple(covered),
        known=known or Known(),
        class_field=class_field,
        notes=tuple(notes),
        scores=_scores(objects),
        attributes={
            name: _column(objects, name)
            for name in dict.fromkeys(name for found in objects for name in found.attributes)
        },
    )


def _scores(objects: Sequence[PixelObject]) -> npt.NDArray[np.float64] | None:
    found = np.array([np.nan if one.score is None else one.score for one in objects], np.float64)
    return None if np.isnan(found).all() else found


def _column(objects: Sequence[PixelObject], name: str) -> GeometryArray:
    column = np.empty(len(objects), dtype=object)
    column[:] = [one.attributes.get(name) for one in objects]
    return column


def image_name(text: object, source: str, what: str) -> str:
    """The file name in what a label file says of its image. Raises `LabelError` for a name that climbs out of
    its folder or is none.
    """
    if not isinstance(text, str) or not text.strip():
        raise LabelError(f"{source}: {what} has no image file name; a name such as tile_1.tif was expected")
    parts = PurePosixPath(text.strip().replace("\\", "/")).parts
    name = parts[-1]
    if ".." in parts or len(text) > _MAX_NAME or name in (".", "/") or any(ord(sign) < 32 for sign in text):
        raise LabelError(
            f"{source}: {what} names the image {text[:80]!r}, which is no safe file name; write the plain name of the image"
        )
    return name
