from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.core.arrays import MaskTarget
from eo_dl.errors import ConfigError
from eo_dl.io.yamlfiles import validate
from eo_dl.networks.lossconfig import LOSSES, LossConfig, LossName
from eo_dl.networks.losses import (
    ClassLoss,
    truth_of_channels,
    truth_of_labels,
    truth_of_masks,
    truth_of_shares,
)

Array = npt.NDArray[np.float64]
FOR_LABELS = ("bce", "focal", "dice", "jaccard", "tversky")


def one(name: str) -> LossConfig:
    return LossConfig.model_validate({"terms": name, "label_smoothing": 0.1, "focal_gamma": 1.5})


def pixels(seed: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    mask = rng.choice([*range(classes), 255], (2, 5, 4))
    return torch.from_numpy(rng.normal(0, 3, (2, classes, 5, 4))), torch.from_numpy(mask)


def one_hot(mask: npt.NDArray[np.int64], classes: int) -> Array:
    found = np.zeros((len(mask), classes, *mask.shape[1:]))
    for n, row, col in np.ndindex(mask.shape):
        if mask[n, row, col] != 255:
            found[n, mask[n, row, col], row, col] = 1
    return found


def naive(
    name: str, p: Array, truth: Array, counted: npt.NDArray[np.bool_], weights: Array, exclusive: bool
) -> float:
    """The loss by its definition, one pixel and class at a time; `p`, `truth` and `counted` (N, K, H, W),
    smoothing 0.1, gamma 1.5.
    """
    classes = p.shape[1]
    total = factors = 0.0
    hit, found, true = np.zeros(classes), np.zeros(classes), np.zeros(classes)
    errors: list[list[tuple[float, float]]] = [[] for _ in range(classes)]
    for n, k, row, col in np.ndindex(p.shape):
        if not counted[n, k, row, col]:
            continue
        q, t = float(p[n, k, row, col]), float(truth[n, k, row, col])
        s, weight = 0.9 * t + 0.1 / (classes if exclusive else 2), float(weights[k])
        hit[k], found[k], true[k] = hit[k] + q * t, found[k] + q, true[k] + t
        errors[k].append((abs(t - q), t))
        if name == "cross_entropy":
            total, factors = total - s * weight * math.log(q), factors + s * weight
        elif name == "bce":
            total, factors = (
                total - weight * (s * math.log(q) + (1 - s) * math.log(1 - q)),
                factors + weight,
            )
        elif name == "focal" and exclusive:
            total, factors = total - s * weight * (1 - q) ** 1.5 * math.log(q), factors + s * weight
        elif name == "focal":
            total -= weight * (s * (1 - q) ** 1.5 * math.log(q) + (1 - s) * q**1.5 * math.log(1 - q))
            factors += weight
    if name in ("cross_entropy", "bce", "focal"):
        return float(total / factors)
    present = [k for k in range(classes) if true[k] > 0]
    if not present:
        return 0.0
    if name == "lovasz":
        return float(np.mean([naive_lovasz(errors[k]) for k in present]))
    alpha, beta = {"dice": (0.5, 0.5), "jaccard": (1, 1), "tversky": (0.3, 0.7)}[name]
    return float(
        np.mean(
            [1 - hit[k] / (hit[k] + alpha * (found[k] - hit[k]) + beta * (true[k] - hit[k])) for k in present]
        )
    )


def naive_lovasz(errors: list[tuple[float, float]]) -> float:
    """The Lovász extension from its definition: the Jaccard loss of ever larger sets of wrong pixels, worst
    first.
    """

    def jaccard_loss(wrong: list[int]) -> float:
        true = sum(t for _, t in errors)
        return 1 - (true - sum(errors[i][1] for i in wrong)) / (true + sum(1 - errors[i][1] for i in wrong))

    order = sorted(range(len(errors)), key=lambda i: -errors[i][0])
    return sum(
        errors[i][0] * (jaccard_loss(order[: n + 1]) - jaccard_loss(order[:n])) for n, i in enumerate(order)
    )


@given(st.integers(0, 1000), st.integers(2, 5), st.booleans())
@settings(max_examples=15)
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_its_definition_over_counted_pixels(
    name: str, seed: int, classes: int, weighted: bool
) -> None:
    logits, mask = pixels(seed, classes)
    weights = np.linspace(0.5, 2, classes) if weighted else np.ones(classes)
    found = ClassLoss(one(name))(
        logits, truth_of_channels(mask, classes), torch.from_numpy(weights) if weighted else None
    )
    counted = np.broadcast_to((mask.numpy() != 255)[:, None], logits.shape)
    expected = naive(
        name,
        torch.softmax(logits, 1).numpy(),
        one_hot(mask.numpy(), classes),
        counted,
        weights,
        exclusive=True,
    )
    assert found[name].item() == pytest.approx(expected, rel=1e-4)
    assert found["loss"].item() == found[name].item()


@given(st.integers(0, 1000))
@settings(max_examples=15)
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_takes_soft_targets(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, mask = pixels(seed, 3)
    soft = rng.dirichlet(np.ones(3), (2, 5, 4)).transpose(0, 3, 1, 2) * (mask.numpy() != 255)[:, None]
    truth = truth_of_shares(torch.from_numpy(soft), torch.ones(2, 5, 4, dtype=torch.bool))
    found = ClassLoss(one(name))(logits, truth)[name].item()
    counted = np.broadcast_to((mask.numpy() != 255)[:, None], logits.shape)
    assert found == pytest.approx(
        naive(name, torch.softmax(logits, 1).numpy(), soft, counted, np.ones(3), exclusive=True), rel=1e-4
    )


@given(st.integers(0, 1000))
@settings(max_examples=15)
@pytest.mark.parametrize("name", FOR_LABELS)
def test_labels_that_may_meet_are_learnt_one_by_one_and_unknown_ones_not(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, values = rng.normal(0, 2, (4, 3)), rng.choice([0.0, 1.0, np.nan], (4, 3), p=[0.4, 0.4, 0.2])
    weights = np.array([0.5, 1.0, 2.0])
    found = ClassLoss(one(name), exclusive=False)(
        torch.from_numpy(logits), truth_of_labels(torch.from_numpy(values)), torch.from_numpy(weights)
    )
    shape = (4, 3, 1, 1)
    p, counted = 1 / (1 + np.exp(-logits)), np.isfinite(values)
    expected = naive(
        name,
        p.reshape(shape),
        np.nan_to_num(values).reshape(shape),
        counted.reshape(shape),
        weights,
        exclusive=False,
    )
    assert found[name].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_said_on_ignored_pixels_changes_nothing(name: str) -> None:
    logits, mask = pixels(3, 3)
    logits = logits.requires_grad_()
    ClassLoss(one(name))(logits, truth_of_channels(mask, 3), torch.ones(3))["loss"].backward()
    assert logits.grad is not None
    assert not logits.grad.permute(0, 2, 3, 1)[mask == 255].any()
    assert logits.grad.permute(0, 2, 3, 1)[mask != 255].any()


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_but_ignored_pixels_is_zero_with_gradient_zero(name: str) -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = ClassLoss(one(name))(logits, truth_of_channels(torch.full((1, 4, 4), 255), 3))["loss"]
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("sure", [60.0, -60.0])
def test_a_confident_answer_has_a_finite_gradient_and_costs_nothing_where_right(
    name: LossName, sure: float
) -> None:
    mask = torch.tensor([[[0, 1], [1, 2]]])
    logits = (sure * torch.nn.functional.one_hot(mask, 3).permute(0, 3, 1, 2).float()).requires_grad_()
    loss = ClassLoss(LossConfig(terms={name: 1.0}))(logits, truth_of_channels(mask, 3))["loss"]
    loss.backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()
    assert loss.item() < 1e-6 if sure > 0 else loss.item() > 0.5
    if sure < 0 and name in ("cross_entropy", "bce", "focal"):
        assert logits.grad.abs().max() > 0.01


def test_of_two_exclusive_classes_bce_is_cross_entropy() -> None:
    logits, mask = pixels(5, 2)
    config = LossConfig.model_validate(["bce", "cross_entropy"])
    found = ClassLoss(config)(logits, truth_of_channels(mask, 2))
    assert found["bce"].item() == pytest.approx(found["cross_entropy"].item(), rel=1e-5)


def test_a_sum_of_losses_counts_each_by_its_share() -> None:
    logits, mask = pixels(1, 3)
    found = ClassLoss(LossConfig(terms={"focal": 1.0, "dice": 0.5}))(logits, truth_of_channels(mask, 3))
    assert set(found) == {"loss", "focal", "dice"}
    assert found["loss"].item() == pytest.approx(found["focal"].item() + 0.5 * found["dice"].item())


def test_where_both_are_defined_they_agree_with_segmentation_models_pytorch() -> None:
    from segmentation_models_pytorch import losses

    logits, mask = pixels(2, 3)
    logits, mask = logits.float(), mask.where(mask != 255, 0)
    known = {"dice": losses.DiceLoss, "jaccard": losses.JaccardLoss, "lovasz": losses.LovaszLoss}
    for name, theirs in known.items():
        ours = ClassLoss(LossConfig.model_validate(name))(logits, truth_of_channels(mask, 3))[name].item()
        assert ours == pytest.approx(theirs("multiclass")(logits, mask).item(), rel=1e-4), name


def test_soft_and_hard_chips_meet_in_one_batch() -> None:
    mask = np.array([[0, 1], [255, 2]], np.uint8)
    soft = np.array([[[0.2, 1], [0, 0]], [[0.8, 0], [1, 0]], [[0, 0], [0, 0]]], np.float32)
    likeliest = np.array([[1, 0], [1, 0]], np.uint8)
    found = truth_of_masks(
        [MaskTarget(mask), MaskTarget(likeliest, soft), MaskTarget(mask, soft)], 3, torch.device("cpu")
    )
    assert found.counted.reshape(3, 4).tolist() == [[1, 1, 0, 1], [1, 1, 1, 0], [1, 1, 0, 0]]
    assert found.shares[1, :, 0].tolist() == pytest.approx([0.2, 0.8, 0])
    assert found.shares[0].sum(0).tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize(
    ("given", "terms"),
    [
        ("dice", {"dice": 1.0}),
        (["cross_entropy", "lovasz"], {"cross_entropy": 1.0, "lovasz": 1.0}),
        ({"terms": {"focal": 2.0}}, {"focal": 2.0}),
        ({"label_smoothing": 0.1}, None),
    ],
)
def test_short_forms_of_a_loss(given: object, terms: dict[str, float] | None) -> None:
    assert LossConfig.model_validate(given).terms == terms


@pytest.mark.parametrize(
    "given", ["dise", ["dice", "dice"], [], [3], {"terms": {"dice": 0}}, {"term": "dice"}]
)
def test_a_wrong_loss_is_one_line(given: object) -> None:
    from eo_dl.tasks.segmentation.config import SegmentationConfig

    with pytest.raises(ConfigError) as caught:
        validate(SegmentationConfig, {"loss": given}, "config")
    assert "\n" not in str(caught.value)


def test_losses_of_exclusive_classes_are_refused_for_labels_that_may_meet() -> None:
    with pytest.raises(ConfigError, match="cross_entropy"):
        ClassLoss(LossConfig.model_validate("cross_entropy"), exclusive=False)
