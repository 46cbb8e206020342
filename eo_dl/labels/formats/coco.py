"""COCO: one JSON file with images, categories and annotations (boxes, polygons, run-length masks).

Coordinates are pixels from the upper left corner.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from ...core.classes import IGNORE_ID
from ...core.geometries import polygons_in
from ...core.imagelabels import CoveredImage
from ...core.wording import listed
from ...errors import LabelError
from ...io.geojson import plain_value
from ...io.rasterize import burn
from ..classnames import Known
from ..classrequest import value_text
from ..labeloptions import LabelOptions
from ..marks import without_marks
from ..records import PixelObject, Records, image_path, pixel_records
from .annotations import NO_SPLIT, Annotations, LabelledImage, LabelledObject, Losses, objects_with_class
from .labelfile import LabelFile
from .labelformat import Capabilities, LabelFormat, Recognition, WrittenFormat
from .outlineforms import box_of, has_holes, open_ring
from .rle import rle_outline, rle_runs
from .safefile import checked_list, checked_score, image_size, put, read_json

_FARTHEST_PX = 1e12
_MARKS = ("iscrowd", "ignore")  # "ignore" as LVIS, CrowdHuman and Detectron write it
_NEAR_PX = 2.0
_FEWEST_BOXES = 2


def read_coco(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Objects of COCO files. Their outline is the segmentation, or the box if there is none.

    Crowds are ignored unless `options.crowds` says otherwise. Category ids are kept if they are 1 to 254. A
    category without annotations that others have as their supercategory is no class. Images without
    annotations are covered too.

    Raises:
        LabelError: A file is malformed; names the annotation.
    """
    objects: list[PixelObject] = []
    covered: dict[str, CoveredImage] = {}
    id_of: dict[str, int] = {}
    supercategories: set[str] = set()
    twice: set[str] = set()
    boxes_taken = apart = 0
    for path in paths:
        data = _document(path)
        images = _images(data, path)
        categories = _categories(data, path)
        supercategories |= _supercategories(data, path)
        twice |= {name for name, count in Counter(categories.values()).items() if count > 1}
        for image in images.values():
            covered.setdefault(image.name, image)
        for key, name in categories.items():
            id_of.setdefault(name, key)
        boxes = _Boxes()
        for number, item in enumerate(checked_list(data.get("annotations"), "annotations", path)):
            annotation = _Annotation(item, f"{path.name}#{item.get('id', number)}", path)
            outline = annotation.segmentation(images)
            if outline is None:
                outline = annotation.box()
                boxes.add(outline, annotation.image(images))
            else:
                apart += annotation.box_is_apart(outline)
            objects.append(annotation.as_object(outline, images, categories))
        boxes.refuse_corners(path)
        boxes_taken += boxes.count
    notes = []
    if apart:
        notes.append(
            f"{apart} of {len(objects)} annotations have a box elsewhere than their segmentation, which is "
            "taken; were they changed by a program that knows one of the two alone?"
        )
    if 0 < boxes_taken < len(objects):
        notes.append(f"{boxes_taken} annotations have no usable segmentation: their box is taken")
    objects = without_marks(objects, options.crowds, "crowds", notes)
    if twice:
        notes.append(f"several categories are called {listed(sorted(twice))}: each name is one class")
    used = {labelled.value for labelled in objects}
    groups = [name for name in id_of if name in supercategories and name not in used]
    if 0 < len(groups) < len(id_of):
        notes.append(
            f"{listed(groups)}: only the supercategory of other categories, without annotations, so no "
            "class; name it with `classes` to have it as one"
        )
        id_of = {name: key for name, key in id_of.items() if name not in groups}
    class_ids = {name: key for name, key in id_of.items() if 0 < key < IGNORE_ID}
    known = Known(tuple(id_of), class_ids)
    return pixel_records(
        source,
        objects,
        list(covered.values()),
        notes,
        known,
        class_field="category",
        ignored_as="crowds",
    )


def _document(path: Path) -> Mapping[str, object]:
    """The object that a COCO file contains."""
    data = read_json(path)
    if isinstance(data, list) and data and isinstance(data[0], dict) and "category_id" in data[0]:
        raise LabelError(
            f"{path}: is a list of COCO results, which does not name the images; "
            "use the whole data set (images, annotations, categories)"
        )
    if not isinstance(data, dict):
        raise LabelError(
            f"{path}: expected a COCO object with images, annotations and categories, "
            f"found a JSON {type(data).__name__}"
        )
    return data


def _images(data: Mapping[str, object], path: Path) -> dict[object, CoveredImage]:
    """The images by their id."""
    images: dict[object, CoveredImage] = {}
    for number, item in enumerate(checked_list(data.get("images"), "images", path)):
        key = item.get("id")
        if not isinstance(key, int | str) or key in images:
            raise LabelError(
                f"{path}: image {number} has the id {str(key)[:40]!r}, which is missing or taken; "
                "give each image its own"
            )
        name = image_path(item.get("file_name"), str(path), f"image {key}")
        images[key] = CoveredImage(name, image_size(item.get("width"), item.get("height")))
    counts = Counter(image.name for image in images.values())
    for name, count in counts.items():
        if count > 1:
            raise LabelError(f"{path}: lists two images called {name!r}; give each image its own name")
    return images


def _categories(data: Mapping[str, object], path: Path) -> dict[int, str]:
    """The class names by the id of their category."""
    names: dict[int, str] = {}
    for number, item in enumerate(checked_list(data.get("categories"), "categories", path)):
        key, name = item.get("id"), value_text(item.get("name"))
        if not isinstance(key, int) or key in names or name is None:
            raise LabelError(
                f"{path}: category {number} ({str(item)[:80]}) needs an id of its own and a name; correct it"
            )
        names[key] = name
    return names


def _supercategories(data: Mapping[str, object], path: Path) -> set[str]:
    """The names by which categories are grouped, other than their own."""
    names = set()
    for item in checked_list(data.get("categories"), "categories", path):
        group = value_text(item.get("supercategory"))
        if group is not None and group != value_text(item.get("name")):
            names.add(group)
    return names


@dataclass(frozen=True)
class _Annotation:
    """One item of the list of annotations."""

    item: Mapping[str, object]
    feature_id: str
    path: Path

    def as_object(
        self,
        outline: shapely.Geometry,
        images: Mapping[object, CoveredImage],
        categories: Mapping[int, str],
    ) -> PixelObject:
        """The annotation as an object with this outline."""
        attributes = self.item.get("attributes")
        try:
            score = checked_score(self.item.get("score"))
        except ValueError as cause:
            raise self._malformed(cause) from cause
        return PixelObject(
            image=self.image(images).name,
            outline=outline,
            value=self._category(categories),
            feature_id=self.feature_id,
            ignore=any(self._is_set(key) for key in _MARKS),
            score=score,
            attributes=attributes if isinstance(attributes, dict) else {},
        )

    def _is_set(self, key: str) -> bool:
        return str(self.item.get(key)).casefold() in ("1", "1.0", "true")

    def image(self, images: Mapping[object, CoveredImage]) -> CoveredImage:
        """The image; raises `LabelError` where the file does not list it."""
        key = self.item.get("image_id")
        if not isinstance(key, int | str) or key not in images:
            raise LabelError(
                f"{self.path}: annotation {self.feature_id} is of image {key!r}, which is not listed; "
                "add the image or delete the annotation"
            )
        return images[key]

    def _category(self, categories: Mapping[int, str]) -> str:
        key = self.item.get("category_id")
        if not isinstance(key, int) or key not in categories:
            raise LabelError(
                f"{self.path}: annotation {self.feature_id} is of category {key!r}, which is not listed; "
                "add the category or correct the annotation"
            )
        return categories[key]

    def segmentation(self, images: Mapping[object, CoveredImage]) -> shapely.Geometry | None:
        """The outline by its mask or rings; None if it has none, or none with three points."""
        value = self.item.get("segmentation")
        size_px = self.image(images).size_px
        try:
            if isinstance(value, dict):
                return _mask_outline(value, size_px)
            return _rings_outline(value) if isinstance(value, list) else None
        except ValueError as cause:
            raise self._malformed(cause) from cause

    def box(self) -> shapely.Geometry:
        """The outline by its bounding box; empty for a box without area."""
        value = self.item.get("bbox")
        if value is None:
            return shapely.Polygon()
        try:
            x, y, width, height = _numbers(value, "bbox", 4)
        except ValueError as cause:
            raise self._malformed(cause) from cause
        has_area = width > 0 and height > 0
        return shapely.box(x, y, x + width, y + height) if has_area else shapely.Polygon()

    def box_is_apart(self, outline: shapely.Geometry) -> bool:
        """Whether the box is another one than that around an outline; masks may be a pixel larger."""
        if self.item.get("bbox") is None or outline.is_empty:
            return False
        box = self.box()
        if box.is_empty:
            return False
        return bool(np.abs(np.subtract(box.bounds, outline.bounds)).max() > _NEAR_PX)

    def _malformed(self, cause: ValueError) -> LabelError:
        return LabelError(f"{self.path}: annotation {self.feature_id}: {cause}; correct or delete it")


@dataclass
class _Boxes:
    """The boxes of annotations without a segmentation, and whether they may be corners in truth."""

    count: int = 0
    beyond: int = 0
    """Boxes that leave their image, as x, y, width and height."""
    corners_fit: bool = True
    """Whether all boxes, as two corners (x0, y0, x1, y1), lie in their images."""

    def add(self, box: shapely.Geometry, image: CoveredImage) -> None:
        """Look at one more box."""
        self.count += 1
        if box.is_empty or image.size_px is None:
            self.corners_fit = False
            return
        col0, row0, col1, row1 = box.bounds
        width, height = image.size_px
        self.beyond += col1 > width + _NEAR_PX or row1 > height + _NEAR_PX
        last_col, last_row = col1 - col0, row1 - row0  # as corners
        self.corners_fit &= col0 < last_col <= width and row0 < last_row <= height

    def refuse_corners(self, path: Path) -> None:
        """Raise `LabelError` where boxes leave their images, and all would fit if they were corners."""
        if self.corners_fit and self.beyond and self.count >= _FEWEST_BOXES:
            raise LabelError(
                f"{path}: {self.beyond} of {self.count} boxes leave their image, while all fit if bbox is "
                "x0, y0, x1, y1 and not x, y, width, height as COCO has it; write width and height"
            )


def _mask_outline(mask: Mapping[str, object], size_px: tuple[int, int] | None) -> shapely.Geometry:
    size = mask.get("size")
    if size_px is not None and size != [size_px[1], size_px[0]]:
        raise ValueError(f"the mask has the size {str(size)[:40]}, but the image {[size_px[1], size_px[0]]}")
    return rle_outline(mask.get("counts"), size)


def _rings_outline(rings: Sequence[object]) -> shapely.Geometry | None:
    """The union of rings as [x, y, x, y, ...]; rings of fewer than three points enclose nothing."""
    polygons = []
    for ring in rings:
        if not isinstance(ring, list) or len(ring) % 2:
            raise ValueError(f"the ring {str(ring)[:60]} is not a list of x and y")
        if len(ring) >= 6:
            polygons.append(shapely.Polygon(np.reshape(_numbers(ring, "ring"), (-1, 2))))
    if not polygons:
        return None
    if len(polygons) == 1:
        return polygons[0]
    return shapely.union_all(shapely.make_valid(polygons, method="structure", keep_collapsed=False))


def _numbers(value: object, what: str, count: int | None = None) -> list[float]:
    if not isinstance(value, list) or (count is not None and len(value) != count):
        raise ValueError(f"the {what} {str(value)[:60]} is not a list of {count or 'all'} numbers")
    for number in value:
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if not is_number or not abs(number) < _FARTHEST_PX:
            raise ValueError(
                f"the {what} {str(value)[:60]} contains something that is not a pixel coordinate"
            )
    return [float(number) for number in value]


# Writing


def write_coco(annotations: Annotations, folder: Path, losses: Losses) -> None:
    """Write `annotations.json`, or one file per split, `annotations/instances_SPLIT.json`.

    Outlines with holes become run-length masks of whole pixels; ignored objects become crowds.
    """
    id_of = {info.name: info.id for info in annotations.classes.foreground}
    categories = [{"id": key, "name": name, "supercategory": ""} for name, key in id_of.items()]
    number = 0
    for split in annotations.splits:
        images: list[dict[str, object]] = []
        items: list[dict[str, object]] = []
        for image_id, image in enumerate(annotations.of_split(split), start=1):
            images.append(
                {"id": image_id, "file_name": image.name, "width": image.width, "height": image.height}
            )
            for labelled in objects_with_class(image, losses):
                number += 1
                keys = {"id": number, "image_id": image_id, "category_id": id_of[labelled.class_name]}
                items.append({**keys, **_written(labelled, image, losses)})
        document = {
            "info": {"description": "written by eo_dl"},
            "images": images,
            "annotations": items,
            "categories": categories,
        }
        name = "annotations.json" if split == NO_SPLIT else f"annotations/instances_{split}.json"
        put(folder, name, json.dumps(document, allow_nan=False))


def _written(labelled: LabelledObject, image: LabelledImage, losses: Losses) -> dict[str, object]:
    """An annotation without its ids."""
    col0, row0, col1, row1 = box_of(labelled.outline, Losses())  # the outline is kept, so nothing is lost
    score: dict[str, object] = {} if labelled.score is None else {"score": float(labelled.score)}
    attributes = {key: plain_value(value) for key, value in labelled.attributes.items() if value is not None}
    return {
        "segmentation": _segmentation(labelled.outline, image, losses),
        "bbox": [col0, row0, col1 - col0, row1 - row0],
        "area": float(labelled.outline.area),
        "iscrowd": int(labelled.ignore),
        **score,
        "attributes": {**attributes, "feature_id": labelled.feature_id},
    }


def _segmentation(outline: shapely.Geometry, image: LabelledImage, losses: Losses) -> object:
    if not has_holes(outline):
        return [open_ring(part).ravel().tolist() for part in polygons_in(outline)]
    losses.count("objects with holes became masks of whole pixels (COCO has no polygons with holes)")
    mask = burn([outline], [1], image.height, image.width) == 1
    return {"size": [image.height, image.width], "counts": rle_runs(mask)}


def _is_coco(file: LabelFile) -> bool:
    outline = file.json
    lists = {name for name in ("annotations", "categories") if outline.members.get(name) == "["}
    return outline.outer == "{" and bool(lists)


FORMAT = LabelFormat(
    name="coco",
    title="COCO",
    recognition=Recognition(
        suffixes=frozenset({".json"}),
        content=_is_coco,
        hint="lists of images, annotations and categories",
    ),
    read_records=read_coco,
    written=(
        WrittenFormat(
            name="coco",
            title="COCO",
            holds=Capabilities(
                shape="polygons", holes="pixels", parts="yes", scores=True, attributes=True, ignore=True
            ),
            label_files=("annotations.json", "annotations/instances_*.json"),
            write_images=write_coco,
            single_file="annotations.json",
            default_suffix=".json",
        ),
    ),
)
