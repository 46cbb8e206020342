from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.networks.losses import cross_entropy_and_dice


def _case(seed: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    mask = rng.choice([*range(classes), 255], (2, 5, 4))
    return torch.from_numpy(rng.normal(0, 3, (2, classes, 5, 4))), torch.from_numpy(mask)


@given(st.integers(0, 1000), st.integers(2, 5), st.booleans())
def test_both_losses_are_their_textbook_sums_over_counted_pixels(seed: int, classes: int, weighted: bool) -> None:
    logits, mask = _case(seed, classes)
    weights = torch.linspace(0.5, 2, classes) if weighted else None
    found = [value.item() for value in cross_entropy_and_dice(logits, mask, weights)]
    share = torch.softmax(logits, 1).numpy()
    entropy, factors = 0.0, 0.0
    overlap, total, present = np.zeros(classes), np.zeros(classes), np.zeros(classes)
    for n, row, col in np.ndindex(mask.shape):
        k = int(mask[n, row, col])
        if k == 255:
            continue
        factor = 1.0 if weights is None else float(weights[k])
        entropy, factors = entropy - factor * np.log(share[n, k, row, col]), factors + factor
        overlap[k] += share[n, k, row, col]
        total += share[n, :, row, col]
        total[k] += 1
        present[k] = 1
    dice = [1 - 2 * overlap[k] / total[k] for k in range(classes) if present[k]]
    assert found == pytest.approx([entropy / factors, float(np.mean(dice))], rel=1e-4)


@given(st.integers(0, 1000))
def test_what_is_said_on_ignored_pixels_changes_nothing(seed: int) -> None:
    logits, mask = _case(seed, 3)
    logits = logits.requires_grad_()
    sum(cross_entropy_and_dice(logits, mask, torch.ones(3))).backward()  # type: ignore[union-attr]
    assert logits.grad is not None
    assert not logits.grad.permute(0, 2, 3, 1)[mask == 255].any()
    assert logits.grad.permute(0, 2, 3, 1)[mask != 255].any()


def test_nothing_but_ignored_pixels_is_zero_with_gradient_zero() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    losses = cross_entropy_and_dice(logits, torch.full((1, 4, 4), 255), None)
    (losses[0] + losses[1]).backward()
    assert [value.item() for value in losses] == [0, 0]
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_confident_right_answer_costs_nothing() -> None:
    mask = torch.tensor([[[0, 1], [1, 2]]])
    logits = 60 * torch.nn.functional.one_hot(mask, 3).permute(0, 3, 1, 2).float()
    assert max(value.item() for value in cross_entropy_and_dice(logits, mask, None)) < 1e-6
