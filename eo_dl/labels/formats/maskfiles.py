"""Label rasters, written: GeoTIFFs with class names beside them, and the PNGs of Pascal VOC. Their reading is
`labels/raster/masks.py`.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from affine import Affine
from PIL import Image

from ...core.classes import IGNORE_ID
from ...core.pixelgrid import PixelGrid
from ...io.qgisstyles import class_raster_aux_xml
from ...io.rasterize import burn
from ...io.rasterwriter import encode_geotiff
from .annotations import Annotations, LabelledImage, Losses, without_extras
from .safefile import put
from .vocclasses import class_colors, voc_color, write_data_set

_OBJECT_COLORS = {number: voc_color(number) for number in range(256)}


def write_masks(found: Annotations, folder: Path, losses: Losses) -> None:
    """`masks/NAME.tif` of each image on its own grid: class ids, 255 where nothing is known; class names are
    in the side file.
    """
    named = class_raster_aux_xml(found.classes.with_background())
    for image in found.images:
        _count(image, losses)
        grid = image.grid or PixelGrid(None, Affine.identity(), image.height, image.width)
        put(
            folder,
            f"masks/{image.stem}.tif",
            encode_geotiff(
                image.class_mask(found.classes)[None], grid, nodata=IGNORE_ID, descriptions=("class",)
            ),
        )
        put(folder, f"masks/{image.stem}.tif.aux.xml", named)


def write_voc_masks(found: Annotations, folder: Path, losses: Losses) -> None:
    """`SegmentationClass/NAME.png` and, numbered object by object, `SegmentationObject/NAME.png`, with
    `labelmap.txt` and the lists of images.
    """
    colors = class_colors(found.classes)
    for image in found.images:
        _count(image, losses)
        put(
            folder,
            f"SegmentationClass/{image.stem}.png",
            _palette_png(image.class_mask(found.classes), colors),
        )
        if image.mask is None:
            put(
                folder,
                f"SegmentationObject/{image.stem}.png",
                _palette_png(_numbered(image, losses), _OBJECT_COLORS),
            )
    write_data_set(found, folder, "Segmentation")


def _count(image: LabelledImage, losses: Losses) -> None:
    kept = [one for one in image.objects if not one.ignore and image.mask is None]
    losses.count("outlines became whole pixels", len(kept))
    without_extras(kept, losses)


def _numbered(image: LabelledImage, losses: Losses) -> npt.NDArray[np.uint8]:
    kept = [one for one in image.objects if not one.ignore and one.class_name]
    losses.count(
        "objects beyond the 254th of their image have no number of their own", max(len(kept) - 254, 0)
    )
    return np.asarray(
        burn(
            [one.outline for one in kept],
            [min(n, 254) for n in range(1, len(kept) + 1)],
            image.height,
            image.width,
        ),
        np.uint8,
    )


def _palette_png(ids: npt.NDArray[np.uint8], colors: dict[int, tuple[int, int, int]]) -> bytes:
    picture = Image.frombytes("P", (ids.shape[1], ids.shape[0]), np.ascontiguousarray(ids).tobytes())
    picture.putpalette(
        [channel for number in range(256) for channel in colors.get(number, (number, number, number))]
    )
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
