"""What is evaluated: the files of a prediction, each with its place and the scene it was made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..core.pixelgrid import PixelGrid
from ..errors import InputError, SceneError
from ..inference.prediction import Prediction
from ..io.chiptables import PROBABILITY_PREFIX, TABLE_SUFFIX
from ..io.classmap import raster_tags
from ..io.discover import RASTER_SUFFIXES
from ..io.gate import vector_driver
from ..io.outputtags import GRID_TAG, KIND_TAG, SCENE_TAG, layer_metadata, read_grid_tag, scene_of_output
from ..io.scene import Scene, open_scene
from ..io.vectorlayers import VECTOR_SUFFIXES, field_names

READ_SUFFIXES = (*VECTOR_SUFFIXES, ".json", ".shp")


@dataclass(frozen=True)
class Part:
    """One file of a prediction. `scene_name`: file name of the scene it was made of; `scene_path` where that
    is known; `grid` of the scene. `of_chips`: its features or pixels are whole chips or images. `said`: what
    the file says of how it was made.
    """

    path: Path
    is_raster: bool
    scene_name: str
    scene_path: str | None = None
    grid: PixelGrid | None = None
    of_chips: bool = False
    said: Mapping[str, str] = field(default_factory=dict)

    @property
    def made_of(self) -> str:
        """The scene with its folder where that is known, else its name, else the file's own."""
        return self.scene_path or scene_of_output(self.path, self.said) or self.scene_name or self.path.name


def parts_of(prediction: Prediction | str | Path, scene: str | Path | None = None) -> list[Part]:
    """The files of a prediction: of a folder every raster in it, or else every vector file; where it holds
    none, of the folders below it.

    Raises `InputError` for what is missing, empty or of no known kind.
    """
    if isinstance(prediction, Prediction):
        if prediction.parts:
            return [part for one in prediction.parts for part in parts_of(one, scene)]
        return [_with_scene(_part(prediction.path, prediction.scene), scene or prediction.scene or None)]
    path = Path(prediction)
    if path.is_dir():
        return [_with_scene(_part(file), scene) for file in _files(path)]
    if not path.exists():
        raise InputError(f"{path}: the prediction does not exist; check the path")
    return [_with_scene(_part(path), scene)]


def _files(folder: Path) -> Iterator[Path]:
    # below it only where scenes called alike have folders of their own
    for files in (folder.iterdir(), folder.rglob("*")):
        visible = sorted(
            p
            for p in files
            if p.is_file() and not any(part.startswith(".") for part in p.relative_to(folder).parts)
        )
        for suffixes in (RASTER_SUFFIXES, READ_SUFFIXES, (TABLE_SUFFIX,)):
            found = [p for p in visible if p.suffix.lower() in suffixes]
            if found:
                return iter(found)
    raise InputError(
        f"{folder}: holds neither rasters nor vector files; give the map, or the folder that predict wrote"
    )


def _part(path: Path, scene: str = "") -> Part:
    if path.suffix.lower() in RASTER_SUFFIXES:
        said = raster_tags(path)
        return (
            _of_chips(path, True, scene, said)
            if said.get(KIND_TAG) == "chips"
            else Part(path, True, Path(scene).name, said=said)
        )
    if path.suffix.lower() == TABLE_SUFFIX:
        return Part(path, False, "", of_chips=True)
    if path.suffix.lower() not in READ_SUFFIXES:
        known = ", ".join((".tif", TABLE_SUFFIX, *READ_SUFFIXES))
        raise InputError(f"{path}: the suffix {path.suffix!r} is no kind of prediction; expected {known}")
    vector_driver(str(path))  # says in one line what is wrong with the file
    said = layer_metadata(path)
    if said.get(KIND_TAG) == "chips" or (
        not said and any(name.startswith(PROBABILITY_PREFIX) for name in field_names(path))
    ):
        return _of_chips(path, False, scene, said)
    return Part(
        path,
        False,
        Path(scene).name or said.get(SCENE_TAG, ""),
        grid=read_grid_tag(said.get(GRID_TAG)),
        said=said,
    )


def _of_chips(path: Path, is_raster: bool, scene: str, said: Mapping[str, str]) -> Part:
    return Part(
        path,
        is_raster,
        Path(scene).name or said.get(SCENE_TAG, ""),
        grid=read_grid_tag(said.get(GRID_TAG)),
        of_chips=True,
        said=said,
    )


def _with_scene(part: Part, scene: str | Path | None) -> Part:
    """With what the scene itself says, where it is there to be asked."""
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
        return None  # a prediction outlives its scene: then only what its own file says is known
