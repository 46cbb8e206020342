"""Label rasters: GeoTIFFs of class ids with the class names beside them, and the PNGs of Pascal VOC.

How stored values become classes is in `labels/raster`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from affine import Affine
from PIL import Image

from ...core.classes import IGNORE_ID
from ...core.pixelgrid import PixelGrid
from ...core.rasterlabels import RasterLabels
from ...io.discover import RASTER_SUFFIXES
from ...io.gate import driver_of_bytes
from ...io.qgisstyles import class_raster_aux_xml
from ...io.rasterize import burn
from ...io.rasterwriter import encode_geotiff
from ..classrequest import ClassRequest
from ..labeloptions import Unlabelled
from ..raster.maskset import read_masks
from .annotations import Annotations, LabelledImage, Losses, without_extras
from .labelformat import Capabilities, Certainty, LabelFormat, Recognition, WrittenFormat, images_in
from .safefile import put
from .vocclasses import Color, class_colors, labelmap_request, voc_color, write_data_set

_OBJECT_COLORS = {number: voc_color(number) for number in range(256)}
_MOST_OBJECTS = 254  # 0 is the background, 255 the void


def read_label_rasters(
    paths: Sequence[str], source: str, request: ClassRequest | None, unlabelled: Unlabelled
) -> RasterLabels:
    """Label rasters of ids, colours or probabilities.

    The colours of a Pascal VOC data set are named by the labelmap.txt beside its folder of masks.
    """
    if request is None:
        labelmap = Path(paths[0]).parent.parent / "labelmap.txt"
        request = labelmap_request(labelmap) if labelmap.is_file() else None
    return read_masks(paths, request, unlabelled, source)


def write_masks(annotations: Annotations, folder: Path, losses: Losses) -> None:
    """Write `masks/NAME.tif` for each image on its own grid: class ids, 255 where nothing is known.

    Class names are in the side file that GDAL and QGIS read.
    """
    side_file = class_raster_aux_xml(annotations.classes.with_background())
    for image in annotations.images:
        _count_losses(image, losses)
        grid = image.grid or PixelGrid(None, Affine.identity(), image.height, image.width)
        mask = image.class_mask(annotations.classes)
        tiff = encode_geotiff(mask[None], grid, nodata=IGNORE_ID, descriptions=("class",))
        put(folder, f"masks/{image.stem}.tif", tiff)
        put(folder, f"masks/{image.stem}.tif.aux.xml", side_file)


def write_voc_masks(annotations: Annotations, folder: Path, losses: Losses) -> None:
    """Write `SegmentationClass/NAME.png` and `SegmentationObject/NAME.png`, where objects are numbered.

    `labelmap.txt` and the lists of images lie beside these folders. Label rasters have no objects to number.
    """
    colors = class_colors(annotations.classes)
    for image in annotations.images:
        _count_losses(image, losses)
        classes = _palette_png(image.class_mask(annotations.classes), colors)
        put(folder, f"SegmentationClass/{image.stem}.png", classes)
        if image.mask is None:
            objects = _palette_png(_numbered(image, losses), _OBJECT_COLORS)
            put(folder, f"SegmentationObject/{image.stem}.png", objects)
    write_data_set(annotations, folder, "Segmentation")


def _count_losses(image: LabelledImage, losses: Losses) -> None:
    if image.mask is not None:
        return
    objects = [labelled for labelled in image.objects if not labelled.ignore]
    losses.count("outlines became whole pixels", len(objects))
    without_extras(objects, losses)


def _numbered(image: LabelledImage, losses: Losses) -> npt.NDArray[np.uint8]:
    """(H, W) the number of the object of each pixel, from 1; 0 without an object."""
    objects = [labelled for labelled in image.objects if labelled.class_name and not labelled.ignore]
    outlines = [labelled.outline for labelled in objects]
    losses.count(
        f"objects after the first {_MOST_OBJECTS} of their image share a number",
        max(len(outlines) - _MOST_OBJECTS, 0),
    )
    numbers = [min(number, _MOST_OBJECTS) for number in range(1, len(outlines) + 1)]
    return np.asarray(burn(outlines, numbers, image.height, image.width), np.uint8)


def _palette_png(ids: npt.NDArray[np.uint8], colors: Mapping[int, Color]) -> bytes:
    """(H, W) ids as a PNG whose palette has the colours; ids without a colour are grey."""
    palette: list[int] = []
    for number in range(256):
        palette += colors.get(number, (number, number, number))
    picture = Image.frombytes("P", (ids.shape[1], ids.shape[0]), np.ascontiguousarray(ids).tobytes())
    picture.putpalette(palette)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _is_raster(head: bytes) -> bool:
    return driver_of_bytes(head) is not None


FORMAT = LabelFormat(
    name="masks",
    title="label rasters",
    recognition=Recognition(
        suffixes=RASTER_SUFFIXES, magic=_is_raster, certainty=Certainty.RASTER, remote=True
    ),
    read_rasters=read_label_rasters,
    written=(
        WrittenFormat(
            name="masks",
            title="label rasters",
            holds=Capabilities(shape="pixels", holes="pixels", parts="pixels", ignore=True, partial=True),
            label_files=("masks",),
            write_images=write_masks,
            output_names=("masks",),
        ),
        WrittenFormat(
            name="voc-masks",
            title="Pascal VOC masks",
            holds=Capabilities(shape="pixels", holes="pixels", parts="pixels", ignore=True, partial=True),
            label_files=("SegmentationClass",),
            write_images=write_voc_masks,
            image_folder=images_in("JPEGImages"),
            output_names=("SegmentationClass", "SegmentationObject", "ImageSets", "labelmap.txt"),
        ),
    ),
)
