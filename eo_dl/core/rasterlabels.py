"""`RasterLabels`: label rasters of classes, of class probabilities or of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .classes import IGNORE_ID, ClassSet
from .labelcard import label_card
from .labeloutlines import Outlines, ground_on_grid
from .labelreport import NOTHING_READ, LabelReport
from .pixelgrid import PixelGrid
from .pixellabels import PixelLabels


@dataclass(frozen=True)
class LabelRaster:
    """One label raster: the file, and what its stored values mean."""

    path: str
    """The file."""

    values: Mapping[int | str, int] = field(default_factory=dict)
    """Class id of each stored value (int) or colour ("#rrggbb"); any other value is an error when met."""

    ignore_values: tuple[int | str, ...] = ()
    """Stored values or colours of pixels that are ignored."""

    hidden_id: int = IGNORE_ID
    """Class id of transparent and masked pixels."""

    band_ids: tuple[int, ...] = ()
    """Class id of each band of a raster of probabilities; empty: the raster holds classes."""

    holds_values: bool = False
    """True for a raster of values: its bands are the channels of the label set, in order."""


@dataclass(frozen=True)
class RasterLabels:
    """Label rasters, each for the scene of the same name or place; a `LabelSet`.

    The files are read in `labels.raster`; a value of core knows no files.
    """

    classes: ClassSet
    """The classes, with their ids."""

    rasters: tuple[LabelRaster, ...]
    """The label rasters."""

    source: str
    """The file or folder that the labels come from, for messages."""

    areas: Outlines | None = None
    """Areas drawn around complete labels; None: none were drawn."""

    notes: tuple[str, ...] = ()
    """What was repaired, dropped or guessed, counted."""

    report: LabelReport = NOTHING_READ
    """What became of the objects of the files."""

    def __len__(self) -> int:
        return 0

    def _repr_html_(self) -> str:
        return label_card(self.source, [("label rasters", len(self.rasters))], self.classes, None)

    @property
    def crs(self) -> None:
        """None: each raster has its own grid."""
        return

    @property
    def class_field(self) -> None:
        """None: rasters have no attributes."""
        return

    @property
    def annotated(self) -> Outlines | None:
        """Areas in which labels are complete; None: everywhere on the rasters."""
        return self.areas

    @property
    def states_extent(self) -> bool:
        """True: the rasters state it."""
        return True

    @property
    def soft(self) -> bool:
        """True for rasters of class probabilities."""
        return any(raster.band_ids for raster in self.rasters)

    def class_counts(self) -> dict[str, int]:
        """0 per class name: label rasters have no objects."""
        return dict.fromkeys(self.classes.names, 0)

    def with_notes(self, *notes: str) -> RasterLabels:
        """The same labels with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def covers(self, image_name: str) -> bool:
        """True: which raster belongs to which scene is known once the files are open."""
        return True

    def for_grid(self, grid: PixelGrid, image_name: str, native: PixelGrid | None = None) -> PixelLabels:
        """No features, and the annotated ground of a scene. See `LabelSet.for_grid`."""
        return PixelLabels.none(self.classes, ground_on_grid(self.areas, grid, image_name, native))
