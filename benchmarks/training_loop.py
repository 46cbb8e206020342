"""What a training costs besides its steps: start, reading, the loop, the end of an epoch. All in one run.

    python benchmarks/training_loop.py [--steps N] [--rounds N]     writes benchmarks/training_loop.md
    python benchmarks/training_loop.py --small                      two steps, one round; prints only

The network: U-Net ResNet-18, chips of 256 px with 4 bands uint16 from the scene of `benchmarks/tiling.py`,
batches of 4, augmented as by default, on one thread of a CPU (set OMP_NUM_THREADS=1).

- Loop: from the end of one step to the end of the next, beside a bare step (forward, loss, backward,
  clipping, optimizer) of an equal network on a batch that is there. A bare step is taken after every step of
  the loop, so both see the same machine; with the reading thread and without it.
- End of an epoch: the last step, validation, best weights and checkpoint, without the bare step, beside the
  network's forward pass over the same chips.
- Start: from the start of the process to the first step, in processor seconds of a process of its own, beside
  a process that only imports torch and makes an optimizer, as every training with torch does.

Steps are timed twice: by the clock, and in processor seconds of the main thread, in which the network
computes. The clock also counts other work on the machine. The main thread's own seconds do not; nor do they
count the reading thread, which has a core of its own where the machine is quiet.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from tiling import CACHE, make_scene

from eo_dl.chips.chipset import ChipSet, open_chip_set
from eo_dl.chips.dataset import Batch
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.errors import Cancelled, ChipSetError
from eo_dl.networks.compute import Compute
from eo_dl.training.loop.plainsteps import PlainSteps
from eo_dl.training.setup import loading
from eo_dl.training.setup.runsetup import prepare_run
from eo_dl.training.train import train
from eo_dl.training.trainconfig import TrainConfig, resolve_config

RESULT = Path(__file__).parent / "training_loop.md"
CHIP_PX, BATCH, SCENE_PX, VAL = 256, 4, 4096, 12

FLOOR = """
import time, torch
torch.optim.AdamW(torch.nn.Linear(1, 1).parameters())
print("first step", time.process_time())
"""
START = """
import sys, time
from eo_dl import train
from eo_dl.errors import Cancelled

def on_progress(done, total, what):
    print("first step", time.process_time())
    raise Cancelled("measured")

options = {"task_options.network": "unet", "task_options.backbone": "resnet18", "batch_size": 4}
try:
    train(sys.argv[1], "segmentation", out=sys.argv[2], config=options, on_progress=on_progress)
except Cancelled:
    pass
"""


@dataclass(frozen=True)
class Moment:
    """Seconds since some start, or between two moments."""

    clock_s: float
    thread_s: float
    """Processor seconds of the main thread."""

    def __sub__(self, other: Moment) -> Moment:
        return Moment(self.clock_s - other.clock_s, self.thread_s - other.thread_s)


def now() -> Moment:
    """This moment."""
    return Moment(time.perf_counter(), time.thread_time())


@dataclass
class Loop:
    """Times each step of a training, and takes a bare step after it."""

    bare: PlainSteps
    batch: Batch
    loop: list[Moment] = field(default_factory=list)
    alone: list[Moment] = field(default_factory=list)
    _end: Moment | None = None

    def on_progress(self, done: int, total: int, what: str) -> None:
        """Called between two steps."""
        if self._end is not None:
            self.loop.append(now() - self._end)
        start = now()
        self.bare.step(self.batch, 1e-3)
        self._end = now()
        self.alone.append(self._end - start)

    @property
    def clock_ratio(self) -> float:
        """Step of the loop / bare step by the clock, the median over the pairs; the first two steps pay for
        starting up, and the last one is that with the validation.
        """
        pairs = zip(self.loop[2:-1], self.alone[3:], strict=False)
        return statistics.median(loop.clock_s / bare.clock_s for loop, bare in pairs)

    @property
    def thread_ratio(self) -> float:
        """The same in seconds of the main thread."""
        pairs = zip(self.loop[2:-1], self.alone[3:], strict=False)
        return statistics.median(loop.thread_s / bare.thread_s for loop, bare in pairs)

    @property
    def epoch_end_s(self) -> float:
        """Seconds of the main thread after the last step of the epoch."""
        step_s = statistics.median(bare.thread_s for bare in self.alone[3:])
        return self.loop[-1].thread_s - step_s


def chip_set() -> ChipSet:
    """The chips, made once."""
    folder = CACHE / "training_loop"
    with_splits = Split((0.7, 0.18, 0.12), block_px=512, guard_px=0)
    try:
        return open_chip_set(folder)
    except ChipSetError:
        scene, labels = make_scene(SCENE_PX)
        return tile(scene, labels, out=folder, size_px=CHIP_PX, overwrite=True, split=with_splits)


def cut(chips: ChipSet, steps: int) -> ChipSet:
    """As many chips as the steps need."""
    train_chips, val_chips = chips.split("train")[: steps * BATCH], chips.split("val")[:VAL]
    return replace(chips, records=(*train_chips, *val_chips))


def configuration() -> TrainConfig:
    """One epoch without baselines."""
    options = {
        "task_options.network": "unet",
        "task_options.backbone": "resnet18",
        "epochs": 1,
        "min_steps": 1,
        "baselines": False,
    }
    compute = Compute(batch_size=BATCH, workers=0, device="cpu")
    return resolve_config(None, task="segmentation", overrides=options, compute=compute)


@contextmanager
def reading_ahead(batches: int) -> Iterator[None]:
    """The thread reads so many batches ahead; 0: there is no thread."""
    before = loading._AHEAD
    loading._AHEAD = batches
    try:
        yield
    finally:
        loading._AHEAD = before


def run_loop(chips: ChipSet, ahead: int) -> Loop:
    """One epoch of a training with a bare step after each of its steps; it stops before the last scores."""
    config = configuration()
    bare = PlainSteps(prepare_run(chips, config))
    loop = Loop(bare, next(bare.batches()))

    def on_progress(done: int, total: int, what: str) -> None:
        loop.on_progress(done, total, what)
        if done == total:
            raise Cancelled("measured")

    with tempfile.TemporaryDirectory() as folder, reading_ahead(ahead), suppress(Cancelled):
        train(chips, config=config, out=Path(folder) / "m.eodl", on_progress=on_progress)
    return loop


def forward_s(bare: PlainSteps, chips: ChipSet) -> float:
    """The network's forward pass over the validation chips, which are read before."""
    data = bare.setup.data
    ready = list(loading.fixed_batches(data.dataset("val"), BATCH, workers=0))
    bare.network.eval()
    start = now()
    with torch.inference_mode():
        for batch in ready:
            bare.network(batch.images.contiguous(memory_format=torch.channels_last))
    return (now() - start).thread_s


def seconds_to_first_step(program: str, *arguments: str) -> float:
    """Processor seconds of a process of its own."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("first step")]
    return float(lines[0].removeprefix("first step"))


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20, help="steps of each training")
    parser.add_argument("--small", action="store_true", help="a few steps, one round; nothing is recorded")
    options = parser.parse_args()
    rounds, steps = (1, 6) if options.small else (options.rounds, options.steps)
    whole = chip_set()
    chips = cut(whole, steps)
    starts: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            ours = seconds_to_first_step(START, str(whole.path), f"{folder}/m.eodl")
            starts.append((ours, seconds_to_first_step(FLOOR)))
            print(f"start: {ours:.1f} s, torch alone {starts[-1][1]:.1f} s (processor seconds)", flush=True)
    loops: dict[int, list[Loop]] = {0: [], 1: []}
    ends: list[tuple[float, float]] = []
    for _ in range(rounds):
        for ahead, found in loops.items():
            loop = run_loop(chips, ahead)
            found.append(loop)
            print(
                f"reading ahead {ahead}: step of the loop / bare step {loop.clock_ratio:.3f} by the clock, "
                f"{loop.thread_ratio:.3f} in the main thread",
                flush=True,
            )
            if ahead:
                ends.append((loop.epoch_end_s, forward_s(loop.bare, chips)))
                print(f"end of the epoch {ends[-1][0]:.2f} s, forward alone {ends[-1][1]:.2f} s", flush=True)
    if not options.small:
        RESULT.write_text(report(starts, loops, ends, rounds, steps), encoding="utf-8")
        print(f"written: {RESULT}")


def report(
    starts: list[tuple[float, float]],
    loops: dict[int, list[Loop]],
    ends: list[tuple[float, float]],
    rounds: int,
    steps: int,
) -> str:
    """The recorded result."""
    clock = {ahead: _spread([loop.clock_ratio for loop in found]) for ahead, found in loops.items()}
    thread = {ahead: _spread([loop.thread_ratio for loop in found]) for ahead, found in loops.items()}
    start = statistics.median(ours for ours, _ in starts)
    start_ratio = statistics.median(ours / floor for ours, floor in starts)
    floor = statistics.median(alone for _, alone in starts)
    end_ratio = statistics.median(end / forward for end, forward in ends)
    lines = [
        "# Training: what the loop costs",
        "",
        f"Made by `python benchmarks/training_loop.py` ({platform.system()}, Python "
        f"{platform.python_version()}, torch {torch.__version__}, {os.cpu_count()} cores, threads of torch: "
        f"{torch.get_num_threads()}, load {os.getloadavg()[0]:.0f} at the end). U-Net ResNet-18, {BATCH} x "
        f"{CHIP_PX} px, 4 bands uint16, augmented, float32; medians of {rounds} x {steps} steps.",
        "",
        "| what | beside | ratio by the clock | ratio in seconds of the main thread |",
        "|---|---|---|---|",
        f"| step of the loop, the next batch read by a thread | bare step | {clock[1]} | **{thread[1]}** |",
        f"| step of the loop without the thread | bare step | {clock[0]} | {thread[0]} |",
        f"| end of an epoch: validation of {VAL} chips, best weights, checkpoint | forward pass over these "
        f"chips | | {end_ratio:.2f} |",
        "",
        f"Start to the first step: {start:.1f} processor seconds, {start_ratio:.2f} times those of `import "
        f"torch` and an optimizer ({floor:.1f}).",
        "",
        "Both figures of a ratio are measured in turn in one run. On a busy machine only those in seconds of "
        "the main thread mean something. A ratio below 1 shows how large the noise is.",
        "",
    ]
    return "\n".join(lines)


def _spread(ratios: list[float]) -> str:
    """The median, with the smallest and the largest."""
    middle = f"{statistics.median(ratios):.3f}"
    return middle if len(ratios) == 1 else f"{middle} ({min(ratios):.3f} to {max(ratios):.3f})"


if __name__ == "__main__":
    main()
