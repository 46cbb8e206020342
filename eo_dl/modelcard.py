"""The model card: README.md of a bundle, with the front matter that Hugging Face reads."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .modelspec import ModelSpec, ScoreSpec
from .tasks import load_task


def model_card(spec: ModelSpec) -> str:
    """Markdown with YAML front matter, made from the spec alone; equal specs give equal text."""
    parts = [
        _front_matter(spec),
        f"# {_inline(spec.name)}",
        _summary(spec),
        _needs(spec),
        _classes(spec),
        _scores(spec),
        _training(spec),
        _use(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(spec: ModelSpec) -> str:
    lines = ["---", "library_name: eo-dl", f"pipeline_tag: {load_task(spec.task).pipeline_tag}"]
    if spec.provenance.licence:
        lines.append(f"license: {_quoted(spec.provenance.licence)}")
    lines += [
        "tags:",
        *(
            f"- {_quoted(tag)}"
            for tag in ("earth-observation", spec.task, str(spec.config.get("backbone", "")) or "network")
        ),
    ]
    return "\n".join([*lines, *_model_index(spec), "---"])


def _model_index(spec: ModelSpec) -> list[str]:
    known = [score for score in spec.scores if score.value is not None and score.class_name is None]
    if not known:
        return []
    head = [
        "model-index:",
        f"- name: {_quoted(spec.name)}",
        "  results:",
        "  - task:",
        f"      type: {load_task(spec.task).pipeline_tag}",
    ]
    data = [
        "    dataset:",
        f"      name: {_quoted('held-out blocks (' + known[0].split + ')')}",
        "      type: eo-dl-chips",
        "    metrics:",
    ]
    return [
        *head,
        *data,
        *(f"    - type: {_quoted(score.name)}\n      value: {score.value}" for score in known),
    ]


def _summary(spec: ModelSpec) -> str:
    gsd = "pixels of no known ground size" if spec.gsd_m is None else f"{spec.gsd_m:.3g} m pixels"
    network = (
        f"{spec.config.get('network', spec.task)} with a {spec.config.get('backbone', 'plain')} backbone"
    )
    warning = (
        f"**Unfinished**: {_inline(spec.provenance.unfinished)}.\n\n" if spec.provenance.unfinished else ""
    )
    return f"{warning}A model for {load_task(spec.task).title} of images with {len(spec.bands)} bands and {gsd}: {network}."


def _needs(spec: ModelSpec) -> str:
    rows = [
        (
            str(i + 1),
            b.name if b.named else f"{b.name} (by position)",
            b.dtype,
            f"{b.scale:g}",
            f"{b.offset:g}",
        )
        for i, b in enumerate(spec.bands)
    ]
    size = f"Chips of {spec.chip_px} px with a margin of {spec.margin_px} px."
    gsd = (
        ""
        if spec.gsd_m is None
        else f" Scenes whose pixels differ by more than {spec.gsd_tolerance:.0%} from {spec.gsd_m:.4g} m are resampled."
    )
    return (
        "## What it needs\n\n"
        + _table(("band", "name", "dtype", "scale", "offset"), rows)
        + f"\n\n{size}{gsd}"
    )


def _classes(spec: ModelSpec) -> str:
    return "## Classes\n\n" + _table(
        ("id", "name", "colour"), [(str(c.id), c.name, c.color) for c in spec.classes]
    )


def _scores(spec: ModelSpec) -> str:
    if not spec.scores:
        return ""
    rows = [_score_row(score) for score in spec.scores]
    text = "## Scores\n\n" + _table(("score", "class", "split", "value", "95 % interval", "count"), rows)
    if spec.provenance.baselines:
        text += "\n\nFor comparison:\n\n" + _table(
            ("baseline", "class", "split", "value", "95 % interval", "count"),
            [_score_row(b) for b in spec.provenance.baselines],
        )
    return text


def _score_row(score: ScoreSpec) -> tuple[str, ...]:
    interval = "" if score.low is None or score.high is None else f"{score.low:.3f} to {score.high:.3f}"
    value = "not defined" if score.value is None else f"{score.value:.3f}"
    return score.name, score.class_name or "all", score.split, value, interval, str(score.count)


def _training(spec: ModelSpec) -> str:
    origin = spec.provenance
    facts = {
        "made": origin.created,
        "with": ", ".join(
            f"{name} {version}"
            for name, version in sorted(({"eo_dl": origin.eo_dl} | origin.versions).items())
            if version
        ),
        "seed": "" if origin.seed is None else str(origin.seed),
        "scenes": ", ".join(origin.scenes),
        "acquired": ", ".join(origin.acquired),
        "chips": ", ".join(f"{name} {count}" for name, count in origin.chip_counts.items()),
        "chip set": origin.chip_set,
        "backbone initialized from": origin.weights_from,
        "command": origin.command,
    }
    lines = [f"- {name}: {_inline(text)}" for name, text in facts.items() if text]
    return "## Training\n\n" + "\n".join([*lines, *(f"- {_inline(note)}" for note in origin.notes)])


def _use() -> str:
    return "## Use\n\n```\neo-dl predict model.eodl scene.tif -o map.tif\n```\n\nUse `map.gpkg` for objects. `eo-dl inspect model.eodl` shows all of the above."


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_inline(cell) for cell in line) + " |" for line in lines)


def _inline(text: str) -> str:
    """User text in one line that is no markup: class names may hold anything."""
    plain = " ".join(text.split())
    return "".join("\\" + c if c in "\\`*_[]<>|#" else c for c in plain)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a YAML string
