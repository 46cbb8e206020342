"""Shelves of ready models: which there are, and the file of one by its name.

A shelf is a folder or an https address with a `shelf.json` (`shelving.write_shelf` makes it) that lists
models with their hashes, and the files beside it. Looked at are the shelves of the environment variable
EO_DL_SHELVES (with ";" between), the user's own (`own_shelf`), and the package `eo_dl_models`, if it is
installed.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from .core.wording import listed
from .errors import BundleError, InputError
from .io.download import download, fetch_bytes

INDEX = "shelf.json"
SHELVES = "EO_DL_SHELVES"
"""The environment variable with further shelves."""
PACKAGE = "eo_dl_models"
"""The package whose folder is a shelf, too."""

_MOST_BYTES = 16 * 2**20
_NAME = r"^[a-z0-9][a-z0-9_-]{0,79}$"
_FILE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$"

Text = Annotated[str, Field(max_length=4000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ShelfScore(_Strict):
    """A score of a model, on named ground."""

    name: Text
    value: float
    low: float | None = None
    high: float | None = None
    ground: Text
    """Where it was measured, in words."""


class ShelfModel(_Strict):
    """A model as a shelf lists it."""

    name: str = Field(pattern=_NAME)
    file: str = Field(pattern=_FILE)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    about: Text = ""
    """What it maps, and where it fails, in a few sentences."""
    task: Text
    bands: tuple[Text, ...]
    gsd_m: float | None = None
    classes: tuple[Text, ...]
    licence: Text = ""
    scores: tuple[ShelfScore, ...] = ()
    extent: JsonValue = None
    """Where it was trained: a GeoJSON geometry in longitude and latitude."""
    picture: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,119})?$")
    """A PNG beside the model."""


class ShelfIndex(_Strict):
    """The content of `shelf.json`."""

    format: Literal["eo_dl shelf"] = "eo_dl shelf"
    version: Literal[1] = 1
    models: tuple[ShelfModel, ...]


@dataclass(frozen=True)
class ReadyModel:
    """A model on a shelf."""

    shelf: str
    """The folder or address of the shelf."""

    model: ShelfModel
    """What the shelf says about it."""

    def fetch(self) -> Path:
        """Its file, downloaded once if it is on the web, and checked by its hash.

        Raises:
            BundleError: The file is missing, cannot be downloaded, or is another one.
        """
        if _is_address(self.shelf):
            try:
                return download(_beside(self.shelf, self.model.file), self.model.sha256, self.model.file)
            except InputError as error:
                raise BundleError(str(error)) from error
        path = Path(self.shelf) / self.model.file
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as cause:
            raise BundleError(
                f"{path}: the model {self.model.name} of the shelf cannot be read ({cause.strerror})"
            ) from cause
        if found != self.model.sha256:
            raise BundleError(
                f"{path}: is another file than {INDEX} lists (SHA-256 {found[:12]}..., expected "
                f"{self.model.sha256[:12]}...); get it again, or renew the list with eo-dl model shelf"
            )
        return path


def own_shelf() -> Path:
    """The user's own shelf, where `get` puts models by default: a folder that may not exist yet."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "eo_dl" / "Shelf"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "eo_dl" / "shelf"
    linux = os.environ.get("XDG_DATA_HOME")
    return (Path(linux) if linux else Path.home() / ".local" / "share") / "eo_dl" / "shelf"


def shelf_places() -> tuple[str, ...]:
    """The shelves that are looked at, in their order; the first that has a name wins."""
    stated = [part.strip() for part in os.environ.get(SHELVES, "").split(";")]
    places = [part for part in stated if part]
    if (own_shelf() / INDEX).is_file():
        places.append(str(own_shelf()))
    package = _package_folder()
    if package is not None:
        places.append(str(package))
    return tuple(dict.fromkeys(places))


def ready_models(shelf: str | Path | None = None) -> tuple[ReadyModel, ...]:
    """The models of a shelf, or of all shelves; of two of one name the first.

    Args:
        shelf: A folder or an https address (default: all of `shelf_places`).

    Raises:
        BundleError: A shelf cannot be read.
    """
    places: Sequence[str] = shelf_places() if shelf is None else (str(shelf),)
    found: dict[str, ReadyModel] = {}
    for place in places:
        for model in _index(place).models:
            found.setdefault(model.name, ReadyModel(place, model))
    return tuple(found.values())


def ready_model(name: str, shelf: str | Path | None = None) -> ReadyModel:
    """The model of a name.

    Args:
        name: Its name on the shelf.
        shelf: As for `ready_models`.

    Raises:
        BundleError: No shelf has it, or one cannot be read.
    """
    known = {ready.model.name: ready for ready in ready_models(shelf)}
    if name in known:
        return known[name]
    places = (str(shelf),) if shelf is not None else shelf_places()
    if not places:
        raise BundleError(
            f"{name}: no such file, and there is no shelf of ready models: name one in {SHELVES}, or put "
            "models on your own with eo-dl model get"
        )
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)
    raise BundleError(
        f"{name}: no such file, and no model of this name on a shelf ({listed(places)}); there are "
        f"{listed(near) or 'none'}"
    )


def is_name(text: str) -> bool:
    """Whether a text may be the name of a model on a shelf, and not a path."""
    return re.fullmatch(_NAME, text) is not None


def read_index(data: bytes, source: str) -> ShelfIndex:
    """The content of a `shelf.json`.

    Args:
        data: Its bytes.
        source: Where it comes from, for messages.

    Raises:
        BundleError: It is none.
    """
    try:
        return ShelfIndex.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "content"
        raise BundleError(
            f"{source}: is no list of models ({place}: {first['msg'][:120]}); make it with eo-dl model shelf"
        ) from error


def _index(place: str) -> ShelfIndex:
    if _is_address(place):
        address = _beside(place, INDEX)
        try:
            return read_index(fetch_bytes(address, _MOST_BYTES), address)
        except InputError as error:
            raise BundleError(str(error)) from error
    path = Path(place) / INDEX
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise BundleError(f"{path}: is larger than {_MOST_BYTES >> 20} MB, the most for a list of models")
        return read_index(path.read_bytes(), str(path))
    except OSError as cause:
        raise BundleError(
            f"{path}: cannot be read ({cause.strerror}); a shelf is a folder or an https address with "
            f"{INDEX} (eo-dl model shelf FOLDER makes it)"
        ) from cause


def _is_address(place: str) -> bool:
    return "://" in place


def _beside(place: str, file: str) -> str:
    """The address of a file of a shelf on the web, which may be given by its folder or its list."""
    return f"{place.removesuffix(INDEX).rstrip('/')}/{file}"


def _package_folder() -> Path | None:
    """The folder of the installed package of models; nothing of it is run."""
    try:
        spec = importlib.util.find_spec(PACKAGE)
    except (ImportError, ValueError):
        return None
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    return next((Path(folder) for folder in folders if (Path(folder) / INDEX).is_file()), None)
