"""Which training recipe is best on all data sets? Paired seeds, the same number of steps, real scenes.

    python benchmarks/recipe.py [--case NAME ...] [--arm NAME ...] [--seeds 3] [--epochs 6]

Every arm is a set of training options. On every data set (the cases of benchmarks/real_data.py) each arm
trains with the same chips, seeds and number of steps; the last weights are scored once on the test blocks,
which no arm saw. What counts is the difference to the first arm with the same seed. CPU seconds of the whole
command are given beside the scores, because an arm that needs twice the time per step must be twice as good.
Results are kept in benchmarks/cache/recipe.json, so that a stopped run continues; benchmarks/recipe.md is
written after every training.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from real_data import CASES, DATA, Case, machine  # beside this file

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "benchmarks" / "cache" / "recipe"
RESULTS = ROOT / "benchmarks" / "cache" / "recipe.json"
REPORT = ROOT / "benchmarks" / "recipe.md"
# 25 steps per epoch, whatever the number of chips; baselines and pictures would only take time.
SAME = ("min_steps=25", "baselines=false", "picture_epochs=null")
RANDOM = ("weights=none",)
# The first arm is what a person gets who decides nothing.
ARMS: dict[str, tuple[str, ...]] = {
    "defaults": (),
    "resnet18, random": ("task_options.backbone=resnet18", *RANDOM),
    "lr 0.002, resnet18, random": ("lr=0.002", "task_options.backbone=resnet18", *RANDOM),
    "resnet10t, random": ("task_options.backbone=resnet10t", *RANDOM),
    "lite0, random": RANDOM,
    "lr 0.0005": ("lr=0.0005",),
    "lr 0.001": ("lr=0.001",),
    "lr 0.002": ("lr=0.002",),
    "lr 0.004": ("lr=0.004",),
    "class weights sqrt_inverse": ("class_weights=sqrt_inverse",),
    "moving average 0.98": ("ema=0.98",),
    "normalization of the weights": ("normalization=weights",),
    "lr 0.002, backbone rate x 0.3": ("lr=0.002", "backbone_lr_scale=0.3"),
    "batch normalization of the backbone fixed": ("freeze_norm=true",),
}


def eo_dl(*arguments: str) -> dict[str, object]:
    """Run a command with `--json`; a failed one ends the benchmark."""
    command = [sys.executable, "-m", "eo_dl_cli", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(arguments)}\n{done.stderr[-2000:]}")
    result: dict[str, object] = json.loads(done.stdout)
    return result


def chips_of(case: Case) -> Path:
    """The chip set of a case, cut once."""
    folder: Path = WORK / case.name / "chips"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        words = [word.format(data=DATA) for word in case.tile.split()]
        labels = [word for path in case.labels for word in ("--labels", path.format(data=DATA))]
        scenes = [path.format(data=DATA) for path in case.scenes]
        eo_dl("tile", *scenes, *labels, "-o", str(folder), *words)
    return folder


def trained(case: Case, arm: str, seed: int, epochs: int) -> dict[str, float]:
    """The primary score on the test blocks, and CPU seconds of the command."""
    settings = (*SAME, *ARMS[arm], f"epochs={epochs}")
    words = [word for setting in settings for word in ("--set", setting)]
    out = WORK / case.name / "model.eodl"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = eo_dl(
        "train",
        str(chips_of(case)),
        "--task",
        case.task,
        "-o",
        str(out),
        "--seed",
        str(seed),
        "--overwrite",
        *words,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"score": test_score(result), "cpu_s": cpu_s}


def test_score(result: dict[str, object]) -> float:
    """The primary score over all classes on the test blocks."""
    primary, scores = result["primary"], result["scores"]
    assert isinstance(scores, dict)
    for score in scores["test"]:
        if score["name"] == primary and score["class_name"] is None:
            return float(score["value"])
    raise SystemExit(f"no {primary} of the test blocks in {scores}")


def report(found: dict[str, dict[str, float]], epochs: int) -> str:
    """The table of all data sets and arms."""
    lines: list[str] = [
        "# Which recipe: backbones, pretrained weights, class weights, rates",
        "",
        *(__doc__ or "").split("\n\n")[2].splitlines(),
        "",
        f"{25 * epochs} steps or more per training (one epoch sees every chip). {machine()}; one thread.",
        "",
        "| data set | arm | test score, mean over seeds | each seed | ahead of the first arm | CPU s |",
        "|---|---|--:|---|---|--:|",
    ]
    for case in CASES:
        lines += _rows(case.name, found)
    return "\n".join(lines) + "\n"


def _rows(case: str, found: dict[str, dict[str, float]]) -> list[str]:
    lines = []
    first = _by_seed(found, case, next(iter(ARMS)))
    for arm in ARMS:
        seeds = _by_seed(found, case, arm)
        if not seeds:
            continue
        mean = statistics.mean(run["score"] for run in seeds.values())
        each = ", ".join(f"{run['score']:.3f}" for run in seeds.values())
        cpu_s = statistics.mean(run["cpu_s"] for run in seeds.values())
        pairs = [run["score"] - first[seed]["score"] for seed, run in seeds.items() if seed in first]
        ahead = ""
        if pairs and arm != next(iter(ARMS)):
            ahead = f"{statistics.mean(pairs):+.3f} ({min(pairs):+.3f} to {max(pairs):+.3f})"
        lines.append(f"| {case} | {arm} | {mean:.3f} | {each} | {ahead} | {cpu_s:.0f} |")
    return lines


def _by_seed(found: dict[str, dict[str, float]], case: str, arm: str) -> dict[int, dict[str, float]]:
    """The runs of an arm on a data set, by seed."""
    start = f"{case}|{arm}|"
    runs = {int(key.removeprefix(start)): run for key, run in found.items() if key.startswith(start)}
    return dict(sorted(runs.items()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is asked for and not known yet, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES])
    parser.add_argument("--arm", action="append", choices=list(ARMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args(arguments)
    WORK.mkdir(parents=True, exist_ok=True)
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    cases = [case for case in CASES if options.case is None or case.name in options.case]
    for seed in range(options.seeds):
        for case in cases:
            for arm in options.arm or ARMS:
                key = f"{case.name}|{arm}|{seed}"
                if key in found:
                    continue
                found[key] = trained(case, arm, seed, options.epochs)
                print(f"{key}: {found[key]['score']:.3f} in {found[key]['cpu_s']:.0f} CPU s", flush=True)
                RESULTS.write_text(json.dumps(found, indent=1))
                REPORT.write_text(report(found, options.epochs))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
