"""Putting models on a shelf: `write_shelf` lists the models of a folder, `get_model` copies one."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from .bundle import PREVIEW, Bundle, load_model
from .errors import BundleError
from .io.atomic import atomic_file, refuse_existing, write_bytes
from .modelshelf import (
    INDEX,
    ShelfIndex,
    ShelfModel,
    ShelfScore,
    own_shelf,
    read_index,
    ready_model,
)


def write_shelf(folder: str | Path, about: Mapping[str, str] | None = None) -> ShelfIndex:
    """List the `.eodl` files of a folder in its `shelf.json`, with a picture of each that has one.

    The name of a model is that of its file; what the list before said about it stays.

    Args:
        folder: The folder.
        about: What a model maps and where it fails, by name.

    Returns:
        The list.

    Raises:
        BundleError: A file is no model, or its name cannot be one of a model on a shelf.
        WriteError: The folder cannot be written.
    """
    shelf = Path(folder)
    texts = {**_known_texts(shelf), **(about or {})}
    models = []
    for path in sorted(shelf.glob("*.eodl")):
        bundle = load_model(path)
        name = path.stem.lower()
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,79}", name):
            raise BundleError(
                f"{path}: the name of a model on a shelf has letters, digits, _ and -; rename it"
            )
        models.append(_listed(bundle, name, texts.get(name, "")))
    if not models:
        raise BundleError(f"{shelf}: holds no model (.eodl); train one into it, or copy one there")
    index = ShelfIndex(models=tuple(models))
    text = json.dumps(index.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_file(shelf / INDEX, overwrite=True) as part:
        write_bytes(part, text.encode())
    return index


def get_model(
    name: str, out: str | Path | None = None, *, shelf: str | Path | None = None, overwrite: bool = False
) -> Path:
    """Copy a ready model: into a file, or onto the user's own shelf.

    Args:
        name: Its name on a shelf.
        out: The new `.eodl` file (default: the user's own shelf, where `predict` finds it by name).
        shelf: As for `modelshelf.ready_models`.
        overwrite: Replace an existing file.

    Returns:
        The file.

    Raises:
        BundleError: No shelf has it, or its file is damaged.
        OutputExistsError: The file exists.
    """
    ready = ready_model(name, shelf)
    source = ready.fetch()
    target = own_shelf() / f"{name}.eodl" if out is None else Path(out)
    if out is None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file() and target.resolve() == source.resolve():
            return target
    refuse_existing(target, overwrite)
    with atomic_file(target, overwrite=overwrite) as part:
        shutil.copyfile(source, part)
    if out is None:
        write_shelf(target.parent, {name: ready.model.about})
    return target


def _known_texts(shelf: Path) -> dict[str, str]:
    path = shelf / INDEX
    if not path.is_file():
        return {}
    return {model.name: model.about for model in read_index(path.read_bytes(), str(path)).models}


def _listed(bundle: Bundle, name: str, about: str) -> ShelfModel:
    spec, path = bundle.spec, Path(bundle.path)
    picture = ""
    if PREVIEW in bundle.members:
        picture = f"{name}.png"
        with atomic_file(path.parent / picture, overwrite=True) as part:
            write_bytes(part, bundle.read(PREVIEW))
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return ShelfModel(
        name=name,
        file=path.name,
        sha256=sha256,
        size=path.stat().st_size,
        about=about,
        task=spec.task,
        bands=bundle.bands.names,
        gsd_m=spec.gsd_m,
        classes=bundle.classes.names,
        licence=spec.provenance.licence,
        scores=_scores(bundle),
        extent=spec.provenance.extent,
        picture=picture,
    )


def _scores(bundle: Bundle) -> tuple[ShelfScore, ...]:
    """The overall scores on the test blocks, or else on the validation blocks."""
    known = [one for one in bundle.spec.scores if one.class_name is None and one.value is not None]
    split = "test" if any(one.split == "test" for one in known) else "val"
    scenes = ", ".join(bundle.spec.provenance.scenes[:3])
    more = " ..." if len(bundle.spec.provenance.scenes) > 3 else ""
    return tuple(
        ShelfScore(
            name=one.name,
            value=float(one.value or 0.0),
            low=one.low,
            high=one.high,
            ground=f"{split} blocks of {scenes or 'unknown scenes'}{more}",
        )
        for one in known
        if one.split == split
    )


def describe(model: ShelfModel) -> str:
    """The first score of a model on a shelf with its ground, in words; "" without one."""
    if not model.scores:
        return ""
    score = model.scores[0]
    return f"{score.name} {score.value:.2f} ({score.ground})"
