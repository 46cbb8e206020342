"""`Records`: labels as a format has them, before outlines are repaired and classes get their ids.

Every format ends here, and `label_set` makes the label set of all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import numpy as np
import shapely
from pyproj import CRS

from ..core.arraytypes import BoolArray, Float64Array, GeometryArray, Int64Array, ObjectArray
from ..core.classes import IGNORE_ID, ClassSet
from ..core.features import Features, LabelRows
from ..core.imagelabels import CoveredImage, ImageLabels, WholeImageLabels
from ..core.imagenames import composed, names_of
from ..core.labeloutlines import MapOutlines
from ..core.labelreport import LabelReport, added
from ..core.labelset import LabelSet
from ..core.maplabels import MapLabels
from ..core.wording import listed
from ..errors import LabelError
from .classnames import Known, counted, name_classes
from .classrequest import ClassRequest
from .cleaning import clean_polygons
from .labeloptions import Unlabelled

_MAX_NAME = 1024
_FEW_FRACTIONS = 3  # objects in the first pixel of an image that are not yet a sign of fractions


@dataclass(frozen=True, kw_only=True)
class Records:
    """N labels of whole images, as a format has them. Labels with outlines are `OutlineRecords`."""

    source: str
    """The label files, for messages."""

    values: tuple[str | None, ...]
    """(N,) class of each label as the source writes it; None: not stated."""

    feature_ids: ObjectArray
    """(N,) how the source calls each label."""

    images: ObjectArray | None = None
    """(N,) the image of each label; None: labels are in map coordinates."""

    ignore: BoolArray | None = None
    """(N,) True for labels that count neither for nor against; None: all count."""

    files: ObjectArray | None = None
    """(N,) label file of each label; None where all come from one file."""

    covered: tuple[CoveredImage, ...] = ()
    """The images that the labels refer to, with or without labels."""

    known: Known = field(default_factory=Known)
    """What the source states about its classes."""

    class_field: str | None = None
    """Attribute that the classes come from; None where there is none."""

    notes: tuple[str, ...] = ()
    """What reading did, counted."""

    ignored_as: str = "as the file says"
    """Why labels are ignored, where they are ("crowds")."""

    dropped: Mapping[str, int] = field(default_factory=dict)
    """Objects of the files that are not among these labels, by kind ("points and lines")."""

    scores: Float64Array | None = None
    """(N,) confidence of each label, NaN where not stated."""

    attributes: Mapping[str, ObjectArray] = field(default_factory=dict)
    """Further columns (N,) by name."""

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, kw_only=True)
class OutlineRecords(Records):
    """N labels with outlines, as a format has them: nothing is repaired or dropped yet."""

    geometries: GeometryArray
    """(N,) outlines in map coordinates, or in pixels of their images; None where there was nothing usable."""

    crs: CRS | None
    """CRS of the outlines; None: they are in pixels of images."""

    rejected: GeometryArray | None = None
    """Proposed objects that a reviewer rejected, in the same frame; None: none."""

    file_names: tuple[str, ...] = ()
    """The label files where there are several, also those without labels."""


def label_set(records: Records, request: ClassRequest | None, unlabelled: Unlabelled) -> LabelSet:
    """The label set of records: outlines repaired, classes with their ids.

    Labels without a class are ignored and counted, never dropped.

    Args:
        records: Labels as their format has them.
        request: Classes that the caller asked for; None: those of the records.
        unlabelled: How ground without a label is treated; with "ignore" only the features themselves are
            annotated, and images without a label are not covered.

    Raises:
        LabelError: No label is left, or the classes do not fit the request.
    """
    if isinstance(records, OutlineRecords):
        return _feature_labels(records, request, unlabelled)
    return _whole_image_labels(records, request, unlabelled)


@dataclass(frozen=True)
class CleanFeatures:
    """Records with clean outlines and class ids."""

    classes: ClassSet
    """The classes, with their ids."""

    features: Features
    """The features that are left, in the frame of the records."""

    notes: tuple[str, ...]
    """What was repaired, dropped or guessed, after the notes of the records."""

    report: LabelReport
    """What became of the objects of the files."""


def clean_features(records: OutlineRecords, request: ClassRequest | None) -> CleanFeatures:
    """Records with their outlines repaired and their classes numbered; those without an area are dropped.

    Args:
        records: Labels as their format has them.
        request: Classes that the caller asked for; None: those of the records.

    Raises:
        LabelError: No label is left, or the classes do not fit the request.
    """
    clean = clean_polygons(records.geometries, records.feature_ids, records.source)
    if not len(clean.index):
        dropped = f" ({'; '.join(clean.notes)})" if clean.notes else ""
        raise LabelError(
            f"{records.source}: holds no labelled area{dropped}; label something first, or check `layer` "
            "and `where`"
        )
    named = _named(records, clean.index, request)
    features = Features.of_rows(named.rows, clean.geometries)
    notes = (*records.notes, *clean.notes, *named.notes)
    report = LabelReport(
        read=len(records) + sum(records.dropped.values()),
        ignored=named.ignored,
        dropped=added(records.dropped, clean.dropped),
    )
    return CleanFeatures(named.classes, features, notes, report)


def _feature_labels(
    records: OutlineRecords, request: ClassRequest | None, unlabelled: Unlabelled
) -> MapLabels | ImageLabels:
    clean = clean_features(records, request)
    only_features = unlabelled == "ignore"
    if records.crs is None:
        return ImageLabels(
            clean.classes,
            clean.features,
            records.source,
            covered=records.covered,
            only_features=only_features,
            class_field=records.class_field,
            notes=clean.notes,
            report=clean.report,
        )
    rejected = None
    if records.rejected is not None:
        rejected = MapOutlines(records.rejected, records.crs, records.source)
    return MapLabels(
        clean.classes,
        clean.features,
        records.crs,
        records.source,
        only_features=only_features,
        rejected=rejected,
        file_names=records.file_names,
        class_field=records.class_field,
        notes=clean.notes,
        report=clean.report,
    )


def _whole_image_labels(
    records: Records, request: ClassRequest | None, unlabelled: Unlabelled
) -> WholeImageLabels:
    if not len(records):
        raise LabelError(f"{records.source}: holds no labelled image; label one first")
    named = _named(records, np.arange(len(records)), request)
    covered = records.covered
    if unlabelled == "ignore" and records.images is not None:
        labelled = set(records.images)
        covered = tuple(image for image in covered if image.name in labelled)
    return WholeImageLabels(
        named.classes,
        named.rows,
        records.source,
        covered=covered,
        class_field=records.class_field,
        notes=(*records.notes, *named.notes),
        report=LabelReport(read=len(records), ignored=named.ignored, dropped=records.dropped),
    )


@dataclass(frozen=True)
class _NamedRows:
    """Some of the records with class ids, the classes, and notes about them."""

    rows: LabelRows
    classes: ClassSet
    notes: tuple[str, ...]
    ignored: Mapping[str, int]


def _named(records: Records, index: Int64Array, request: ClassRequest | None) -> _NamedRows:
    values = [records.values[row] for row in index]
    naming = name_classes(counted(values), request, records.source, records.known)
    class_ids = naming.class_ids(values)
    notes = list(naming.notes)
    unclassed = np.array([value is None for value in values], np.bool_)
    if unclassed.any():
        notes.append(
            f"{int(unclassed.sum())} of {len(values)} features have no class and are ignored (they count "
            "neither as object nor as background)"
        )
    ignore = np.zeros(len(records), np.bool_) if records.ignore is None else records.ignore
    all_rows = LabelRows(
        class_ids=np.zeros(len(records), np.int64),
        feature_ids=records.feature_ids,
        ignore=ignore,
        images=records.images,
        files=records.files,
        scores=records.scores,
        attributes=records.attributes,
    )
    rows = all_rows.take(index)
    without_class = ~rows.ignore & (class_ids == IGNORE_ID)
    ignored = {
        records.ignored_as: int(rows.ignore.sum()),
        "without a class": int((without_class & unclassed).sum()),
        "of ignored classes": int((without_class & ~unclassed).sum()),
    }
    rows = replace(rows, class_ids=class_ids, ignore=rows.ignore | without_class)
    return _NamedRows(rows, naming.classes, tuple(notes), added(ignored, {}))


@dataclass(frozen=True)
class ImageClass:
    """One class of one image as a whole."""

    image: str
    """The image, by name."""

    value: str | None
    """The class as the source writes it; None: not stated."""

    feature_id: str
    """How the source calls the label, for messages."""


def image_class_records(
    source: str,
    labels: Sequence[ImageClass],
    images: Sequence[str],
    notes: Sequence[str] = (),
    class_field: str | None = None,
) -> Records:
    """Records of whole images.

    Args:
        source: The label files, for messages.
        labels: The labels; an image may have several.
        images: Names of all images, those without a label too.
        notes: What reading did, counted.
        class_field: Column that the classes come from.

    Raises:
        LabelError: Two images have one name.
    """
    _refuse_duplicates(source, images)
    return Records(
        source=source,
        values=tuple(label.value for label in labels),
        feature_ids=np.array([label.feature_id for label in labels], dtype=object),
        images=np.array([label.image for label in labels], dtype=object),
        covered=tuple(CoveredImage(name) for name in images),
        class_field=class_field,
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class PixelObject:
    """One object of a pixel format."""

    image: str
    """The image, by name."""

    outline: shapely.Geometry | None
    """Outline in pixels of the image; None where the source has nothing usable."""

    value: str | None
    """The class as the source writes it; None: not stated."""

    feature_id: str
    """How the source calls the object, for messages."""

    ignore: bool = False
    """True for an object that counts neither for nor against."""

    score: float | None = None
    """Confidence; None: not stated."""

    attributes: Mapping[str, object] = field(default_factory=dict)
    """Further values by name."""

    whole_image: bool = False
    """True for a class of the whole image, whose outline is that of the image."""


def pixel_records(
    source: str,
    objects: Sequence[PixelObject],
    covered: Sequence[CoveredImage],
    notes: Sequence[str] = (),
    known: Known | None = None,
    class_field: str | None = None,
    ignored_as: str = "as the file says",
    dropped: Mapping[str, int] | None = None,
) -> OutlineRecords:
    """Records of a pixel format.

    Args:
        source: The label files, for messages.
        objects: The objects of all images.
        covered: All images, those without objects too. Images and objects name paths; the label set keeps
            as many folders of them as tell its images apart.
        notes: What reading did, counted.
        known: What the source states about its classes.
        class_field: Attribute that the classes come from.
        ignored_as: Why objects are ignored, where they are.
        dropped: Objects of the source that are not among `objects`, by kind.

    Raises:
        LabelError: Two images have one name, or coordinates are fractions of an image.
    """
    paths = [image.name for image in covered]
    _refuse_duplicates(source, paths)
    name_of = dict(zip(paths, map(composed, names_of(paths)), strict=True))
    outlines = np.empty(len(objects), dtype=object)
    outlines[:] = [labelled.outline for labelled in objects]
    images = np.array([name_of[labelled.image] for labelled in objects], dtype=object)
    _refuse_fractions(source, outlines, images)
    attribute_names: dict[str, None] = {}
    for labelled in objects:
        attribute_names |= dict.fromkeys(labelled.attributes)
    return OutlineRecords(
        source=source,
        crs=None,
        geometries=outlines,
        values=tuple(labelled.value for labelled in objects),
        feature_ids=np.array([labelled.feature_id for labelled in objects], dtype=object),
        images=images,
        ignore=np.array([labelled.ignore for labelled in objects], np.bool_),
        covered=tuple(replace(image, name=name_of[image.name]) for image in covered),
        known=known or Known(),
        class_field=class_field,
        notes=tuple(notes),
        ignored_as=ignored_as,
        dropped=added(dropped or {}, {}),
        scores=_scores(objects),
        attributes={name: _column(objects, name) for name in attribute_names},
    )


def _refuse_fractions(source: str, outlines: GeometryArray, images: ObjectArray) -> None:
    """Raise `LabelError` for images whose objects all lie from 0 to 1, with fractions: as pixels, they would
    all lie in the first one. A few such objects among others may be what was cut at the edge of an image.
    """
    bounds = shapely.bounds(outlines).reshape(-1, 4)
    inside = (bounds >= 0).all(axis=1) & (bounds <= 1).all(axis=1)
    if not inside.any():
        return
    outside = ~inside & np.isfinite(bounds).all(axis=1)
    fractional = inside & (bounds != np.rint(bounds)).any(axis=1)
    times = Counter(images[fractional])
    elsewhere = set(images[outside])
    least = _FEW_FRACTIONS if outside.any() else 1
    wrong = [str(image) for image in times if image not in elsewhere and times[image] >= least]
    if wrong:
        raise LabelError(
            f"{source}: all coordinates of {listed(wrong)} lie from 0 to 1, so they are fractions of the "
            "image and not pixels; multiply them by its width and height"
        )


def _refuse_duplicates(source: str, names: Sequence[str]) -> None:
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise LabelError(
            f"{source}: contains two images called {PurePosixPath(name).name!r}; read the labels of one "
            "folder at a time, or rename the images"
        )


def _scores(objects: Sequence[PixelObject]) -> Float64Array | None:
    scores = np.array(
        [np.nan if labelled.score is None else labelled.score for labelled in objects], np.float64
    )
    return None if np.isnan(scores).all() else scores


def _column(objects: Sequence[PixelObject], name: str) -> ObjectArray:
    column = np.empty(len(objects), dtype=object)
    column[:] = [labelled.attributes.get(name) for labelled in objects]
    return column


def image_path(text: object, source: str, what: str) -> str:
    """The path by which a label file refers to its image: with forward slashes, and without the folders that
    it climbs ("..\\images\\a.tif" is images/a.tif). It is only compared, never opened.

    Args:
        text: What the label file has there.
        source: The label file, for messages.
        what: The record, for messages ("line 3").

    Raises:
        LabelError: There is no name, or it is not one of a file.
    """
    if not isinstance(text, str) or not text.strip():
        raise LabelError(f"{source}: {what} has no image file name; expected a name such as tile_1.tif")
    parts = PurePosixPath(text.strip().replace("\\", "/")).parts
    if parts[-1] in ("..", ".", "/") or len(text) > _MAX_NAME or any(ord(sign) < 32 for sign in text):
        raise LabelError(
            f"{source}: {what} names the image {text[:80]!r}, which is not a safe file name; write the plain "
            "name of the image"
        )
    return composed("/".join(part for part in parts if part not in ("..", "/")))


def image_name(text: object, source: str, what: str) -> str:
    """The file name in the text by which a label file refers to its image. Arguments and errors are those of
    `image_path`.
    """
    return PurePosixPath(image_path(text, source, what)).name
