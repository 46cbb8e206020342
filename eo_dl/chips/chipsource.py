"""`ChipSource`: the stored pixels of chips, from the files of a chip set or else from its scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from ..core.arrays import Chip
from ..io.openscenes import MOST_OPEN, OpenScenes
from ..io.scene import Scene
from .chiprecord import ChipRecord
from .writing import written_chip


class ChipSource:
    """Reads chips: the written file where there is one, else the window of the open scene.

    Both give the same chip. May be shared between threads, sent to another process and taken over a fork
    (see `OpenScenes`). A context manager: leaving it closes what is open.

    Args:
        folder: The folder of the chip set, in which written chips lie.
        scenes: The scenes of the chip set, in its order.
        most_open: Scenes that each thread keeps open.
    """

    def __init__(self, folder: Path, scenes: Sequence[Scene], most_open: int = MOST_OPEN) -> None:
        self._folder = folder
        self._scenes = tuple(scenes)
        self._open = OpenScenes(most_open)

    def read(self, record: ChipRecord) -> Chip:
        """The pixels of a chip as stored, on the chip set's grid.

        Raises:
            SceneError: The file of the scene or of the chip is missing, damaged or no longer the same.
        """
        scene = self._scenes[record.scene_index]
        if record.file is not None:
            return written_chip(self._folder, record.file, record.window, scene)
        return self._open.reader(scene).read(record.window)

    def close(self) -> None:
        """Close what is open, for all threads."""
        self._open.close()

    def __enter__(self) -> ChipSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
