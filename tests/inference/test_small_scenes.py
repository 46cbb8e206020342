"""Many small scenes in one call give what each gives alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eo_dl.bundle import Bundle
from eo_dl.errors import Cancelled, InputError
from eo_dl.export.bundlegraph import add_graph
from eo_dl.inference.backends.onnxbackend import OnnxRuntimeBackend
from eo_dl.inference.backends.onnxmember import GraphBackend
from eo_dl.inference.mapextras import MapExtras
from eo_dl.inference.predict import predict
from eo_dl.networks.compute import Compute
from eo_dl.tasks import load_task
from tests.tinynetworks import BAND_NAMES, BANDS, tiny_bundle

PROBABILITIES = MapExtras(probabilities=True)

# (height, width) of scenes for chips of 32 px: of one chip, of several, and two with too many for a batch.
SIZES = ((20, 24), (32, 32), (40, 70), (32, 33), (90, 40), (300, 280), (25, 60), (31, 31))


def write_scenes(folder: Path, write_scene: Callable[..., Path], values: int = 6) -> list[Path]:
    folder.mkdir()
    rng = np.random.default_rng(3)
    paths = []
    for number, (height, width) in enumerate(SIZES):
        coarse = rng.integers(1, values, (1, -(-height // 8), -(-width // 8))).astype(np.uint8)
        pixels = coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width].copy()
        pixels[:, : height // 4, : width // 3] = 0
        paths.append(write_scene(folder / f"s{number}.tif", pixels, nodata=0))
    return paths


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def sharing(engine: Any, monkeypatch: pytest.MonkeyPatch, shared: bool) -> None:
    monkeypatch.setattr(type(engine), "shares_batches", shared)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    ("kind", "task", "suffix", "options"),
    [("echo", "segmentation", ".tif", {"extras": PROBABILITIES}), ("blobs", "detection", ".gpkg", {})],
)
def test_scenes_together_are_the_scenes_one_by_one(
    kind: str,
    task: str,
    suffix: str,
    options: dict[str, Any],
    shared: bool,
    tmp_path: Path,
    write_scene: Callable[..., Path],
    make_bundle: Callable[..., Bundle],
    use_engine: Callable[..., Any],
    engines: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenes = write_scenes(tmp_path / "scenes", write_scene)
    bundle = make_bundle(task)
    engine = use_engine(engines[kind], bundle)
    sharing(engine, monkeypatch, shared)
    for name in ("alone", "together"):
        (tmp_path / name).mkdir()
    for scene in scenes:
        predict(bundle, scene, out=tmp_path / "alone" / f"{scene.stem}{suffix}", **options)
    one_by_one, engine.batches = list(engine.batches), []
    result = predict(bundle, scenes, out=f"{tmp_path}/together/", **options)
    assert files(tmp_path / "together") == files(tmp_path / "alone")
    assert [part.scene for part in result.parts] == [str(scene) for scene in scenes]
    assert (len(engine.batches) < len(one_by_one)) == shared


def test_a_real_network_gives_the_same_bytes_in_shared_batches(
    tmp_path: Path, write_scene: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime computes each chip of a batch for itself, here as on a GPU in one batch."""
    bundle, _ = add_graph(tiny_bundle(load_task("segmentation"), tmp_path / "model.eodl"))
    rng = np.random.default_rng(1)
    scenes = [
        write_scene(
            tmp_path / f"s{number}.tif",
            rng.normal(size=(BANDS, 64, 64 + 40 * (number % 2))).astype(np.float32),
            names=BAND_NAMES,
            gsd_m=0.5,
        )
        for number in range(5)
    ]
    sizes: list[int] = []
    run = GraphBackend.run

    def counted(self: GraphBackend, pixels: Any, valid: Any, scaling: Any) -> Any:
        sizes.append(len(pixels))
        return run(self, pixels, valid, scaling)

    monkeypatch.setattr(GraphBackend, "run", counted)
    for name, shared in (("alone", False), ("together", True)):
        # A plain value hides the property of the class.
        monkeypatch.setattr(OnnxRuntimeBackend, "shares_batches", shared)
        predict(
            bundle,
            scenes,
            out=f"{tmp_path}/{name}/",
            backend="onnxruntime",
            compute=Compute("cpu", batch_size=4),
            extras=PROBABILITIES,
        )
    assert files(tmp_path / "together") == files(tmp_path / "alone")
    assert sizes == [1, 2, 1, 2, 1, 4, 3]


def test_what_shares_a_batch_does_not_depend_on_what_is_finished(
    tmp_path: Path,
    write_scene: Callable[..., Path],
    make_bundle: Callable[..., Bundle],
    use_engine: Callable[..., Any],
    engines: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenes = write_scenes(tmp_path / "scenes", write_scene)
    bundle = make_bundle()
    engine = use_engine(engines["echo"], bundle)
    sharing(engine, monkeypatch, True)
    predict(bundle, scenes, out=f"{tmp_path}/whole/")
    whole, engine.batches = list(engine.batches), []
    small = [scene for scene in scenes if scene.stem != "s5"]

    def stop(done: int, total: int, what: str) -> None:
        if len(engine.batches) >= 2:
            raise KeyboardInterrupt

    with pytest.raises(Cancelled, match="run the same command to continue"):
        predict(bundle, small, out=f"{tmp_path}/stopped/", on_progress=stop)
    made = {path.name for path in (tmp_path / "stopped").glob("*.tif")}
    assert made and len(made) < len(small)
    engine.batches = []
    predict(bundle, small, out=f"{tmp_path}/stopped/")
    assert set(engine.batches) <= set(whole)
    for scene in small:
        assert (tmp_path / "stopped" / f"{scene.stem}.tif").read_bytes() == (
            tmp_path / "whole" / f"{scene.stem}.tif"
        ).read_bytes()


def test_scenes_before_one_that_does_not_fit_are_written(
    tmp_path: Path,
    write_scene: Callable[..., Path],
    make_bundle: Callable[..., Bundle],
    use_engine: Callable[..., Any],
    engines: dict[str, Any],
) -> None:
    scenes = write_scenes(tmp_path / "scenes", write_scene)
    wrong = write_scene(tmp_path / "wrong.tif", np.zeros((1, 32, 32), np.uint8), nodata=0)
    bundle = make_bundle()
    use_engine(engines["echo"], bundle)
    with pytest.raises(InputError, match="no valid pixel"):
        predict(bundle, [*scenes[:3], wrong, *scenes[3:]], out=f"{tmp_path}/maps/")
    assert {path.stem for path in (tmp_path / "maps").glob("*.tif")} == {"s0", "s1", "s2"}
