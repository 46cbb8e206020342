"""Scores as cards of an HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .score import Score, score_title


def score_cards(scores: Sequence[Score], names: Sequence[str] = ()) -> str:
    """Cards side by side: name, value and interval.

    Args:
        scores: The scores, the most important first.
        names: What stands on each card (default: the names of the scores).
    """
    titles = names or [_title(score) for score in scores]
    cards = [_card(title, score) for title, score in zip(titles, scores, strict=True)]
    return "<div class='cards'>" + "".join(cards) + "</div>"


def interval_text(score: Score) -> str:
    """The 95 % interval of a score in words; empty where there is none."""
    if score.low is None or score.high is None:
        return ""
    return f"95 %: {score.low:.3f} to {score.high:.3f}"


def _title(score: Score) -> str:
    name = score_title(score.name)
    if score.threshold is not None and not score.name.startswith("ap"):
        name += f" at IoU {score.threshold:g}"
    return name


def _card(title: str, score: Score) -> str:
    value = f"{score.value:.3f}" if score.defined else "n/a"
    interval = interval_text(score) or "&nbsp;"
    return (
        f"<div class='card'><span class='name'>{escape(title)}</span><b>{value}</b>"
        f"<span class='interval'>{interval}</span></div>"
    )
