"""`Scene`: one image on disk with its bands and georeference; a `SceneReader` reads its pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..core.bands import Band, BandSet, canonical_name
from ..core.display import png
from ..core.htmlcard import card
from ..core.pixelgrid import PixelGrid
from ..errors import BandError, GridError, SceneError
from .derived.recipes import derived_band, parse_recipe
from .derivedpixels import base_bands
from .discover import is_remote, own_path, scene_paths
from .filestate import fingerprint_of, header_digest, refuse_changed
from .maskrules import own_mask
from .products.opening import describe_scene, scene_name, scene_stem
from .products.stacitem import is_stac, item_addresses
from .products.stack import with_own_paths
from .quicklook import quicklook, reduced_size
from .reader import SceneReader
from .sceneaddress import address_parts
from .scenefile import SceneFile
from .sceneoptions import SceneOptions
from .validity import ALL, ANY, least_bands, may_lack
from .vrt import vrt_sources

__all__ = ["Scene", "SceneReader", "open_scene", "open_scenes"]

_MAX_SIDE = 2**31 - 1
_QUICKLOOK_PX = 512


@dataclass(frozen=True)
class Scene:
    """One georeferenced image, opened lazily: no pixel is read before a `SceneReader` reads it."""

    file: SceneFile
    """The raster file."""
    grid: PixelGrid
    """The working grid: the file's own, or the same extent in pixels of another size (`at_gsd`)."""
    bands: BandSet
    """The selected bands, in the order of the pixels."""
    options: SceneOptions = SceneOptions()
    """What the user stated on opening, which overrides the file."""

    @property
    def path(self) -> str:
        """Path or URL, as GDAL takes it."""
        return self.file.path

    @property
    def native(self) -> PixelGrid:
        """The grid of the file."""
        return self.file.grid

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided on opening."""
        return self.file.notes

    @property
    def dtype(self) -> str:
        """Data type of the pixels: holds the stored values of all selected bands, and NaN where `fills`."""
        stored = np.result_type(*(band.dtype for band in self.bands))
        return str(np.result_type(stored, np.float32) if self.fills else stored)

    @property
    def valid(self) -> int | str:
        """Which pixels are valid ground: measured in "all" bands, in "any", or in this number of them."""
        return ALL if self.options.valid is None else self.options.valid

    @property
    def least_bands(self) -> int:
        """Bands that must be measured in a valid pixel. Raises `ConfigError` if there are fewer bands."""
        return least_bands(self.valid, self.bands, self.path)

    @property
    def fills(self) -> bool:
        """True if a valid pixel may lack bands, which then hold NaN in the pixels that readers give."""
        if self.least_bands == len(self.bands):
            return False
        file = self.file
        return file.masked or any(may_lack(band) for band in self.bands)

    @property
    def base(self) -> Scene | None:
        """The scene of the bands that derived ones are made from, valid where any is measured; None if no
        band is derived.
        """
        if not any(band.derived is not None for band in self.bands):
            return None
        bands = BandSet(base_bands(self.bands.bands))
        return replace(self, bands=bands, options=replace(self.options, valid=ANY))

    @property
    def own_nodata(self) -> bool:
        """True if the nodata values are the file's own."""
        return self.options.nodata is None

    @property
    def own_units(self) -> bool:
        """True if scale and offset are the file's own."""
        return self.options.scale is None and self.options.offset is None

    @property
    def remote(self) -> bool:
        """True if the pixels come over a network (or through another virtual file system of GDAL)."""
        paths = [part.path for part in address_parts(self.path)]
        paths += [part.file.path for part in self.file.parts]
        return any(is_remote(path) and not path.startswith("/vsizip/") for path in paths)

    @property
    def name(self) -> str:
        """File name; of several rasters their names with "+" between."""
        return scene_name(self.path)

    @property
    def stem(self) -> str:
        """File name without its suffix; of several rasters that of the first."""
        return scene_stem(self.path)

    @property
    def place(self) -> str:
        """The absolute path with forward slashes, by which labels find their image; of several rasters that
        of the first.
        """
        first = address_parts(self.path)[0].path
        return first.split("?")[0] if is_remote(first) else own_path(first).as_posix()

    @property
    def local_files(self) -> frozenset[Path]:
        """The files on this machine that it is read from, with links resolved."""
        paths = [state.path for state in self.file.states]
        return frozenset(Path(path).resolve() for path in paths)

    @property
    def rasters(self) -> tuple[Scene, ...]:
        """Each raster of the scene as a scene of its own, in its own grid; one raster is itself."""
        if not self.file.parts:
            return (self,)
        opened = []
        for part in self.file.parts:
            bands = tuple(band for _, band in part.bands)
            opened.append(Scene(part.file, part.file.grid, BandSet(bands)))
        return tuple(opened)

    @property
    def resampled(self) -> bool:
        """True if the working grid is not the file's own."""
        return self.grid != self.native

    def fingerprint(self) -> dict[str, str | int]:
        """Values that change with the file: size, modification time and SHA-256 of its first 64 KiB.

        Of a VRT and of a scene of several rasters, the hash includes all files; of a remote file, only its
        header.
        """
        if self.remote:
            text = f"{self.path} {self.native} {self.bands} {self.dtype} {self.file.block_px}"
            return {"size": 0, "mtime_ns": 0, "header_sha256": hashlib.sha256(text.encode()).hexdigest()}
        if self.file.parts:
            return fingerprint_of([state.path for state in self.file.states])
        try:
            status = Path(self.path).stat()
            digest = header_digest(self.path)
        except OSError as cause:
            raise SceneError(
                f"{self.path}: can no longer be read ({cause.strerror}); put it back or open the scene again"
            ) from cause
        if self.file.driver == "VRT":
            for source in vrt_sources(Path(self.path)):
                seen = source.stat()
                digest.update(f"\n{source.name} {seen.st_size} {seen.st_mtime_ns}".encode())
        return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "header_sha256": digest.hexdigest()}

    def refuse_if_changed(self) -> None:
        """Check, at the end of work, that the file is as it was on opening. Remote files are not compared.

        Raises:
            SceneChangedError: It has changed.
            SceneError: It cannot be read any more.
        """
        refuse_changed(self.file.states)

    def with_own_path(self) -> Scene:
        """The same scene under a path that does not depend on the folder in which a process runs."""
        own_masks = tuple(own_mask(rule) for rule in self.options.mask)
        options = replace(self.options, mask=own_masks)
        return replace(self, file=with_own_paths(self.file), options=options)

    def at_gsd(self, gsd_m: float) -> Scene:
        """The same scene on a working grid of another ground sample distance, with exactly the same extent.

        Rows and columns are fitted separately, so pixels are square on the ground, except for rounding to
        whole pixels.

        Args:
            gsd_m: Ground sample distance, metres.

        Raises:
            GridError: The scene has no CRS, or `gsd_m` is out of range.
        """
        if not gsd_m > 0:
            raise GridError(f"{self.path}: the GSD must be above 0 m, found {gsd_m:g}")
        if self.native.crs is None:
            raise GridError(
                f"{self.path}: has no CRS, so its GSD is unknown and cannot become {gsd_m:g} m; omit `gsd_m`"
            )
        pixel_width_m, pixel_height_m = self.native.pixel_size_m
        width = max(1, round(self.native.width * pixel_width_m / gsd_m))
        height = max(1, round(self.native.height * pixel_height_m / gsd_m))
        if max(width, height) > _MAX_SIDE:
            raise GridError(
                f"{self.path}: at {gsd_m:g} m GSD it would have {width}x{height} px; choose a larger `gsd_m`"
            )
        return self.resized(height, width)

    def resized(self, height: int, width: int) -> Scene:
        """The same scene on a working grid of `height` x `width` pixels, with exactly the same extent."""
        if (height, width) == (self.native.height, self.native.width):
            return replace(self, grid=self.native)
        return replace(self, grid=self.native.resized(height, width))

    def with_valid(self, valid: int | str) -> Scene:
        """The same scene with another rule of valid ground: "all", "any" or a number of bands."""
        return replace(self, options=replace(self.options, valid=valid))

    def with_derived(self, recipes: Sequence[str]) -> Scene:
        """The same scene with bands that are made from its own on reading, after these.

        Args:
            recipes: How, each as a text: "ndvi", "relief(12m)".

        Raises:
            ConfigError: A text is no recipe, or needs pixels of a known size.
            BandError: A band that it needs is not there.
        """
        bands = list(self.bands)
        first = max(band.number for band in (*self.file.selectable, *bands)) + 1
        for place, text in enumerate(recipes):
            band = derived_band(text, self.bands, first + place, self.path)
            parse_recipe(text if band.derived is None else band.derived.text).context_px(self.grid)
            bands.append(band)
        return replace(self, bands=BandSet(tuple(bands)))

    def select(self, bands: Sequence[str]) -> Scene:
        """The same scene with only these bands, in this order: names, 1-based numbers or NAME=NUMBER."""
        return replace(self, bands=self.bands.select(bands, self.path))

    def reordered(self, indices: Sequence[int]) -> Scene:
        """The same scene with the bands at these 0-based indices of the present order."""
        return replace(self, bands=BandSet(tuple(self.bands[index] for index in indices)))

    def _repr_html_(self) -> str:
        gsd = self.grid.gsd_m
        rows = [
            ("size", f"{self.grid.width} x {self.grid.height} px"),
            ("GSD", "not known (no CRS)" if gsd is None else f"{gsd:.4g} m"),
            ("CRS", self.grid.crs.name if self.grid.crs else "none"),
            ("bands", self.bands.describe()),
            ("values", self.dtype),
            ("nodata", ", ".join(sorted({str(band.nodata) for band in self.bands}))),
        ]
        small = self.resized(*reduced_size(self, _QUICKLOOK_PX))
        return card(self.name, rows, png(quicklook(small)))


SceneSource = Scene | str | Path
"""An opened scene, or the path or URL of one."""

SceneSources = SceneSource | Sequence[SceneSource]
"""One or many scenes, paths, URLs, folders or patterns ("tiles/*.tif")."""


def open_scene(
    source: SceneSource,
    *,
    bands: Sequence[str | int] | str | None = None,
    nodata: float | str | None = None,
    crs: str | None = None,
    scale: float | None = None,
    offset: float | None = None,
    valid: int | str | None = None,
    mask: Sequence[str] | str = (),
    derive: Sequence[str] | str = (),
    trust_vrt: bool = False,
    allow_remote: Sequence[str] = (),
    force: bool = False,
) -> Scene:
    """A raster as a `Scene`: driver by content, bands by name, no pixel read.

    What is done with odd files is described in docs/reference/inputs.md. The parameters are the fields of
    `SceneOptions`, which `open_scenes` takes for many files.

    Args:
        source: Path or URL of a raster that GDAL reads. An opened scene is returned as it is.
        bands: Bands to use, in order: names, 1-based numbers or NAME=NUMBER, as a list or with commas
            (default: all).
        nodata: Stored value of pixels that were not measured; "none": all were (default: as the file says).
        crs: Coordinate reference system, in place of the file's own, e.g. "EPSG:32633".
        scale: Physical value of a stored unit, in all bands: physical = stored * scale + offset (default:
            the file's).
        offset: Physical value of a stored 0, in all bands (default: the file's).
        valid: Which pixels are valid ground: measured in "all" bands, in "any" of them, or in at least this
            number (default: "all", and for prediction the rule of the model).
        mask: Ground that is not used, e.g. clouds: rules such as "SCL in 3,8,9,10", "QA_PIXEL bits 1,3,4",
            "clouds.tif > 40", the name of a mask file (0: not used), or "clouds" for the product's own.
        derive: Bands to make from others: "ndvi, slope, relief(12m)", see docs/how-to/scenes.md; after the
            bands of the file, or where `bands` names them.
        trust_vrt: Let a VRT name files outside its own folder.
        allow_remote: Hosts on which chip sets that are opened for the same work (`Split.like`) may name
            scenes.
        force: Use the scene in `predict` though it shows something else than the model was trained on, and
            wherever it is resampled by more than a factor of 4.

    Returns:
        The scene on the grid of the file; `Scene.at_gsd` resamples it.

    Raises:
        SceneError: The file is missing, unreadable, unsafe to open, or open already and cannot be changed.
        BandError: A band is not there.
        ConfigError: A value that no scene could be opened with.

    Example:
        >>> scene = open_scene("ortho.tif", bands="red,green,blue")  # doctest: +SKIP
    """
    options = SceneOptions(
        bands=bands,
        nodata=nodata,
        crs=crs,
        scale=scale,
        offset=offset,
        valid=valid,
        mask=mask,
        derive=derive,
        trust_vrt=trust_vrt,
        allow_remote=allow_remote,
        force=force,
    )
    return _opened(source, options)


def open_scenes(
    scenes: SceneSources,
    options: SceneOptions = SceneOptions(),
    *,
    below: bool = False,
) -> tuple[Scene, ...]:
    """Every raster of the paths, folders and patterns, opened; the files of a folder or pattern by name.

    Args:
        scenes: One or many paths, URLs, folders, patterns ("tiles/*.tif") or opened scenes.
        options: How the files are opened.
        below: Also open the rasters in the folders below a folder.

    Returns:
        The scenes, in the order given; none for an empty list.

    Raises:
        SceneError: A folder or pattern holds no raster, or a file cannot be opened.
        BandError: A band is not there.

    Example:
        >>> open_scenes(["north.tif", "south/"], SceneOptions(nodata=0))  # doctest: +SKIP
    """
    items = [scenes] if isinstance(scenes, Scene | str | Path) else scenes
    opened: list[Scene] = []
    for item in items:
        if isinstance(item, Scene):
            opened.append(_opened(item, options))
            continue
        for path in scene_paths([item], below):
            addresses = item_addresses(path) if is_stac(path) else [path]
            opened += [_opened(address, options) for address in addresses]
    return tuple(opened)


def _opened(source: SceneSource, options: SceneOptions) -> Scene:
    if not isinstance(source, Scene):
        return _from_file(str(source), options)
    stated = " and ".join(f"`{name}`" for name in options.stated())
    if stated:
        raise SceneError(f"{source.path}: is open already, so {stated} cannot be applied; give its path")
    return source


def _from_file(path: str, options: SceneOptions) -> Scene:
    wanted = options.band_names
    file = describe_scene(path, options)
    if options.derive:
        return _with_derived(file, options)
    selected = file.bands if wanted is None else file.selectable.select(wanted, file.path)
    bands = _with_units(selected, options)
    return Scene(file, grid=file.grid, bands=bands, options=options)


def _with_derived(file: SceneFile, options: SceneOptions) -> Scene:
    """A scene with bands that are made from others: those that `bands` names, or else all."""
    recipes = [parse_recipe(text) for text in options.derive]
    names = {recipe.name for recipe in recipes}
    wanted = options.band_names
    asked = [] if wanted is None else [name for name in wanted if canonical_name(name) not in names]
    try:
        own = file.selectable.select(asked, file.path).bands if asked else file.bands.bands
    except BandError as error:
        raise BandError(f"{error}; `derive` makes {', '.join(sorted(names))}") from error
    known = _with_units(_all_bands(own, file.selectable), options)
    scene = Scene(file, grid=file.grid, bands=known, options=options).with_derived(options.derive)
    made = [band for band in scene.bands if band.derived is not None]
    first = [band for band in scene.bands if band.number in {one.number for one in own}]
    if wanted is None or len(asked) == len(wanted):
        return replace(scene, bands=BandSet((*first, *made)))
    by_name = {band.name: band for band in made}
    left = iter(band for band in first if asked)
    picked = []
    for name in wanted:
        canonical = canonical_name(name)
        picked.append(by_name[canonical] if canonical in names else next(left))
    return replace(scene, bands=BandSet(tuple(picked)))


def _all_bands(selected: Sequence[Band], selectable: BandSet) -> BandSet:
    """The selected bands under the names that they were given, and all others that recipes may use."""
    numbers = {band.number for band in selected}
    names = {band.name for band in selected}
    others = [band for band in selectable if band.number not in numbers and band.name not in names]
    return BandSet((*selected, *others))


def _with_units(bands: BandSet, options: SceneOptions) -> BandSet:
    """The bands with the scale and offset that the user stated."""
    changed = []
    for band in bands:
        scale = band.scale if options.scale is None else options.scale
        offset = band.offset if options.offset is None else options.offset
        changed.append(replace(band, scale=scale, offset=offset))
    return BandSet(tuple(changed))
