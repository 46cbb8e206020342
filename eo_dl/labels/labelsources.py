"""`find_sources`: which format the labels that a user names have, and which files they are."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import LabelError
from ..io.discover import is_remote
from .formats.formatlist import label_format, label_formats
from .formats.labelfile import LabelFile
from .formats.labelformat import Certainty, LabelFormat

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


def find_sources(source: str | Path | Sequence[str | Path], format: str | None = None) -> Sources:
    """The label files of a path, a folder, a pattern, or a list of these.

    Files are recognised by their content. In a folder, CSV files give way to rasters, and rasters to label
    files
    that cannot be anything else: they are tables and images about which the other files speak.

    Args:
        source: Paths, folders, patterns ("labels/*.xml"), or a list of these.
        format: The name of a format of `READ_FORMATS`, if the content does not show it.

    Returns:
        The files with their format.

    Raises:
        LabelError: There is no label file, or files of several formats.
    """
    wanted = None if format is None else label_format(format)
    items = [source] if isinstance(source, str | Path) else list(source)
    if not items:
        raise LabelError("labels: the list of label files is empty; name at least one")
    notes: list[str] = []
    format_of: dict[str, LabelFormat] = {}
    for item in items:
        format_of |= _files_of(str(item), wanted, notes)
    examples = {found.name: Path(path).name for path, found in reversed(format_of.items())}
    if len(examples) > 1:
        names = ", ".join(f"{example} ({name})" for name, example in sorted(examples.items()))
        raise LabelError(f"labels: the files are of several formats: {names}; name those of one format")
    name = str(items[0]) if len(items) == 1 else f"{items[0]} and {len(items) - 1} more"
    return Sources(next(iter(format_of.values())), tuple(format_of), name, tuple(notes))


def _files_of(item: str, wanted: LabelFormat | None, notes: list[str]) -> dict[str, LabelFormat]:
    """The label files of one path, folder or pattern, each with its format."""
    path = Path(item)
    if is_remote(item):
        return {item: wanted or _format_of_remote()}
    if path.is_dir():
        return _files_in_folder(path, wanted, notes)
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


def _files_in_folder(folder: Path, wanted: LabelFormat | None, notes: list[str]) -> dict[str, LabelFormat]:
    """The label files directly in a folder, or the folder itself if it is one of class folders."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    candidates = _recognised_files(files) if wanted is None else _files_of_format(files, wanted)
    if not candidates:
        candidates = _folder_itself(folder, wanted)
    candidates = _most_certain(_described(candidates), folder, notes)
    if not candidates:
        expected = _titles() if wanted is None else wanted.title
        raise LabelError(f"{folder}: holds no label files; expected {expected}")
    if len(candidates) > 1:
        counts = ", ".join(f"{len(paths)} {known.name}" for known, paths in candidates.items())
        raise LabelError(
            f"{folder}: holds labels of several formats ({counts}); "
            "choose one with `format`, or name the files"
        )
    (only,) = candidates
    return dict.fromkeys([str(path) for path in candidates[only]], only)


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
    return {known: [folder] for known in formats if known.recognition.folder(folder)}


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
