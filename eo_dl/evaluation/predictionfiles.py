"""The files of a prediction, each with its grid and the scene it was made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from ..core.pixelgrid import PixelGrid
from ..errors import InputError, SceneError
from ..inference.prediction import Prediction
from ..io.chiptables import PROBABILITY_PREFIX, TABLE_SUFFIX
from ..io.classmap import raster_tags
from ..io.discover import RASTER_SUFFIXES, VECTOR_SUFFIXES, host_of, own_path, refuse_unnamed_hosts
from ..io.gate import vector_driver
from ..io.maskrules import mask_below, mask_rule, mask_rules
from ..io.outputtags import (
    BANDS_TAG,
    DERIVE_TAG,
    EXTRA_TAG,
    GRID_TAG,
    KIND_TAG,
    MASK_TAG,
    SCENE_TAG,
    VALID_TAG,
    layer_metadata,
    read_grid_tag,
    scene_of_output,
)
from ..io.qgisstyles import PROBABILITIES_TAG
from ..io.scene import Scene, open_scene
from ..io.sceneaddress import own_address
from ..io.vectorlayers import field_names
from ..tasks import CHIPS, VALUES

READ_SUFFIXES = (*VECTOR_SUFFIXES, ".json", ".shp")


@dataclass(frozen=True)
class Part:
    """One file of a prediction."""

    path: Path
    """The file."""
    is_raster: bool
    """True for a raster."""
    scene_name: str
    """File name of the scene it was made from; "" if unknown."""
    scene_path: str | None = None
    """Path of that scene, if it can be opened."""
    grid: PixelGrid | None = None
    """Grid of that scene, if known."""
    of_chips: bool = False
    """True if its features, rows or pixels are whole chips or images."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Metadata of the file."""
    ground: str = ""
    """Name of the ground for its blocks, where two files of one ground are resampled together; else ""."""

    @property
    def of_values(self) -> bool:
        """True for a map of values of ours."""
        return self.tags.get(KIND_TAG) == VALUES.name

    @property
    def made_of(self) -> str:
        """The scene it was made from: its path if known, else its name, else the file's own name."""
        return self.scene_path or scene_of_output(self.path, self.tags) or self.scene_name or self.path.name

    @property
    def block_prefix(self) -> str:
        """Beginning of the names of its blocks; their order must not depend on how the path is written."""
        return f"{self.ground or own_path(self.path)}:"

    def with_own_paths(self) -> Part:
        """The same with paths that do not depend on the folder in which a process runs."""
        scene_path = self.scene_path
        if scene_path is not None:
            scene_path = own_address(scene_path)
        return replace(self, path=own_path(self.path), scene_path=scene_path)


def measured_scene(part: Part) -> Scene:
    """The scene of a part, with the rules of valid pixels by which it was predicted.

    Raises:
        SceneError: It cannot be opened, or the file names a mask on another machine than the scene's.
    """
    path, rule = str(part.scene_path), part.tags.get(VALID_TAG)
    sources = [mask_rule(text).source for text in mask_rules(part.tags.get(MASK_TAG))]
    refuse_unnamed_hosts(sources, part.path, "predict again with a mask on this machine", {host_of(path)})
    mask = [mask_below(text, part.path.parent) for text in mask_rules(part.tags.get(MASK_TAG))]
    if rule is None:
        return open_scene(path, mask=mask)
    bands, recipes = part.tags.get(BANDS_TAG), part.tags.get(DERIVE_TAG, ())
    return open_scene(path, valid=rule, bands=bands, mask=mask, derive=recipes)


def parts_of(prediction: Prediction | str | Path, scene: str | Path | None = None) -> list[Part]:
    """The files of a prediction.

    Args:
        prediction: A prediction, a file or a folder. Of a folder, all rasters but those of probabilities, or
            else all vector files, or else all tables; if it holds none itself, those of its subfolders.
        scene: The scene, if the files do not name it.

    Raises:
        InputError: The prediction does not exist, is empty or of no known kind.
        SceneError: The scene cannot be opened.
    """
    if isinstance(prediction, Prediction):
        if prediction.parts:
            return list(chain.from_iterable(parts_of(part, scene) for part in prediction.parts))
        return [_with_scene(_part(prediction.path, prediction.scene), scene or prediction.scene or None)]
    path = Path(prediction)
    if path.is_dir():
        parts = [_part(file) for file in _files(path)]
        # `predict --probabilities` writes NAME_prob.tif beside each map; `--certainty` etc. write others.
        maps = [part for part in parts if not {PROBABILITIES_TAG, EXTRA_TAG} & set(part.tags)]
        return [_with_scene(part, scene) for part in maps or parts]
    if not path.exists():
        raise InputError(f"{path}: the prediction does not exist; check the path")
    return [_with_scene(_part(path), scene)]


def _files(folder: Path) -> Iterator[Path]:
    # In subfolders only if the folder itself holds none: scenes of one name have a folder each.
    for paths in (folder.iterdir(), folder.rglob("*")):
        visible = sorted(path for path in paths if path.is_file() and not _is_hidden(path, folder))
        for suffixes in (RASTER_SUFFIXES, READ_SUFFIXES, (TABLE_SUFFIX,)):
            files = [path for path in visible if path.suffix.lower() in suffixes]
            if files:
                return iter(files)
    raise InputError(
        f"{folder}: holds neither rasters nor vector files; name the map, or the folder that predict wrote"
    )


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _part(path: Path, scene: str = "") -> Part:
    suffix = path.suffix.lower()
    if suffix in RASTER_SUFFIXES:
        tags = raster_tags(path)
        if tags.get(KIND_TAG) == CHIPS.name:
            return _part_of_chips(path, scene, tags, is_raster=True)
        return Part(path, True, Path(scene).name, tags=tags)
    if suffix == TABLE_SUFFIX:
        return Part(path, False, "", of_chips=True)
    if suffix not in READ_SUFFIXES:
        known = ", ".join((".tif", TABLE_SUFFIX, *READ_SUFFIXES))
        raise InputError(f"{path}: the suffix {path.suffix!r} is no kind of prediction; expected {known}")
    vector_driver(str(path))  # raises a one-line error for any other content
    tags = layer_metadata(path)
    # Files without tags are recognized by their columns.
    has_probabilities = not tags and any(name.startswith(PROBABILITY_PREFIX) for name in field_names(path))
    if tags.get(KIND_TAG) == CHIPS.name or has_probabilities:
        return _part_of_chips(path, scene, tags, is_raster=False)
    scene_name = Path(scene).name or tags.get(SCENE_TAG, "")
    return Part(path, False, scene_name, grid=read_grid_tag(tags.get(GRID_TAG)), tags=tags)


def _part_of_chips(path: Path, scene: str, tags: Mapping[str, str], *, is_raster: bool) -> Part:
    return Part(
        path,
        is_raster,
        Path(scene).name or tags.get(SCENE_TAG, ""),
        grid=read_grid_tag(tags.get(GRID_TAG)),
        of_chips=True,
        tags=tags,
    )


def _with_scene(part: Part, scene: str | Path | None) -> Part:
    """The part with name, path and grid of its scene, if that can be opened."""
    if scene is None:
        return part
    opened = _opened(str(scene), required=not part.scene_name)
    if opened is None:
        return part
    return replace(part, scene_name=opened.name, scene_path=opened.path, grid=opened.native)


def _opened(path: str, required: bool) -> Scene | None:
    try:
        return open_scene(path)
    except SceneError:
        if required:
            raise
        return None  # a prediction outlives its scene: then its own tags must do
