"""A scene that changes while it is predicted gives no map: it would mix the old and the new."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from eo_dl.errors import SceneChangedError, SceneError
from eo_dl.inference.predict import predict
from eo_dl.io.scene import open_scene
from eo_dl.networks.compute import Compute
from tests.making import write_raster

PIXELS = np.random.default_rng(1).integers(0, 6, (96, 40)).astype(np.uint8)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def touch(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def move_another_there(path: Path) -> None:
    """With the same size and time."""
    other = path.with_name("other")
    shutil.copy2(path, other)
    other.replace(path)


def rewrite_the_header(path: Path) -> None:
    """With the same size and time."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES = [
    (append, "bytes became"),
    (touch, "was written to"),
    (move_another_there, "another file has its name"),
    (rewrite_the_header, "was written to"),
]


@pytest.mark.parametrize(("change", "told"), CHANGES, ids=lambda value: getattr(value, "__name__", None))
@pytest.mark.parametrize("name", ["map.tif", "map.gpkg", "maps/"])
def test_changed_scene_gives_no_map_and_keeps_no_rows(
    tmp_path: Path,
    make_bundle: Callable,
    write_scene: Callable,
    use_engine: Callable,
    engines: dict,
    change: Callable[[Path], None],
    told: str,
    name: str,
) -> None:
    bundle = make_bundle()
    use_engine(engines["echo"], bundle)
    path = write_scene(tmp_path / "scene.tif", PIXELS, block_px=16)
    sources = [path, write_scene(tmp_path / "b.tif", PIXELS)] if name == "maps/" else path
    changed: list[bool] = []

    def on_progress(done: int, total: int, what: str) -> None:
        if done and not changed:
            changed.append(True)
            change(path)

    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(SceneChangedError, match=rf"scene\.tif: changed while .*{told}.*not kept; run"):
        predict(
            bundle,
            sources,
            out=f"{tmp_path}/{name}",
            compute=Compute(batch_size=2),
            on_progress=on_progress,
        )
    assert {path.name for path in tmp_path.iterdir()} - before <= {"maps"}
    assert not list(tmp_path.glob("maps/scene*"))


def test_source_of_a_vrt_is_watched_and_a_lost_file_is_named(tmp_path: Path) -> None:
    write_raster(tmp_path / "a.tif", PIXELS)
    (tmp_path / "all.vrt").write_text(
        '<VRTDataset rasterXSize="40" rasterYSize="96"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">a.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
        "</VRTRasterBand></VRTDataset>"
    )
    scene = open_scene(tmp_path / "all.vrt")
    scene.refuse_if_changed()
    touch(tmp_path / "a.tif")
    with pytest.raises(SceneChangedError, match=r"a\.tif: changed"):
        scene.refuse_if_changed()
    (tmp_path / "a.tif").unlink()
    with pytest.raises(SceneError, match=r"a\.tif: cannot be read any more"):
        scene.refuse_if_changed()
