"""How unlike the ground of the training each pixel of a chip is, from what the backbone saw in the same
pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..bundle import Bundle
from ..core.arraytypes import AnyArray, Float32Array
from ..core.rawnames import FEATURE_MAP
from ..core.window import Window
from ..io.scene import SceneReader, open_scene
from ..tasks import CHIPS
from ..uncertainty.applicability import Applicability
from ..uncertainty.featurecells import cell_features, on_pixels
from .mapextras import ExtraPath, MapExtras

_ROWS = 1024


@dataclass(frozen=True)
class ChipDissimilarity:
    """Compares chips with the training of a model."""

    applicability: Applicability
    """What is kept of the training."""
    whole: bool
    """True where a chip is classified as a whole, and so compared as a whole."""

    @classmethod
    def of(cls, bundle: Bundle, extras: MapExtras) -> ChipDissimilarity | None:
        """Of a model; None where it is not wanted."""
        if not extras.applicability:
            return None
        applicability = bundle.applicability()
        assert applicability is not None, "checked with the names of the outputs"
        return cls(applicability, bundle.task.output == CHIPS)

    def pixels(self, raw: Mapping[str, AnyArray], chip_px: int) -> Float32Array:
        """(H, W) of a chip, from its raw arrays."""
        feature_map = raw[FEATURE_MAP]
        cells = self._cells(feature_map, chip_px)
        if self.whole:
            return np.full((chip_px, chip_px), cells[0, 0], np.float32)
        return on_pixels(cells, feature_map.shape[1], chip_px)

    def chip(self, raw: Mapping[str, AnyArray], chip_px: int) -> float:
        """Of a chip as a whole."""
        return float(self._cells(raw[FEATURE_MAP], chip_px).mean())

    def _cells(self, feature_map: AnyArray, chip_px: int) -> Float32Array:
        features = cell_features(feature_map, chip_px, self.whole)
        flat = features.reshape(len(features), -1).T
        return self.applicability.dissimilarity(flat).reshape(features.shape[1:])


def outside_notes(extras: tuple[ExtraPath, ...]) -> tuple[str, ...]:
    """The share of the ground of a finished map that is unlike the training."""
    found = [extra.path for extra in extras if extra.kind == "applicability"]
    if not found or not found[0].is_file():
        return ()
    inside = outside = 0
    scene = open_scene(found[0])
    with SceneReader(scene) as reader:
        for row0 in range(0, scene.grid.height, _ROWS):
            rows = min(_ROWS, scene.grid.height - row0)
            chip = reader.read(Window(0, row0, scene.grid.width, rows))
            values = chip.pixels[1][chip.valid]
            inside += int((values == 1).sum())
            outside += int((values == 0).sum())
    if not inside + outside:
        return ()
    share = outside / (inside + outside)
    return (
        f"{share:.1%} of the ground is outside the area of applicability: unlike the ground of the training, "
        "so neither the map nor its certainty can be relied on there",
    )
