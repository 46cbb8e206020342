"""One prediction on a Dask cluster: a task per shard, then the map is put together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..bundle import Bundle
from ..core.daskcluster import check_cluster, open_cluster, run_tasks, tasks_at_once
from ..core.progress import OnProgress, silent
from ..errors import ConfigError
from ..io.discover import own_path
from ..io.scene import SceneSources
from ..networks.compute import Compute
from ..postprocessing.cleanup import Cleanup
from .backends.choice import BackendName
from .chipoptions import ChipOptions
from .mapextras import MapExtras
from .predict import load_models, scenes_for
from .prediction import Prediction
from .shardcuts import Shard
from .shards import ShardResult, assemble_shards, predict_shard

_SHARDS_PER_THREAD = 4


def predict_on_cluster(
    model: Bundle | str | Path | Sequence[Bundle | str | Path],
    scenes: SceneSources,
    *,
    cluster: str,
    out: str | Path,
    aoi: str | Path | None = None,
    extras: MapExtras = MapExtras(),
    chip_options: ChipOptions = ChipOptions(),
    backend: BackendName = "auto",
    keep_gsd: bool = False,
    cleanup: Cleanup = Cleanup(),
    compute: Compute = Compute(),
    shards: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> Prediction:
    """`predict` on a Dask cluster, with the same bytes.

    The scenes are cut into shards (`predict_shard`), one task each. A task whose worker dies is repeated on
    another one, up to twice, and computes only what is missing; a stopped run continues with the same call.
    The workers need eo_dl, and must see model, scenes and `out` under the same paths. Where they differ in
    engine or processor, shards are refused: name `backend`, device and precision, or use one kind of machine.

    Args:
        model: As for `predict`; files.
        scenes: As for `predict`; open them with `force=True` to predict what is refused otherwise.
        cluster: Address of the scheduler, e.g. "tcp://10.0.0.1:8786", or "local:N" for N processes here.
        out: As for `predict`.
        aoi: As for `predict`.
        extras: As for `predict`.
        chip_options: As for `predict`.
        backend: As for `predict`.
        keep_gsd: As for `predict`.
        cleanup: As for `predict`.
        compute: As for `predict`.
        shards: Number of shards (default: 4 per thread of the workers).
        overwrite: Replace existing maps.
        on_progress: Called with (shards done, total, "shards"), then for rows of chips that are assembled.

    Returns:
        The maps with their kind, counts and notes.

    Raises:
        InputError: As for `predict`.
        ClusterError: The scheduler cannot be reached, or workers die.
        MissingExtraError: Dask is not installed.
        WriteError: A worker could not write; rows written before are kept.
        Cancelled: The run was stopped; predicted rows are kept.

    Example:
        >>> predict_on_cluster("m.eodl", "town.tif", cluster="local:2", out="map.tif")  # doctest: +SKIP
    """
    started = time.perf_counter()
    if shards is not None and shards < 1:
        raise ConfigError(f"`shards`: expected at least 1, found {shards}")
    check_cluster(cluster)
    bundles = load_models(model)
    opened, into_folder = scenes_for(bundles[0], scenes, out, overwrite=overwrite)
    placed = [scene.with_own_path() for scene in opened]
    arguments: dict[str, Any] = {
        "model": [str(own_path(bundle.path)) for bundle in bundles],
        "scenes": placed if into_folder else placed[0],
        "out": f"{own_path(out)}/" if into_folder else str(own_path(out)),
        "aoi": None if aoi is None else own_path(aoi),
        "extras": _with_own_path(extras),
        "chip_options": chip_options,
        "keep_gsd": keep_gsd,
        "cleanup": cleanup,
        "compute": compute,
        "overwrite": overwrite,
    }
    with open_cluster(cluster) as client:
        count = shards or _SHARDS_PER_THREAD * tasks_at_once(client)
        parts = [Shard(number, count) for number in range(1, count + 1)]
        run_tasks(client, _run_shard, parts, on_progress, common=_Job(backend, arguments), what="shards")
    prediction = assemble_shards(**arguments, on_progress=on_progress)
    return replace(prediction, seconds=time.perf_counter() - started)


def _with_own_path(extras: MapExtras) -> MapExtras:
    """The same for workers, which run in other folders."""
    if isinstance(extras.probabilities, bool):
        return extras
    return replace(extras, probabilities=own_path(extras.probabilities))


@dataclass(frozen=True)
class _Job:
    """What all shards have in common."""

    backend: BackendName
    arguments: dict[str, Any]


def _run_shard(job: _Job, shard: Shard, on_progress: OnProgress) -> ShardResult:
    return predict_shard(**job.arguments, shard=shard, backend=job.backend, on_progress=on_progress)
