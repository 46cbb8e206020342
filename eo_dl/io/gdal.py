"""The one way to open a raster: one driver, one handle per thread, GDAL's errors as one line."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.env import get_gdal_config, hasenv, set_gdal_config
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from ..errors import SceneError
from .discover import is_remote

_CACHE_BYTES = 256 * 2**20
_SMALL_CACHE_BYTES = 64 * 2**20
# GDAL's own restrictions, beside those of `vrt.py`: no code and, as of GDAL 3.12, no raw bands.
_RESTRICTED_VRT = {
    "GDAL_VRT_ENABLE_RAWRASTERBAND": "NO",
    "GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE": "SIBLING_OR_CHILD_OF_VRT_PATH",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
}
_FILTERS = threading.Lock()
_DESCRIPTOR = threading.Lock()
_CACHE = threading.Lock()
_small_caches: list[int] = []  # what each user of a small cache asked for
_large_cache: list[int] = []  # what it was before they came; empty while there are none


@cache
def limit_cache() -> None:
    """Limit GDAL's block cache (by default 5 % of all memory), unless the user has set it."""
    if "GDAL_CACHEMAX" not in os.environ:
        set_gdal_config("GDAL_CACHEMAX", _CACHE_BYTES)


@cache
def registered_drivers() -> frozenset[str]:
    """Names of the drivers in this build of GDAL."""
    with rasterio.Env() as environment:
        return frozenset(environment.drivers())


@contextlib.contextmanager
def small_cache(most_bytes: int = _SMALL_CACHE_BYTES) -> Iterator[None]:
    """Within the block, GDAL's block cache holds at most `most_bytes` (64 MB).

    Whoever takes a raster block by block, in order, needs no more, and memory stays flat. All threads share
    the cache, so the smallest wish of several concurrent users counts, and the last one restores the size.
    """
    limit_cache()
    with _CACHE:
        if not _small_caches:
            size = int(get_gdal_config("GDAL_CACHEMAX"))
            if size <= 100_000:  # GDAL's own rule: small numbers are megabytes
                size *= 2**20
            _large_cache[:] = [size]
        _small_caches.append(most_bytes)
        _set_cache()
    try:
        yield
    finally:
        with _CACHE:
            _small_caches.remove(most_bytes)
            _set_cache()


def _set_cache() -> None:
    set_gdal_config("GDAL_CACHEMAX", min(_large_cache + _small_caches))


@contextlib.contextmanager
def gdal_environment(path: str, trust_vrt: bool = False, alone: bool = False) -> Iterator[None]:
    """GDAL's settings for one path: messages go to `logging`; remote files are retried, never listed.

    A trusted VRT may read raw bands from anywhere, as was possible before GDAL 3.12 made that an option. In
    other VRTs, `vrt.py` refuses raw bands before GDAL sees them, and GDAL is told to refuse them, too.

    Args:
        path: Path or URL.
        trust_vrt: A VRT may name files anywhere.
        alone: GDAL does not look for files beside this one.
    """
    options: dict[str, str] = {}
    if trust_vrt:
        options["GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE"] = "ALL"
    elif path.lower().endswith(".vrt"):
        options |= _RESTRICTED_VRT
    if alone:
        options["GDAL_DISABLE_READDIR_ON_OPEN"] = "EMPTY_DIR"
    if is_remote(path):
        wanted = {
            "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
            "GDAL_HTTP_MAX_RETRY": "4",
            "GDAL_HTTP_RETRY_DELAY": "1",
            "GDAL_HTTP_CONNECTTIMEOUT": "20",
        }
        options |= {name: value for name, value in wanted.items() if name not in os.environ}
    if not options and hasenv():
        yield  # within `one_environment`: another one without options would change nothing, and takes 0.2 ms
        return
    with rasterio.Env(**options):
        yield


@contextlib.contextmanager
def one_environment() -> Iterator[None]:
    """One set of GDAL settings for many small files in a thread, instead of one per file."""
    with rasterio.Env():
        yield


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without rasterio's warning that a raster has no georeference: plain images are legitimate.

    The filter stays afterwards. `warnings.catch_warnings` would swap the filters of the whole process, so it
    would need a lock, under which threads rasterize and write one at a time, at half the speed.
    """
    ignored = {category for action, _, category, _, _ in list(warnings.filters) if action == "ignore"}
    if NotGeoreferencedWarning not in ignored:
        with _FILTERS:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
    yield


def open_dataset(
    path: str,
    driver: str,
    overview: int | None = None,
    plain: bool = True,
    trust_vrt: bool = False,
    alone: bool = False,
) -> rasterio.DatasetReader:
    """A handle for one thread, opened with exactly this driver.

    Args:
        path: Path or URL.
        driver: Name of the GDAL driver.
        overview: Open this overview level instead of the full image.
        plain: The image may lack a georeference; False lets rasterio warn.
        trust_vrt: A VRT may name files anywhere.
        alone: Ignore masks, overviews and other files beside this one.

    Raises:
        SceneError: The file cannot be opened, or names an overview file of its own.
    """
    limit_cache()
    options = {} if overview is None else {"overview_level": overview}
    with (
        gdal_environment(path, trust_vrt, alone),
        scene_errors(path, "cannot be opened"),
        quietly() if plain else contextlib.nullcontext(),
    ):
        dataset = rasterio.open(_plain_name(path), driver=driver, sharing=False, **options)
        overview_file = _overview_file(dataset)
    if overview_file is not None:
        # GDAL opens it with any driver, so a tag of a TIFF could show any file of this machine.
        dataset.close()
        raise SceneError(
            f"{path}: names an overview file in a tag ({overview_file[:60]!r}), which is not opened for "
            "security; remove it, e.g. gdal_translate IN OUT.tif"
        )
    return dataset


def _plain_name(path: str) -> str:
    """A name that rasterio and GDAL take for nothing but a file: "http:x.tif" would be an address, and
    "GTIFF_DIR:1:x.tif" another file.
    """
    return path if is_remote(path) else str(Path.cwd() / path)


def _overview_file(dataset: rasterio.DatasetReader) -> str | None:
    """The overview file that the tags name, in whatever case: GDAL does not tell cases apart."""
    for name, value in dataset.tags(ns="OVERVIEWS").items():
        if name.upper() == "OVERVIEW_FILE":
            return str(value)
    return None


@contextlib.contextmanager
def libtiff_complaints() -> Iterator[list[str]]:
    """libtiff's messages about failed writes, which it prints to file descriptor 2 only.

    The list is filled when the block ends. Other output that arrives meanwhile (progress bars of other
    threads) is passed on afterwards.
    """
    complaints: list[str] = []
    with _DESCRIPTOR, tempfile.TemporaryFile() as caught:
        try:
            real = os.dup(2)
        except OSError:  # there is no standard error, as in a windowed program on Windows
            yield complaints
            return
        os.dup2(caught.fileno(), 2)
        try:
            yield complaints
        finally:
            os.dup2(real, 2)
            caught.seek(0)
            lines = caught.read().splitlines(keepends=True)
            other_output = []
            for line in lines:
                if line.startswith(b"_tiff"):
                    complaints.append(line.decode(errors="replace").strip())
                else:
                    other_output.append(line)
            with contextlib.suppress(OSError):  # standard error was closed meanwhile
                os.write(real, b"".join(other_output))
            os.close(real)


@contextlib.contextmanager
def scene_errors(path: str, what: str) -> Iterator[None]:
    """Turn any error of GDAL into one `SceneError` that names the file; `what` says what failed."""
    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        advice = (
            "check the address, the network and your permissions; remote scenes must be GeoTIFFs"
            if is_remote(path)
            else "the file is damaged or incomplete, copy or download it again"
        )
        raise SceneError(f"{path}: {what} ({_first_cause(error)}); {advice}") from error


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:200] or type(error).__name__
