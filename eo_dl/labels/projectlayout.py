"""What a labelling project looks like inside: layers, fields, and what the file says about itself.

`labels` holds the objects, `annotated` the ground on which they are complete. `read_labels` and `tile` know
both by these names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..core.classes import ClassSet
from ..io.discover import is_remote, relative_path
from ..io.vectorlayers import layer_names, read_metadata

LABELS = "labels"
ANNOTATED = "annotated"
CLASS_FIELD = "class_name"
STATUSES = ("accepted", "changed", "rejected")
"""What a review writes into `status`."""

Kind = Literal["polygon", "box", "point"]
KINDS: tuple[Kind, ...] = get_args(Kind)

CLASSES_KEY = "eo_dl_classes"
KIND_KEY = "eo_dl_geometry"
SCENES_KEY = "eo_dl_scenes"


@dataclass(frozen=True)
class Announced:
    """What a project says about itself: its classes in order, what is drawn, and over which scenes (those of
    them that are there).
    """

    classes: ClassSet
    kind: Kind
    scenes: tuple[str, ...] = ()


def is_project(path: str | Path, layer: str | None = None) -> bool:
    """True for a GeoPackage of the layers `labels` and `annotated`, made here or by hand; a chip set's has
    `chips` too and is none.

    Where a `layer` is named (QGIS always names one), it has to be that of the labels; another one is read as
    in any file.
    """
    if layer not in (None, LABELS) or Path(path).suffix.lower() != ".gpkg" or not Path(path).is_file():
        return False
    names = set(layer_names(path))
    return {LABELS, ANNOTATED} <= names and "chips" not in names


def announced(path: str | Path) -> Announced | None:
    """What a project says about itself; None where it says nothing that is understood."""
    found = read_metadata(path, LABELS)
    try:
        names = json.loads(found[CLASSES_KEY])
        kind = next(kind for kind in KINDS if kind == found.get(KIND_KEY, "polygon"))
        places = [str(scene) for scene in json.loads(found.get(SCENES_KEY, "[]"))]
        return Announced(
            ClassSet.of_names([str(name) for name in names]), kind, _there(Path(path).parent, places)
        )
    except (KeyError, ValueError, StopIteration, TypeError):
        return None


def metadata(classes: ClassSet, kind: Kind, scenes: Sequence[str], folder: Path) -> dict[str, str]:
    """What is written so that `announced` finds it; scenes by their way from `folder`, so that both can be
    moved together.
    """
    places = [relative_path(scene, folder) for scene in scenes]
    return {
        CLASSES_KEY: json.dumps(list(classes.names), ensure_ascii=False),
        KIND_KEY: kind,
        SCENES_KEY: json.dumps(places, ensure_ascii=False),
    }


def _there(folder: Path, places: Sequence[str]) -> tuple[str, ...]:
    found = [place if is_remote(place) else str(folder / place) for place in places]
    return tuple(place for place in found if is_remote(place) or Path(place).is_file())
