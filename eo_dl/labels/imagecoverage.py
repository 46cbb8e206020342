"""Labels of named images: which images are among the scenes, and whether their sizes fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from ..core.arraytypes import BoolArray
from ..core.imagelabels import ImageLabels, WholeImageLabels
from ..core.imagenames import ImageNames, composed, stem_of
from ..core.labelset import LabelSet
from ..core.pixelgrid import PixelGrid
from ..core.wording import count_lies, count_of, listed
from ..errors import LabelError
from ..io.scene import Scene

_FIRST_SIDEWAYS = 5  # EXIF orientations from here on swap width and height


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
    renamed = []
    for scene in covered:
        name = _name_in_labels(scene, names)
        if stem_of(PurePosixPath(name).name).casefold() != composed(scene.stem).casefold():
            renamed.append(f"{name} is {scene.name}")
    if renamed:
        notes.append(
            f"{count_of(len(renamed), 'image')} found by the name before a tool renamed it on export: "
            f"{listed(renamed, most=2)}"
        )
    missing = [name for name in all_names if name not in scene_names and stem_of(name) not in scene_stems]
    if not missing:
        notes.append(f"all {count_of(len(all_names), 'labelled image')} found among the scenes")
    else:
        notes.append(
            f"{len(missing)} of {len(all_names)} labelled images are not among the scenes: {listed(missing)}"
        )
    return notes


def check_frames(labels: LabelSet, scenes: Sequence[Scene]) -> list[str]:
    """Refuse labels in pixels of an image that mean other pixels than those of its file.

    That is where they say another size of the image, unless it looks cut: one side agrees, and the other is
    shorter; objects beyond what is left are then outside, and counted as such. And where the file is one of
    those that viewers turn by its EXIF orientation, and nothing shows in which position it was labelled.

    Args:
        labels: The labels; only those in pixels of images are checked.
        scenes: The scenes, of which those are compared that the labels refer to.

    Returns:
        Notes on images that look cut, and on those whose size the labels do not say.

    Raises:
        LabelError: The pixels of labels and files differ, or may differ.
    """
    if not isinstance(labels, ImageLabels):
        return []
    image_of = {stem_of(image.name): image for image in labels.covered}
    wrong: list[str] = []
    cut: list[str] = []
    unstated: list[str] = []
    covered = 0
    for scene in scenes:
        stem = labels.covered_names.by_stem(scene.place)
        if stem is None:
            continue
        covered += 1
        image, own_px = image_of[stem], (scene.native.width, scene.native.height)
        check_orientation(scene, image.size_px, labels.source)
        if image.size_px is None:
            unstated.append(scene.name)
        if image.size_px is None or image.size_px == own_px:
            continue
        said_px = f"{image.size_px[0]}x{image.size_px[1]}"
        found = f"{scene.name} is {own_px[0]}x{own_px[1]} px, its labels say {said_px}"
        if _looks_cut(own_px, image.size_px):
            cut.append(found)
        else:
            wrong.append(found)
    if wrong:
        count = f"{len(wrong)} of {count_of(covered, 'image')}"
        raise LabelError(
            f"{labels.source}: was made for images of another size ({count}: {wrong[0]}); give the images "
            "that were labelled, or export the labels for images of the original size"
        )
    notes = []
    if cut:
        count = count_of(len(cut), "image")
        notes.append(f"{count} cut after labelling (one side agrees, the other is shorter): {listed(cut)}")
    if unstated:
        notes.append(
            f"the labels do not say the size of {len(unstated)} of {count_of(covered, 'image')}, so it is "
            f"not compared: {listed(unstated)}"
        )
    return notes


def check_size(labels: LabelSet, place: str, grid: PixelGrid) -> None:
    """Raise `LabelError` where labels in pixels say another size of an image than that of its grid.

    For images that are no files here; `check_frames` checks those that are.

    Args:
        labels: The labels.
        place: Path or name of the image.
        grid: Its pixels.
    """
    if not isinstance(labels, ImageLabels):
        return
    stem = labels.covered_names.by_stem(place)
    sizes = {stem_of(image.name): image.size_px for image in labels.covered}
    size_px = None if stem is None else sizes[stem]
    if size_px is not None and size_px != (grid.width, grid.height):
        raise LabelError(
            f"{labels.source}: was made for images of another size (the prediction is of "
            f"{grid.width}x{grid.height} px, the labels say {size_px[0]}x{size_px[1]}); give labels of the "
            "image that was predicted"
        )


def _looks_cut(own_px: tuple[int, int], said_px: tuple[int, int]) -> bool:
    """Whether an image is what is left of a larger one of the same height or width. A smaller copy of the
    whole image would be smaller in both.
    """
    (width, height), (said_width, said_height) = own_px, said_px
    if width == said_width:
        return height < said_height
    return height == said_height and width < said_width


def check_orientation(scene: Scene, size_px: tuple[int, int] | None, source: str) -> None:
    """Raise `LabelError` for an image with an EXIF orientation, unless labels say the size of its stored
    pixels and not that of the turned picture.

    Args:
        scene: The image.
        size_px: Width and height of the image as its labels say; None: they do not.
        source: The labels, for messages.
    """
    turned = scene.file.orientation
    own_px = (scene.native.width, scene.native.height)
    as_stored = turned >= _FIRST_SIDEWAYS and own_px[0] != own_px[1] and size_px == own_px
    if turned == 1 or as_stored:
        return
    raise LabelError(
        f"{source}: {scene.name} has the EXIF orientation {turned}, so viewers show it turned, and its "
        f"labels may belong to the picture as shown or as stored; turn its pixels (e.g. magick {scene.name} "
        f"-auto-orient OUT), or remove the tag if it was labelled as stored (exiftool -Orientation= "
        f"{scene.name})"
    )


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
