"""Wide scenes: super-blocks are decoded once, and outputs have the bytes that whole rows in memory give."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.bundle import Bundle
from eo_dl.core.arraytypes import AnyArray, BoolArray
from eo_dl.core.chipgrid import ChipGrid
from eo_dl.core.classes import ClassSet
from eo_dl.core.window import Window
from eo_dl.errors import Cancelled, WriteError
from eo_dl.inference.batches import cell_groups, group_window
from eo_dl.inference.chipoptions import ChipOptions
from eo_dl.inference.mapextras import MapExtras
from eo_dl.inference.predict import predict
from eo_dl.inference.shards import assemble_shards, predict_shard
from eo_dl.inference.superblocks import PixelLayout, SuperBlockReader, SuperBlocks
from eo_dl.networks.compute import Compute

Make = Callable[..., Bundle]
Write = Callable[..., Path]

PROBABILITIES = MapExtras(probabilities=True)


class Counting:
    """Pixels that say where they are, and a count of how often each was read."""

    def __init__(self, height: int, width: int) -> None:
        self.pixels = np.arange(height * width, dtype=np.uint32).reshape(1, height, width)
        self.times = np.zeros((height, width), np.int64)
        self.lock = threading.Lock()

    def read_rows(self, row0: int, row1: int) -> tuple[AnyArray, BoolArray]:
        raise AssertionError("wide scenes are not read by rows")

    def read_window(self, window: Window) -> tuple[AnyArray, BoolArray]:
        with self.lock:
            self.times[window.slices] += 1
        pixels = self.pixels[(slice(None), *window.slices)]
        return pixels, pixels[0] % 3 > 0

    def close(self) -> None:
        pass


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(2, 24),
    st.integers(0, 9),
    st.integers(0, 5),
)
def test_each_super_block_is_decoded_once_and_handed_out_to_every_group(
    height: int, width: int, rows: int, cols: int, size: int, margin: int, first_row: int
) -> None:
    grid = ChipGrid(height, width, size, min(margin, (size - 1) // 2))
    first_row = min(first_row, grid.shape[0] - 1)
    source = Counting(height, width)
    layout = PixelLayout(height, width, 1, np.dtype(np.uint32), 1, 1)
    with SuperBlockReader(
        lambda: source,
        SuperBlocks(layout, rows, cols),
        chip_px=size,
        first_row=max(grid.row_starts[first_row], 0),
        folder=Path.cwd(),
    ) as reader:
        for grid_row in range(first_row, grid.shape[0]):
            for group in cell_groups(grid, grid_row, 3):
                window = group_window(grid, group)
                seen = np.zeros((height, width), np.int64)
                for strip in reader.part(window):
                    rows_and_cols = strip.window.slices
                    seen[rows_and_cols] += 1
                    assert np.array_equal(strip.pixels[0], source.pixels[(0, *rows_and_cols)])
                    assert np.array_equal(strip.valid, source.pixels[(0, *rows_and_cols)] % 3 > 0)
                assert (seen[window.slices] == 1).all() and seen.max() == 1
    first_px = max(grid.row_starts[first_row], 0) // rows * rows
    assert (source.times[:first_px] == 0).all() and (source.times[first_px:] == 1).all()


@given(
    st.integers(1, 40_000),
    st.integers(1, 200_000),
    st.integers(1, 300),
    st.sampled_from(["uint8", "uint16", "float32"]),
    st.integers(1, 3000),
    st.integers(1, 3000),
)
def test_super_blocks_are_whole_blocks_of_bounded_size(
    height: int, width: int, bands: int, dtype: str, block_rows: int, block_cols: int
) -> None:
    block_rows, block_cols = min(block_rows, height), min(block_cols, width)
    blocks = SuperBlocks.of(PixelLayout(height, width, bands, np.dtype(dtype), block_rows, block_cols))
    assert blocks.rows % block_rows == 0 or blocks.rows == height
    assert blocks.cols % block_cols == 0 or blocks.cols == width
    one_block = block_rows * block_cols * blocks.layout.pixel_bytes
    assert blocks.rows * blocks.cols * blocks.layout.pixel_bytes <= max(8 * 2**20, one_block)


def test_hyperspectral_rows_of_100000_px_are_held_in_pieces_of_a_block() -> None:
    """13 bands of 16 bits: a row of blocks has 1.3 GB."""
    blocks = SuperBlocks.of(PixelLayout(100_000, 100_000, 13, np.dtype("uint16"), 512, 512))
    assert (blocks.rows, blocks.cols) == (512, 512)
    # Eight chips of 512 px with margin 64 are 3200 px wide; twice the rows of one block.
    touched = blocks.touched_by(Window(384, 384, 3200, 512))
    assert len(touched) * 512 * 512 * 27 < 120e6


class Kind(NamedTuple):
    """A kind of output."""

    task: str
    engine: str
    name: str
    options: dict[str, Any]


KINDS = [
    Kind("segmentation", "certainty", "map.tif", {"extras": PROBABILITIES}),
    Kind("segmentation", "certainty", "map.gpkg", {}),
    Kind(
        "segmentation",
        "certainty",
        "map.tif",
        {"extras": PROBABILITIES, "chip_options": ChipOptions(blend="hann")},
    ),
    Kind("segmentation", "certainty", "map.tif", {"chip_options": ChipOptions(views=4)}),
    Kind("detection", "blobs", "objects.gpkg", {}),
]
two = ClassSet.of_names(["c1"], background=True)


def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on every scene is a wide one: super-blocks of a block or two, rows in pieces of two chips."""
    monkeypatch.setattr("eo_dl.inference.engine._HELD_BYTES", 0)
    monkeypatch.setattr("eo_dl.inference.superblocks._WANTED_BYTES", 2**11)
    monkeypatch.setattr("eo_dl.inference.runplan._PIECE_PX", 60)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    ("kind", "gsd_m"),
    [*((kind, 1.0) for kind in KINDS), (KINDS[0], 0.7), (KINDS[-1], 0.7)],
    ids=lambda value: getattr(value, "name", value),
)
def test_outputs_are_those_of_whole_rows_also_by_shards_and_after_a_stop(
    kind: Kind,
    gsd_m: float,
    tmp_path: Path,
    make_bundle: Make,
    write_scene: Write,
    use_engine: Callable[..., object],
    engines: dict[str, type],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = make_bundle(kind.task, classes=two, gsd_m=1.0)
    use_engine(engines[kind.engine], bundle)
    values = np.random.default_rng(5).random((35, 52)).astype(np.float32)
    if kind.task == "detection":
        values = (values > 0.7).astype(np.float32)
    pixels = np.kron(values, np.ones((4, 4), np.float32))
    pixels[40:60, 20:90] = np.nan
    scene = write_scene(tmp_path / "scene.tif", pixels, block_px=16, gsd_m=gsd_m)
    folders = {name: tmp_path / name for name in ("rows", "blocks", "shards", "again")}
    outs = {}
    for name, folder in folders.items():
        folder.mkdir()
        outs[name] = folder / kind.name
    compute = Compute(batch_size=2)
    predict(bundle, scene, out=outs["rows"], compute=compute, **kind.options)
    wide(monkeypatch)
    predict(bundle, scene, out=outs["blocks"], compute=compute, **kind.options)
    for number in (2, 1):
        predict_shard(bundle, scene, shard=f"{number}/2", out=outs["shards"], compute=compute, **kind.options)
    assemble_shards(bundle, scene, out=outs["shards"], compute=compute, **kind.options)

    def stop(done: int, total: int, what: str) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(Cancelled):
        predict(bundle, scene, out=outs["again"], compute=compute, on_progress=stop, **kind.options)
    assert predict(bundle, scene, out=outs["again"], compute=compute, **kind.options).kept > 0
    expected = files(folders["rows"])
    for name, folder in folders.items():
        assert files(folder) == expected, name


def test_a_folder_without_space_is_one_line_before_any_work(
    tmp_path: Path,
    make_bundle: Make,
    write_scene: Write,
    use_engine: Callable[..., object],
    engines: dict[str, type],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = make_bundle()
    use_engine(engines["echo"], bundle)
    scene = write_scene(tmp_path / "scene.tif", np.ones((90, 210), np.uint8), block_px=16)
    wide(monkeypatch)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    usage = shutil.disk_usage(tmp_path)
    places: Counter[str] = Counter()

    def full(path: Path) -> Any:
        places[str(path)] += 1
        return usage._replace(free=100) if path == tmp_path else usage

    out = tmp_path / "maps" / "map.tif"
    out.parent.mkdir()
    monkeypatch.setattr("eo_dl.inference.superblocks.shutil.disk_usage", full)
    with pytest.raises(WriteError, match=r"temporary space there.*TMPDIR"):
        predict(bundle, scene, out=out)
    assert places[str(tmp_path)] == 1 and not list(out.parent.iterdir())
