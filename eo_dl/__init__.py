"""eo_dl: from GeoTIFFs and a few drawn labels to a map you can believe.

    import eo_dl as eo
    chips  = eo.tile(["ortho.tif"], eo.read_labels("trees.gpkg"), out="chips/")
    run    = eo.train(chips, task="segmentation", out="model.eodl")
    result = eo.predict(run.model, "other.tif", out="map.tif")
    report = eo.evaluate(result, eo.read_labels("truth.gpkg"))

The public verbs below are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .core.publicnames import load_public_name
from .version import __version__ as __version__

if TYPE_CHECKING:
    from .bundle import load_model
    from .chips.chipset import open_chip_set
    from .chips.sampling import Sampling
    from .chips.splits import Split
    from .chips.tile import tile, tile_on_cluster
    from .curation.retrain import retrain
    from .evaluation.design.assess import assess
    from .evaluation.design.sample import sample
    from .evaluation.design.sampledesign import SampleDesign
    from .evaluation.evaluate import evaluate
    from .evaluation.robustness.stressing import plan_stress, stress
    from .evaluation.versus.comparemaps import compare
    from .inference.clusterrun import predict_on_cluster
    from .inference.mapextras import MapExtras
    from .inference.predict import predict
    from .inference.shards import assemble_shards, predict_shard
    from .io.deadbands import drop_dead_bands
    from .io.scene import open_scene, open_scenes
    from .io.sceneoptions import SceneOptions
    from .io.services.fetching import Service, fetch
    from .labels.labeloptions import LabelOptions
    from .labels.reading import read_labels, read_values
    from .networks.compute import Compute
    from .postprocessing.cleanup import Cleanup
    from .postprocessing.differences import DiffOptions, diff
    from .postprocessing.vectorize import vectorize
    from .postprocessing.vectorizemaps import vectorize_maps
    from .postprocessing.zonesummary import SummaryOptions, summary
    from .training.train import train
    from .workflow.mapping import map_scenes
    from .workflow.mappingplan import plan_mapping


# Public name -> module that defines it. Packages are nouns, so that loading one never hides a verb.
_HOME = {
    "drop_dead_bands": ".io.deadbands",
    "open_scene": ".io.scene",
    "open_scenes": ".io.scene",
    "SceneOptions": ".io.sceneoptions",
    "Service": ".io.services.fetching",
    "fetch": ".io.services.fetching",
    "LabelOptions": ".labels.labeloptions",
    "Cleanup": ".postprocessing.cleanup",
    "DiffOptions": ".postprocessing.differences",
    "diff": ".postprocessing.differences",
    "Compute": ".networks.compute",
    "read_labels": ".labels.reading",
    "read_values": ".labels.reading",
    "tile": ".chips.tile",
    "tile_on_cluster": ".chips.tile",
    "Sampling": ".chips.sampling",
    "Split": ".chips.splits",
    "open_chip_set": ".chips.chipset",
    "train": ".training.train",
    "retrain": ".curation.retrain",
    "load_model": ".bundle",
    "predict": ".inference.predict",
    "MapExtras": ".inference.mapextras",
    "predict_on_cluster": ".inference.clusterrun",
    "predict_shard": ".inference.shards",
    "assemble_shards": ".inference.shards",
    "SummaryOptions": ".postprocessing.zonesummary",
    "summary": ".postprocessing.zonesummary",
    "vectorize": ".postprocessing.vectorize",
    "vectorize_maps": ".postprocessing.vectorizemaps",
    "evaluate": ".evaluation.evaluate",
    "compare": ".evaluation.versus.comparemaps",
    "stress": ".evaluation.robustness.stressing",
    "plan_stress": ".evaluation.robustness.stressing",
    "sample": ".evaluation.design.sample",
    "SampleDesign": ".evaluation.design.sampledesign",
    "assess": ".evaluation.design.assess",
    "map_scenes": ".workflow.mapping",
    "plan_mapping": ".workflow.mappingplan",
}

__all__ = [
    "Cleanup",
    "Compute",
    "DiffOptions",
    "LabelOptions",
    "MapExtras",
    "SampleDesign",
    "Sampling",
    "SceneOptions",
    "Service",
    "Split",
    "SummaryOptions",
    "assemble_shards",
    "assess",
    "compare",
    "diff",
    "drop_dead_bands",
    "evaluate",
    "fetch",
    "load_model",
    "map_scenes",
    "open_chip_set",
    "open_scene",
    "open_scenes",
    "plan_mapping",
    "plan_stress",
    "predict",
    "predict_on_cluster",
    "predict_shard",
    "read_labels",
    "read_values",
    "retrain",
    "sample",
    "stress",
    "summary",
    "tile",
    "tile_on_cluster",
    "train",
    "vectorize",
    "vectorize_maps",
]


def __getattr__(name: str) -> object:
    return load_public_name(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
