"""The layers and fields of a labelling project, and what its file states about itself.

The layer `labels` holds the objects, `annotated` the ground on which they are complete. `read_labels` and
`tile` know both by these names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..core.classes import ClassSet
from ..io.discover import is_remote
from ..io.sceneaddress import address_below, exists, relative_address
from ..io.vectorlayers import layer_names, read_metadata

LABELS = "labels"
ANNOTATED = "annotated"
CLASS_FIELD = "class_name"
STATUSES = ("accepted", "changed", "rejected")
"""The values of the field `status` after a review."""

Kind = Literal["polygon", "box", "point"]
KINDS: tuple[Kind, ...] = get_args(Kind)

CLASSES_KEY = "eo_dl_classes"
KIND_KEY = "eo_dl_geometry"
SCENES_KEY = "eo_dl_scenes"


@dataclass(frozen=True)
class Announced:
    """What a labelling project states about itself."""

    classes: ClassSet
    """Its classes, in order."""

    kind: Kind
    """What is drawn in it."""

    scenes: tuple[str, ...] = ()
    """Paths of the scenes it was made for, as far as they exist."""


def is_project(path: str | Path, layer: str | None = None) -> bool:
    """Whether a file is a labelling project: a GeoPackage with the layers `labels` and `annotated`.

    A chip set has these layers too, and `chips`.

    Args:
        path: The file.
        layer: The layer to be read; it must be that of the labels, if it is named at all (QGIS always does).
    """
    if layer not in (None, LABELS) or Path(path).suffix.lower() != ".gpkg" or not Path(path).is_file():
        return False
    names = set(layer_names(path))
    return {LABELS, ANNOTATED} <= names and "chips" not in names


def announced(path: str | Path) -> Announced | None:
    """What a project states about itself; None where it states nothing that can be read."""
    values = read_metadata(path, LABELS)
    kind = values.get(KIND_KEY, "polygon")
    try:
        names = [str(name) for name in json.loads(values[CLASSES_KEY])]
        paths = [str(path) for path in json.loads(values.get(SCENES_KEY, "[]"))]
        classes = ClassSet.of_names(names)
    except (KeyError, ValueError, TypeError):
        return None
    if kind not in KINDS:
        return None
    return Announced(classes, kind, _existing(Path(path).parent, paths))


def metadata(classes: ClassSet, kind: Kind, scenes: Sequence[str], folder: Path) -> dict[str, str]:
    """What is written into a project so that `announced` finds it.

    Args:
        classes: The classes, in order.
        kind: What is drawn.
        scenes: Paths of the scenes.
        folder: The folder of the project; paths are relative to it, so that both can be moved together.
    """
    paths = [relative_address(scene, folder) for scene in scenes]
    return {
        CLASSES_KEY: json.dumps(list(classes.names), ensure_ascii=False),
        KIND_KEY: kind,
        SCENES_KEY: json.dumps(paths, ensure_ascii=False),
    }


def _existing(folder: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """The paths that exist, and remote ones."""
    absolute = [path if is_remote(path) else address_below(path, folder) for path in paths]
    return tuple(path for path in absolute if exists(path))
