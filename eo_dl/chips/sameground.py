"""Which scenes may show the same ground: by coordinates if they have a CRS, otherwise by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.imagenames import stem_of
from ..core.pixelgrid import PixelGrid
from ..errors import InputError
from ..io.scene import Scene
from ..io.sceneaddress import own_address


def on_ground_of(path: str, grid: PixelGrid, scenes: Sequence[Scene], owner: str) -> list[int]:
    """Indices of the scenes that may share ground with an image.

    With a CRS, all that have one. Without, those of the same file name, else of the same stem; if folders
    hold several, the one at the same path.

    Args:
        path: Path of the image.
        grid: Its grid.
        scenes: The scenes to choose from.
        owner: What holds the scenes, for messages.

    Raises:
        InputError: Several scenes have the name, and none of them is at that path.
    """
    if grid.crs is not None:
        return [index for index, scene in enumerate(scenes) if scene.grid.crs is not None]
    name = Path(path).name
    plain = [index for index, scene in enumerate(scenes) if scene.grid.crs is None]
    namesakes = [index for index in plain if scenes[index].name == name]
    if not namesakes:
        namesakes = [index for index in plain if scenes[index].stem == stem_of(name)]
    if len(namesakes) < 2:
        return namesakes
    same_path = [index for index in namesakes if own_address(scenes[index].path) == own_address(path)]
    if same_path:
        return same_path[:1]
    examples = " and ".join(scenes[index].path for index in namesakes[:2])
    raise InputError(
        f"{owner}: {len(namesakes)} of its images are called {name}, for example {examples}, and {path} is "
        "none of them; name the image with `scene`"
    )
