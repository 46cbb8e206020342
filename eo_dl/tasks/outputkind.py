"""`OutputKind`: the form of a task's predictions, and all that follows from the form alone.

Code outside `tasks/` depends on the output kind of a task, never on the task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from ..core.chipgrid import ChipGrid, SquareGrid
from .codecs import ChipCodec, CodecT, ObjectCodec, RasterCodec, ValueCodec


@dataclass(frozen=True)
class OutputKind(Generic[CodecT]):
    """A form of predictions. Typed by its codec, so that `codec_for(RASTER, ...)` is a `RasterCodec`."""

    name: str
    """Name in files and JSON."""
    gives: str
    """What a model gives, for messages: "class maps"."""
    default_suffix: str
    """Suffix of an output whose name is not chosen by the user."""
    writes_rasters: bool
    """True where predictions can be written as rasters."""
    writes_vectors: bool
    """True where predictions can be written as vectors."""
    has_probabilities: bool
    """True where classes have probabilities that can be written as a raster."""
    blends: bool
    """True where what overlapping chips say of a pixel can be averaged."""
    bfloat16: bool
    """True where bfloat16 is precise enough to predict with."""
    chip_grid: type[ChipGrid]
    """How a scene is divided into chips."""
    class_folders: bool
    """True where the images of each class may lie in a folder of their own below the folder that is given."""
    hides_unannotated: bool
    """True where pixels outside the annotated area are hidden in training, because unlabelled objects would
    be learned as background."""
    step_cost: int
    """Memory and time of a training step per pixel, relative to class maps."""


RASTER: OutputKind[RasterCodec] = OutputKind(
    name="raster",
    gives="class maps",
    default_suffix=".tif",
    writes_rasters=True,
    writes_vectors=True,
    has_probabilities=True,
    blends=True,
    bfloat16=True,
    chip_grid=ChipGrid,
    class_folders=False,
    hides_unannotated=False,
    step_cost=1,
)
"""A class for every pixel."""
OBJECTS: OutputKind[ObjectCodec] = OutputKind(
    name="objects",
    gives="objects",
    default_suffix=".gpkg",
    writes_rasters=False,
    writes_vectors=True,
    has_probabilities=False,
    blends=False,
    bfloat16=False,  # box coordinates need more than its 8 bits
    chip_grid=ChipGrid,
    class_folders=False,
    hides_unannotated=True,
    step_cost=2,
)
"""Objects with a box or an outline, a class and a score."""
CHIPS: OutputKind[ChipCodec] = OutputKind(
    name="chips",
    gives="classes of whole chips",
    default_suffix=".gpkg",
    writes_rasters=True,
    writes_vectors=True,
    has_probabilities=True,
    blends=False,
    bfloat16=False,
    chip_grid=SquareGrid,
    class_folders=True,
    hides_unannotated=False,
    step_cost=1,
)
"""Class probabilities of whole chips."""
VALUES: OutputKind[ValueCodec] = OutputKind(
    name="values",
    gives="maps of values",
    default_suffix=".tif",
    writes_rasters=True,
    writes_vectors=False,
    has_probabilities=False,
    blends=True,
    bfloat16=False,  # its 8 bits would show as steps in a map of heights
    chip_grid=ChipGrid,
    class_folders=False,
    hides_unannotated=False,
    step_cost=1,
)
"""Numbers with a unit for every pixel."""
