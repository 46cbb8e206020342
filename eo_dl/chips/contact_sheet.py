"""`contact_sheet.png`: some chips of each split with their labels drawn, so that a shifted label or a wrong
band is seen at once.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image, ImageDraw, ImageFont

from ..core.arrays import Chip
from ..core.classes import IGNORE_ID, ClassSet
from ..core.display import display_bands, display_plane
from ..core.labelset import PixelLabels
from ..core.normalization import BandStatistics
from ..core.seeds import generator
from ..labels.classcover import class_mask
from .chiprecord import ChipRecord
from .chipsource import ChipSource
from .index import SPLIT_COLORS
from .measure import in_order
from .truth import SceneTruth

_MOST = {"train": 12, "val": 6, "test": 6}
_COLUMNS = 6
_CELL_PX, _GAP_PX, _CAPTION_PX, _LEGEND_PX = 176, 8, 16, 26
_TINT = 0.15  # of a class over its pixels
_PAPER, _INK, _INVALID = (250, 249, 246), (40, 40, 40), (225, 222, 214)
_IGNORED = "#8a8a8a"

Picture = npt.NDArray[np.uint8]


def contact_sheet(
    folder: Path,
    truths: Sequence[SceneTruth],
    records: Sequence[ChipRecord],
    statistics: Sequence[BandStatistics],
    seed: int,
    workers: int | None,
) -> bytes:
    """The sheet as PNG bytes: train, val and test chips (some of each, most with objects), framed in the
    colour of their split.

    Written chips are read from `folder`, which is faster than from the scene.
    """
    chosen = _chosen(records, seed)
    columns = min(_COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    width = max(columns * (_CELL_PX + _GAP_PX) + _GAP_PX, 560)
    sheet = Image.new(
        "RGB", (width, rows * (_CELL_PX + _CAPTION_PX + _GAP_PX) + _GAP_PX + _LEGEND_PX), _PAPER
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, (record, cell) in enumerate(
        zip(chosen, _cells(folder, chosen, truths, statistics, workers), strict=True)
    ):
        col, row = (
            _GAP_PX + number % columns * (_CELL_PX + _GAP_PX),
            _GAP_PX + number // columns * (_CELL_PX + _CAPTION_PX + _GAP_PX),
        )
        sheet.paste(cell, (col, row))
        draw.rectangle(
            (col - 2, row - 2, col + _CELL_PX + 1, row + _CELL_PX + 1),
            outline=SPLIT_COLORS[record.split],
            width=3,
        )
        draw.text((col, row + _CELL_PX + 2), _fitting(draw, record, font), fill=_INK, font=font)
    _legend(draw, truths[0].labels.classes, sheet.height - _LEGEND_PX, width, font)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _chosen(records: Sequence[ChipRecord], seed: int) -> list[ChipRecord]:
    """Some kept chips of each split: three in four with objects where there are enough, in order of place."""
    found: list[ChipRecord] = []
    for split, most in _MOST.items():
        rng = generator(seed, "contact sheet", split)
        mine = [record for record in records if record.keep and record.split == split]
        order = [mine[i] for i in rng.permutation(len(mine))]
        full, bare = [r for r in order if not r.empty], [r for r in order if r.empty]
        enough = max(most - len(bare), most * 3 // 4)
        picked = {r.chip_id for r in [*full[:enough], *bare, *full[enough:]][:most]}
        found += [record for record in mine if record.chip_id in picked]
    return found


def _cells(
    folder: Path,
    records: Sequence[ChipRecord],
    truths: Sequence[SceneTruth],
    statistics: Sequence[BandStatistics],
    workers: int | None,
) -> Iterator[Image.Image]:
    with ChipSource(folder, [truth.scene for truth in truths]) as source:

        def draw(record: ChipRecord) -> Image.Image:
            """The picture of one chip; called by several threads."""
            return _cell(truths[record.scene_index], source.read(record), statistics)

        with closing(in_order(draw, records, workers)) as cells:
            yield from cells


def _cell(truth: SceneTruth, chip: Chip, statistics: Sequence[BandStatistics]) -> Image.Image:
    labels = truth.chip(chip.window)
    picture = _stretched(chip, statistics)
    # else outlines say it all
    if labels.mask is not None or labels.annotated is not None or labels.ignore.any():
        _tint(picture, class_mask(labels, chip.window.height, chip.window.width, chip.valid), labels.classes)
    size = picture.shape[0]
    image = Image.fromarray(picture).resize(
        (_CELL_PX, _CELL_PX), Image.Resampling.HAMMING if size > _CELL_PX else Image.Resampling.NEAREST
    )
    _outline(ImageDraw.Draw(image), labels, _CELL_PX / size)
    return image


def _stretched(chip: Chip, statistics: Sequence[BandStatistics]) -> Picture:
    """(H, W, 3): the bands to show, each from the 2nd to the 98th percentile of the train chips."""
    planes = []
    for index in display_bands(chip.bands.names):
        low, high = statistics[index].p02, statistics[index].p98
        plane = display_plane(chip.pixels[index], chip.bands[index], low, high)
        planes.append(plane.astype(np.uint8))
    picture = np.stack(planes * (3 // len(planes)), axis=-1)
    picture[~chip.valid] = _INVALID
    return picture


def _tint(picture: Picture, mask: npt.NDArray[np.uint8], classes: ClassSet) -> None:
    for info in classes.foreground:
        here = mask == info.id
        picture[here] = (picture[here] * (1 - _TINT) + np.array(_rgb(info.color)) * _TINT).astype(np.uint8)
    ignored = mask == IGNORE_ID
    picture[ignored] = (picture[ignored] * 0.5 + 100).astype(np.uint8)


def _outline(draw: ImageDraw.ImageDraw, labels: PixelLabels, factor: float) -> None:
    colors = {info.id: info.color for info in labels.classes}
    frame = shapely.box(-2, -2, _CELL_PX / factor + 2, _CELL_PX / factor + 2)
    parts, owner = shapely.get_parts(shapely.intersection(labels.geometries, frame), return_index=True)
    areas = shapely.get_dimensions(parts) == 2
    rings, of_part = shapely.get_rings(parts[areas], return_index=True)
    for ring, class_id in zip(rings, labels.class_ids[owner[areas][of_part]], strict=True):
        draw.line(
            [tuple(point) for point in (shapely.get_coordinates(ring) * factor).tolist()],
            fill=colors.get(int(class_id), _IGNORED),
            width=2,
        )


def _fitting(
    draw: ImageDraw.ImageDraw, record: ChipRecord, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> str:
    """Split and chip, the chip's name cut in front where it is too long."""
    name = record.chip_id
    while name and draw.textlength(f"{record.split} {name}", font=font) > _CELL_PX:
        name = name[1:]
    return f"{record.split} {name}"


def _legend(
    draw: ImageDraw.ImageDraw,
    classes: ClassSet,
    top: int,
    width: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    col = float(_GAP_PX)
    for info in classes.foreground:
        label_px = draw.textlength(info.name, font=font)
        if col + label_px + 24 > width:
            draw.text((col, top + 4), "...", fill=_INK, font=font)
            return
        draw.rectangle((col, top + 5, col + 12, top + 17), fill=info.color, outline=_INK)
        draw.text((col + 17, top + 4), info.name, fill=_INK, font=font)
        col += label_px + 32


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
