"""What the dialog of "Retrain with corrections" is filled in with, and the table of what came of it."""

import html
import json
from pathlib import Path

from . import recent
from .layers import file_of


def filled_in(layer):
    """Parameters of `eo_dl:retrain` for a reviewed layer: the corrections and, as far as they are known,
    model, chips, labels, new scenes and a free name.
    """
    file_of(layer)  # refuses what the child could not see, before the dialog opens
    model = layer.customProperty("eo_dl/model") or recent.last("model")
    chips = recent.last("chips")
    scenes = [
        path
        for path in str(layer.customProperty("eo_dl/scene") or "").splitlines()
        if chips and path not in scenes_of(chips)
    ]
    found = {
        "CORRECTED": layer.id(),
        "MODEL": model,
        "CHIPS": chips,
        "LABELS": recent.last("labels"),
        "CLASS_FIELD": recent.last("class_field"),
        "SCENES": scenes,
    }
    if model:
        out = free_name(Path(model))
        # one that was cancelled is gone on with
        found["OUT"], found["RESUME"] = str(out), out.with_suffix(".run").exists()
    return {name: value for name, value in found.items() if value}


def scenes_of(chips):
    """The scenes of a chip set, as it may have found them (by path, or beside it); none where it does not
    say.
    """
    try:
        listed = json.loads((Path(chips) / "chips.json").read_text(encoding="utf-8"))["scenes"]
        return [
            str(path)
            for one in listed
            for path in (Path(one["path"]), (Path(chips) / (one.get("relative") or ".")).resolve())
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def free_name(model):
    """ "trees.eodl" as "trees_2.eodl", "trees_2.eodl" as "trees_3.eodl": the first that is not there."""
    stem, _, number = model.stem.rpartition("_")
    if not (stem and number.isdigit()):
        stem, number = model.stem, "1"
    count = int(number) + 1
    while (found := model.with_name(f"{stem}_{count}.eodl")).exists():
        count += 1
    return found


def table(rows, name):
    """Rows of text, the first a heading, as HTML."""
    head, *body = rows
    lines = ["".join(f"<th align='left'>{html.escape(cell)}&nbsp;&nbsp;</th>" for cell in head)]
    lines += ["".join(f"<td>{html.escape(cell)}&nbsp;&nbsp;</td>" for cell in row) for row in body]
    return f"<p><b>{html.escape(name)}</b>, on ground that neither model has seen</p><table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
