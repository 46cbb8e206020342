"""Label rasters as a label set: which stored value or colour is which class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...core.classes import IGNORE_ID, ClassSet
from ...core.rasterlabels import LabelRaster, RasterLabels
from ...errors import LabelError
from ..classnames import name_classes
from ..classrequest import ClassRequest, parse_classes
from ..labeloptions import Unlabelled
from .maskvalues import Kind, MaskContent, mask_content
from .softmasks import read_probabilities

_BLACK = "#000000"


def read_masks(
    paths: Sequence[str], spec: ClassRequest | None, unlabelled: Unlabelled, source: str
) -> RasterLabels:
    """Label rasters with the classes of all of them; each is read once.

    Ids: 0 is the background and 255 means ignore, unless `spec` says otherwise; where 255 is the only value
    beside 0 it is a class. A nodata value other than 0 is ignored. Colours: black is the background unless
    `spec` names it. With `unlabelled="ignore"` the background is ignored.
    """
    soft = read_probabilities(paths, spec, source)
    if soft is not None:
        return soft
    kind: Kind | None = None
    if spec is not None and not spec.bare:
        kind = "colors" if spec.colored else "ids"
    contents = [mask_content(path, kind) for path in paths]
    kinds = {content.kind for content in contents}
    if len(kinds) > 1:
        one = next(c for c in contents if c.kind == "ids")
        raise LabelError(
            f"{source}: mixes colours and ids ({one.scene.name} holds ids); read them apart, or save all in one way"
        )
    counts = _total(contents)
    notes: list[str] = []
    spec = _binary(counts, contents, spec, notes)
    fixed = _fixed(counts, contents, spec, notes)
    naming = name_classes(
        {value: count for value, count in counts.items() if value not in fixed}, spec, source
    )
    ids = {**naming.ids, **fixed}
    classes = naming.classes if 0 not in fixed.values() else naming.classes.with_background()
    if spec is None:
        classes = _own_names(classes, contents)
        if kinds == {"colors"}:
            notes.append("classes are called by their colour; name them with `classes`, e.g. NAME=#rrggbb")
    if unlabelled == "ignore":
        ids = {value: IGNORE_ID if class_id == 0 else class_id for value, class_id in ids.items()}
        classes = classes.without_background()
    stored: dict[int | str, int] = {
        value if value.startswith("#") else int(value): class_id for value, class_id in ids.items()
    }
    kept = {value: class_id for value, class_id in stored.items() if class_id != IGNORE_ID}
    ignored = tuple(value for value, class_id in stored.items() if class_id == IGNORE_ID)
    notes += _seen(contents, counts, ids, classes)
    rasters = tuple(LabelRaster(content.scene.path, kept, ignored) for content in contents)
    return RasterLabels(classes, rasters, source, notes=(*notes, *naming.notes))


def _total(contents: Sequence[MaskContent]) -> dict[str, int]:
    total: dict[str, int] = {}
    for content in contents:
        for value, pixels in content.counts.items():
            total[str(value)] = total.get(str(value), 0) + pixels
    return total


def _fixed(
    counts: Mapping[str, int], contents: Sequence[MaskContent], spec: ClassRequest | None, notes: list[str]
) -> dict[str, int]:
    """Values whose meaning is settled before classes are named: background and ignore, where `spec` does not
    name them.
    """
    said = set() if spec is None else set(spec.values)
    free = [value for value in counts if value not in said]
    fixed: dict[str, int] = {}
    if _BLACK in free and len(counts) > 1:
        fixed[_BLACK] = 0
        notes.append(
            f"black ({counts[_BLACK]} px) is taken as background; `classes` can state otherwise: NAME={_BLACK}, or -{_BLACK} to ignore it"
        )
    nodata = {str(content.nodata) for content in contents if content.nodata is not None}
    for value in (value for value in free if value in nodata and value != "0"):
        fixed[value] = IGNORE_ID
        notes.append(f"the nodata value {value} ({counts[value]} px) is ignored")
    if "0" in free:
        fixed["0"] = 0
        if "0" in nodata:
            notes.append(
                "0 is the nodata value of the label rasters and is taken as background; ignore it with `unlabelled=ignore`"
            )
    if "255" in free:
        fixed.setdefault("255", IGNORE_ID)
        if "255" not in nodata:
            notes.append(
                f"the value 255 ({counts['255']} px) means ignore; `classes` can state otherwise: NAME=255"
            )
    return fixed


def _binary(
    counts: Mapping[str, int], contents: Sequence[MaskContent], spec: ClassRequest | None, notes: list[str]
) -> ClassRequest | None:
    """Rasters of nothing but 0 and 255, as drawing programs make them: 255 is their class, unless it is
    nodata or `spec` says what it is.
    """
    if not {"255"} <= set(counts) <= {"0", "255"} or any(content.nodata == IGNORE_ID for content in contents):
        return spec
    if spec is not None and not (spec.bare and len(spec.names) == 1):
        return spec
    notes.append("255 is the only value beside 0, so it is a class and not ignored")
    return parse_classes([f"{spec.names[0] if spec else 255}=255"])


def _own_names(classes: ClassSet, contents: Sequence[MaskContent]) -> ClassSet:
    """Class names that the files carry, where they agree."""
    names: dict[int, str] = {}
    for content in contents:
        for class_id, name in content.names.items():
            if names.setdefault(class_id, name) != name:
                return classes
    found = tuple(replace(info, name=names.get(info.id, info.name)) for info in classes)
    return ClassSet(found) if len({info.name for info in found}) == len(found) else classes


def _seen(
    contents: Sequence[MaskContent], counts: Mapping[str, int], ids: Mapping[str, int], classes: ClassSet
) -> list[str]:
    """The share of each class, and what a mask band hides."""
    total = max(sum(counts.values()), 1)
    pixels: Counter[int] = Counter()
    for value, count in counts.items():
        pixels[ids[value]] += count
    shares = {info.name: pixels[info.id] / total for info in classes}
    told = ", ".join(f"{name} {share:.1%}" for name, share in list(shares.items())[:12])
    hidden = sum(content.hidden for content in contents)
    return [f"{len(contents)} label raster{'s' * (len(contents) != 1)}: {told}"] + (
        [f"{hidden} transparent or masked px are ignored"] if hidden else []
    )
