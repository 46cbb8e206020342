"""Labels of named images: which images are among the scenes, and whether their sizes fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..core.arraytypes import BoolArray
from ..core.imagelabels import ImageLabels, WholeImageLabels
from ..core.imagenames import ImageNames, stem_of
from ..core.wording import count_lies, count_of, listed
from ..errors import LabelError
from ..io.scene import Scene


def image_notes(labels: ImageLabels | WholeImageLabels, scenes: Sequence[Scene]) -> list[str]:
    """Notes on scenes without labels and labelled images without a scene.

    Raises:
        LabelError: No labelled image is among the scenes, or two scenes have the name of one image.
    """
    covered = [scene for scene in scenes if labels.covers(scene.place)]
    names = labels.covered_names
    refuse_same_names(labels.source, [_name_in_labels(scene, names) for scene in covered])
    all_names = [image.name for image in labels.covered]
    if not covered:
        raise LabelError(
            f"{labels.source}: none of {len(all_names)} labelled images ({listed(all_names)}) is among the "
            f"scenes ({listed([scene.name for scene in scenes])}); names must be equal, apart from the suffix"
        )
    notes = []
    without = [scene.name for scene in scenes if not labels.covers(scene.place)]
    if without:
        notes.append(
            f"{len(without)} of {len(scenes)} scenes have no labels and are not used as background: "
            f"{listed(without)}"
        )
    scene_names = {names.exact(scene.place) for scene in covered}
    scene_stems = {names.by_stem(scene.place) for scene in covered}
    missing = [name for name in all_names if name not in scene_names and stem_of(name) not in scene_stems]
    if missing:
        notes.append(
            f"{len(missing)} of {len(all_names)} labelled images are not among the scenes: {listed(missing)}"
        )
    return notes


def size_notes(labels: ImageLabels, scenes: Sequence[Scene]) -> list[str]:
    """Notes on scenes whose size is not that in the labels. Raises `LabelError` where all are of another."""
    covered = [scene for scene in scenes if labels.covers(scene.place)]
    size_of_stem = {stem_of(image.name): image.size_px for image in labels.covered}
    stated = 0
    wrong: list[str] = []
    for scene in covered:
        size_px = size_of_stem.get(labels.covered_names.by_stem(scene.place) or "")
        if size_px is None:
            continue
        stated += 1
        if size_px != (scene.native.width, scene.native.height):
            wrong.append(
                f"{scene.name} is {scene.native.width}x{scene.native.height} px, its labels say "
                f"{size_px[0]}x{size_px[1]}"
            )
    if not wrong:
        return []
    if len(wrong) == stated == len(covered):
        raise LabelError(
            f"{labels.source}: was made for images of another size ({wrong[0]}); give the images that were "
            "labelled"
        )
    return [f"{count_of(len(wrong), 'image')} of another size than the labels say: {wrong[0]}"]


def object_notes(labels: ImageLabels, scenes: Sequence[Scene], used: BoolArray) -> list[str]:
    """Notes on objects outside their images. Raises `LabelError` where no object lies in its image.

    Args:
        labels: The labels.
        scenes: The scenes.
        used: (N,) True for objects that touch a scene.
    """
    if not used.any():
        raise LabelError(
            f"{labels.source}: none of {len(labels)} objects lies in its image; check that names and sizes "
            "belong together"
        )
    covered = [scene for scene in scenes if labels.covers(scene.place)]
    stems = {labels.covered_names.by_stem(scene.place) for scene in covered}
    of_scene = np.array([stem_of(str(image)) in stems for image in labels.images], np.bool_)
    outside = of_scene & ~used
    if not outside.any():
        return []
    ids = listed(labels.features.feature_ids[outside])
    return [f"{count_lies(int(outside.sum()), len(labels), 'object')} wholly outside their images: {ids}"]


def refuse_same_names(source: str, names: Sequence[str]) -> None:
    """Raise `LabelError` where two scenes have one name, so that labels cannot tell them apart."""
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise LabelError(
            f"{source}: labels belong to scenes by name, and two scenes are called {name}; tile the scenes "
            "of one folder at a time"
        )


def _name_in_labels(scene: Scene, names: ImageNames) -> str:
    return names.exact(scene.place) or names.by_stem(scene.place) or scene.name
