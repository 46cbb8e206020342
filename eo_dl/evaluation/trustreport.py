"""Words and pictures about what probabilities are worth."""

from __future__ import annotations

from ..core.classes import ClassSet
from ..scores.reliability import Reliability
from ..scores.reliabilityplot import reliability_diagram
from ..scores.riskcoverage import RiskCoverage, kept_at
from .besidemap import TrustScorer

_LEFT_TO_A_PERSON = (0.05, 0.1, 0.2)


def trust_pictures(trust: TrustScorer, classes: ClassSet) -> dict[str, bytes]:
    """The reliability diagram and the scores without the least certain ground, as PNGs by name."""
    return {"reliability": reliability_picture(trust.reliability, classes), "coverage": trust.risk.picture()}


def reliability_picture(reliability: Reliability, classes: ClassSet, claim: str = "probability") -> bytes:
    """The reliability diagram of a prediction."""
    return reliability_diagram({"as predicted": reliability}, classes, claim)


def set_notes(trust: TrustScorer) -> list[str]:
    """Whether sets of classes keep what they promise."""
    if trust.sets.empty:
        return []
    overall, *of_classes, size = trust.sets.scores()
    by_class = ", ".join(f"{score.class_name} {score.value:.3f}" for score in of_classes if score.defined)
    return [
        f"sets of classes, made to hold the true class in {trust.coverage:.0%} of the ground of each class: "
        f"they do in {overall.text()} of all ground ({by_class}), with {size.value:.2f} classes per pixel; "
        "the promise is about new blocks of ground like the validation blocks, not about single pixels"
    ]


def risk_notes(risk: RiskCoverage) -> list[str]:
    """What the scores would be if the least certain ground were left to a person."""
    curve = risk.curve()
    if not curve:
        return []
    texts = []
    for left in _LEFT_TO_A_PERSON:
        point = kept_at(curve, 1 - left)
        texts.append(f"{1 - point.kept:.1%}: {point.overall_accuracy:.3f}")
    return [
        "overall accuracy of the rest if the least certain ground is left to a person: "
        f"{', '.join(texts)}; of all ground: {curve[0].overall_accuracy:.3f}"
    ]
