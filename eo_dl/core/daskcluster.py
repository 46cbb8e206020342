"""Tasks on a Dask cluster: retried when a worker dies, cancelled together, each failure one line."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from ..errors import Cancelled, ClusterError, ConfigError, EoDlError
from .extras import needs_extra
from .progress import OnProgress

if TYPE_CHECKING:
    from distributed import Client

Common = TypeVar("Common")
Item = TypeVar("Item")
Result = TypeVar("Result")

RETRIES = 2
"""How often a task is tried again whose worker died, or that met an unexpected error.

An error of eo_dl (a full disk, an option that does not fit) would come again and is not retried.
"""

_CONNECT_S = 10
_LOOK_S = 2.0
_LOCAL = re.compile(r"local:(\d+)")


def check_cluster(address: str) -> None:
    """Refuse, before any work, what cannot be a cluster. Whether a scheduler answers shows later.

    Raises:
        ConfigError: "local:" without a number of workers.
        MissingExtraError: Dask is not installed.
    """
    _local_workers(address)
    with needs_extra("running on a cluster"):
        import distributed  # noqa: F401 - lazy: an optional package


def _local_workers(address: str) -> int | None:
    """N of "local:N"; None for any other address."""
    if not address.startswith("local"):
        return None
    match = _LOCAL.fullmatch(address)
    if match is None or int(match[1]) < 1:
        raise ConfigError(f"`cluster` {address!r}: expected an address or local:N, e.g. local:4")
    return int(match[1])


@contextmanager
def open_cluster(address: str) -> Iterator[Client]:
    """A client of a cluster, closed at the end.

    Args:
        address: Address of a scheduler, e.g. "tcp://10.0.0.1:8786", or "local:N": N worker processes on this
            machine for as long as the block lasts.

    Raises:
        ConfigError: "local:" without a number of workers.
        ClusterError: No scheduler answers there.
        MissingExtraError: Dask is not installed.
    """
    with needs_extra("running on a cluster"):
        import dask  # lazy: an optional package
        from distributed import Client, LocalCluster

    options = {
        # A worker that died while it ran a task counts as a failure of the task.
        "distributed.scheduler.allowed-failures": RETRIES,
        # Tasks wait for a free worker, not behind a slow task.
        "distributed.scheduler.worker-saturation": 1.0,
        # Labels of many scenes are large; they are sent once.
        "distributed.admin.large-graph-warning-threshold": "1 TB",
    }
    with dask.config.set(options):
        count = _local_workers(address)
        if count is None:
            with _connected(Client, address) as client:
                yield client
            return
        workers = LocalCluster(
            n_workers=count, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
        )
        with workers, Client(workers) as client:
            yield client


@contextmanager
def _connected(kind: type[Client], address: str) -> Iterator[Client]:
    try:
        client = kind(address, timeout=_CONNECT_S)
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        raise ClusterError(
            f"`cluster` {address}: no Dask scheduler answers there; start one (dask scheduler) or use local:N"
        ) from error
    with client:
        yield client


def tasks_at_once(client: Client) -> int:
    """Number of tasks that a cluster runs at once; at least 1, also before its first worker has joined."""
    threads = [int(worker["nthreads"]) for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
    return max(sum(threads), 1)


def run_tasks(
    client: Client,
    function: Callable[[Common, Item, OnProgress], Result],
    items: Sequence[Item],
    on_progress: OnProgress,
    *,
    common: Common,
    what: str,
    continues: bool = True,
    on_result: Callable[[Item, Result], None] | None = None,
) -> list[Result]:
    """`function(common, item, on_progress)` for each item on the workers; the results in the order of items.

    The first error of a task is raised here; the other tasks are cancelled. A task is run again if its worker
    dies, so it must do no harm when it is repeated, also where the first run only seemed to be dead.

    Args:
        client: A client of the cluster.
        function: A function that workers can import. Its `on_progress` raises `Cancelled` after Ctrl-C here.
        items: One per task.
        on_progress: Called with (tasks done, number of tasks, what).
        common: What all tasks need; each worker receives it once.
        what: What a task is, e.g. "shards".
        continues: False if a stopped run starts over, for the message.
        on_result: Called here with an item and its result, as soon as that has arrived.

    Raises:
        ClusterError: A task was lost with its worker too often, or the workers lack eo_dl.
        Cancelled: Ctrl-C; tasks that run stop soon, others do not begin.
    """
    from distributed import Event, KilledWorker, as_completed  # lazy: an optional package

    stop = Event(f"eo_dl-stop-{uuid.uuid4().hex}", client=client)
    task = _Task(function, stop.name)
    # A task of its own: the scheduler makes it again if the workers that hold its value die.
    shared = client.submit(_same, common, retries=RETRIES, pure=False)
    futures = client.map(task, items, common=shared, retries=RETRIES, pure=False)
    keys = [future.key for future in futures]
    item_of = dict(zip(keys, items, strict=True))
    results: dict[str, Result] = {}
    try:
        on_progress(0, len(items), what)
        for future in as_completed(futures):
            result = results[future.key] = _result(future.result())
            # Else a task would run again when the worker that still holds its result dies.
            future.release()
            if on_result is not None:
                on_result(item_of[future.key], result)
            on_progress(len(results), len(items), what)
        return [results[key] for key in keys]
    except KilledWorker as error:
        raise ClusterError(
            f"a worker died {RETRIES + 1} times while it ran one of the {what}; look at its log (out of "
            "memory?), then run the same command again"
        ) from error
    except ModuleNotFoundError as error:
        raise ClusterError(
            f"the workers cannot import {error.name}; install the same eo_dl with the same extras there"
        ) from error
    except KeyboardInterrupt as error:
        kept = f"finished {what} are kept, run the same command to continue"
        raise Cancelled(f"stopped; {kept if continues else 'nothing was kept'}") from error
    finally:
        if len(results) < len(items):
            stop.set()
            client.cancel(futures)


def _same(value: Common) -> Common:
    return value


@dataclass(frozen=True)
class _Failure:
    """An error of eo_dl in a task, returned as a value so that it is not retried."""

    error: EoDlError


def _result(answer: Result | _Failure) -> Result:
    if isinstance(answer, _Failure):
        raise answer.error
    return answer


class _Task(Generic[Common, Item, Result]):
    """A function on a worker, with the progress that stops it."""

    def __init__(self, function: Callable[[Common, Item, OnProgress], Result], stop_name: str) -> None:
        self._function, self._stop_name = function, stop_name

    def __call__(self, item: Item, common: Common) -> Result | _Failure:
        from distributed import Event  # lazy: an optional package

        stop = Event(self._stop_name)
        looked = time.monotonic()

        def progress(done: int, total: int, what: str) -> None:
            nonlocal looked
            if time.monotonic() - looked < _LOOK_S:
                return
            looked = time.monotonic()
            if stop.is_set():
                raise Cancelled("stopped by the client")

        try:
            return self._function(common, item, progress)
        except EoDlError as error:
            return _Failure(error)
