"""`find_sources`: which format the labels that a user names have, and which files they are."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from ..core.imagenames import composed, stem_of
from ..core.wording import count_of, listed
from ..errors import LabelError
from ..io.discover import is_remote, own_path
from .formats.formatlist import label_format, label_formats
from .formats.labelfile import LabelFile
from .formats.labelformat import Certainty, LabelFormat

_LEVELS_BELOW = 2
_UNCERTAIN = {Certainty.TABLE: "table", Certainty.RASTER: "raster"}


@dataclass(frozen=True)
class Sources:
    """Label files of one format."""

    format: LabelFormat
    """The format of all of them."""

    paths: tuple[str, ...]
    """The files; for class folders the folders."""

    name: str
    """Stands for all of them in messages."""

    notes: tuple[str, ...] = ()
    """What was left out."""


def find_sources(
    source: str | Path | Sequence[str | Path], format: str | None = None, images: Sequence[str] = ()
) -> Sources:
    """The label files of a path, a folder, a pattern, or a list of these.

    Files are recognised by their content. In a folder, CSV files give way to rasters, and rasters to label
    files that cannot be anything else: they are tables and images about which the other files speak. A CSV
    file that names the rasters beside it is about them. Where a folder holds no label files itself, those of
    one format in the folders below are taken; folders of images are one per class only where nothing speaks
    against it.

    Args:
        source: Paths, folders, patterns ("labels/*.xml"), or a list of these.
        format: The name of a format of `READ_FORMATS`, if the content does not show it.
        images: Paths of the images of the labels, which are no label rasters of a folder.

    Returns:
        The files with their format.

    Raises:
        LabelError: There is no label file, or files of several formats; or what a folder holds is not clear.
    """
    wanted = None if format is None else label_format(format)
    items = [source] if isinstance(source, str | Path) else list(source)
    if not items:
        raise LabelError("labels: the list of label files is empty; name at least one")
    notes: list[str] = []
    format_of: dict[str, LabelFormat] = {}
    no_labels = frozenset(own_path(path) for path in images if not is_remote(path))
    for item in items:
        format_of |= _files_of(str(item), wanted, notes, no_labels)
    examples = {found.name: Path(path).name for path, found in reversed(format_of.items())}
    if len(examples) > 1:
        names = ", ".join(f"{example} ({name})" for name, example in sorted(examples.items()))
        raise LabelError(f"labels: the files are of several formats: {names}; name those of one format")
    name = str(items[0]) if len(items) == 1 else f"{items[0]} and {len(items) - 1} more"
    found = next(iter(format_of.values()))
    if wanted is None and found.recognition.reason:
        notes.append(
            f"labels read as {found.title}, since {found.recognition.reason}; otherwise set `format`"
        )
    return Sources(found, tuple(format_of), name, tuple(notes))


def _files_of(
    item: str, wanted: LabelFormat | None, notes: list[str], images: frozenset[Path]
) -> dict[str, LabelFormat]:
    """The label files of one path, folder or pattern, each with its format."""
    path = Path(item)
    if is_remote(item):
        return {item: wanted or _format_of_remote()}
    if path.is_dir():
        return _files_in_folder(path, wanted, notes, images)
    if not path.exists() and any(sign in item for sign in "*?["):
        return {match: wanted or format_of_file(Path(match)) for match in _matches(item)}
    return {item: wanted or format_of_file(path)}


def _format_of_remote() -> LabelFormat:
    return next(known for known in label_formats() if known.recognition.remote)


def _matches(pattern: str) -> list[str]:
    """The files that match a pattern, without the side files of GDAL."""
    matches = glob.glob(pattern, recursive=True)  # noqa: PTH207 - the pattern may be absolute
    files = sorted(match for match in matches if not match.endswith(".aux.xml"))
    if not files:
        raise LabelError(f"{pattern}: no file matches this pattern; check the path")
    return files


def format_of_file(path: Path) -> LabelFormat:
    """The format of a file that the user named.

    Raises:
        LabelError: The file does not exist, fits no format, or fits several.
    """
    file = LabelFile(path)
    for known in label_formats():
        if known.recognition.magic(file.head):
            return known
    fitting = recognised(file)
    if fitting is not None:
        return fitting
    expected = [known for known in label_formats() if file.suffix in known.recognition.suffixes]
    if expected:
        hints = ", ".join(f"{known.name} ({known.recognition.hint})" for known in expected)
        raise LabelError(
            f"{path}: not recognised as labels; a {file.suffix} file may be {hints}. "
            "If it is one of them, set `format`; otherwise name another file"
        )
    return next(known for known in label_formats() if known.recognition.other_suffixes)


def recognised(file: LabelFile) -> LabelFormat | None:
    """The format that a file has by its suffix and content; None if it has none, so may be anything.

    Raises:
        LabelError: The file fits several formats.
    """
    fitting = [known for known in label_formats() if known.recognition.fits(file)]
    if len(fitting) > 1:
        names = " and ".join(known.name for known in fitting)
        raise LabelError(f"{file.path}: fits several formats, {names}; choose one with `format`")
    return fitting[0] if fitting else None


def _files_in_folder(
    folder: Path, wanted: LabelFormat | None, notes: list[str], images: frozenset[Path]
) -> dict[str, LabelFormat]:
    """The label files directly in a folder, else those in folders below, else the folder itself, if it is one
    of class folders.
    """
    candidates = _labels_in(folder, wanted, notes, images)
    if not candidates:
        candidates = _labels_below(folder, wanted, notes, images)
    if not candidates:
        candidates = _folder_itself(folder, wanted)
    if not candidates:
        expected = _titles() if wanted is None else wanted.title
        raise LabelError(f"{folder}: holds no label files; expected {expected}")
    if len(candidates) > 1:
        counts = ", ".join(f"{len(paths)} {known.name}" for known, paths in candidates.items())
        raise LabelError(f"{folder}: holds labels of several formats ({counts}); choose one with `format`")
    (only,) = candidates
    return dict.fromkeys([str(path) for path in candidates[only]], only)


def _labels_in(
    folder: Path, wanted: LabelFormat | None, notes: list[str], images: frozenset[Path]
) -> dict[LabelFormat, list[Path]]:
    """The label files directly in a folder, by their format."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    files = [path for path in files if own_path(path) not in images]
    candidates = _recognised_files(files) if wanted is None else _files_of_format(files, wanted)
    candidates = _described(candidates)
    if wanted is None:
        candidates = _without_named_images(candidates, folder, notes)
    return _most_certain(candidates, folder, notes)


def _labels_below(
    folder: Path, wanted: LabelFormat | None, notes: list[str], images: frozenset[Path]
) -> dict[LabelFormat, list[Path]]:
    """The label files in the folders of a folder, or one level further down, as data sets keep them.

    Only files that hold labels for sure: rasters and tables may be anything there, unless their format is
    asked for.
    """
    level = _folders_in(folder)
    for _ in range(_LEVELS_BELOW):
        found: dict[LabelFormat, list[Path]] = {}
        places: dict[LabelFormat, list[str]] = {}
        for place in level:
            for known, paths in _labels_in(place, wanted, [], images).items():
                if wanted is None and known.recognition.certainty < Certainty.LABELS:
                    continue
                found.setdefault(known, []).extend(paths)
                places.setdefault(known, []).append(place.relative_to(folder).as_posix())
        if len(found) > 1:
            held = "; ".join(f"{known.name} in {listed(names)}" for known, names in places.items())
            raise LabelError(
                f"{folder}: its folders hold labels of several formats: {held}; name one of these folders"
            )
        for known, names in places.items():
            notes.append(f"the labels of {folder.name} ({known.name}) are those in {listed(names)}")
        if found:
            return found
        level = [below for place in level for below in _folders_in(place)]
    return {}


def _folders_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]


def _recognised_files(files: Sequence[Path]) -> dict[LabelFormat, list[Path]]:
    """The label files among some files, by their format, with the empty ones of text formats."""
    by_format: dict[LabelFormat, list[Path]] = {}
    for path in files:
        found = recognised(LabelFile(path))
        if found is not None:
            by_format.setdefault(found, []).append(path)
    empty = [path for path in files if path.suffix.lower() == ".txt" and not path.stat().st_size]
    for found, paths in by_format.items():
        if found.recognition.text_per_image:
            by_format[found] = sorted({*paths, *empty})
    return by_format


def _files_of_format(files: Sequence[Path], wanted: LabelFormat) -> dict[LabelFormat, list[Path]]:
    """The files of a format that the user named."""
    texts = wanted.recognition.text_per_image
    paths = [
        path
        for path in files
        if wanted.recognition.fits(LabelFile(path)) or (texts and path.suffix.lower() == ".txt")
    ]
    return {wanted: paths} if paths else {}


def _folder_itself(folder: Path, wanted: LabelFormat | None) -> dict[LabelFormat, list[Path]]:
    formats = label_formats() if wanted is None else (wanted,)
    found = [known for known in formats if known.recognition.folder(folder)]
    for known in found:
        doubt = known.recognition.folder_doubt(folder) if wanted is None else None
        if doubt is not None:
            raise LabelError(
                f"{folder}: holds no label files, and its folders are probably no classes: {doubt}; name the "
                f"file or folder of the labels, or set `format={known.name}` if each folder is a class"
            )
    return {known: [folder] for known in found}


def _without_named_images(
    candidates: dict[LabelFormat, list[Path]], folder: Path, notes: list[str]
) -> dict[LabelFormat, list[Path]]:
    """Without rasters that are the images of a table beside them, which is noted."""
    rasters = {known: paths for known, paths in candidates.items() if known.read_rasters is not None}
    stems = {stem_of(composed(path.name)) for paths in rasters.values() for path in paths}
    if not stems:
        return candidates
    for known, tables in candidates.items():
        for table in tables:
            if stems.isdisjoint(_named_stems(known, table)):
                continue
            notes.append(
                f"{count_of(len(stems), 'raster')} in {folder.name} taken for images and not for label "
                f"rasters, since {table.name} names them; otherwise set `format=masks`"
            )
            return {other: paths for other, paths in candidates.items() if other not in rasters}
    return candidates


def _named_stems(known: LabelFormat, table: Path) -> set[str]:
    """The stems of the images that a table names."""
    names = [PurePath(name.replace("\\", "/")).name for name in known.recognition.named_images(table)]
    return {stem_of(composed(name)) for name in names}


def _described(candidates: dict[LabelFormat, list[Path]]) -> dict[LabelFormat, list[Path]]:
    """The file that describes a whole data set, such as the data.yaml of YOLO, if there is one, else all."""
    for known, paths in candidates.items():
        described = [path for path in paths if path.suffix.lower() in known.recognition.data_set_suffixes]
        if described:
            return {known: described}
    return candidates


def _most_certain(
    candidates: dict[LabelFormat, list[Path]], folder: Path, notes: list[str]
) -> dict[LabelFormat, list[Path]]:
    """Without the files that give way to others of the folder, which are noted."""
    best = max((known.recognition.certainty for known in candidates), default=Certainty.LABELS)
    for certainty, noun in _UNCERTAIN.items():
        counts = [
            len(paths) for known, paths in candidates.items() if known.recognition.certainty == certainty
        ]
        if certainty < best and counts:
            files = f"{sum(counts)} {noun}" if sum(counts) == 1 else f"{sum(counts)} {noun}s"
            notes.append(
                f"{files} in {folder.name} not taken for labels: there are other label files beside them"
            )
    return {known: paths for known, paths in candidates.items() if known.recognition.certainty == best}


def _titles() -> str:
    return ", ".join(known.title for known in label_formats())
