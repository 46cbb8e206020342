"""Label rasters, written: GeoTIFFs with class names beside them, and the PNGs of Pascal VOC. Their reading is `labeling/masks.py`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from affine import Affine
from PIL import Image

from ...core.classes import IGNORE_ID
from ...core.pixelgrid import PixelGrid
from ...io.raster import encode_geotiff
from ...io.rasterize import burn
from ...io.style import class_raster_aux_xml
from .record import Annotations, LabelledImage, Losses, without_extras
from .safefile import put
from .voc import write_sets

_VOID = (224, 224, 192)  # of Pascal VOC, for 255
_OBJECT_COLORS = {number: ((number * 67) % 256, (number * 151) % 256, (number * 223) % 256) for number in range(256)}


def write_masks(found: Annotations, folder: Path, losses: Losses) -> None:
    """`masks/NAME.tif` of each image on its own grid: class ids, 255 where nothing is known; class names are in the side file."""
    named = class_raster_aux_xml(found.classes.with_background())
    for image in found.images:
        _count(image, losses)
        grid = image.grid or PixelGrid(None, Affine.identity(), image.height, image.width)
        put(folder, f"masks/{image.stem}.tif", encode_geotiff(image.class_mask(found.classes)[None], grid, nodata=IGNORE_ID, descriptions=("class",)))
        put(folder, f"masks/{image.stem}.tif.aux.xml", named)


def write_voc_masks(found: Annotations, folder: Path, losses: Losses) -> None:
    """`SegmentationClass/NAME.png` and, numbered object by object, `SegmentationObject/NAME.png`, with `labelmap.txt` and the lists of images."""
    classes = found.classes.with_background()
    colors = {info.id: _rgb(info.color) for info in classes} | {IGNORE_ID: _VOID, 0: (0, 0, 0)}
    for image in found.images:
        _count(image, losses)
        put(folder, f"SegmentationClass/{image.stem}.png", _palette_png(image.class_mask(found.classes), colors))
        if image.mask is None:
            put(folder, f"SegmentationObject/{image.stem}.png", _palette_png(_numbered(image, losses), _OBJECT_COLORS))
    lines = [f"{info.name}:{','.join(map(str, colors[info.id]))}::\n" for info in classes]
    put(folder, "labelmap.txt", "# label:color_rgb:parts:actions\n" + "".join(lines))
    write_sets(found, folder, "Segmentation")


def labelmap_classes(path: Path) -> list[str] | None:
    """Items NAME=#rrggbb of the labelmap.txt of a data set, for `classes`; None where the file is none."""
    items = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        name, _, rest = line.partition(":")
        parts = rest.split(":")[0].split(",")
        if not line.strip() or line.startswith("#"):
            continue
        if len(parts) != 3 or not all(part.strip().isdigit() and int(part) < 256 for part in parts):
            return None
        items.append(f"{name.strip()}=#{''.join(f'{int(part):02x}' for part in parts)}")
    void = "#" + "".join(f"{channel:02x}" for channel in _VOID)
    return [*items, f"-{void}"] if items and not any(item.endswith(void) for item in items) else items or None


def _count(image: LabelledImage, losses: Losses) -> None:
    kept = [one for one in image.objects if not one.ignore and image.mask is None]
    losses.count("outlines became whole pixels", len(kept))
    without_extras(kept, losses)


def _numbered(image: LabelledImage, losses: Losses) -> npt.NDArray[np.uint8]:
    kept = [one for one in image.objects if not one.ignore and one.class_name]
    losses.count("objects beyond the 254th of their image have no number of their own", max(len(kept) - 254, 0))
    return np.asarray(burn([one.outline for one in kept], [min(n, 254) for n in range(1, len(kept) + 1)], image.height, image.width), np.uint8)


def _palette_png(ids: npt.NDArray[np.uint8], colors: dict[int, tuple[int, int, int]]) -> bytes:
    picture = Image.frombytes("P", (ids.shape[1], ids.shape[0]), np.ascontiguousarray(ids).tobytes())
    picture.putpalette([channel for number in range(256) for channel in colors.get(number, (number, number, number))])
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
