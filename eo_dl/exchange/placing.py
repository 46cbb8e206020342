"""Labels of exported images, back on the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
import shapely
from pyproj import CRS

from ..core.arraytypes import GeometryArray, Int64Array
from ..core.classes import IGNORE_ID, ClassSet
from ..core.features import Features
from ..core.geometries import polygons_in, reproject
from ..core.imagelabels import CoveredImage, ImageLabels, WholeImageLabels
from ..core.imagenames import composed, stem_before_export, stem_of
from ..core.labeloutlines import MapOutlines
from ..core.labelset import LabelSet
from ..core.maplabels import MapLabels
from ..core.rasterlabels import RasterLabels
from ..core.wording import count_of, listed
from ..errors import LabelError
from ..io.scene import Scene
from ..labels.formats.annotations import Losses
from ..labels.formats.formatlist import written_formats
from ..labels.imagecoverage import check_frames
from .imageindex import ImageIndex, IndexedImage
from .imageobjects import annotations_of
from .joining import join_pieces
from .pixelset import label_set_of


def place_labels(
    labels: ImageLabels | WholeImageLabels, index: ImageIndex, *, join: bool = True
) -> MapLabels | ImageLabels:
    """Labels in pixels of exported images, brought to the map.

    Labels of whole images become the frames of their images.

    Args:
        labels: Labels of exported images.
        index: Where the images lie.
        join: Join the pieces of an object that several images show.

    Returns:
        The labels in the CRS of their scenes; in the first one if there are several, and in pixels of the
        scenes if they have none. `annotated` is the ground of the images that the labels cover, or the part
        of it in which they say that they are complete.

    Raises:
        LabelError: An image is not in the index, or some scenes have a CRS and others have none.
    """
    notes = list(labels.notes)
    owner = _owners([image.name for image in labels.covered], index, labels.source, notes)
    if index.format or index.source:
        _check_sizes(labels, owner)  # those of scenes are checked by `place_on_scenes`
    if isinstance(labels, WholeImageLabels):
        labels, join = labels.framed({name: image.grid for name, image in owner.items()}), False
    image_of = [owner[str(name)] for name in labels.images]
    covered_images = dict.fromkeys(owner.values())  # in order, each once
    covered = list(covered_images)
    missing = [image.name for image in index.images if image not in covered_images]
    if missing:
        notes.append(
            f"{len(missing)} of {len(index.images)} exported images are not in the labels, "
            f"so their ground is not annotated: {listed(missing)}"
        )
    classes = _IndexClasses.of(index, labels.classes)
    notes += classes.notes
    features = replace(labels.features, class_ids=classes.new_ids[labels.features.class_ids])
    if join and len(features) and not index.whole_images:
        features, image_of = join_pieces(features, image_of, covered, index.shape, notes)
    crs = covered[0].grid.crs
    features = _on_scenes(features, image_of, crs, labels.source)
    crs_count = len({image.grid.crs for image in covered})
    if crs_count > 1:
        name = "pixels" if crs is None else crs.name
        notes.append(f"the scenes have {crs_count} CRS: all labels are transformed to {name}")
    if crs is None:
        scenes = dict.fromkeys(image.scene for image in covered)
        return ImageLabels(
            classes.classes,
            features,
            labels.source,
            covered=tuple(CoveredImage(scene) for scene in scenes),
            class_field=labels.class_field,
            notes=tuple(notes),
        )
    return MapLabels(
        classes.classes,
        features,
        crs,
        labels.source,
        areas=MapOutlines(_annotated(labels, owner, crs), crs, labels.source),
        class_field=labels.class_field,
        notes=tuple(notes),
    )


def _on_scenes(
    features: Features, image_of: Sequence[IndexedImage], crs: CRS | None, source: str
) -> Features:
    """Features in pixels of their images, in a CRS, or in pixels of their scenes."""
    geometries = features.geometries.copy()
    for position, image in enumerate(image_of):
        geometries[position] = _on_map(geometries[position], image, crs, source)
    splits = np.array([image.split for image in image_of], dtype=object)
    return replace(
        features,
        geometries=geometries,
        images=np.array([image.scene for image in image_of], dtype=object),
        attributes={**features.attributes, "split": splits},
    )


def place_map_labels(labels: MapLabels, index: ImageIndex) -> MapLabels:
    """Labels of exported images that are in map coordinates already, in the CRS of their scenes.

    Returns:
        The labels; `annotated` is where they say that they are complete, else the ground of the images.

    Raises:
        LabelError: The scenes have no CRS.
    """
    crs = index.images[0].grid.crs
    if crs is None:
        raise LabelError(
            f"{labels.source}: the labels are in map coordinates, but the exported images have no CRS; "
            "georeference their scenes and export them again"
        )
    if labels.annotated is None:
        areas = _merged([_on_map(_frame(image), image, crs, labels.source) for image in index.images])
    else:
        areas = reproject(labels.annotated.geometries, labels.crs, crs, labels.source)
    classes = _IndexClasses.of(index, labels.classes)
    features = replace(
        labels.features,
        geometries=reproject(labels.features.geometries, labels.crs, crs, labels.source),
        class_ids=classes.new_ids[labels.features.class_ids],
    )
    return MapLabels(
        classes.classes,
        features,
        crs,
        labels.source,
        areas=MapOutlines(areas, crs, labels.source),
        file_names=labels.file_names,
        class_field=labels.class_field,
        notes=(*labels.notes, *classes.notes),
    )


def _annotated(labels: ImageLabels, owner: Mapping[str, IndexedImage], crs: CRS) -> GeometryArray:
    """The ground on which labels are complete: their images, or the areas that the labels name in them."""
    if labels.annotated is None:
        images = dict.fromkeys(owner.values())
        return _merged([_on_map(_frame(image), image, crs, labels.source) for image in images])
    areas = zip(labels.annotated.geometries, labels.annotated.images, strict=True)
    return _merged([_on_map(area, owner[str(name)], crs, labels.source) for area, name in areas])


def _merged(areas: Sequence[shapely.Geometry]) -> GeometryArray:
    """(N,) the polygons that areas cover together."""
    return polygons_in(shapely.union_all(np.array(areas, dtype=object)))


def _frame(image: IndexedImage) -> shapely.Geometry:
    return shapely.box(0, 0, image.grid.width, image.grid.height)


def _owners(
    names: Sequence[str], index: ImageIndex, source: str, notes: list[str]
) -> dict[str, IndexedImage]:
    """The exported image of each name: with the same name, else with the same stem, else with the stem before
    a tool renamed the image on export, which is noted.
    """
    by_name = {composed(image.name): image for image in index.images}
    by_stem = {stem_of(name): image for name, image in by_name.items()}
    by_case = {stem.casefold(): image for stem, image in by_stem.items()}
    owner: dict[str, IndexedImage] = {}
    unknown: list[str] = []
    renamed: list[str] = []
    for name in names:
        last = PurePosixPath(composed(name)).name
        stem = stem_of(last)
        image = by_name.get(composed(name)) or by_name.get(last) or by_stem.get(stem)
        image = image or by_case.get(stem.casefold())
        if image is None:
            image = by_case.get(stem_before_export(stem).casefold())
            renamed += [f"{last} is {image.name}"] if image is not None else []
        if image is None:
            unknown.append(name)
        else:
            owner[name] = image
    if unknown:
        raise LabelError(
            f"{source}: {len(unknown)} of {len(names)} images are not in the index ({listed(unknown)}); "
            "name the index that was exported with them with `index`"
        )
    _refuse_shared(owner, source)
    if renamed:
        notes.append(
            f"{count_of(len(renamed), 'image')} found by the name before a tool renamed it on export: "
            f"{listed(renamed, most=2)}"
        )
    return owner


def _refuse_shared(owner: Mapping[str, IndexedImage], source: str) -> None:
    """Raise `LabelError` where two images of the labels would be one exported image, such as two versions of
    it that a tool made by augmentation.
    """
    name_of: dict[str, str] = {}
    for name, image in owner.items():
        other = name_of.setdefault(image.name, name)
        if other != name:
            raise LabelError(
                f"{source}: {other} and {name} are both the exported image {image.name}; export the labels "
                "from the tool without augmentation, each image once"
            )


def _check_sizes(labels: ImageLabels | WholeImageLabels, owner: Mapping[str, IndexedImage]) -> None:
    """Raise `LabelError` for labels of images that a tool resized, whose pixels are not those of the
    export.
    """
    wrong: list[str] = []
    for image in labels.covered:
        grid = owner[image.name].grid
        if image.size_px is not None and image.size_px != (grid.width, grid.height):
            width, height = image.size_px
            wrong.append(
                f"{image.name} is {width}x{height} px in the labels, {grid.width}x{grid.height} as exported"
            )
    if wrong:
        raise LabelError(
            f"{labels.source}: {len(wrong)} of {len(labels.covered)} images have another size than the "
            f"exported ones ({wrong[0]}); turn off resizing in the tool and export the labels again"
        )


@dataclass(frozen=True)
class _IndexClasses:
    """The classes of an index, and those of labels that it does not have."""

    classes: ClassSet
    new_ids: Int64Array
    """(256,) the id of each id of the labels."""
    notes: tuple[str, ...]

    @classmethod
    def of(cls, index: ImageIndex, label_classes: ClassSet) -> _IndexClasses:
        """Classes of labels are those of the index by name; others get new ids."""
        id_of = {info.name: info.id for info in index.classes}
        names = _exported_names(index, label_classes)
        new = [name for class_id, name in names.items() if name not in id_of and class_id != 0]
        unused_ids = iter(sorted(set(range(1, IGNORE_ID)).difference(id_of.values())))
        for name in new:
            id_of[name] = next(unused_ids)
        notes = [f"{len(new)} classes were not exported and are new: {listed(new)}"] if new else []
        new_ids = np.arange(256)
        for class_id, name in names.items():
            new_ids[class_id] = id_of.get(name, class_id)
        all_names = {info.id: info.name for info in index.classes} | {id_of[name]: name for name in new}
        colors = {info.id: info.color for info in index.classes}
        return cls(ClassSet.of_ids(all_names, colors), new_ids, tuple(notes))


def _exported_names(index: ImageIndex, classes: ClassSet) -> dict[int, str]:
    """The name of each class as it was exported; formats may spell it in another way."""
    written = written_formats().get(index.format)
    originals = {} if written is None else written.original_names(index.classes)
    exported = {info.name for info in index.classes}
    return {
        info.id: info.name if info.name in exported else originals.get(info.name, info.name)
        for info in classes
    }


def _on_map(outline: shapely.Geometry, image: IndexedImage, crs: CRS | None, source: str) -> shapely.Geometry:
    """An outline in pixels of an image, in a CRS; in pixels of its scene if that has none."""
    outlines = image.grid.geometries_to_map(np.array([outline], dtype=object))
    image_crs = image.grid.crs
    if (image_crs is None) != (crs is None):
        raise LabelError(
            f"{source}: some of its scenes have a CRS and others have none; import them separately"
        )
    if image_crs is None or crs is None:
        return outlines[0]
    return reproject(outlines, image_crs, crs, source)[0]


def place_on_scenes(labels: LabelSet, scenes: Sequence[Scene]) -> LabelSet:
    """Labels in pixels of scenes, in the CRS of the scenes; labels in map coordinates as they are.

    Args:
        labels: The labels; patches of connected pixels of label rasters become objects.
        scenes: Their images.

    Raises:
        LabelError: There are no scenes, an image is not among them, or one has no CRS.
    """
    if isinstance(labels, MapLabels):
        return labels
    if not scenes:
        raise LabelError(
            f"{labels.source}: the labels are in pixels of images; "
            "name the images with `images` to place them"
        )
    if isinstance(labels, RasterLabels):
        labels = label_set_of(annotations_of(labels, [], Losses()))
    without_crs = [scene.name for scene in scenes if scene.native.crs is None]
    if without_crs:
        raise LabelError(
            f"{labels.source}: {listed(without_crs)} has no CRS, so its labels cannot be placed on the map; "
            "georeference it, or set `out_format` to one in pixels"
        )
    if not isinstance(labels, ImageLabels | WholeImageLabels):
        raise TypeError(f"{labels.source}: unknown kind of labels {type(labels).__name__}")
    check_frames(labels, scenes)
    names = _names_in_labels(labels, scenes)
    images = tuple(
        IndexedImage(name, scene.native, scene.name, scene.path, "none")
        for name, scene in zip(names, scenes, strict=True)
    )
    placed = place_labels(labels, ImageIndex(images, labels.classes, format=""), join=False)
    attributes = {name: values for name, values in placed.features.attributes.items() if name != "split"}
    return replace(placed, features=replace(placed.features, attributes=attributes))


def _names_in_labels(labels: ImageLabels | WholeImageLabels, scenes: Sequence[Scene]) -> list[str]:
    """What labels call each scene; scenes that they do not name go by their own names."""
    called = {stem_of(image.name): image.name for image in labels.covered}
    stems = [labels.covered_names.by_stem(scene.place) for scene in scenes]
    return [scene.name if stem is None else called[stem] for stem, scene in zip(stems, scenes, strict=True)]
