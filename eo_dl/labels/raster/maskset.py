"""Label rasters as a label set: which stored value or colour is which class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...core.classes import IGNORE_ID, ClassSet
from ...core.rasterlabels import LabelRaster, RasterLabels
from ...core.wording import count_of, listed
from ...errors import LabelError
from ..classnames import name_classes
from ..classrequest import REST, ClassRequest, parse_classes
from ..labeloptions import Unlabelled
from .maskvalues import Kind, MaskContent, mask_content
from .softmasks import read_probabilities

_BLACK = "#000000"
_VOID = "#e0e0c0"
_MOST_LISTED = 12


def read_masks(
    paths: Sequence[str], request: ClassRequest | None, unlabelled: Unlabelled, source: str
) -> RasterLabels:
    """Label rasters with the classes of all of them; each file is read once.

    Ids: 0 is the background and 255 means ignore, unless the request says otherwise; where 255 is the only
    value besides 0 it is a class. A nodata value other than 0 is ignored. Colours: black is the background,
    unless the request names it.

    Args:
        paths: The rasters, of class ids, colours or class probabilities.
        request: The classes asked for; None: one class per value.
        unlabelled: With "ignore" the background is ignored.
        source: All of them, for messages.

    Raises:
        LabelError: A file cannot be a label raster, the rasters are of different kinds, or the request leaves
            out a value.
    """
    soft = read_probabilities(paths, request, source)
    if soft is not None:
        return soft
    values = _StoredValues.of(paths, request, source)
    _refuse_soft_edges(values, request)
    _refuse_numbered_objects(values, request)
    notes = _scale_notes(values)
    request = _with_binary_class(values, request, notes)
    fixed_ids = _fixed_ids(values, request, notes)
    counts = {value: count for value, count in values.counts.items() if value not in fixed_ids}
    naming = name_classes(counts, request, source)
    ids = {**naming.ids, **fixed_ids}
    classes = naming.classes
    if 0 in fixed_ids.values():
        classes = classes.with_background()
    if request is None:
        classes = _with_names_of_files(classes, values.contents)
        if values.kind == "colors":
            notes.append("classes are named after their colours; name them with `classes`: NAME=#rrggbb")
    hidden_id = _hidden_id(values, ids, unlabelled, notes)
    if hidden_id == 0:
        classes = classes.with_background()
    if unlabelled == "ignore":
        ids = {value: class_id or IGNORE_ID for value, class_id in ids.items()}
        classes = classes.without_background()
    notes += _share_notes(values, ids, classes)
    if hidden_id == IGNORE_ID and values.hidden:
        notes.append(f"{values.hidden} transparent or masked px are ignored")
    rasters = _rasters(values.contents, ids, hidden_id)
    return RasterLabels(classes, rasters, source, notes=(*notes, *naming.notes))


def _refuse_soft_edges(values: _StoredValues, request: ClassRequest | None) -> None:
    """Raise `LabelError` for rasters whose edges were resampled, unless the request names every value."""
    named = set() if request is None else set(request.values)
    if REST in named:
        return
    for content in values.contents:
        soft = [str(value) for value in content.soft if str(value) not in named]
        if len(soft) > 1:
            raise LabelError(
                f"{content.scene.path}: the values {listed(soft)} lie between those around them, as at soft "
                "edges: it was resampled or saved in a lossy way, or is an image; make it again without "
                "(nearest neighbour, PNG or GeoTIFF), or say what each value is with `classes`"
            )


def _refuse_numbered_objects(values: _StoredValues, request: ClassRequest | None) -> None:
    """Raise `LabelError` for rasters that number objects, of which each would become a class of its own."""
    for content in values.contents:
        if request is None and content.numbered:
            raise LabelError(
                f"{content.scene.path}: each of its {content.numbered} values is one patch, "
                "as where objects are numbered; make one class of all with `classes`: 'NAME=*', or name "
                "each value"
            )


def _scale_notes(values: _StoredValues) -> list[str]:
    """A note on rasters whose stored values are said to stand for others."""
    scaled = [one.scene.name for one in values.contents if not all(band.unscaled for band in one.scene.bands)]
    if not scaled:
        return []
    return [f"{listed(scaled)}: the scale or offset of the file is left aside, classes are the stored values"]


def _hidden_id(
    values: _StoredValues, ids: Mapping[str, int], unlabelled: Unlabelled, notes: list[str]
) -> int:
    """The class of transparent pixels: the background, where a picture has nothing else for it."""
    transparent = all(content.scene.file.alpha for content in values.contents)
    if not values.hidden or not transparent or 0 in ids.values() or unlabelled == "ignore":
        return IGNORE_ID
    notes.append(
        f"{values.hidden} transparent px are taken as background, since nothing else is; ignore them with "
        "`unlabelled=ignore`"
    )
    return 0


@dataclass(frozen=True)
class _StoredValues:
    """What label rasters of one kind hold together; values as texts, "3" or "#rrggbb"."""

    contents: tuple[MaskContent, ...]
    kind: Kind
    counts: Mapping[str, int]
    nodata: frozenset[str]

    @property
    def hidden(self) -> int:
        """Transparent and masked pixels."""
        return sum(content.hidden for content in self.contents)

    @classmethod
    def of(cls, paths: Sequence[str], request: ClassRequest | None, source: str) -> _StoredValues:
        """Read the files. Raises `LabelError` where some hold ids and some hold colours."""
        kind: Kind | None = None
        if request is not None and not request.bare:
            kind = "colors" if request.colored else "ids"
        contents = tuple(mask_content(path, kind) for path in paths)
        of_ids = [content.scene.name for content in contents if content.kind == "ids"]
        if 0 < len(of_ids) < len(contents):
            raise LabelError(
                f"{source}: mixes colours and ids ({of_ids[0]} holds ids); read them separately, or save all "
                "in one way"
            )
        counts: Counter[str] = Counter()
        for content in contents:
            counts.update({str(value): pixels for value, pixels in content.counts.items()})
        nodata = frozenset(str(content.nodata) for content in contents if content.nodata is not None)
        return cls(contents, contents[0].kind, counts, nodata)


def _with_binary_class(
    values: _StoredValues, request: ClassRequest | None, notes: list[str]
) -> ClassRequest | None:
    """The request; of rasters of only 0 and 255, as drawing programs save them, that 255 is the class.

    Not so where 255 is nodata, or the request says what it is.
    """
    only_0_and_255 = "255" in values.counts and values.counts.keys() <= {"0", "255"}
    if not only_0_and_255 or "255" in values.nodata:
        return request
    if request is None:
        name = "255"
    elif request.bare and len(request.names) == 1:
        name = request.names[0]
    else:
        return request
    notes.append("255 is the only value besides 0, so it is a class and not ignored")
    return parse_classes([f"{name}=255"])


def _fixed_ids(values: _StoredValues, request: ClassRequest | None, notes: list[str]) -> dict[str, int]:
    """Values that are background or ignored by convention, as far as the request does not name them."""
    requested = set() if request is None else set(request.values)
    free = [value for value in values.counts if value not in requested]
    counts, ids = values.counts, dict[str, int]()
    if _BLACK in free and len(counts) > 1:
        ids[_BLACK] = 0
        notes.append(
            f"black ({counts[_BLACK]} px) is taken as background; otherwise set `classes` to NAME={_BLACK}, "
            f"or -{_BLACK} to ignore it"
        )
    if _VOID in free and len(counts) > 1:
        ids[_VOID] = IGNORE_ID
        notes.append(
            f"{_VOID} ({counts[_VOID]} px), the void of Pascal VOC, is ignored; otherwise set `classes` to "
            f"NAME={_VOID}"
        )
    for value in free:
        if value in values.nodata and value != "0":
            ids[value] = IGNORE_ID
            notes.append(f"the nodata value {value} ({counts[value]} px) is ignored")
    if "0" in free:
        ids["0"] = 0
        if "0" in values.nodata:
            notes.append(
                "0 is the nodata value of the label rasters and is taken as background; ignore it with "
                "`unlabelled=ignore`"
            )
    if "255" in free and "255" not in ids and len(counts) == 2 and "0" not in counts:
        other = next(value for value in counts if value != "255")
        raise LabelError(
            f"{values.contents[0].scene.path}: holds nothing but {other} and 255, which is a class to some "
            "programs and means ignore to others; choose with `classes`: "
            f"'NAME={other},OTHER=255', or 'NAME={other},-255'"
        )
    if "255" in free and "255" not in ids:
        ids["255"] = IGNORE_ID
        notes.append(f"the value 255 ({counts['255']} px) means ignore; otherwise set `classes` to NAME=255")
    return ids


def _with_names_of_files(classes: ClassSet, contents: Sequence[MaskContent]) -> ClassSet:
    """Classes with the names that the files carry, if they agree and differ from each other."""
    name_of: dict[int, str] = {}
    for content in contents:
        for class_id, name in content.names.items():
            if name_of.setdefault(class_id, name) != name:
                return classes
    named = tuple(replace(info, name=name_of.get(info.id, info.name)) for info in classes)
    return ClassSet(named) if len({info.name for info in named}) == len(named) else classes


def _rasters(
    contents: Sequence[MaskContent], ids: Mapping[str, int], hidden_id: int
) -> tuple[LabelRaster, ...]:
    """The files with the class of each stored value."""
    id_of: dict[int | str, int] = {}
    ignored: list[int | str] = []
    for text, class_id in ids.items():
        value = text if text.startswith("#") else int(text)
        if class_id == IGNORE_ID:
            ignored.append(value)
        else:
            id_of[value] = class_id
    return tuple(LabelRaster(content.scene.path, id_of, tuple(ignored), hidden_id) for content in contents)


def _share_notes(values: _StoredValues, ids: Mapping[str, int], classes: ClassSet) -> list[str]:
    """The share of each class."""
    total = max(sum(values.counts.values()), 1)
    pixels_of: Counter[int] = Counter()
    for value, pixels in values.counts.items():
        pixels_of[ids[value]] += pixels
    shares = [f"{info.name} {pixels_of[info.id] / total:.1%}" for info in classes]
    return [f"{count_of(len(values.contents), 'label raster')}: {listed(shares, most=_MOST_LISTED)}"]
