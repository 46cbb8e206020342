"""Which of several fields is the class, where all of them describe one classification.

Land cover tables often hold one classification several times: as names, as numbers, and grouped ("man",
"nature"). The finest of such fields keeps what all others say, so that it can be chosen; `classes` groups it
again. Fields that say different things stay a question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_MOST_CLASSES = 20
_FEATURES_PER_CLASS = 3  # fewer on average: names of single features rather than classes


@dataclass(frozen=True)
class FieldValues:
    """A field that may hold the class."""

    name: str
    """Name of the field."""

    values: Sequence[str | None]
    """(N,) its value for each feature; None: not stated."""

    is_text: bool
    """True if it holds names and not numbers."""

    named_as_class: bool
    """True if it is called "class", "label" or the like."""

    @property
    def kinds(self) -> int:
        """How many different values it has."""
        return len(set(self.values))


def finest_field(fields: Sequence[FieldValues]) -> str | None:
    """The field that all other fields only number, rename or group.

    Of fields that divide the features alike, one called "class" or the like is preferred, then one of names
    over one of numbers, then the first.

    Args:
        fields: The fields that may hold the class, in the order of the file.

    Returns:
        Its name; None if the fields say different things, or if the finest has too many values for classes.
    """
    most = max(field.kinds for field in fields)
    alike = [field for field in fields if field.kinds == most]
    finest = min(alike, key=lambda field: (not field.named_as_class, not field.is_text))
    if not all(_determines(finest, other) for other in fields):
        return None
    if most > _MOST_CLASSES or most * _FEATURES_PER_CLASS > max(len(finest.values), _FEATURES_PER_CLASS):
        return None
    return finest.name


def _determines(finer: FieldValues, coarser: FieldValues) -> bool:
    """Whether features with one value of `finer` have one value of `coarser`, too."""
    pairs = set(zip(finer.values, coarser.values, strict=True))
    return len(pairs) == finer.kinds
