"""The one way to a raster: right driver, own handle, GDAL's words as one line of ours."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator
from functools import cache

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.env import get_gdal_config, set_gdal_config
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from ..errors import SceneError
from .discover import is_remote

_CACHE_BYTES = 256 * 2**20
_WRITE_CACHE_BYTES = 64 * 2**20
_FILTERS = threading.Lock()
_DESCRIPTOR = threading.Lock()
_CACHE = threading.Lock()
_small_users: list[int] = []


@cache
def limit_cache() -> None:
    """Keep GDAL's block cache modest (its own default is 5 % of all memory) unless the person set it."""
    if "GDAL_CACHEMAX" not in os.environ:
        set_gdal_config("GDAL_CACHEMAX", _CACHE_BYTES)


@cache
def registered_drivers() -> frozenset[str]:
    """The drivers that this build of GDAL has."""
    with rasterio.Env() as environment:
        return frozenset(environment.drivers())


@contextlib.contextmanager
def small_cache() -> Iterator[None]:
    """A block cache of at most 64 MB for a while: writing a map block after block needs no more, and memory
    stays flat.

    The cache is the process's, so of several at once the first shrinks it and the last one out restores it.
    """
    limit_cache()
    with _CACHE:
        if not _small_users:
            found = int(get_gdal_config("GDAL_CACHEMAX"))
            # GDAL's own rule: small numbers are megabytes
            found = found if found > 100_000 else found * 2**20
            set_gdal_config("GDAL_CACHEMAX", min(found, _WRITE_CACHE_BYTES))
        else:
            found = _small_users[-1]
        _small_users.append(found)
    try:
        yield
    finally:
        with _CACHE:
            before = _small_users.pop()
            if not _small_users:
                set_gdal_config("GDAL_CACHEMAX", before)


@contextlib.contextmanager
def gdal_environment(path: str, trust_vrt: bool = False) -> Iterator[None]:
    """GDAL's settings for one path: its messages go to `logging`, remote files are retried and never listed.

    A trusted VRT may take raw bands from anywhere, as it could before GDAL 3.12 made that an option. Of other VRTs
    `vrt.py` refuses raw bands before GDAL sees them.
    """
    options: dict[str, str] = {}
    if trust_vrt:
        options["GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE"] = "ALL"
    if is_remote(path):
        wanted = {
            "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
            "GDAL_HTTP_MAX_RETRY": "4",
            "GDAL_HTTP_RETRY_DELAY": "1",
            "GDAL_HTTP_CONNECTTIMEOUT": "20",
        }
        options |= {name: value for name, value in wanted.items() if name not in os.environ}
    with rasterio.Env(**options):
        yield


@contextlib.contextmanager
def one_environment() -> Iterator[None]:
    """GDAL's settings made once for many small files in a thread; each would make and undo them by itself."""
    with rasterio.Env():
        yield


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without rasterio's warning that a raster has no georeference: plain images are legitimate here.

    The filter stays for good. `warnings.catch_warnings` would swap the filters of the whole process, so it
    needs a lock, and under that lock threads would burn and write one at a time, at half the speed.
    """
    if not any(
        action == "ignore" and category is NotGeoreferencedWarning
        for action, _, category, _, _ in list(warnings.filters)
    ):
        with _FILTERS:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
    yield


def open_dataset(
    path: str, driver: str, overview: int | None = None, plain: bool = True, trust_vrt: bool = False
) -> rasterio.DatasetReader:
    """A handle of one's own (for one thread), opened with exactly this driver.

    `overview` opens that level instead of the full image; `plain` says that the image may have no
    georeference, `trust_vrt` that a VRT may name files anywhere. Raises `SceneError`.
    """
    limit_cache()
    options = {} if overview is None else {"overview_level": overview}
    with (
        gdal_environment(path, trust_vrt),
        scene_errors(path, "cannot be opened"),
        quietly() if plain else contextlib.nullcontext(),
    ):
        dataset = rasterio.open(path, driver=driver, sharing=False, **options)
        named = dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE")
    if named is not None:
        # GDAL would open it with any driver, so a TIFF's tag could show any file of this machine.
        dataset.close()
        raise SceneError(
            f"{path}: names an overview file of its own ({named[:60]!r}), which is not followed; remove it, e.g. gdal_translate IN OUT.tif"
        )
    return dataset


@contextlib.contextmanager
def libtiff_complaints() -> Iterator[list[str]]:
    """What libtiff says of failed writes, which it says on file descriptor 2 and nowhere else; filled when
    the block ends.

    Whatever else arrives there meanwhile (bars of other threads) is passed on afterwards.
    """
    found: list[str] = []
    with _DESCRIPTOR, tempfile.TemporaryFile() as caught:
        try:
            real = os.dup(2)
        except OSError:  # no standard error at all, as in a window of Windows
            yield found
            return
        os.dup2(caught.fileno(), 2)
        try:
            yield found
        finally:
            os.dup2(real, 2)
            caught.seek(0)
            lines = caught.read().splitlines(keepends=True)
            found += [line.decode(errors="replace").strip() for line in lines if line.startswith(b"_tiff")]
            with contextlib.suppress(OSError):  # nobody reads it any more
                os.write(real, b"".join(line for line in lines if not line.startswith(b"_tiff")))
            os.close(real)


@contextlib.contextmanager
def scene_errors(path: str, what: str) -> Iterator[None]:
    """Turn any complaint of GDAL into one `SceneError` that names the file."""
    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        advice = (
            "check the address, the network and your rights; remote scenes must be GeoTIFFs"
            if is_remote(path)
            else "the file is damaged or incomplete, copy or download it again"
        )
        raise SceneError(f"{path}: {what} ({_first_cause(error)}); {advice}") from error


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:200] or type(error).__name__
