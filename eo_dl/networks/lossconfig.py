"""`LossConfig`: which loss a task's network learns by, as it is written in a configuration. No torch here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

LossName = Literal["cross_entropy", "bce", "dice", "jaccard", "focal", "lovasz", "tversky"]
LOSSES: tuple[str, ...] = get_args(LossName)


class LossConfig(BaseModel):
    """A sum of losses by name with their shares. Unknown keys are refused.

    `terms` None: the problem decides. In a configuration a name, a list of names, or names with shares will
    do:

        loss: dice
        loss: [cross_entropy, dice]
        loss: {terms: {focal: 1.0, lovasz: 0.5}, label_smoothing: 0.1}

    `label_smoothing`: the share of a target that is spread over all classes. `focal_gamma`: how much less the
    focal loss looks at what is right already (Lin et al. 2017; 0: cross-entropy). `tversky_alpha` and
    `tversky_beta`: what false positives and false negatives cost (Salehi et al. 2017; both 0.5: Dice, both 1:
    Jaccard).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    terms: dict[LossName, Annotated[float, Field(gt=0)]] | None = Field(default=None, min_length=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    focal_gamma: float = Field(default=2.0, ge=0, le=10)
    tversky_alpha: float = Field(default=0.3, ge=0, le=1)
    tversky_beta: float = Field(default=0.7, ge=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str | list | tuple):
            value = {"terms": value}
        if not isinstance(value, dict) or not isinstance(value.get("terms"), str | list | tuple):
            return value
        names = [value["terms"]] if isinstance(value["terms"], str) else list(value["terms"])
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise ValueError(f"a loss is a name or several different ones of {', '.join(LOSSES)}")
        return {**value, "terms": dict.fromkeys(names, 1.0)}

    def or_terms(self, *names: LossName) -> LossConfig:
        """Itself, or with these terms where none are given: what the problem decides."""
        return (
            self if self.terms is not None else self.model_copy(update={"terms": dict.fromkeys(names, 1.0)})
        )
