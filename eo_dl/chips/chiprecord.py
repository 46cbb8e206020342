"""`ChipRecord`: one chip of a chip set: which pixels, which split, and what is in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from ..core.gridwindow import GridWindow
from ..core.window import Window

SplitName = Literal["train", "val", "test", "none"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)


@dataclass(frozen=True)
class ChipRecord:
    """One chip.

    `window` lies in the working grid of the scene `scene_index` and is always `chip_px` square (it sticks out
    of a smaller scene). `split` "none": in no split, because it lies in the guard between two. `keep` False:
    left out by choice. `valid_share`: measured pixels among all. `class_shares`: pixels of each class id
    among all pixels of the chip (ignored and invalid pixels belong to no class). `object_counts`: per class
    id, objects whose box centre lies in the chip, so that in a grid each is counted once. `block`: the ground
    that went to one split as a whole. `file`: written pixels, relative to the chip set.
    """

    chip_id: str
    scene_index: int
    window: GridWindow
    split: SplitName = "none"
    fold: int | None = None
    keep: bool = True
    valid_share: float = 1.0
    class_shares: dict[int, float] = field(default_factory=dict)
    object_counts: dict[int, int] = field(default_factory=dict)
    block: str = ""
    file: str | None = None

    @property
    def empty(self) -> bool:
        """True where nothing but background (or nothing at all) is labelled."""
        return not any(share > 0 for class_id, share in self.class_shares.items() if class_id) and not any(
            self.object_counts.values()
        )


def scene_labels(stems: Sequence[str]) -> tuple[str, ...]:
    """A name for each scene that is safe in file names and unique: its stem, with its number where stems
    repeat.
    """
    safe = [re.sub(r"[^0-9A-Za-z_-]+", "_", stem)[:48].strip("_") or "scene" for stem in stems]
    lowered = [name.lower() for name in safe]
    return tuple(
        name if lowered.count(name.lower()) == 1 else f"{name}_s{number:03d}"
        for number, name in enumerate(safe)
    )


def chip_id(scene_label: str, window: Window) -> str:
    """What a chip is called: its scene, row and column."""
    return f"{scene_label}_r{window.row:05d}_c{window.col:05d}"
