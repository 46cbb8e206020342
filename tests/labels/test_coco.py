from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from faster_coco_eval.core import mask as coco_mask
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eo_dl.core.labelset import LabelSet
from eo_dl.errors import LabelError
from eo_dl.io.rasterize import burn
from eo_dl.labels.formats.rle import rle_outline
from eo_dl.labels.reading import read_labels

Masks = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24), elements=st.integers(0, 1)
)


@given(Masks)
def test_compressed_and_plain_runs_give_the_mask_back(mask: np.ndarray) -> None:
    height, width = mask.shape
    packed = coco_mask.encode(np.asfortranarray(mask))["counts"]
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
    plain = np.diff([0, *changes, len(flat)]).tolist()
    for counts in (packed.decode() if isinstance(packed, bytes) else packed, plain):
        outline = rle_outline(counts, [height, width])
        assert (burn([outline], [1], height, width) == mask).all()
        assert outline.is_valid and outline.area == mask.sum()


@pytest.mark.parametrize(
    ("counts", "size"),
    [
        ([5, 6], [3, 3]),
        ([-1, 10], [3, 3]),
        ("\x00bad", [3, 3]),
        ("o", [3, 3]),
        ("oooooooooooooo0", [3, 3]),
        ([9], [0, 9]),
        ([9], [10**6, 10**6]),
        (None, [3, 3]),
        ([9], "33"),
        ([2**62, 2**62], [3, 3]),
        (["9"], [3, 3]),
    ],
)
def test_runs_that_do_not_fit_their_mask_are_refused(counts: object, size: object) -> None:
    with pytest.raises(ValueError, match=r"^the "):
        rle_outline(counts, size)


def dataset(annotations: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    base = {
        "images": [
            {"id": 1, "file_name": "train/a.tif", "width": 20, "height": 10},
            {"id": 2, "file_name": "b.tif", "width": 20, "height": 10},
        ],
        "categories": [{"id": 3, "name": "roof"}, {"id": 9, "name": "pool"}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 3, **annotation}
            for i, annotation in enumerate(annotations)
        ],
    }
    return base | changes


def read(folder: Path, data: object) -> LabelSet:
    path = folder / "coco.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return read_labels(path, format="coco")


def test_boxes_polygons_holes_and_crowds(tmp_path: Path) -> None:
    ring = np.ones((10, 20), np.uint8)
    ring[3:6, 4:9] = 0
    packed = coco_mask.encode(np.asfortranarray(ring))
    labels = read(
        tmp_path,
        dataset(
            [
                {"bbox": [1, 2, 3, 4]},
                {
                    "bbox": [0, 0, 20, 10],
                    "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4], [6, 0, 9, 0, 9, 4, 6, 4]],
                },
                {
                    "bbox": [0, 0, 20, 10],
                    "segmentation": {"size": [10, 20], "counts": packed["counts"].decode()},
                    "category_id": 9,
                },
                {"bbox": [0, 0, 5, 5], "iscrowd": 1},
            ]
        ),
    )
    assert labels.features.geometries[0].bounds == (1, 2, 4, 6)
    assert (
        labels.features.geometries[1].geom_type == "MultiPolygon" and labels.features.geometries[1].area == 28
    )
    assert len(labels.features.geometries[2].interiors) == 1 and labels.features.geometries[2].area == 185
    assert labels.features.ignore.tolist() == [False, False, False, True]
    assert (
        labels.features.class_ids.tolist() == [3, 3, 9, 3]
        and labels.images is not None
        and set(labels.images) == {"a.tif"}
    )
    assert labels.image_names == ("a.tif", "b.tif") and [image.size_px for image in labels.covered] == [
        (20, 10),
        (20, 10),
    ]


def test_a_category_numbered_zero_is_renumbered(tmp_path: Path) -> None:
    labels = read(
        tmp_path,
        dataset(
            [{"bbox": [0, 0, 1, 1], "category_id": 0}],
            categories=[{"id": 0, "name": "building"}, {"id": 1, "name": "tree"}],
        ),
    )
    assert [(c.id, c.name) for c in labels.classes] == [
        (1, "building"),
        (2, "tree"),
    ] and labels.features.class_ids.tolist() == [1]


def test_a_segmentation_of_too_few_points_leaves_the_box(tmp_path: Path) -> None:
    labels = read(
        tmp_path,
        dataset(
            [
                {"bbox": [0, 0, 2, 2], "segmentation": [[1, 1, 2, 2]]},
                {"bbox": [0, 0, 2, 2], "segmentation": [[0, 0, 3, 0, 3, 3]]},
            ]
        ),
    )
    assert labels.features.geometries[0].area == 4 and labels.features.geometries[1].area == 4.5
    assert "1 annotations have no usable segmentation: their box is taken" in labels.notes


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (dataset([{"bbox": [0, 0, 1]}]), r"annotation coco.json#0: the bbox .* 4 numbers"),
        (dataset([{"bbox": [0, 0, 1, 10**400]}]), "not a pixel coordinate"),
        (dataset([{"bbox": [0, 0, 1, float("inf")]}]), "not a pixel coordinate"),
        (dataset([{"image_id": 77}]), "image 77, which is not listed"),
        (dataset([{"image_id": [1]}]), "not listed"),
        (dataset([{"category_id": 1}]), "category 1, which is not listed"),
        (dataset([{"segmentation": {"size": [10**9, 10**9], "counts": [0]}}]), "the mask has the size"),
        (dataset([{"segmentation": [["a", "b", "c", "d", "e", "f"]]}]), "the ring"),
        (dataset([], images=[{"id": 1, "file_name": "../../.."}]), "not a safe file name"),
        (dataset([], images=[{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]), "missing or taken"),
        (
            dataset([], images=[{"id": 1, "file_name": "x/a"}, {"id": 2, "file_name": "x/a"}]),
            "two images called 'x/a'",
        ),
        (dataset([]) | {"annotations": [7]}, "item 0 of annotations is not an object"),
        (dataset([]), "holds no labelled area"),
        ({"images": []}, "no list of categories"),
        ("[1, 2]", "found a JSON list"),
        ("{" * 100_000, "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
def test_hostile_and_broken_files_are_refused_in_one_line(tmp_path: Path, data: object, message: str) -> None:
    with pytest.raises(LabelError, match=message) as caught:
        read(tmp_path, data)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


@given(
    st.lists(
        st.tuples(st.floats(0, 15), st.floats(0, 8), st.floats(0.1, 5), st.floats(0.1, 5)),
        min_size=1,
        max_size=6,
    )
)
def test_boxes_come_back_as_written(
    tmp_path_factory: pytest.TempPathFactory, boxes: list[tuple[float, ...]]
) -> None:
    boxes = [(1.0, 1.0, 2.0, 2.0), *boxes]  # not all from 0 to 1, which would be fractions
    labels = read(tmp_path_factory.mktemp("coco"), dataset([{"bbox": list(box)} for box in boxes]))
    expected = [[x, y, x + w, y + h] for x, y, w, h in boxes]
    assert np.abs(shapely.bounds(labels.features.geometries) - expected).max() == 0
