"""`LossConfig`: the loss of a network, as a configuration holds it. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

LossName = Literal["cross_entropy", "bce", "dice", "jaccard", "focal", "lovasz", "tversky"]
LOSSES: tuple[str, ...] = get_args(LossName)


class LossConfig(BaseModel):
    """A weighted sum of losses. Unknown keys are refused.

    In a configuration a name, a list of names, or names with weights will do:

        loss: dice
        loss: [cross_entropy, dice]
        loss: {terms: {focal: 1.0, lovasz: 0.5}, label_smoothing: 0.1}
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    terms: dict[LossName, Annotated[float, Field(gt=0)]] | None = Field(default=None, min_length=1)
    """Losses by name with their weights; null: the task decides."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of a label that is spread over all classes."""
    focal_gamma: float = Field(default=2.0, ge=0, le=10)
    """Focusing parameter of the focal loss (Lin et al. 2017); 0 is cross-entropy."""
    tversky_alpha: float = Field(default=0.3, ge=0, le=1)
    """Weight of false positives in the Tversky loss (Salehi et al. 2017); Dice has 0.5 for both."""
    tversky_beta: float = Field(default=0.7, ge=0, le=1)
    """Weight of false negatives in the Tversky loss."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str | list | tuple):
            value = {"terms": value}
        if not isinstance(value, dict) or not isinstance(value.get("terms"), str | list | tuple):
            return value
        terms = value["terms"]
        names = [terms] if isinstance(terms, str) else list(terms)
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise ValueError(f"a loss is one name or a list of different names from {', '.join(LOSSES)}")
        return {**value, "terms": dict.fromkeys(names, 1.0)}

    def or_terms(self, *names: LossName) -> LossConfig:
        """This configuration, or with these terms of weight 1 where it has none."""
        if self.terms is not None:
            return self
        return self.model_copy(update={"terms": dict.fromkeys(names, 1.0)})
