"""`SceneOptions`: what a user says about scenes where their files do not say it, or say it wrongly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

from ..errors import ConfigError
from .derived.recipes import recipe_texts
from .maskrules import mask_rules
from .validity import valid_rule


@dataclass(frozen=True)
class SceneOptions:
    """How scenes are opened; the parameters of `open_scene`, as one value.

    Raises `ConfigError` for values that no scene could be opened with.

    Example:
        >>> open_scenes("scenes/", SceneOptions(bands="red,green,blue", nodata=0))  # doctest: +SKIP
    """

    bands: Sequence[str | int] | str | None = None
    """Bands in order: names, 1-based numbers or NAME=NUMBER, as a list or with commas (default: all)."""

    nodata: float | str | None = None
    """Stored value of pixels that were not measured; "none": all were (default: as the file says)."""

    crs: str | None = None
    """Coordinate reference system, in place of the file's own, e.g. "EPSG:32633"."""

    scale: float | None = None
    """Physical value per stored unit, all bands: physical = stored * scale + offset (default: the file's)."""

    offset: float | None = None
    """Physical value of a stored 0, in all bands (default: the file's)."""

    valid: int | str | None = None
    """Which pixels are valid ground: measured in "all" bands, in "any" of them, or in at least this number
    (default: "all", and for prediction the rule of the model). Values that a valid pixel lacks are filled
    with the mean of the band."""

    mask: Sequence[str] | str = ()
    """Ground that is not used, e.g. clouds: rules such as "SCL in 3,8,9,10", "QA_PIXEL bits 1,3,4",
    "clouds.tif > 40", the name of a mask file (0: not used), or "clouds" for the product's own."""

    derive: Sequence[str] | str = ()
    """Bands to make from others on reading: "ndvi, slope, relief(12m)"."""

    trust_vrt: bool = False
    """Let a VRT name files outside its own folder."""

    allow_remote: Sequence[str] = ()
    """Hosts ("tiles.example.org", "/vsis3/bucket") on which chip sets that are opened for the same work may
    name scenes."""

    force: bool = False
    """Use scenes that show something else than a model was trained on, or that are resampled by more than
    a factor of 4."""

    def __post_init__(self) -> None:
        # Lists become tuples and numbers as text become numbers, so that equal options compare equal.
        object.__setattr__(self, "bands", self.band_names)
        object.__setattr__(self, "allow_remote", tuple(self.allow_remote))
        object.__setattr__(self, "nodata", _nodata(self.nodata))
        object.__setattr__(self, "mask", mask_rules(self.mask))
        object.__setattr__(self, "derive", recipe_texts(self.derive))
        object.__setattr__(self, "valid", None if self.valid is None else valid_rule(self.valid))
        for name, value in (("scale", self.scale), ("offset", self.offset)):
            if value is not None and not math.isfinite(value):
                raise ConfigError(f"`{name}` must be a finite number, found {value}")
        if self.scale == 0:
            raise ConfigError("`scale` must not be 0: all stored values would become the same")

    @property
    def band_names(self) -> tuple[str, ...] | None:
        """The bands to use, one text each; None: all."""
        if self.bands is None:
            return None
        items = self.bands.split(",") if isinstance(self.bands, str) else map(str, self.bands)
        names = tuple(item.strip() for item in items)
        if not names or not all(names):
            raise ConfigError(f"`bands`: expected names or numbers with commas between, found {self.bands!r}")
        return names

    def stated(self) -> tuple[str, ...]:
        """Names of the fields that differ from their defaults."""
        return tuple(item.name for item in fields(self) if getattr(self, item.name) != item.default)


def _nodata(nodata: float | str | None) -> float | str | None:
    if not isinstance(nodata, str):
        return nodata
    text = nodata.strip().lower()
    if text == "none":
        return text
    try:
        return float(text)
    except ValueError:
        raise ConfigError(
            f"`nodata`: expected a number or 'none' (every pixel was measured), found {nodata!r}"
        ) from None
