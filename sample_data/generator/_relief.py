"""Heights, slopes and shadows of what stands on the ground, on a grid `FINE` times finer than the pixels.

Arrays are (row, col). Slopes are rise over run in x (right) and y (down).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from _plan import Crown
from _recipes import GSD_M
from _village import Building, Wing

FINE = 2
STEP_M = GSD_M / FINE


@dataclass
class Relief:
    """What is highest in each fine pixel: height (m), slopes, and which crown or roof it is (-1: none)."""

    height: np.ndarray
    slope_x: np.ndarray
    slope_y: np.ndarray
    crown: np.ndarray
    roof: np.ndarray

    @classmethod
    def flat(cls, size: int) -> Relief:
        """Bare ground, `size` fine pixels wide and high."""
        zero, none = np.zeros((size, size), np.float32), np.full((size, size), -1, np.int32)
        return cls(zero.copy(), zero.copy(), zero.copy(), none.copy(), none.copy())

    def raise_to(
        self, area: tuple[slice, slice], inside: np.ndarray, top: tuple[np.ndarray, ...]
    ) -> np.ndarray:
        """Put (height, slope x, slope y) on the pixels of `area` where `inside` and higher than before; where
        it did.
        """
        won = inside & (top[0] > self.height[area])
        for layer, values in zip((self.height, self.slope_x, self.slope_y), top, strict=True):
            layer[area][won] = values[won]
        return won


def patch(relief: Relief, bounds: tuple[float, ...]) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """The fine pixels around `bounds` (metres), and the x and y of their centres."""
    size = relief.height.shape[0]
    low = np.clip(np.floor(np.array(bounds[:2]) / STEP_M).astype(int) - 1, 0, size)
    high = np.clip(np.ceil(np.array(bounds[2:]) / STEP_M).astype(int) + 1, 0, size)
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
    return (slice(low[1], high[1]), slice(low[0], high[0])), (x + 0.5) * STEP_M, (y + 0.5) * STEP_M


def grow(relief: Relief, crown: Crown, crown_id: int) -> None:
    """Add a dome for a crown; the flanks are steep, so trees have a lit and a dark side."""
    reach = crown.radius * 1.2
    area, x, y = patch(relief, (crown.x - reach, crown.y - reach, crown.x + reach, crown.y + reach))
    dx, dy = x - crown.x, y - crown.y
    distance = np.hypot(dx, dy) + 1e-6
    rho = distance / (crown.radius * crown.shape(np.arctan2(dy, dx)))
    depth = crown.radius * (1.5 if crown.species == "conifer" else 0.95)
    dome = np.sqrt(np.clip(1 - rho**2, 0, 1))
    steep = -depth / crown.radius * rho / (dome + 0.45)
    top = (crown.top - depth * (1 - dome), steep * dx / distance, steep * dy / distance)
    relief.crown[area][relief.raise_to(area, rho <= 1, top)] = crown_id


def raise_wing(relief: Relief, wing: Wing, roof_id: int) -> None:
    """Add a gabled or flat roof."""
    area, x, y = patch(relief, wing.outline().bounds)
    cos, sin = np.cos(wing.angle), np.sin(wing.angle)
    along = (x - wing.x) * cos + (y - wing.y) * sin
    across = -(x - wing.x) * sin + (y - wing.y) * cos
    inside = (np.abs(along) <= wing.length / 2) & (np.abs(across) <= wing.width / 2)
    pitch = wing.rise / (wing.width / 2)
    fall = -pitch * np.sign(across)
    top = (wing.eave + wing.rise - pitch * np.abs(across), -fall * sin, fall * cos)
    relief.roof[area][relief.raise_to(area, inside, top)] = roof_id


def make_relief(size_m: int, crowns: list[Crown], buildings: list[Building], cars: list[Wing]) -> Relief:
    """Heights of roofs, cars and crowns. Cars are marked as roofs numbered after the buildings."""
    relief = Relief.flat(size_m * FINE)
    for number, building in enumerate(buildings):
        for wing in building.wings:
            raise_wing(relief, wing, number)
    for number, car in enumerate(cars, len(buildings)):
        raise_wing(relief, car, number)
    for number, crown in enumerate(crowns):
        grow(relief, crown, number)
    return relief


def cast_shadows(height: np.ndarray, azimuth_deg: float, elevation_deg: float) -> np.ndarray:
    """Share of direct light that the relief blocks, 0..1.

    Found by marching towards the sun in steps of one fine pixel.
    """
    azimuth, rise = np.deg2rad(azimuth_deg), np.tan(np.deg2rad(elevation_deg)) * STEP_M
    steps = int(height.max() / rise) + 1
    padded = np.pad(height, steps + 1)
    size = height.shape[0]
    above = np.zeros_like(height)
    for step in range(1, steps + 1):
        row = steps + 1 - round(np.cos(azimuth) * step)
        col = steps + 1 + round(np.sin(azimuth) * step)
        np.maximum(above, padded[row : row + size, col : col + size] - np.float32(step * rise), out=above)
    return np.clip((above - height) / 0.6, 0, 1)


def sunlight(relief: Relief, azimuth_deg: float, elevation_deg: float) -> np.ndarray:
    """Direct light on each pixel relative to flat open ground (Lambert), shadows included."""
    azimuth, elevation = np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg)
    east, south, up = (
        np.sin(azimuth) * np.cos(elevation),
        -np.cos(azimuth) * np.cos(elevation),
        np.sin(elevation),
    )
    norm = np.sqrt(1 + relief.slope_x**2 + relief.slope_y**2)
    facing = (up - relief.slope_x * east - relief.slope_y * south) / norm
    return np.clip(facing / up, 0, 2.2) * (1 - cast_shadows(relief.height, azimuth_deg, elevation_deg))
