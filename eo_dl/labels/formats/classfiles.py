"""Labels of whole images, written: a CSV of file and class, or a folder a class. Their reading is
`labels/wholeimages.py`.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from ...errors import LabelError
from .annotations import NO_SPLIT, Annotations, LabelledImage, Losses, usable, without_extras
from .safefile import put


def write_image_csv(found: Annotations, folder: Path, losses: Losses) -> None:
    """`labels.csv`: file, label (several with `;` between) and split; images without a class have none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["file", "label", "split"])
    for image in found.images:
        names = class_names(image, losses)
        if any(sign in name for name in names for sign in ";|"):
            raise LabelError(
                f"{found.source}: the class {names[0]!r} holds ; or |, which part classes in a CSV; rename it with --classes"
            )
        writer.writerow([image.name, ";".join(names), image.split])
    put(folder, "labels.csv", out.getvalue())


def class_names(image: LabelledImage, losses: Losses) -> list[str]:
    """The classes of an image, each once."""
    return list(dict.fromkeys(one.class_name for one in without_extras(usable(image, losses), losses)))


def folder_name(name: str) -> str:
    """A class name that every file system takes."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "_", name).strip(". ") or "class"


def class_folder(image: LabelledImage, losses: Losses) -> str | None:
    """The folder of an image, `SPLIT/CLASS` or `CLASS`; None, counted, where it has no class or several."""
    names = class_names(image, losses)
    if len(names) != 1:
        losses.count("images of no class or of several left out: a folder holds one", 1)
        return None
    safe = folder_name(names[0])
    losses.count(
        "images of classes whose names are no folder names, which were changed", int(safe != names[0])
    )
    return safe if image.split == NO_SPLIT else f"{image.split}/{safe}"
