"""Option values: `SceneOptions` is exactly what `open_scene` takes, and a file is opened as it says."""

from __future__ import annotations

import inspect
import json
from dataclasses import asdict, fields

import numpy as np
import pytest
import rasterio

from eo_dl import LabelOptions, SceneOptions, open_scene, open_scenes, read_labels
from eo_dl.errors import ConfigError, LabelError, SceneError
from eo_dl.io.scene import Scene

PIXELS = np.arange(3 * 20 * 30, dtype="uint16").reshape(3, 20, 30)


def parameters(verb) -> dict[str, tuple[object, str]]:
    """Keyword parameters: default and annotation by name."""
    found = inspect.signature(verb).parameters.values()
    return {one.name: (one.default, one.annotation) for one in found if one.kind is one.KEYWORD_ONLY}


@pytest.mark.parametrize(("verb", "options"), [(open_scene, SceneOptions), (read_labels, LabelOptions)])
def test_the_parameters_of_a_verb_are_the_fields_of_its_options(verb, options):
    declared = {field.name: (field.default, field.type) for field in fields(options)}
    declared.pop("values", None)  # numbers are read by `read_values`
    assert parameters(verb) == declared


@pytest.mark.parametrize("options", [SceneOptions, LabelOptions])
def test_every_field_has_one_sentence(options):
    source = inspect.getsource(options)
    for field in fields(options):
        declared = source.index(f"\n    {field.name}: ")
        after = source[source.index("\n", declared + 1) :].lstrip()
        assert after.startswith('"""'), field.name
        assert after[3:].split('"""')[0].rstrip().endswith("."), field.name


def test_equal_options_compare_equal():
    assert SceneOptions(bands="red, 2", nodata="0") == SceneOptions(bands=["red", 2], nodata=0)
    assert hash(SceneOptions(bands=["red"])) == hash(SceneOptions(bands="red"))
    assert SceneOptions(**json.loads(json.dumps(asdict(SceneOptions(bands="1,2", nodata="none"))))) == (
        SceneOptions(bands=("1", "2"), nodata="none")
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bands": "red,,blue"}, "`bands`: expected names"),
        ({"bands": ()}, "`bands`: expected names"),
        ({"nodata": "white"}, "`nodata`: expected a number or 'none'"),
        ({"scale": 0}, "`scale` must not be 0"),
        ({"offset": float("nan")}, "`offset` must be a finite number, found nan"),
    ],
)
def test_values_that_open_no_scene_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        SceneOptions(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"unlabelled": "nothing"}, "`unlabelled`: expected 'background' or 'ignore'"),
        ({"buffer_m": 0}, "`buffer_m`: expected a radius above 0 m, found 0"),
        ({"voc_origin": 2}, "`voc_origin`: the first pixel is 0 or 1"),
    ],
)
def test_values_that_read_no_labels_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        LabelOptions(**wrong)


def test_scale_and_offset_go_before_those_of_the_file(make_tiff):
    path = make_tiff(PIXELS)
    with rasterio.open(path, "r+") as file:
        file.scales = (0.5, 0.5, 0.5)
    as_in_file, stated = open_scene(path), open_scene(path, scale=0.1, offset=-1)
    assert [(band.scale, band.offset) for band in as_in_file.bands] == [(0.5, 0.0)] * 3
    assert [(band.scale, band.offset) for band in stated.bands] == [(0.1, -1.0)] * 3
    assert (as_in_file.own_units, stated.own_units) == (True, False)


def test_files_folders_patterns_and_scenes_are_opened_in_order(make_tiff, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("b.tif", "a.tif"):
        make_tiff(PIXELS, f"in/{name}")
    alone = make_tiff(PIXELS, "alone.tif")
    scene = open_scene(alone)
    assert [one.name for one in open_scenes(tmp_path / "in")] == ["a.tif", "b.tif"]
    assert [one.name for one in open_scenes([alone, f"{tmp_path}/in/b*.tif", scene])] == [
        "alone.tif",
        "b.tif",
        "alone.tif",
    ]
    assert open_scenes(scene) == (scene,)
    assert open_scenes([]) == ()
    (chosen,) = open_scenes(alone, SceneOptions(bands=[2]))
    assert [band.number for band in chosen.bands] == [2]


def test_what_is_open_is_returned_and_takes_no_options(make_tiff, tmp_path):
    scene = open_scene(make_tiff(PIXELS))
    assert open_scene(scene) is scene and isinstance(scene, Scene)
    with pytest.raises(SceneError, match="is open already, so `bands` and `nodata` cannot be applied"):
        open_scene(scene, bands="1", nodata=0)
    path = tmp_path / "labels.csv"
    path.write_text("image,label,xmin,ymin,xmax,ymax\nscene.tif,tree,1,1,5,5\n")
    labels = read_labels(path)
    assert read_labels(labels) is labels
    with pytest.raises(LabelError, match="was read already, so `class_field` cannot be applied"):
        read_labels(labels, class_field="kind")
