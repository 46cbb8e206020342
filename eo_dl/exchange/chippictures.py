"""Chips as PNG or JPEG for tools that show nothing else: one or three bands, all chips stretched alike."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..core.arrays import Chip
from ..core.arraytypes import UInt8Array
from ..core.bands import BandSet
from ..core.display import display_bands, display_plane
from ..core.normalization import BandStatistics
from ..core.wording import listed
from ..errors import BandError

PICTURES = {"png": "PNG", "jpg": "JPEG"}
"""Suffix to the name by which Pillow knows the format."""

_JPEG_QUALITY = 95
_PNG_COMPRESSION = 4


@dataclass(frozen=True)
class Stretch:
    """Which bands are shown, and the physical values that become black and white."""

    names: tuple[str, ...]
    """Names of the bands: one (grey) or three (red, green, blue)."""

    indices: tuple[int, ...]
    """Their indices among the bands of the chips."""

    low: tuple[float, ...]
    """Physical value of each band that becomes 0."""

    high: tuple[float, ...]
    """Physical value of each band that becomes 255."""

    @property
    def channels(self) -> int:
        """Number of bands shown, 1 or 3."""
        return len(self.indices)

    def values(self) -> dict[str, object]:
        """As it is recorded in the index of an export."""
        return {
            "bands": list(self.names),
            "low": list(self.low),
            "high": list(self.high),
            "unit": "physical",
            "to": [0, 255],
        }


def stretch_of(
    bands: BandSet, statistics: Sequence[BandStatistics], names: Sequence[str] | None = None
) -> Stretch:
    """The stretch from the 2nd to the 98th percentile of the train chips.

    Args:
        bands: The bands of the chips.
        statistics: Their statistics, one per band.
        names: The bands to show, one or three names or numbers (default: see `display_bands`).

    Raises:
        BandError: A name is unknown, or there are not one or three.
    """
    if names is None:
        indices = display_bands(bands.names)
    else:
        chosen = bands.select(names, "`bands`")
        if len(chosen) not in (1, 3):
            raise BandError(f"`bands` is {listed(names)}; a picture shows one or three of {bands.describe()}")
        numbers = [band.number for band in bands]
        indices = tuple(numbers.index(band.number) for band in chosen)
    return Stretch(
        names=tuple(bands.names[index] for index in indices),
        indices=indices,
        low=tuple(statistics[index].p02 for index in indices),
        high=tuple(statistics[index].p98 for index in indices),
    )


def stretched(chip: Chip, stretch: Stretch) -> UInt8Array:
    """(H, W, 1 or 3) the picture of a chip; black where not valid."""
    planes = []
    for index, low, high in zip(stretch.indices, stretch.low, stretch.high, strict=True):
        plane = display_plane(chip.pixels[index], chip.bands[index], low, high)
        planes.append(plane.round().astype(np.uint8))
    picture = np.stack(planes, axis=-1)
    picture[~chip.valid] = 0
    return picture


def picture_bytes(chip: Chip, stretch: Stretch, suffix: str) -> bytes:
    """A chip as an encoded picture; `suffix` is one of `PICTURES`."""
    picture = stretched(chip, stretch)
    image = Image.fromarray(picture if stretch.channels == 3 else picture[..., 0])
    buffer = io.BytesIO()
    if suffix == "jpg":
        image.save(buffer, format=PICTURES[suffix], quality=_JPEG_QUALITY)
    else:
        image.save(buffer, format=PICTURES[suffix], compress_level=_PNG_COMPRESSION)
    return buffer.getvalue()
