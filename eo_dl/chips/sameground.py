"""Which scenes may show the same ground: with a CRS the coordinates tell, without one only the name does, and
folders may hold images of one name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.imagenames import stem_of
from ..core.pixelgrid import PixelGrid
from ..errors import InputError
from ..io.discover import own_path
from ..io.scene import Scene


def on_ground_of(path: str, grid: PixelGrid, scenes: Sequence[Scene], whose: str) -> list[int]:
    """Places of the `scenes` that may share ground with the image at `path`, whose grid is `grid`.

    With a CRS all that have one; without one those called so (full name, else stem), and of several the one
    that lies at `path`. `whose`: who holds the scenes, for the message. Raises `InputError` where several are
    called so and none of them lies there.
    """
    if grid.crs is not None:
        return [place for place, scene in enumerate(scenes) if scene.grid.crs is not None]
    name = Path(path).name
    plain = [place for place, scene in enumerate(scenes) if scene.grid.crs is None]
    found = [place for place in plain if scenes[place].name == name] or [
        place for place in plain if scenes[place].stem == stem_of(name)
    ]
    there = [place for place in found if own_path(scenes[place].path) == own_path(path)]
    if len(found) < 2 or there:
        return there[:1] or found
    known = " and ".join(scenes[place].path for place in found[:2])
    raise InputError(
        f"{whose}: {len(found)} of its images are called {name}, such as {known}, and {path} is none of them; name that one (evaluate: --scene)"
    )
