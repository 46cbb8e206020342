from __future__ import annotations

import gc
import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from eo_dl.core.window import Window
from eo_dl.io.openscenes import OpenScenes
from eo_dl.io.reader import SceneReader
from eo_dl.io.scene import Scene, open_scene

ALL = Window(0, 0, 16, 16)


@pytest.fixture
def scenes(tmp_path: Path) -> list[Scene]:
    for number in range(5):
        with rasterio.open(
            tmp_path / f"{number}.tif",
            "w",
            driver="GTiff",
            count=1,
            height=16,
            width=16,
            dtype="uint8",
            crs="EPSG:32633",
            transform=Affine(1, 0, 400_000, 0, -1, 5_400_000),
        ) as out:
            out.write(np.full((1, 16, 16), number + 1, np.uint8))
    return [open_scene(tmp_path / f"{number}.tif") for number in range(5)]


def _value(reader: SceneReader) -> int:
    return int(reader.read(ALL).pixels[0, 0, 0])


def test_the_least_recently_used_scene_is_closed(scenes: list[Scene]) -> None:
    with OpenScenes(most=2) as opened:
        first, second = opened.reader(scenes[0]), opened.reader(scenes[1])
        assert opened.reader(scenes[0]) is first
        assert [_value(opened.reader(scene)) for scene in (scenes[2], scenes[0])] == [3, 1]
        assert opened.reader(scenes[0]) is first
        with pytest.raises(ValueError, match="closed"):
            second.read(ALL)
    with pytest.raises(ValueError, match="closed"):
        first.read(ALL)


def test_each_thread_has_its_own_readers_and_takes_them_along_when_it_ends(scenes: list[Scene]) -> None:
    with OpenScenes() as opened:
        mine = opened.reader(scenes[0])
        theirs: list[int] = []
        thread = threading.Thread(target=lambda: theirs.append(id(opened.reader(scenes[0]))))
        thread.start()
        thread.join()
        assert theirs != [id(mine)]
        gc.collect()
        assert len(opened._threads) == 1
        assert _value(mine) == 1


def test_a_cache_sent_to_another_process_opens_its_own_handles(scenes: list[Scene]) -> None:
    with OpenScenes(most=3) as opened:
        reader = opened.reader(scenes[0])
        copy = pickle.loads(pickle.dumps(opened))
        assert copy.reader(scenes[0]) is not reader and copy._most == 3
        copy.close()
        assert _value(reader) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings(
    "ignore:This process:DeprecationWarning"
)  # Python 3.12 warns of forks with threads
def test_a_forked_process_opens_its_own_handles_and_leaves_its_parents_alone(scenes: list[Scene]) -> None:
    with OpenScenes() as opened:
        reader = opened.reader(scenes[0])
        child = os.fork()
        if child == 0:
            fresh = opened.reader(scenes[0])
            right = fresh is not reader and _value(fresh) == 1
            opened.close()
            os._exit(0 if right else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert _value(reader) == 1
