"""`Cleanup`: which results are kept, and how their outlines are drawn."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..core.pixelgrid import PixelGrid
from ..errors import ConfigError


@dataclass(frozen=True)
class Cleanup:
    """Which results are kept, and how their outlines are drawn. Without values nothing is changed.

    The steps come in the order of the fields below. Small areas and holes are changed in the pixels of a
    class map, so that its raster and its polygons stay the same map; outlines are changed in polygons only.

    Raises:
        ConfigError: A value is out of range.

    Example:
        >>> roofs = Cleanup(min_area_m2=10, fill_holes_m2=5, simplify_px=1)
        >>> predict("roofs.eodl", "town.tif", out="roofs.gpkg", cleanup=roofs)  # doctest: +SKIP
    """

    min_score: float | None = None
    """Objects below this score are left out, 0 to 1 (default: the model's own threshold)."""

    sieve_px: int | None = None
    """Connected areas of fewer pixels, background included, take the class of their largest neighbour."""

    fill_holes_m2: float | None = None
    """Background below this area, square metres, that one class encloses, becomes that class."""

    min_area_m2: float | None = None
    """Areas of a class and objects below this, square metres, are left out. In a class map they become
    background, or, in a map without background, the class of their largest neighbour."""

    simplify_px: float | None = None
    """Corners that stand out by less than about this many pixels are removed; shared borders stay shared."""

    smooth_px: float | None = None
    """Corners are rounded; no outline moves by more than this many pixels, and shared borders stay shared."""

    regularize_px: float | None = None
    """Outlines get straight walls and right angles, or become circles; walls that polygons share stay shared.
    No outline leaves this distance, pixels; one that cannot be had within it stays as it was found, which the
    attribute `outline` says. For buildings; takes the place of `simplify_px` and `smooth_px`."""

    def __post_init__(self) -> None:
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise ConfigError(f"`min_score`: expected 0 to 1, found {self.min_score:g}")
        for name in ("sieve_px", "fill_holes_m2", "min_area_m2", "simplify_px", "smooth_px", "regularize_px"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ConfigError(f"`{name}`: expected 0 or more, found {value:g}")
        if self.regularize_px and (self.simplify_px or self.smooth_px):
            raise ConfigError("`regularize_px` takes the place of `simplify_px` and `smooth_px`; omit those")

    @property
    def stated(self) -> tuple[str, ...]:
        """Names of what was set."""
        return tuple(item.name for item in fields(self) if getattr(self, item.name) is not None)

    @property
    def changes_pixels(self) -> bool:
        """Whether pixels of a class map change."""
        return bool(self.sieve_px or self.fill_holes_m2 or self.min_area_m2)

    @property
    def changes_outlines(self) -> bool:
        """Whether outlines of polygons change."""
        return bool(self.simplify_px or self.smooth_px or self.regularize_px)

    def check_grid(self, grid: PixelGrid, name: str) -> None:
        """Refuse areas in square metres for a raster without CRS.

        Args:
            grid: The grid of the map.
            name: The map, for the message.

        Raises:
            ConfigError: An area is set, and `grid` has no CRS.
        """
        for parameter in ("min_area_m2", "fill_holes_m2"):
            if getattr(self, parameter) is not None and grid.crs is None:
                raise ConfigError(
                    f"{name}: has no CRS, so its areas in square metres are unknown; leave `{parameter}` out"
                )

    def tags(self) -> dict[str, str]:
        """What was set, as tags of an output; `min_score` has a tag of its own."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "min_score"}
        return {name: f"{value:g}" for name, value in values.items() if value}
