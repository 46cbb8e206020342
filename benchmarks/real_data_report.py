"""Writes benchmarks/real_data.md from what benchmarks/real_data.py found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

STEPS = ("tile", "train", "predict", "evaluate")

INTRO = """# Real scenes: the main job from labels to a scored map

Made by `python benchmarks/real_data.py`; run it again for your own machine. Each data set goes through the
four commands that a user would type. Test scores are taken once, on blocks of ground that `tile` held out;
intervals are 95 %, from a bootstrap over blocks. Baselines learn from the same train blocks and are scored on
the same test blocks. The lead over a baseline is a difference with its own interval, and both are resampled
alike, because a hard block is hard for both. Peak memory is that of the process.
"""


# What the figures alone do not say.
REMARKS = {
    "boadella-segmentation": (
        "A tie: with twelve bands water is told by a single pixel, and what is left is the shoreline of the "
        "labels, which on two of the three dates lies where the water no longer stood (errors.png of the "
        "report shows one edge). With the visible bands alone (next section) the network is ahead."
    ),
}


def write_report(found: dict[str, Any], path: Path) -> None:
    """The whole report, one section a case."""
    parts = [INTRO, _overview(found)]
    parts += [_section(name, case) for name, case in found.items()]
    path.write_text("\n".join(parts), encoding="utf-8")


def _overview(found: dict[str, Any]) -> str:
    lines = [
        (
            "| data set | score (test blocks) | this model | best baseline | lead over it | train minutes | "
            "peak MB |"
        ),
        "|---|---|---|---|---|--:|--:|",
    ]
    for name, case in found.items():
        train = case["steps"][1]
        result = train["result"]
        primary = result["primary"]
        best = max(
            (b for b in result["baselines"] if b["split"] == "test"),
            key=lambda b: b["value"] or 0,
            default=None,
        )
        baseline = "none" if best is None else f"{_score(best)} ({best['name']})"
        lead = "" if best is None or "lead" not in best else f"**{_score(best['lead'])}**"
        peak = max(step["peak_mb"] for step in case["steps"])
        lines.append(
            f"| {name} | {primary} | **{_score(_primary(result, 'test'))}** | {baseline} | {lead} | "
            f"{train['seconds'] / 60:.1f} | {peak:.0f} |"
        )
    return "\n".join(lines) + "\n"


def _section(name: str, case: dict[str, Any]) -> str:
    lines = [
        f"## {name}",
        "",
        f"{case['date']}, {case['machine']}",
        "",
        *([REMARKS[name], ""] if name in REMARKS else []),
        "```",
    ]
    lines += [step["command"] for step in case["steps"]]
    lines += ["```", "", "| step | seconds | peak MB |", "|---|--:|--:|"]
    lines += [
        f"| {what} | {step['seconds']:.0f} | {step['peak_mb']:.0f} |"
        for what, step in zip(STEPS, case["steps"], strict=True)
    ]
    result = case["steps"][1]["result"]
    lines += ["", "| score | val | test |", "|---|---|---|"]
    lines.append(
        f"| {result['primary']}: this model | {_score(_primary(result, 'val'))} | "
        f"**{_score(_primary(result, 'test'))}** |"
    )
    for baseline in dict.fromkeys(b["name"] for b in result["baselines"]):
        own = {b["split"]: b for b in result["baselines"] if b["name"] == baseline}
        lines.append(
            f"| {result['primary']}: {baseline} | {_score(own.get('val'))} | {_score(own.get('test'))} |"
        )
    lines += [
        "",
        "The map on the test blocks, by `evaluate` (pixels or objects in map geometry):",
        "",
        *_evaluated(case["steps"][3]["result"]),
    ]
    notes = [note for step in case["steps"] for note in step["result"].get("notes", [])]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes), ""])


def _evaluated(result: dict[str, Any]) -> list[str]:
    lines = ["| score | class | value | count |", "|---|---|---|--:|"]
    return lines + [
        f"| {s['name']} | {s.get('class') or 'all'} | {_score(s)} | {s['count']} |" for s in result["scores"]
    ]


def _primary(result: dict[str, Any], split: str) -> dict[str, Any] | None:
    return next(
        (
            s
            for s in result["scores"].get(split, [])
            if s["name"] == result["primary"] and s["class_name"] is None
        ),
        None,
    )


def _score(score: dict[str, Any] | None) -> str:
    if score is None or score["value"] is None:
        return "n/a"
    interval = "" if score.get("low") is None else f" ({score['low']:.3f} to {score['high']:.3f})"
    return f"{score['value']:.3f}{interval}"
