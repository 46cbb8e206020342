"""`ChipRecord`: one chip of a chip set: which pixels, which split, and what is in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from ..core.gridwindow import GridWindow
from ..core.window import Window

IMAGES = "images"
"""The folder of written chips."""

SplitName = Literal["train", "val", "test", "none"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)


@dataclass(frozen=True)
class ChipRecord:
    """One chip of a chip set."""

    chip_id: str
    """Its name, unique in the chip set."""

    scene_index: int
    """Index of its scene in `ChipSet.scenes`."""

    window: GridWindow
    """Its pixels on the working grid of the scene; always `chip_px` square, so it extends beyond a smaller
    scene."""

    split: SplitName = "none"
    """Its split; "none": in no split, because it lies in the guard between two."""

    fold: int | None = None
    """Its fold, where the set was tiled with folds."""

    keep: bool = True
    """False: left out by choice."""

    valid_share: float = 1.0
    """Share of its pixels that was measured."""

    class_shares: dict[int, float] = field(default_factory=dict)
    """For each class id its share of all pixels of the chip; ignored and invalid pixels belong to no
    class.
    """

    object_counts: dict[int, int] = field(default_factory=dict)
    """For each class id the objects whose box centre lies in the chip, so that a grid counts each once."""

    block: str = ""
    """Name of the block of ground that went to one split as a whole."""

    file: str | None = None
    """File of its pixels, relative to the chip set; None: they are read from the scene."""

    @property
    def empty(self) -> bool:
        """True if nothing but background is labelled, or nothing at all."""
        foreground = any(share > 0 for class_id, share in self.class_shares.items() if class_id)
        return not foreground and not any(self.object_counts.values())

    @property
    def counted_split(self) -> SplitName:
        """Its split, "none" if it is left out."""
        return self.split if self.keep else "none"


def scene_labels(stems: Sequence[str]) -> tuple[str, ...]:
    """A name for each scene that is safe in file names and unique.

    Args:
        stems: File names of the scenes without suffix. Where stems repeat, the number of the scene is
            appended.
    """
    safe = [re.sub(r"[^0-9A-Za-z_-]+", "_", stem)[:48].strip("_") or "scene" for stem in stems]
    lowered = [name.lower() for name in safe]  # file systems may not tell cases apart
    return tuple(
        name if lowered.count(name.lower()) == 1 else f"{name}_s{number:03d}"
        for number, name in enumerate(safe)
    )


def chip_file(name: str) -> str:
    """The file of a written chip with this id, relative to the chip set."""
    return f"{IMAGES}/{name}.tif"


def chip_id(scene_label: str, window: Window) -> str:
    """The name of a chip: its scene, row and column."""
    return f"{scene_label}_r{window.row:05d}_c{window.col:05d}"
