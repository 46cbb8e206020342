"""What cutting a prediction into shards costs: one run against four shards and their assembly.

The network is one 1x1 convolution, so that the figures are those of everything else. Shards run one after the
other in this process: their sum is what all machines together pay. CPU seconds, ways interleaved.

    python benchmarks/shards.py            # 4096 px, 3 rounds
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from measuring import Row, add_common_options, compared, write_rows
from predict import CACHE, OnePixel, StandIn, machine, scene, spec

from eo_dl.inference.backends.torchbackend import TorchBackend
from eo_dl.inference.predict import predict
from eo_dl.inference.rowpieces import rows_folder
from eo_dl.inference.shardcuts import Shard
from eo_dl.inference.shards import assemble_shards, predict_shard

SHARDS = 4


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of a call in all threads."""
    before = time.process_time()
    work()
    return time.process_time() - before


def measure(size: int, rounds: int) -> dict[str, float]:
    """Medians of CPU seconds, and the bytes of the rows per pixel."""
    bundle, path, out = StandIn(CACHE / "least.eodl", spec()), scene(size), CACHE / "map.tif"
    backend = TorchBackend(OnePixel(), torch.device("cpu"), "32")
    seconds: dict[str, list[float]] = {"once": [], "shards": [], "assembly": []}
    stored = 0
    with mock.patch("eo_dl.inference.backends.choice.make_backend", return_value=backend):
        for _ in range(rounds):
            seconds["once"].append(cpu_seconds(lambda: predict(bundle, path, out=out, overwrite=True)))
            whole = out.read_bytes()
            shards = 0.0
            for number in range(1, SHARDS + 1):
                shard = Shard(number, SHARDS)
                shards += cpu_seconds(
                    partial(predict_shard, bundle, path, shard=shard, out=out, overwrite=True)
                )
            seconds["shards"].append(shards)
            stored = sum(piece.stat().st_size for piece in rows_folder(out).glob("row_*"))
            seconds["assembly"].append(
                cpu_seconds(lambda: assemble_shards(bundle, path, out=out, overwrite=True))
            )
            assert out.read_bytes() == whole, "the map differs from that of one run"
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return medians | {"bytes_per_px": stored / size**2, "map_per_px": len(whole) / size**2}


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    add_common_options(parser)
    options = parser.parse_args(argv)
    if options.quick:
        options.size, options.rounds = 2048, 1
    where, figures = machine(), measure(options.size, options.rounds)
    mpx = options.size**2 / 1e6
    rows = [
        compared(
            f"predict in {SHARDS} shards and assemble, {options.size} px, 1x1 network",
            figures["shards"] + figures["assembly"],
            "CPU s",
            "predict in one run",
            figures["once"],
        )
    ]
    write_rows(rows, options)
    lines = [
        "# shards: recorded result",
        "",
        f"Made by `python benchmarks/shards.py` on {datetime.date.today()}.",
        f"Machine: {where}.",
        "",
        "| what | CPU s | CPU s/Mpx |",
        "|---|---|---|",
    ]
    names = {"once": "one run", "shards": f"{SHARDS} shards, sum", "assembly": "assembly"}
    for key, name in names.items():
        lines.append(f"| {name} | {figures[key]:.2f} | {figures[key] / mpx:.4f} |")
    lines += [
        "",
        f"Size {options.size} px, 1x1 network. Rows of chips on disk: {figures['bytes_per_px']:.3f} bytes "
        f"per pixel; the map: {figures['map_per_px']:.3f}. The bytes of the map are those of one run.",
    ]
    print("\n".join(lines))
    if not options.quick:
        Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return rows


if __name__ == "__main__":
    main()
