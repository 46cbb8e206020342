"""A folder for each class, ROOT/CLASS/.../NAME.jpg, as in EuroSAT.

An object stands for the whole of its image, whatever its size, which need not be known here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ...core.imagenames import composed, names_of
from ...core.wording import listed
from ...io.discover import own_path, rasters_below
from ..classrequest import value_text
from ..labeloptions import LabelOptions
from ..records import ImageClass, Records, image_class_records
from .annotations import Annotations, LabelledImage, Losses
from .imageclasses import classes_of_image
from .labelformat import Capabilities, LabelFormat, Recognition, WrittenFormat

_SHOWN_CLASSES = 12
_SPLIT = re.compile(r"(train(ing)?|val(id(ation)?)?|test(ing)?|dev|eval)(_?\d*)", re.IGNORECASE)
# Folders of data sets, also with the name of a split: train_images, valannot, leftImg8bit.
_PART = re.compile(
    r"((train(ing)?|val(id(ation)?)?|test(ing)?)[_-]?)?(images?|imgs?|(jpe?g|png|tif)images|annot(ation)?s?|labels?|"
    r"labeltxt.*|masks?|segmentation(class|object)?(raw|aug)?|imagesets|gt(fine|coarse)?|ground_?truth|leftimg8bit|"
    r"rasters?|scenes?|ortho(photo)?s?|tiles?|chips?|rgb|nir|dsm|ndsm|data(set)?s?|x|y|a|b)",
    re.IGNORECASE,
)


def class_folders(root: Path) -> tuple[Path, ...]:
    """The folders directly in `root` that have rasters in or below them, by name."""
    return tuple(
        path
        for path in sorted(root.iterdir())
        if path.is_dir() and not path.name.startswith(".") and rasters_below(path)
    )


def has_class_folders(root: Path) -> bool:
    """Whether any folder directly in `root` has rasters in or below it."""
    return bool(class_folders(root))


def doubt_about(root: Path) -> str | None:
    """Why the folders in `root` are probably parts of a data set and not classes; None if nothing says so."""
    names = [folder.name for folder in class_folders(root)]
    splits = [name for name in names if _SPLIT.fullmatch(name)]
    parts = [name for name in names if _PART.fullmatch(name)]
    if splits:
        return f"{listed(splits)} is called like a split"
    if parts:
        return f"{listed(parts)} is called like a part of a data set"
    if len(names) == 1:
        return f"{names[0]} would be the only class"
    if _are_map_tiles(root, names):
        return "they hold map tiles, z/x/y"
    return None


def _are_map_tiles(root: Path, names: Sequence[str]) -> bool:
    """Whether all folders and rasters below have numbers for names, as the tiles of a map."""
    if not all(name.isdigit() for name in names):
        return False
    places = [Path(path).relative_to(root) for path in rasters_below(root)]
    return all(
        len(place.parts) > 2 and place.parts[-2].isdigit() and place.stem.isdigit() for place in places
    )


def read_class_folders(roots: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Every raster below ROOT/CLASS as an image of the class CLASS.

    Images with the same file name, such as cat/001.jpg and dog/001.jpg, are told apart by their folders.
    """
    folder_of: dict[Path, Path] = {}
    for root in roots:
        for folder in class_folders(root):
            folder_of |= dict.fromkeys(map(Path, rasters_below(folder)), folder)
    names = names_of([composed(own_path(path).as_posix()) for path in folder_of])
    labels = [
        ImageClass(name, value_text(folder.name), f"{folder.name}/{path.name}")
        for name, (path, folder) in zip(names, folder_of.items(), strict=True)
    ]
    notes = [f"one folder per class; images in each: {_summary(labels)}"]
    return image_class_records(source, labels, names, notes, class_field="folder")


def _summary(labels: Sequence[ImageClass]) -> str:
    counts = Counter(str(label.value) for label in labels)
    shown = [f"{name} {count}" for name, count in list(counts.items())[:_SHOWN_CLASSES]]
    return ", ".join(shown) + (" ..." if len(counts) > len(shown) else "")


def folder_name(class_name: str) -> str:
    """A class name as every file system accepts it."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "_", class_name).strip(". ") or "class"


def class_folder(image: LabelledImage, losses: Losses) -> str | None:
    """The folder of an image, SPLIT/CLASS.

    None, and counted, if the image has no class or several.
    """
    names = classes_of_image(image, losses)
    if len(names) != 1:
        losses.count("images without a class or with several left out: a folder holds one class")
        return None
    folder = folder_name(names[0])
    if folder != names[0]:
        losses.count(
            "images in a folder whose name differs from their class, which is not a valid folder name"
        )
    # Images without a split get a folder, too: beside folders of splits, their classes would pass for splits.
    return f"{image.split}/{folder}"


def write_class_folders(annotations: Annotations, folder: Path, losses: Losses) -> None:
    """Nothing is written, as the folders of the images are the labels; lost outlines are counted."""
    if not annotations.whole_images:
        objects = sum(len(image.objects) for image in annotations.images)
        losses.count("objects became the class of their whole image", objects)


FORMAT = LabelFormat(
    name="folders",
    title="one folder of images per class",
    recognition=Recognition(
        suffixes=frozenset(),
        folder=has_class_folders,
        folder_doubt=doubt_about,
        reason="it holds folders of images and no label files",
    ),
    read_records=read_class_folders,
    written=(
        WrittenFormat(
            name="folders",
            title="one folder of images per class",
            holds=Capabilities(shape="classes"),
            label_files=("{split}",),
            write_images=write_class_folders,
            image_folder=class_folder,
            needs_images=True,
            class_name=folder_name,
        ),
    ),
)
