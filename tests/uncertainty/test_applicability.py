"""Ground like that of the training is inside, other ground outside, and the core set stands for all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.uncertainty.applicability import (
    Applicability,
    FeatureSpace,
    fit_applicability,
    outside,
)


def ground(rng: np.random.Generator, blocks: int, each: int = 60) -> tuple[np.ndarray, list[str]]:
    """Features (N, 40) of blocks that differ a little from each other, on a few directions of many."""
    mixing = np.random.default_rng(9).normal(0, 1, (6, 40))
    samples, places = [], []
    for block in range(blocks):
        centre = rng.normal(0, 0.5, 6)
        samples.append(rng.normal(centre, 1, (each, 6)) @ mixing + rng.normal(0, 0.1, (each, 40)))
        places += [str(block)] * each
    return np.concatenate(samples).astype(np.float32), places


def test_own_ground_is_inside_and_foreign_ground_outside() -> None:
    rng = np.random.default_rng(0)
    features, places = ground(rng, 12)
    fitted = fit_applicability(features, places)
    assert fitted is not None and fitted.blocks == 12 and fitted.samples == len(features)
    own = fitted.applicability.dissimilarity(ground(rng, 8)[0])
    assert outside(own).mean() < 0.1
    # Other directions than those of the training, of the same size: the axes do not show them.
    foreign = rng.normal(0, 1, (400, 6)) @ rng.normal(0, 1, (6, 40))
    assert outside(fitted.applicability.dissimilarity(foreign)).mean() > 0.9
    far = ground(rng, 8)[0] + 8 * features.std(axis=0)
    assert outside(fitted.applicability.dissimilarity(far)).mean() > 0.9


def test_a_feature_that_was_silent_in_the_training_does_not_put_all_ground_outside() -> None:
    rng = np.random.default_rng(3)
    features, places = ground(rng, 12)
    features[:, :4] = 0
    fitted = fit_applicability(features, places)
    assert fitted is not None
    new = ground(rng, 8)[0]
    new[:, :4] = np.abs(rng.normal(0, 0.05, (len(new), 4)))
    assert outside(fitted.applicability.dissimilarity(new)).mean() < 0.1


def test_two_blocks_say_nothing_about_new_ones() -> None:
    features, places = ground(np.random.default_rng(0), 2)
    assert fit_applicability(features, places) is None


@given(st.integers(0, 2**31), st.integers(1, 60))
def test_the_index_is_the_distance_to_the_nearest_of_the_core(seed: int, core_size: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 1, (80, 5))
    places = [str(number % 4) for number in range(80)]
    fitted = fit_applicability(features, places, core_size=core_size)
    assert fitted is not None and len(fitted.applicability.core) == core_size
    new = rng.normal(0, 2, (7, 5))
    core, at = fitted.applicability.core, fitted.applicability.space.places(new)
    naive = [min(np.linalg.norm(place - row) for row in core) for place in at]
    found = fitted.applicability.dissimilarity(new)
    np.testing.assert_allclose(found, np.array(naive) / fitted.applicability.threshold, rtol=1e-3, atol=1e-4)
    again = Applicability.of_arrays(fitted.applicability.arrays(), fitted.applicability.threshold)
    np.testing.assert_array_equal(again.dissimilarity(new), found)


def test_places_are_in_units_of_the_spread_and_none_is_lost() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(3, 2, (200, 50)) * np.linspace(0.1, 4, 50)
    space = FeatureSpace.of(features, axes=8)
    places = space.places(features)
    assert places.shape == (200, 9)
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(places.std(axis=0), 1, rtol=1e-3)
    # Together they hold the distance of the scaled features to their mean.
    scaled = (features - features.mean(axis=0)) / space.spread
    held = places * space.axis_spread
    held[:, -1] += space.rest_mean
    np.testing.assert_allclose(np.linalg.norm(held, axis=1), np.linalg.norm(scaled, axis=1), rtol=1e-3)


def test_arrays_of_a_damaged_file_are_refused() -> None:
    fitted = fit_applicability(*ground(np.random.default_rng(0), 3))
    assert fitted is not None
    arrays = fitted.applicability.arrays()
    with pytest.raises(ValueError, match="do not fit"):
        Applicability.of_arrays(arrays | {"spread": np.ones(3, np.float32)}, 1.0)
    with pytest.raises(ValueError, match="holds no 'core'"):
        Applicability.of_arrays({name: arrays[name] for name in arrays if name != "core"}, 1.0)
