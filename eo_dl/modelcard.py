"""The model card: README.md of a bundle, with the front matter that Hugging Face reads."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .modelspec import (
    ApplicabilitySpec,
    BandSpec,
    CalibrationSpec,
    GroundSpec,
    Int8Spec,
    ModelSpec,
    PredictionSetsSpec,
    QuantilesSpec,
    ScoreSpec,
)
from .scores.reliability import ERROR, ERROR_BEFORE
from .scores.setcoverage import COVERAGE, SET_SIZE
from .tasks import load_task

_LONGEST_CRS = 40
_SCORE_COLUMNS = ("class", "split", "value", "95 % interval", "count")
SCORE_HEADER = ("score", *_SCORE_COLUMNS)
"""The header of `score_row`."""
CALIBRATION_HEADER = ("class", "split", "calibration error before (95 % interval)", "after")
"""The header of `calibration_rows`."""
COVERAGE_HEADER = ("wanted coverage", "class", "split", "coverage (95 % interval)", "mean number of classes")
"""The header of `coverage_rows`."""
_USE = """## Use

```
eo-dl predict model.eodl scene.tif -o map.tif
```

Use `map.gpkg` for objects. `eo-dl inspect model.eodl` shows the scores and the training, too."""


def model_card(spec: ModelSpec) -> str:
    """Markdown with YAML front matter, made from the spec alone; equal specs give equal text."""
    parts = [
        _front_matter(spec),
        f"# {_inline(spec.name)}",
        _summary(spec),
        _inputs(spec),
        _classes(spec),
        _scores(spec),
        _calibration(spec),
        _applicability(spec),
        _training(spec),
        _USE,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(spec: ModelSpec) -> str:
    lines = ["---", "library_name: eo-dl", f"pipeline_tag: {load_task(spec.task).pipeline_tag}"]
    if spec.provenance.licence:
        lines.append(f"license: {_quoted(spec.provenance.licence)}")
    kind = "onnx" if spec.graph_from else str(spec.config.get("backbone", "")) or "network"
    lines.append("tags:")
    lines += [f"- {_quoted(tag)}" for tag in ("earth-observation", spec.task, kind)]
    return "\n".join([*lines, *_model_index(spec), "---"])


def _model_index(spec: ModelSpec) -> list[str]:
    """The overall scores as Hugging Face lists them; nothing where there are none."""
    known = [score for score in spec.scores if score.value is not None and score.class_name is None]
    if not known:
        return []
    lines = ["model-index:", f"- name: {_quoted(spec.name)}", "  results:"]
    for split in dict.fromkeys(score.split for score in known):
        lines += [
            "  - task:",
            f"      type: {load_task(spec.task).pipeline_tag}",
            "    dataset:",
            f"      name: {_quoted(f'held-out blocks ({split})')}",
            "      type: eo-dl-chips",
            "    metrics:",
        ]
        for score in known:
            if score.split == split:
                lines += [f"    - type: {_quoted(score.name)}", f"      value: {score.value}"]
    return lines


def _summary(spec: ModelSpec) -> str:
    pixels = "pixels of unknown size" if spec.gsd_m is None else f"{spec.gsd_m:.3g} m pixels"
    text = (
        f"A model for {load_task(spec.task).title} of images with {len(spec.bands)} bands and {pixels}: "
        f"{network_text(spec)}."
    )
    if spec.provenance.unfinished:
        return f"**Unfinished**: {_inline(spec.provenance.unfinished)}.\n\n{text}"
    return text


def network_text(spec: ModelSpec) -> str:
    """The network of a model in words."""
    if spec.graph_from:
        return f"the graph of {_inline(spec.graph_from)}, run by OpenVINO or ONNX Runtime"
    network = spec.config.get("network", spec.task)
    return f"{network} with a {spec.config.get('backbone', 'plain')} backbone"


def _inputs(spec: ModelSpec) -> str:
    known = spec.quantiles or (None,) * len(spec.bands)
    rows = []
    for number, (band, quantiles) in enumerate(zip(spec.bands, known, strict=True), start=1):
        rows.append((*_band_row(number, band), quantiles_text(quantiles)))
    text = f"Chips of {spec.chip_px} px with a margin of {spec.margin_px} px."
    if spec.gsd_m is not None:
        text += (
            f" Scenes whose pixels differ by more than {spec.gsd_tolerance:.0%} from {spec.gsd_m:.4g} m are "
            "resampled."
        )
    text += f" {validity_text(spec)}"
    if spec.quantiles:
        text += " Scenes are compared with the training values, and refused where they lie far away."
    else:
        text += " The values of scenes are unchecked: those of the training are not known."
    header = ("band", "name", "dtype", "scale", "offset", "2/50/98 % of the training values")
    return f"## Inputs\n\n{_table(header, rows)}\n\n{text}"


def validity_text(spec: ModelSpec) -> str:
    """Which pixels the model takes for measured ground, in words."""
    bands = {"all": "in all bands", "any": "in any band"}.get(str(spec.valid), f"in {spec.valid} bands")
    gaps = (
        ""
        if spec.valid == "all"
        else "; what a band lacks is its mean in the training, 0 after normalization"
    )
    return f"A pixel is valid ground where it was measured {bands} (rule `{spec.valid}`){gaps}."


def quantiles_text(quantiles: QuantilesSpec | None) -> str:
    """The percentiles of the training values of a band."""
    if quantiles is None:
        return "not known"
    return f"{quantiles.p02:.4g}/{quantiles.p50:.4g}/{quantiles.p98:.4g}"


def _band_row(number: int, band: BandSpec) -> tuple[str, ...]:
    name = band.name if band.named else f"{band.name} (by position)"
    return str(number), name, band.dtype, f"{band.scale:g}", f"{band.offset:g}"


def _classes(spec: ModelSpec) -> str:
    if spec.class_set().are_values:
        return _values(spec)
    rows = [(str(info.id), info.name, info.color) for info in spec.classes]
    return f"## Classes\n\n{_table(('id', 'name', 'colour'), rows)}"


def _values(spec: ModelSpec) -> str:
    classes = spec.class_set()
    rows = [
        (name, info.unit or "none", info.range_text)
        for name, info in zip(classes.names, classes.value_infos, strict=True)
    ]
    return f"## Values\n\n{_table(('value', 'unit', 'valid range'), rows)}"


def _scores(spec: ModelSpec) -> str:
    if not spec.scores:
        return "" if spec.int8 is None else f"## Scores\n\n{int8_text(spec.int8)}"
    rows = [score_row(score) for score in spec.scores]
    text = f"## Scores\n\n{_table(SCORE_HEADER, rows)}"
    if spec.provenance.baselines:
        rows = [score_row(score) for score in spec.provenance.baselines]
        text += f"\n\nFor comparison:\n\n{_table(('baseline', *_SCORE_COLUMNS), rows)}"
    if spec.int8 is not None:
        text += f"\n\n{int8_text(spec.int8)}"
    return text


def int8_text(int8: Int8Spec) -> str:
    """What computing in 8-bit integers costs, in words."""
    exact = "not defined" if int8.value_float32 is None else f"{int8.value_float32:.4f}"
    short = "not defined" if int8.value is None else f"{int8.value:.4f}"
    return (
        f"The graph computes in int8 (calibrated on {int8.calibration_chips} train chips): {int8.score} on "
        f"{int8.scored_chips} {int8.split} chips is {short}, in float32 {exact}; changed: {int8.changed:.3%}."
    )


def _applicability(spec: ModelSpec) -> str:
    if spec.applicability is None:
        return ""
    return f"## Where it may be used\n\n{applicability_text(spec.applicability)}"


def applicability_text(applicability: ApplicabilitySpec) -> str:
    """What a model keeps of its training ground, in words."""
    known = applicability
    text = (
        f"Scenes can be compared with the training ground: the model keeps {known.core} "
        f"of {known.samples} training samples of {known.cell_px} px from {known.blocks} blocks "
        f"({known.kilobytes:g} kB); ground is outside beyond a dissimilarity index of {known.index:.3g}."
    )
    shares = [f"{share:.1%} of the {split} ground" for split, share in applicability.outside.items()]
    return f"{text} Outside: {', '.join(shares)}." if shares else text


def _calibration(spec: ModelSpec) -> str:
    if spec.calibration is None:
        return ""
    text = f"## Calibration\n\n{calibration_text(spec.calibration)}"
    rows = calibration_rows(spec.calibration)
    if rows:
        text += f"\n\n{_table(CALIBRATION_HEADER, rows)}"
    if spec.prediction_sets is not None:
        text += f"\n\n{sets_text(spec.prediction_sets)}"
        text += f"\n\n{_table(COVERAGE_HEADER, coverage_rows(spec.prediction_sets))}"
    return text


def sets_text(sets: PredictionSetsSpec) -> str:
    """What sets of classes promise, in words."""
    fewest, most = min(sets.blocks), max(sets.blocks)
    blocks = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    return (
        f"Sets of classes come from {blocks} validation blocks per class, enough for a "
        f"coverage of {most / (most + 1):.2f} at most. Blocks of ground, not pixels, were taken as "
        "exchangeable: the promise is about new blocks like these."
    )


def coverage_rows(sets: PredictionSetsSpec) -> list[tuple[str, ...]]:
    """The coverage of sets of classes by wanted coverage, class and split, as texts."""
    sizes = {(score.threshold, score.split): score.value for score in sets.coverage if score.name == SET_SIZE}
    rows: list[tuple[str, ...]] = []
    for score in sets.coverage:
        if score.name == COVERAGE:
            size = None if score.class_name else sizes.get((score.threshold, score.split))
            size_text = "" if size is None else f"{size:.2f}"
            rows.append(
                (
                    f"{score.threshold:g}",
                    score.class_name or "all",
                    score.split,
                    _error_text(score),
                    size_text,
                )
            )
    return rows


def calibration_text(calibration: CalibrationSpec) -> str:
    """What makes the probabilities of a model mean shares, in words."""
    if calibration.temperature:
        numbers = ", ".join(f"{one:.3g}" for one in calibration.temperature)
        what = "temperature" if len(calibration.temperature) == 1 else "temperatures, one per class:"
        return (
            f"Probabilities are calibrated: {what} {numbers}, fitted to {calibration.samples} pixels or "
            f"chips of {calibration.blocks} validation blocks. Labels do not change."
        )
    lowest, highest = calibration.precisions[0], calibration.precisions[-1]
    return (
        f"Objects have, beside their score, the precision that it stands for: {lowest:.0%} to {highest:.0%}, "
        f"fitted to {calibration.samples} objects of {calibration.blocks} validation blocks."
    )


def calibration_rows(calibration: CalibrationSpec) -> list[tuple[str, ...]]:
    """The expected calibration error by class and split, before and after, as texts."""
    errors = {(score.split, score.class_name, score.name): score for score in calibration.errors}
    rows = []
    for split, class_name in dict.fromkeys((score.split, score.class_name) for score in calibration.errors):
        cells = [errors.get((split, class_name, name)) for name in (ERROR_BEFORE, ERROR)]
        rows.append((class_name or "all", split, *(_error_text(cell) for cell in cells)))
    return rows


def _error_text(score: ScoreSpec | None) -> str:
    if score is None or score.value is None:
        return "not defined"
    if score.low is None or score.high is None:
        return f"{score.value:.3f}"
    return f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"


def score_row(score: ScoreSpec) -> tuple[str, ...]:
    """A score as texts: name, class, split, value, interval, count."""
    interval = "" if score.low is None or score.high is None else f"{score.low:.3f} to {score.high:.3f}"
    value = "not defined" if score.value is None else f"{score.value:.3f}"
    return score.name, score.class_name or "all", score.split, value, interval, str(score.count)


def training_facts(spec: ModelSpec) -> dict[str, str]:
    """What is known about the training of a model, by name."""
    origin = spec.provenance
    versions = sorted(({"eo_dl": origin.eo_dl} | origin.versions).items())
    facts = {
        "made": origin.created,
        "with": ", ".join(f"{name} {version}" for name, version in versions if version),
        "seed": "" if origin.seed is None else str(origin.seed),
        "scenes": ", ".join(origin.scenes),
        "acquired": ", ".join(origin.acquired),
        "chips": ", ".join(f"{name} {count}" for name, count in origin.chip_counts.items()),
        "chip set": origin.chip_set,
        "ground of the train chips": ground_text(origin.trained_ground),
        "backbone initialized from": origin.weights_from,
        "command": origin.command,
        "ended": str(origin.training.get("stopped") or ""),
        "unfinished": origin.unfinished,
    }
    return {name: text for name, text in facts.items() if text}


def _training(spec: ModelSpec) -> str:
    lines = [f"- {name}: {_inline(text)}" for name, text in training_facts(spec).items()]
    lines += [f"- {_inline(note)}" for note in spec.provenance.notes]
    return "\n".join(["## Training\n", *lines])


def ground_text(ground: Sequence[GroundSpec]) -> str:
    """Where the train chips lie, in words; empty if that is not known."""
    systems = [one.crs for one in ground if one.crs]
    images = len(ground) - len(systems)
    parts = [f"kept in {', '.join(_crs_name(crs) for crs in systems)}"] if systems else []
    parts += [f"kept of {images} images without a CRS"] if images else []
    return ", ".join(parts)


def _crs_name(text: str) -> str:
    return text if len(text) <= _LONGEST_CRS else f"{text[:_LONGEST_CRS]} ..."


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [_table_line(header), _table_line(["---"] * len(header))]
    return "\n".join([*lines, *(_table_line(row) for row in rows)])


def _table_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_inline(cell) for cell in cells) + " |"


def _inline(text: str) -> str:
    """Text of users in one line without markup: class names may contain anything."""
    plain = " ".join(text.split())
    return "".join("\\" + c if c in "\\`*_[]<>|#" else c for c in plain)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a YAML string
