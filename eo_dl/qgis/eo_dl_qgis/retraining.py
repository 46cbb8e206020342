"""How the dialog of "Retrain with corrections" is filled in, and the table of its result."""

import html
import json
from pathlib import Path

from . import recent
from .layers import file_of


def filled_in(layer):
    """Parameters of `eo_dl:retrain` for a reviewed layer: the corrections and, as far as they are known,
    model, chips, labels, new scenes and an unused name for the new model.
    """
    file_of(layer)  # refuses, before the dialog opens, what the child could not read
    model = layer.customProperty("eo_dl/model") or recent.last("model")
    chips = recent.last("chips")
    scenes = str(layer.customProperty("eo_dl/scene") or "").splitlines()
    known_scenes = scenes_of(chips) if chips else []
    new_scenes = [path for path in scenes if chips and path not in known_scenes]
    values = {
        "CORRECTED": layer.id(),
        "MODEL": model,
        "CHIPS": chips,
        "LABELS": recent.last("labels"),
        "CLASS_FIELD": recent.last("class_field"),
        "SCENES": new_scenes,
    }
    if model:
        out = free_name(Path(model))
        values["OUT"] = str(out)
        # A retraining that was cancelled is resumed.
        values["RESUME"] = out.with_suffix(".run").exists()
    return {name: value for name, value in values.items() if value}


def scenes_of(chips):
    """Every path under which a chip set may know its scenes, absolute or relative to itself; empty if it
    names none.
    """
    folder = Path(chips)
    try:
        scenes = json.loads((folder / "chips.json").read_text(encoding="utf-8"))["scenes"]
        absolute = [str(Path(scene["path"])) for scene in scenes]
        relative = [str((folder / (scene.get("relative") or ".")).resolve()) for scene in scenes]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [*absolute, *relative]


def free_name(model):
    """The first unused of "trees_2.eodl", "trees_3.eodl", ... for "trees.eodl"; "trees_2.eodl" continues at
    3.
    """
    stem, _, number = model.stem.rpartition("_")
    if not (stem and number.isdigit()):
        stem, number = model.stem, "1"
    count = int(number) + 1
    while (path := model.with_name(f"{stem}_{count}.eodl")).exists():
        count += 1
    return path


def table(rows, name):
    """Rows of text, the first one a heading, as an HTML table about the model `name`."""
    head, *body = rows
    lines = ["".join(f"<th align='left'>{html.escape(cell)}&nbsp;&nbsp;</th>" for cell in head)]
    lines += ["".join(f"<td>{html.escape(cell)}&nbsp;&nbsp;</td>" for cell in row) for row in body]
    table_rows = "".join(f"<tr>{line}</tr>" for line in lines)
    title = f"<b>{html.escape(name)}</b>, on ground that neither model was trained on"
    return f"<p>{title}</p><table>{table_rows}</table>"
