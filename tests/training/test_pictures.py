from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eo_dl.core.arrays import Objects
from eo_dl.core.classes import ClassSet
from eo_dl.core.window import Window
from eo_dl.training.judging.curves import draw_curves
from eo_dl.training.judging.preview import PreviewRow, chips_to_show, draw_preview
from eo_dl.training.judging.scoring import DecodedChip
from eo_dl.training.judging.worstchips import GALLERY, WorstChips, errors_of

CLASSES = ClassSet.of_names(["field", "water"], background=True)


def rows(scores: list[float]) -> list[dict[str, float]]:
    return [
        {"epoch": i + 1, "step": 10 * i, "train_loss": 1 / (i + 1), "train_dice": 0.1, "val_mean_iou": score}
        for i, score in enumerate(scores)
    ]


@pytest.mark.parametrize("scores", [[0.5], [0.1, 0.9, 0.8], [math.nan, math.nan], [0.2, math.nan, 0.3]])
def test_curves_are_drawn_for_any_history(tmp_path: Path, scores: list[float]) -> None:
    draw_curves(rows(scores), "mean_iou", 1, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (1200, 480)
    assert [p.name for p in tmp_path.iterdir()] == ["curves.png"]


def test_class_maps_are_shown_in_the_colours_of_their_classes() -> None:
    truth = np.full((20, 20), 1, np.uint8)
    row = PreviewRow("chip", np.zeros((20, 20, 3), np.uint8), truth, np.full((20, 20), 2, np.uint8))
    with Image.open(io.BytesIO(draw_preview([row], CLASSES))) as picture:
        colors = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    for class_id in (1, 2):
        color = tuple(bytes.fromhex(CLASSES.by_id(class_id).color[1:]))
        assert (colors == color).all(axis=1).sum() > 1000


def test_the_chips_with_most_in_them_come_first_and_apart() -> None:
    truths = [
        np.zeros((4, 4), np.uint8),
        np.arange(16).reshape(4, 4).astype(np.uint8) % 3,
        np.eye(4, dtype=np.uint8),
        np.arange(16).reshape(4, 4).astype(np.uint8) % 3,
    ]
    windows = [(0, Window(10 * place, 0, 4, 4)) for place in range(4)]
    assert chips_to_show(truths, windows, 2) == [1, 3]
    windows[3] = (0, Window(12, 0, 4, 4))
    assert chips_to_show(truths, windows, 4) == [1, 2, 0, 3]


def test_objects_are_shown_also_where_there_are_none() -> None:
    some = Objects(
        np.array([[2.0, 2, 9, 9]]), np.array([255]), np.ones(1, np.float32), ignore=np.array([True])
    )
    image = np.full((16, 16, 3), 90, np.uint8)
    assert draw_preview(
        [PreviewRow("a", image, some, Objects.none()), PreviewRow("b", image, Objects.none(), some)], CLASSES
    ).startswith(b"\x89PNG")


def decoded(number: int, predicted: object, truth: object) -> DecodedChip:
    return DecodedChip(f"chip-{number}", predicted, truth)  # type: ignore[arg-type]


def test_the_worst_chips_are_kept_in_order_and_right_ones_not_at_all() -> None:
    truth = np.ones((10, 10), np.uint8)
    wrong = np.random.default_rng(0).permutation(40)
    chips = [
        decoded(n, np.where(np.arange(100).reshape(10, 10) < count, 2, 1).astype(np.uint8), truth)
        for n, count in enumerate(wrong)
    ]
    worst = WorstChips(None)
    assert [one.chip_id for one in worst.watch(chips)] == [one.chip_id for one in chips]
    expected = [
        (f"chip-{n}", f"{count}.0% wrong")
        for count, n in sorted(((int(c), n) for n, c in enumerate(wrong)), reverse=True)
    ][:GALLERY]
    assert [(chip.chip_id, errors) for chip, errors in worst.chips()] == expected
    few = WorstChips(None)
    list(few.watch([chips[0], decoded(9, truth, truth)]))
    assert len(few.chips()) == (wrong[0] > 0)


def test_errors_of_objects_are_those_missed_and_those_found_in_vain() -> None:
    truth = Objects(
        np.array([[0.0, 0, 4, 4], [6, 6, 9, 9], [0, 6, 3, 9]]),
        np.array([1, 1, 1]),
        np.ones(3, np.float32),
        ignore=np.array([False, False, True]),
    )
    found = Objects(
        np.array([[0.0, 0, 4, 4], [0, 6, 3, 9], [4, 4, 6, 6]]),
        np.array([1, 1, 1]),
        np.array([0.9, 0.8, 0.7], np.float32),
    )
    assert errors_of(decoded(0, found, truth)) == (2, "1 of 2 missed, 1 false positive")
    worst = WorstChips(0.75)
    list(worst.watch([decoded(0, found, truth)]))
    assert worst.chips()[0][1] == "1 of 2 missed, 0 false positives"


def test_ground_of_no_class_counts_neither_way() -> None:
    truth = np.full((4, 4), 255, np.uint8)
    assert errors_of(decoded(0, np.zeros((4, 4), np.uint8), truth))[0] == 0


def test_a_chip_is_as_wrong_as_its_worst_class() -> None:
    truth, sure = np.array([1.0, 0, np.nan], np.float32), np.array([0.9, 0.2, 0.1], np.float32)
    assert errors_of(decoded(0, sure, truth))[0] == 0
    assert errors_of(decoded(0, np.array([0.1, 0.6, 0.9], np.float32), truth))[0] == pytest.approx(0.9)
