"""What a person gave as labels: which format, which files."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..errors import LabelError
from ..io.discover import RASTER_SUFFIXES, is_remote
from ..io.gate import driver_of_bytes
from .formats.dota import is_dota_text
from .formats.yolo import is_yolo_text, is_yolo_yaml
from .wholeimages import class_folders

Format = Literal[
    "vector", "mask", "voc", "coco", "csv", "folders", "yolo", "dota", "labelstudio", "cvat", "labelme"
]

_VECTOR_SUFFIXES = frozenset({".gpkg", ".geojson", ".shp", ".fgb", ".parquet", ".geoparquet"})
_SNIFFED_BYTES = 1 << 20
_TEXTS: tuple[Format, ...] = ("yolo", "dota")
_GEOJSON = re.compile(
    rb'"type"\s*:\s*"(FeatureCollection|Feature|(Multi)?(Point|LineString|Polygon)|GeometryCollection)"'
)
_VOC = re.compile(rb"<annotation[\s/>]")
_CVAT = re.compile(rb"<annotations[\s/>]")
_INDEX = re.compile(rb'"format"\s*:\s*"eo_dl label index"')
_LABELME = re.compile(rb'"shapes"\s*:\s*\[')
_TASKS = re.compile(rb'^\s*\[\s*\{.*"(data|annotations|predictions|completions)"\s*:', re.DOTALL)
_COCO = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
_SAID = (
    "vectors (GPKG, GeoJSON, Shapefile, FlatGeobuf, GeoParquet), label rasters, Pascal VOC, COCO, YOLO, DOTA, Label Studio, CVAT, LabelMe, "
    "CSV (boxes, or file and class) and a folder for each class"
)


@dataclass(frozen=True)
class Sources:
    """Label files of one format; `name` stands for all of them in messages."""

    format: Format
    paths: tuple[str, ...]
    name: str
    notes: tuple[str, ...] = ()


def find_sources(source: str | Path | Sequence[str | Path], format: Format | None = None) -> Sources:
    """The label files of a path, a folder, a pattern, or a list of these. Raises `LabelError` where none or
    several formats are there.
    """
    if format is not None and format not in get_args(Format):
        raise LabelError(
            f"labels: the format {format!r} is not known; choose one of {', '.join(get_args(Format))}"
        )
    given = [source] if isinstance(source, str | Path) else list(source)
    if not given:
        raise LabelError("labels: no file was given; name one with --labels")
    notes: list[str] = []
    found: dict[str, Format] = {}
    for item in map(str, given):
        found |= _expanded(item, format, notes)
    kinds = sorted(set(found.values()))
    if len(kinds) > 1:
        examples = ", ".join(
            f"{Path(next(p for p, k in found.items() if k == kind)).name} ({kind})" for kind in kinds
        )
        raise LabelError(f"labels: files of several formats were given: {examples}; give those of one format")
    name = str(given[0]) if len(given) == 1 else f"{given[0]} and {len(given) - 1} more"
    return Sources(next(iter(found.values())), tuple(found), name, tuple(notes))


def _expanded(item: str, format: Format | None, notes: list[str]) -> dict[str, Format]:
    if is_remote(item):
        return {item: format or "mask"}
    path = Path(item)
    if path.is_dir():
        return _in_folder(path, format, notes)
    if not path.exists() and any(sign in item for sign in "*?["):
        matches = sorted(match for match in glob.glob(item, recursive=True) if not match.endswith(".aux.xml"))  # noqa: PTH207 - may be absolute
        if not matches:
            raise LabelError(f"{item}: no file matches this pattern; check the path")
        return {match: format or format_of(Path(match)) for match in matches}
    return {item: format or format_of(path)}


def _in_folder(folder: Path, format: Format | None, notes: list[str]) -> dict[str, Format]:
    """The label files directly in a folder. Rasters beside files of another format are images, not labels."""
    found: dict[Format, list[str]] = {}
    for path in sorted(folder.iterdir()):
        kind = (
            None
            if path.name.startswith(".") or not path.is_file()
            else format
            if format in _TEXTS and path.suffix.lower() == ".txt"
            else kind_in_folder(path)
        )
        if kind is not None:
            found.setdefault(kind, []).append(str(path))
    described = [path for path in found.get("yolo", []) if path.endswith((".yaml", ".yml"))]
    if described and format in (None, "yolo"):
        return dict.fromkeys(described, "yolo")
    for kind in _TEXTS:
        if kind in found:  # texts without lines are images without objects
            found[kind] = sorted(
                {*found[kind], *(str(path) for path in folder.glob("*.txt") if not path.stat().st_size)}
            )
    if format == "folders" or (format is None and not found):
        found = {"folders": [str(folder)] if class_folders(folder) else []}
    elif format is not None:
        found = {format: found.get(format, [])}
    for weaker in ("csv", "mask"):
        if len(found) > 1 and weaker in found:
            left = found.pop(weaker)
            what = "raster" if weaker == "mask" else "CSV file"
            notes.append(
                f"{len(left)} {what}{'s' * (len(left) != 1)} in {folder.name} not taken for labels, since other label files are there"
            )
    if len(found) > 1:
        raise LabelError(
            f"{folder}: holds labels of several formats ({', '.join(f'{len(v)} {k}' for k, v in sorted(found.items()))}); name the files, or choose by a pattern"
        )
    if not found or not next(iter(found.values())):
        raise LabelError(
            f"{folder}: holds no label files{f' of the format {format}' if format else ''}; {_SAID} are read"
        )
    kind, paths = next(iter(found.items()))
    return dict.fromkeys(paths, kind)


def kind_in_folder(path: Path) -> Format | None:
    """The format of a file that may be anything; None for one that holds no labels. Every raster may be a
    mask.
    """
    suffix = path.suffix.lower()
    if suffix in _VECTOR_SUFFIXES:
        return "vector"
    if suffix in RASTER_SUFFIXES:
        return "mask"
    if suffix == ".json":
        return _kind_of_json(path)
    if suffix == ".xml" and not path.name.endswith(".aux.xml"):
        head = _head(path)
        return "cvat" if _CVAT.search(head) else "voc" if _VOC.search(head) else None
    if suffix in (".txt", ".yaml", ".yml"):
        return _kind_of_text(path)
    return "csv" if suffix == ".csv" else None


def format_of(path: Path) -> Format:
    """The format of one file, by content where that says it. Raises `LabelError` for a file that is none of
    ours.
    """
    head = _head(path)
    suffix = path.suffix.lower()
    if driver_of_bytes(head) is not None or suffix == ".vrt":
        return "mask"
    if suffix == ".xml":
        return "cvat" if _CVAT.search(head) else "voc"
    if suffix == ".csv":
        return "csv"
    if suffix in (".txt", ".yaml", ".yml"):
        found = _kind_of_text(path)
        if found is None:
            raise LabelError(
                f"{path}: holds no lines of YOLO or DOTA and is no data.yaml (names, train, val); say what it is with --format, or name another file"
            )
        return found
    if suffix == ".json":
        kind = _kind_of_json(path)
        if kind is None:
            raise LabelError(
                f"{path}: is JSON of another kind; GeoJSON, COCO (images, annotations, categories), Label Studio or LabelMe was expected; {_SAID} are read"
            )
        return kind
    return "vector"


def _kind_of_json(path: Path) -> Format | None:
    head = _head(path)
    if _INDEX.search(head):
        return None  # says where images are, not what is in them
    if _GEOJSON.search(head):
        return "vector"
    if _TASKS.match(head):
        return "labelstudio"
    return (
        "labelme"
        if _LABELME.search(head) and b'"imagePath"' in _ends(path, head)
        else "coco"
        if _COCO.search(head)
        else None
    )


def _kind_of_text(path: Path) -> Format | None:
    text = _head(path).decode("utf-8", "replace")
    if path.suffix.lower() != ".txt":
        return "yolo" if is_yolo_yaml(text) else None
    return "yolo" if is_yolo_text(text) else "dota" if is_dota_text(text) else None


def _ends(path: Path, head: bytes) -> bytes:
    """Head and end of a file: LabelMe says the image's name after its shapes."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - len(head), 0))
        return head + file.read()


def _head(path: Path) -> bytes:
    if not path.exists():
        raise LabelError(f"{path}: no such file; check the path of the labels")
    try:
        with path.open("rb") as file:
            return file.read(_SNIFFED_BYTES)
    except OSError as cause:
        raise LabelError(f"{path}: cannot be read ({cause.strerror}); check its rights") from cause
