"""How values show themselves in a notebook. Imported only when something is shown."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from .bundle import Bundle
    from .chips.chipset import ChipSet
    from .core.labelset import LabelSet
    from .io.scene import Scene

_STYLE = "border-collapse:collapse;font-size:90%;margin:.3em 0"


def card(title: str, rows: Iterable[tuple[str, object]], picture: bytes | None = None) -> str:
    """A titled table of name and value, with a PNG beside it; every text is escaped."""
    cells = "".join(
        f"<tr><th style='text-align:left;padding-right:1em'>{html.escape(str(k))}</th><td style='text-align:left'>{html.escape(str(v))}</td></tr>"
        for k, v in rows
    )
    image = f"<img style='max-height:260px;margin-right:1.2em' src='{_inline(picture)}'>" if picture else ""
    return f"<div><b>{html.escape(title)}</b><div style='display:flex;align-items:flex-start'>{image}<table style='{_STYLE}'>{cells}</table></div></div>"


def grid_table(header: Sequence[object], rows: Iterable[Sequence[object]], title: str = "") -> str:
    """A table with a header row; every text is escaped."""
    head = "".join(f"<th>{html.escape(str(v))}</th>" for v in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(v))}</td>" for v in row) + "</tr>" for row in rows)
    return f"<div><b>{html.escape(title)}</b><table style='{_STYLE}'><tr>{head}</tr>{body}</table></div>"


def stretch(pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """(3 or 1, H, W) of any dtype as (H, W, 3) uint8 for looking: 2 to 98 % of the valid pixels, per band."""
    planes = []
    for plane in pixels.astype(np.float32):
        low, high = np.percentile(plane[valid], (2, 98)) if valid.any() else (0.0, 1.0)
        planes.append(np.clip((plane - low) / max(high - low, 1e-12), 0, 1))
    planes = planes * 3 if len(planes) == 1 else planes
    out = (np.stack(planes, axis=-1) * 255).astype(np.uint8)
    out[~valid] = 255
    return out


def picture_bands(names: Sequence[str]) -> tuple[int, ...]:
    """Places of the bands to look at: red, green, blue where known, else the first three, else the first."""
    if {"red", "green", "blue"} <= set(names):
        return tuple(names.index(name) for name in ("red", "green", "blue"))
    return (0, 1, 2) if len(names) >= 3 else (0,)


def quicklook(scene: Scene, longest_px: int = 512) -> npt.NDArray[np.uint8]:
    """A small picture (H, W, 3) uint8 of a whole scene, from overviews where it has them."""
    from .io.scene import SceneReader

    factor = max(1.0, max(scene.grid.height, scene.grid.width) / longest_px)
    small = scene.resized(max(1, round(scene.grid.height / factor)), max(1, round(scene.grid.width / factor)))
    with SceneReader(small) as reader:
        chip = reader.read(small.grid.window)
    return stretch(chip.pixels[list(picture_bands(scene.bands.names))], chip.valid)


def png(picture: npt.NDArray[np.uint8]) -> bytes:
    """(H, W, 3) uint8 as a PNG file's bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def scene_html(scene: Scene) -> str:
    """A scene: quick look and what is known of it."""
    grid = scene.grid
    gsd = grid.gsd_m
    rows = [
        ("size", f"{grid.width} x {grid.height} px"),
        ("ground per pixel", "not known (no CRS)" if gsd is None else f"{gsd:.4g} m"),
        ("CRS", grid.crs.name if grid.crs else "none"),
        ("bands", scene.bands.describe()),
        ("values", scene.dtype),
        ("nodata", ", ".join(sorted({str(band.nodata) for band in scene.bands}))),
    ]
    return card(Path(scene.path).name, rows, png(quicklook(scene)))


def labels_html(labels: LabelSet) -> str:
    """A label set: how many of what, where."""
    rows: list[tuple[str, object]] = [
        ("features", len(labels)),
        ("CRS", labels.crs.name if labels.crs else "none: pixels of an image"),
        ("class field", labels.class_field or "none"),
        ("annotated", "everywhere" if labels.annotated is None else f"{len(labels.annotated)} areas"),
    ]
    if labels.masks:
        rows[0] = ("mask rasters", len(labels.masks))
    counts = ((info.id, info.name, info.color, int((labels.class_ids == info.id).sum())) for info in labels.classes)
    return card(Path(labels.source).name, rows) + grid_table(("id", "class", "color", "features"), counts)


def bundle_html(bundle: Bundle) -> str:
    """A model: what it needs, what it gives, how good it is."""
    spec = bundle.spec
    rows = [
        ("task", spec.task),
        ("network", f"{bundle.config.network}, {bundle.config.backbone}"),
        ("bands", spec.band_set().describe()),
        ("classes", ", ".join(spec.class_set().names)),
        ("ground per pixel", "not known" if spec.gsd_m is None else f"{spec.gsd_m:.4g} m (±{spec.gsd_tolerance:.0%})"),
        ("chip", f"{spec.chip_px} px, margin {spec.margin_px} px"),
    ]
    picture = bundle.read("preview.png") if "preview.png" in bundle.members else None
    scores = ((s.split, s.name, s.class_name or "all", "n/a" if s.value is None else f"{s.value:.3f}", _interval(s.low, s.high), s.count) for s in spec.scores)
    return card(Path(bundle.path).name, rows, picture) + grid_table(("split", "score", "class", "value", "95 %", "count"), scores)


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def chip_set_html(chips: ChipSet) -> str:
    """A chip set: its contact sheet and what each split holds."""
    sheet = chips.path / "contact_sheet.png"
    rows: list[tuple[str, object]] = [
        ("chips", f"{len(chips.records)} of {chips.chip_px} px"),
        ("scenes", ", ".join(scene.name for scene in chips.scenes[:5]) + (" ..." if len(chips.scenes) > 5 else "")),
        ("bands", chips.bands.describe()),
        *((f"ground shared by {pair}", f"{area:g} {chips.area_unit}") for pair, area in chips.shared_ground.items()),
    ]
    summary = chips.summary()
    picture = sheet.read_bytes() if sheet.is_file() else None
    return (
        card(chips.path.name, rows) + grid_table(summary.header, summary.rows) + (f"<img style='max-width:100%' src='{_inline(picture)}'>" if picture else "")
    )


def _inline(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
