"""Chips as PNG or JPEG for tools that show nothing else: three bands or one, stretched alike in every chip,
and the stretch on record.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..core.arrays import Chip
from ..core.bands import BandSet
from ..core.normalization import BandStatistics
from ..errors import BandError

PICTURES = {"png": "PNG", "jpg": "JPEG"}
_RGB = ("red", "green", "blue")
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class Stretch:
    """Which bands are shown, and the physical values that become 0 and 255 (the 2nd and 98th percentile of
    the train chips).
    """

    names: tuple[str, ...]
    places: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def channels(self) -> int:
        """1 or 3."""
        return len(self.places)

    def values(self) -> dict[str, object]:
        """For the index."""
        return {
            "bands": list(self.names),
            "low": list(self.low),
            "high": list(self.high),
            "unit": "physical",
            "to": [0, 255],
        }


def stretch_of(
    bands: BandSet, statistics: Sequence[BandStatistics], wanted: Sequence[str] | None = None
) -> Stretch:
    """The bands `wanted` (one or three), else red, green and blue where they are known, else the first three
    or the first. Raises `BandError`.
    """
    if wanted is not None:
        missing = [name for name in wanted if name not in bands.names]
        if missing or len(wanted) not in (1, 3):
            raise BandError(
                f"--bands {','.join(wanted)}: a picture shows one or three of {', '.join(bands.names)}"
            )
        places = tuple(bands.names.index(name) for name in wanted)
    elif set(_RGB) <= set(bands.names):
        places = tuple(bands.names.index(name) for name in _RGB)
    else:
        places = (0, 1, 2) if len(bands) >= 3 else (0,)
    names = tuple(bands.names[place] for place in places)
    return Stretch(
        names,
        places,
        tuple(statistics[place].p02 for place in places),
        tuple(statistics[place].p98 for place in places),
    )


def stretched(chip: Chip, stretch: Stretch) -> npt.NDArray[np.uint8]:
    """(H, W, 1 or 3) the picture; black where not valid."""
    planes = []
    for place, low, high in zip(stretch.places, stretch.low, stretch.high, strict=True):
        band = chip.bands[place]
        factor = 255 / max(high - low, 1e-9)
        plane = chip.pixels[place] * np.float32(band.scale * factor) + np.float32(
            (band.offset - low) * factor
        )
        planes.append(np.clip(plane, 0, 255).round().astype(np.uint8))
    picture = np.stack(planes, axis=-1)
    picture[~chip.valid] = 0
    return picture


def picture_bytes(chip: Chip, stretch: Stretch, kind: str) -> bytes:
    """A chip as an encoded picture of `PICTURES`."""
    picture = stretched(chip, stretch)
    buffer = io.BytesIO()
    image = Image.fromarray(picture if stretch.channels == 3 else picture[..., 0])
    if kind == "jpg":
        image.save(buffer, format=PICTURES[kind], quality=_JPEG_QUALITY)
    else:
        image.save(buffer, format=PICTURES[kind], compress_level=4)
    return buffer.getvalue()
