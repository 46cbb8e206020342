"""`tile`: scenes and labels to a chip set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import shapely

from ..core.daskcluster import check_cluster
from ..core.imagelabels import WholeImageLabels
from ..core.labelset import LabelSet
from ..core.progress import OnProgress, silent
from ..core.rasterlabels import RasterLabels
from ..errors import SplitError
from ..io.atomic import atomic_folder, refuse_existing
from ..io.discover import host_of, is_remote
from ..io.filestate import FileState, refuse_changed, states_of
from ..io.outputlock import locks_output
from ..io.scene import Scene, SceneSources
from ..labels.coverage import extent_note, match_labels
from ..labels.reading import read_labels
from .build import TileJob, make_chip_set
from .chipset import ChipSet, open_chip_set
from .manifest import MANIFEST, typed_hosts
from .sampling import Sampling
from .sizechoice import SIZES_PX, USUAL_PX, ObjectSizes, SizeTrial, gsd_note, size_trials
from .splits import Split
from .tileinputs import (
    chip_size,
    common_gsd,
    common_side,
    prepare_scenes,
    region_in,
    with_annotated,
)
from .truth import SceneTruth


@locks_output
def tile(
    scenes: SceneSources,
    labels: LabelSet | str | Path,
    *,
    out: str | Path,
    size_px: int | None = None,
    size_m: float | None = None,
    gsd_m: float | None = None,
    annotated: str | Path | None = None,
    sampling: Sampling | None = None,
    split: Split | None = None,
    seed: int = 0,
    write_chips: bool | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> ChipSet:
    """Cut scenes and their labels into chips for training.

    Splits are blocks of ground, and no two splits share ground. The same input and seed give the same bytes,
    whatever the number of workers.

    Args:
        scenes: Opened scenes, paths, folders or patterns. All are read with the bands of the first one.
        labels: The labels, or their path.
        out: Folder of the chip set.
        size_px: Side of a chip, pixels (default: 256, or up to 512 if objects need it, and down to 64 if
            three splits need it; for images labelled as a whole, the size of most).
        size_m: Side of a chip on the ground, metres, in place of `size_px`.
        gsd_m: Resample scenes to this GSD, metres, when they are read (default: each scene's own). A factor
            above 4 is refused, unless the scene is opened with `force=True`.
        annotated: Polygons in which the labels are complete; ground outside is ignored, not background.
        sampling: Where chips are cut, and which are kept (default: `Sampling()`, a grid).
        split: How chips are divided into train, val and test, or into folds (default: `Split()`).
        seed: Random seed.
        write_chips: Write chips as GeoTIFFs, or read them from the scenes on demand (default: write them if
            reading would decode more than 8 times what it uses).
        workers: Number of threads (default: one per core, at most 16).
        overwrite: Replace an existing chip set.
        on_progress: Called with the number of chips done and their total.

    Returns:
        The chip set, opened.

    Raises:
        InputError: A scene, a label or an option cannot be used; see its subclasses.
        OutputExistsError: `out` exists.

    Example:
        >>> chips = tile("ortho.tif", "roofs.gpkg", out="chips", size_px=256)  # doctest: +SKIP
    """
    wanted = _Wanted(
        size_px=size_px,
        size_m=size_m,
        gsd_m=gsd_m,
        annotated=annotated,
        sampling=sampling or Sampling(),
        split=split or Split(),
        seed=seed,
        write_chips=write_chips,
        workers=workers,
    )
    return _tile(scenes, labels, Path(out), wanted, overwrite, on_progress)


@locks_output
def tile_on_cluster(
    scenes: SceneSources,
    labels: LabelSet | str | Path,
    *,
    cluster: str,
    out: str | Path,
    size_px: int | None = None,
    size_m: float | None = None,
    gsd_m: float | None = None,
    annotated: str | Path | None = None,
    sampling: Sampling | None = None,
    split: Split | None = None,
    seed: int = 0,
    write_chips: bool | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> ChipSet:
    """`tile` on a Dask cluster, with the same bytes.

    Chips are read, measured and written by the workers, in runs of rows of chips; a task whose worker dies is
    repeated on another one, up to twice. The splits are dealt at the end, by this process. The workers need
    eo_dl, and must see scenes, label rasters and `out` under the same paths.

    Args:
        scenes: As for `tile`.
        labels: As for `tile`.
        cluster: Address of the scheduler, e.g. "tcp://10.0.0.1:8786", or "local:N" for N processes here.
        out: As for `tile`.
        size_px: As for `tile`.
        size_m: As for `tile`.
        gsd_m: As for `tile`.
        annotated: As for `tile`.
        sampling: As for `tile`.
        split: As for `tile`.
        seed: As for `tile`.
        write_chips: As for `tile`.
        overwrite: Replace an existing chip set.
        on_progress: Called with the number of tasks done and their total.

    Returns:
        The chip set, opened.

    Raises:
        InputError: As for `tile`.
        ClusterError: The scheduler cannot be reached, or workers die.
        MissingExtraError: Dask is not installed.
        WriteError: A worker could not write.

    Example:
        >>> tile_on_cluster("scenes/", "roofs.gpkg", cluster="local:4", out="chips")  # doctest: +SKIP
    """
    check_cluster(cluster)
    wanted = _Wanted(
        size_px=size_px,
        size_m=size_m,
        gsd_m=gsd_m,
        annotated=annotated,
        sampling=sampling or Sampling(),
        split=split or Split(),
        seed=seed,
        write_chips=write_chips,
        cluster=cluster,
    )
    return _tile(scenes, labels, Path(out), wanted, overwrite, on_progress)


@dataclass(frozen=True)
class _Wanted:
    """The options of `tile`, which explains them, and who does the work."""

    size_px: int | None
    size_m: float | None
    gsd_m: float | None
    annotated: str | Path | None
    sampling: Sampling
    split: Split
    seed: int
    write_chips: bool | None
    workers: int | None = None
    cluster: str | None = None


def _tile(
    scenes: SceneSources,
    labels: LabelSet | str | Path,
    out: Path,
    wanted: _Wanted,
    overwrite: bool,
    on_progress: OnProgress,
) -> ChipSet:
    refuse_existing(out, overwrite)
    sampling, split = wanted.sampling, wanted.split
    label_set = read_labels(labels)
    label_files = _raster_states(label_set)
    of_whole_images = isinstance(label_set, WholeImageLabels)
    ready, notes = prepare_scenes(scenes, wanted.gsd_m, below=of_whole_images)
    default_px = common_side(ready) if of_whole_images else None
    stated_px = chip_size(ready, wanted.size_px, wanted.size_m, wanted.gsd_m, default_px)
    chips_gsd_m = common_gsd(ready, wanted.gsd_m)
    # refuses blocks that cannot be, before the work begins
    split.block_side_px(min(SIZES_PX) if stated_px is None else stated_px, chips_gsd_m)

    if wanted.annotated is not None:
        label_set = with_annotated(label_set, wanted.annotated, ready)
    matched = match_labels(label_set, ready)
    truths = tuple(SceneTruth(placed) for placed in matched.placed)
    job = TileJob(
        scenes=ready,
        labels=matched.labels,
        truths=truths,
        regions=_regions(truths, region_in(sampling.aoi, ready)),
        chip_px=USUAL_PX if stated_px is None else stated_px,
        gsd_m=chips_gsd_m,
        sampling=sampling,
        split=split,
        split_like=None if split.like is None else open_again(split.like, ready, matched.labels),
        seed=wanted.seed,
        write_chips=wanted.write_chips,
        workers=wanted.workers,
        cluster=wanted.cluster,
        on_progress=on_progress,
        notes=(*notes, *matched.labels.notes, *extent_note(matched.labels)),
        label_files=label_files,
    )
    if stated_px is None:
        _make_with_chosen_size(job, out, overwrite, gsd_is_stated=wanted.gsd_m is not None)
    else:
        _make(job, out, overwrite)
    return open_again(out, ready, matched.labels)


def _make(job: TileJob, out: Path, overwrite: bool) -> None:
    with atomic_folder(out, overwrite=overwrite, marker=MANIFEST) as folder:
        make_chip_set(job, folder, out)
        refuse_changed(job.label_files)
        for scene in job.scenes:
            scene.refuse_if_changed()


def _make_with_chosen_size(job: TileJob, out: Path, overwrite: bool, gsd_is_stated: bool) -> None:
    """Make a chip set with the best size of chips that leaves enough for each split."""
    sizes = ObjectSizes.of(job.truths)
    coarser = None if gsd_is_stated else gsd_note(sizes, job.gsd_m)
    further_notes = () if coarser is None else (coarser,)
    scene_px = max(max(scene.grid.height, scene.grid.width) for scene in job.scenes)
    trials = [trial for trial in size_trials(sizes, scene_px) if _can_be_tried(job, trial)]
    if not trials:
        _make(job, out, overwrite)  # which says what is wrong with the other options
        return
    refused: SplitError | None = None
    for trial in trials:
        note = f"chips of {trial.chip_px} px, {trial.why}; change it with `size`"
        tried = replace(
            job,
            chip_px=trial.chip_px,
            least_labelled=trial.least_labelled,
            notes=(*job.notes, note, *further_notes),
        )
        try:
            _make(tried, out, overwrite)
        except SplitError as error:
            refused = error
        else:
            return
    smallest_px = trials[-1].chip_px
    raise SplitError(
        f"{job.scenes[0].path}: the labelled ground is too small for {len(job.split.names)} splits, even "
        f"with chips of {smallest_px} px; add scenes or labels, or use all for training (100,0,0 as `split`)"
    ) from refused


def _can_be_tried(job: TileJob, trial: SizeTrial) -> bool:
    """Whether chips of a size fit the other options."""
    block_px = job.split.block_side_px(min(SIZES_PX), job.gsd_m)
    fits_blocks = block_px is None or trial.chip_px <= block_px
    return fits_blocks and trial.chip_px > job.sampling.overlap_px


def _raster_states(labels: LabelSet) -> tuple[FileState, ...]:
    """The present states of label rasters, which are read chip by chip; other labels are read already."""
    if not isinstance(labels, RasterLabels):
        return ()
    return states_of([raster.path for raster in labels.rasters if not is_remote(raster.path)])


def open_again(chips: str | Path, scenes: Sequence[Scene], labels: LabelSet) -> ChipSet:
    """A chip set, trusted as far as scenes and labels of this run are: their hosts were typed."""
    allowed = {host for scene in scenes for host in scene.options.allow_remote}
    allowed |= {host_of(scene.path) for scene in scenes if scene.remote}
    allowed |= typed_hosts(labels)
    return open_chip_set(
        chips,
        trust_vrt=any(scene.options.trust_vrt for scene in scenes),
        allow_remote=sorted(allowed),
    )


def _regions(
    truths: Sequence[SceneTruth], aois: Sequence[shapely.Geometry | None]
) -> tuple[shapely.Geometry | None, ...]:
    """Where chips may lie in each scene: in the AOI and on annotated ground."""
    return tuple(_common(truth.region, aoi) for truth, aoi in zip(truths, aois, strict=True))


def _common(first: shapely.Geometry | None, second: shapely.Geometry | None) -> shapely.Geometry | None:
    """What two areas have in common; None is everywhere."""
    if first is None:
        return second
    if second is None:
        return first
    return shapely.intersection(first, second)
