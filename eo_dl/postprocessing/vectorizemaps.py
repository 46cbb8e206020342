"""`vectorize_maps`: many class maps to polygons, one file per map, here or on a Dask cluster."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from ..core.daskcluster import check_cluster, open_cluster, run_tasks
from ..core.progress import OnProgress, silent
from ..errors import InputError
from ..io.atomic import disk_errors, refuse_existing
from ..io.classmap import lies_beside_map
from ..io.discover import is_remote, own_path, scene_paths
from ..io.journal import Journal, read_entries
from ..io.mapfolder import outputs_in
from ..io.outputlock import locks_output
from ..io.scene import Scene, open_scene
from ..version import __version__
from .cleanup import Cleanup
from .vectorize import vectorize

_JOURNAL = ".vectorized.part"
_NAME_AND_KEY = TypeAdapter(tuple[str, str])


@locks_output
def vectorize_maps(
    sources: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    cleanup: Cleanup = Cleanup(),
    aoi: str | Path | None = None,
    probabilities: str | Path | None = None,
    cluster: str | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> list[Path]:
    """`vectorize` of many class maps into a folder, NAME.gpkg for each.

    A stopped run continues with the same call.

    Args:
        sources: Class maps, folders of them, or patterns. Rasters that lie beside maps (probabilities,
            certainty) are left out.
        out: The folder. Maps of one name get subfolders like those the maps lie in.
        cleanup: As for `vectorize`.
        aoi: As for `vectorize`.
        probabilities: Folder with NAME_prob.tif of each map, as `predict` writes them.
        cluster: Work on a Dask cluster, a task per map, with the same bytes: address of its scheduler, e.g.
            "tcp://10.0.0.1:8786", or "local:N" for N processes here. Workers must see the files under the
            same paths. None: in this process.
        overwrite: Replace existing files.
        on_progress: Called with (maps done, total, "maps").

    Returns:
        The vector files, in the order of the maps.

    Raises:
        InputError: A map or an option cannot be used; see `vectorize`.
        OutputExistsError: An output exists and `overwrite` is False.
        ClusterError: The scheduler cannot be reached, or workers die.
        MissingExtraError: Dask is not installed.
        WriteError: An output cannot be written.
        Cancelled: The run on a cluster was stopped; finished files are kept.

    Example:
        >>> vectorize_maps("maps/", out="polygons/", cluster="local:4")  # doctest: +SKIP
    """
    if cluster is not None:
        check_cluster(cluster)
    maps = _maps(sources)
    folder = Path(out)
    options = MapOptions(
        cleanup=cleanup,
        aoi=None if aoi is None else _from_anywhere(aoi),
    )
    outs = outputs_in(folder, maps, ".gpkg")
    tasks = [_task(scene, path, options, probabilities) for scene, path in zip(maps, outs, strict=True)]
    run = _UnfinishedRun(own_path(folder))
    waiting = [task for task in tasks if not run.has_finished(task)]
    for task in waiting:
        refuse_existing(task.out, overwrite)
    run.begin(waiting)
    finished = len(tasks) - len(waiting)

    def progress(done: int, total: int, what: str) -> None:
        on_progress(finished + done, len(tasks), what)

    if cluster is None:
        _run_here(options, waiting, run.note, progress)
    else:
        with open_cluster(cluster) as client:
            run_tasks(
                client, vectorize_map, waiting, progress, common=options, what="maps", on_result=run.note
            )
    run.remove()
    return outs


@dataclass(frozen=True)
class MapOptions:
    """What holds for all maps."""

    cleanup: Cleanup
    aoi: str | None


@dataclass(frozen=True)
class MapTask:
    """One map."""

    source: str
    out: Path
    probabilities: Path | None
    key: str
    """What decides the polygons, as a hash."""


class _UnfinishedRun:
    """Which files of a folder an unfinished run has made: a journal of them, deleted at the end.

    A new file is noted before the work begins, for it appears complete or not at all; one that replaces
    another, once it is there.

    Args:
        folder: The folder of vector files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / _JOURNAL
        self._entries: list[str] = []
        self._keys: dict[str, str] = {}
        for entry in read_entries(self._path):
            try:
                name, key = _NAME_AND_KEY.validate_json(entry)
            except ValueError:
                break  # not by us: neither this entry nor those behind it are believed
            self._entries.append(entry)
            self._keys[name] = key
        self._journal: Journal | None = None

    def has_finished(self, task: MapTask) -> bool:
        """True if the file of a task exists and was made by a run with the same options."""
        return task.out.exists() and self._keys.get(self._name(task)) == task.key

    def begin(self, tasks: Sequence[MapTask]) -> None:
        """Note what will be made. Raises `WriteError`."""
        with disk_errors(self._path):
            self._journal = Journal(self._path, self._entries)
            for task in tasks:
                self._append(task, "" if task.out.exists() else task.key)

    def note(self, task: MapTask, done: None = None) -> None:
        """Note a file that is there. Raises `WriteError`."""
        if self._keys[self._name(task)] != task.key:
            with disk_errors(self._path):
                self._append(task, task.key)

    def remove(self) -> None:
        """Delete the journal: all files exist."""
        self._path.unlink(missing_ok=True)

    def _append(self, task: MapTask, key: str) -> None:
        assert self._journal is not None
        self._keys[self._name(task)] = key
        self._journal.append(json.dumps([self._name(task), key]), durable=False)

    def _name(self, task: MapTask) -> str:
        return task.out.relative_to(self._folder).as_posix()


def _maps(sources: str | Path | Sequence[str | Path]) -> list[Scene]:
    listed = [sources] if isinstance(sources, str | Path) else list(sources)
    scenes = [open_scene(path).with_own_path() for path in scene_paths(listed)]
    maps = [scene for scene in scenes if not lies_beside_map(scene)]
    if not maps:
        names = ", ".join(str(source) for source in listed)
        raise InputError(f"`sources`: expected class maps, found none in {names or 'an empty list'}")
    return maps


def _task(scene: Scene, out: Path, options: MapOptions, folder: str | Path | None) -> MapTask:
    probabilities = None
    facts = [__version__, repr(options), json.dumps(scene.fingerprint())]
    if folder is not None:
        probabilities = own_path(folder) / f"{scene.stem}_prob.tif"
        if not probabilities.is_file():
            raise InputError(
                f"{probabilities}: the probabilities of {scene.name} do not exist; name the folder that "
                "predict wrote them to"
            )
        facts.append(json.dumps(open_scene(probabilities).fingerprint()))
    if options.aoi is not None and Path(options.aoi).is_file():
        facts.append(hashlib.sha256(Path(options.aoi).read_bytes()).hexdigest())
    key = hashlib.sha256("\n".join(facts).encode()).hexdigest()
    return MapTask(scene.path, own_path(out), probabilities, key)


def _from_anywhere(path: str | Path) -> str:
    """The path of a file for a process that runs in another folder."""
    return str(path) if is_remote(str(path)) else str(own_path(path))


def _run_here(
    options: MapOptions,
    tasks: Sequence[MapTask],
    note: Callable[[MapTask, None], None],
    on_progress: OnProgress,
) -> None:
    for done, task in enumerate(tasks, start=1):
        vectorize_map(options, task, silent)
        note(task, None)
        on_progress(done, len(tasks), "maps")


def vectorize_map(options: MapOptions, task: MapTask, on_progress: OnProgress) -> None:
    """The work of one task. Existing files were refused before; a repeated task replaces its own."""
    vectorize(
        task.source,
        out=task.out,
        cleanup=options.cleanup,
        aoi=options.aoi,
        probabilities=task.probabilities,
        overwrite=True,
        on_progress=on_progress,
    )
