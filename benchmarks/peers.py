"""The same work done by peers: chips of a scene by torchgeo and geoai, a map by GeoDeep.

    python benchmarks/peers.py [--quick] [--python PYTHON]      prints only; `all.py` records

Each runs in a process of its own, from the command to its end, in turn with eo_dl; imports count for all.
Peers run in this environment, or else in that of `--python`. One that is installed in neither is skipped, and
its row says so. GeoDeep (0.9) hands three bands to the network; that of `start_up.py` takes four, so its row
tells a failure until there is a model of three bands.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from measuring import Row, add_common_options, compared, write_rows
from start_up import model_and_scene, seconds_of

CACHE = Path(__file__).parent / "cache"
CHIP_PX = 256
TILED_PX, PREDICTED_PX, QUICK_PX = 4096, 4096, 1024


def tile_torchgeo(scene: str, labels: str, out: str) -> None:
    """Chips by GridGeoSampler, written as GeoTIFFs with their masks."""
    import numpy as np
    import rasterio
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, VectorDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler, Units

    class Labels(VectorDataset):
        """The polygons."""

        filename_glob = Path(labels).name

    class Pixels(RasterDataset):
        """The scene."""

        filename_glob = Path(scene).name

    pixels = Pixels(str(Path(scene).parent))
    dataset = pixels & Labels(str(Path(labels).parent), crs=pixels.crs, res=pixels.res)
    sampler = GridGeoSampler(dataset, size=CHIP_PX, stride=CHIP_PX, units=Units.PIXELS)
    loader = DataLoader(dataset, sampler=sampler, batch_size=1, collate_fn=stack_samples)
    compress = {"driver": "GTiff", "height": CHIP_PX, "width": CHIP_PX, "compress": "zstd", "zstd_level": 1}
    for number, sample in enumerate(loader):
        for name, dtype in (("image", np.uint16), ("mask", np.uint8)):
            values = sample[name].numpy().reshape(-1, *sample[name].shape[-2:]).astype(dtype)
            path = f"{out}/{name}_{number}.tif"
            with rasterio.open(path, "w", count=len(values), dtype=dtype, **compress) as target:
                target.write(values)


def tile_geoai(scene: str, labels: str, out: str) -> None:
    """Chips by geoai's own function."""
    import geoai

    geoai.export_geotiff_tiles(
        in_raster=scene, out_folder=out, in_class_data=labels, tile_size=CHIP_PX, stride=CHIP_PX
    )


def predict_geodeep(scene: str, model: str, out: str) -> None:
    """A class map by GeoDeep, with the file that `eo-dl model export --for deepness` wrote."""
    from geodeep import segment
    from geodeep.segmentation import save_mask_to_raster

    save_mask_to_raster(scene, segment(scene, model), f"{out}/map.tif")


WORK = {"tile": f"tile, {TILED_PX} px to written chips", "predict": "predict, U-Net ResNet-18"}
PEERS: dict[str, tuple[str, str, Callable[[str, str, str], None]]] = {
    "torchgeo": ("torchgeo", "tile", tile_torchgeo),
    "geoai": ("geoai", "tile", tile_geoai),
    "GeoDeep": ("geodeep", "predict", predict_geodeep),
}
"""By name: the package, what it does, and how."""


def interpreter_with(package: str, other: str) -> str | None:
    """This interpreter or the other one, whichever has the package; None: neither has."""
    program = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    for python in (sys.executable, other):
        if subprocess.run([python, "-c", program], check=False).returncode == 0:
            return python
    return None


def our_command(work: str, scene: Path, second: Path, out: str) -> list[str]:
    """The same by eo_dl."""
    command = [sys.executable, "-m", "eo_dl_cli"]
    if work == "tile":
        chips = ["--size", str(CHIP_PX), "--write-chips", "-o", f"{out}/chips"]
        return [*command, "tile", str(scene), "--labels", str(second), *chips]
    return [*command, "predict", str(second), str(scene), "-o", f"{out}/map.tif"]


def measure(
    name: str, scene: Path, second_of: dict[str, tuple[Path, Path]], options: argparse.Namespace
) -> Row:
    """One peer beside eo_dl, in turn; medians of the rounds."""
    package, work, _ = PEERS[name]
    ours_second, peer_second = second_of[work]
    python = interpreter_with(package, options.python)
    what = f"{WORK[work]}, whole command"
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(1 if options.quick else options.rounds):
        with tempfile.TemporaryDirectory() as out:
            ours.append(seconds_of(our_command(work, scene, ours_second, out))[1])
        if python is None:
            break
        with tempfile.TemporaryDirectory() as out:
            child = [
                python,
                __file__,
                "--child",
                json.dumps([name, str(scene), str(peer_second), out]),
            ]
            try:
                theirs.append(seconds_of(child)[1])
            except subprocess.CalledProcessError as error:
                reason = (error.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
                return Row(what, ours[0], "CPU s", f"{name}: failed ({reason[:100]})")
    if not theirs:
        return Row(what, ours[0], "CPU s", f"{name}: not installed")
    return compared(what, statistics.median(ours), "CPU s", name, statistics.median(theirs), headline=True)


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter of an environment with the peers"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    add_common_options(parser)
    options = parser.parse_args(argv)
    if options.child:
        name, scene, second, out = options.child
        PEERS[name][2](scene, second, out)
        return []
    from tiling import make_scene

    tiled, labels = make_scene(TILED_PX)
    model, _ = model_and_scene()
    graph = CACHE / "unet_deepness.onnx"
    export = ["model", "export", str(model), "-o", str(graph), "--for", "deepness", "--overwrite"]
    subprocess.run([sys.executable, "-m", "eo_dl_cli", *export], check=True)
    predicted = predict_scene(QUICK_PX if options.quick else PREDICTED_PX)
    second_of = {"tile": (labels, labels), "predict": (model, graph)}
    rows = []
    for name, (_, work, _) in PEERS.items():
        scene = tiled if work == "tile" else predicted
        rows.append(measure(name, scene, second_of, options))
        print(rows[-1], flush=True)
    write_rows(rows, options)
    return rows


def predict_scene(size_px: int) -> Path:
    """The scene of `predict.py`, made by it in a process of its own: it imports torch."""
    path = CACHE / f"scene_{size_px}.tif"
    if not path.exists():
        program = f"import predict; predict.scene({size_px})"
        subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, check=True)
    return path


if __name__ == "__main__":
    main()
