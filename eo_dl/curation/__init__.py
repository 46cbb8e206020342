"""Work on labels: projects to draw in, checks, what to label next, weak labels, predictions to correct,
retraining.

The public names are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.publicnames import load_public_name

if TYPE_CHECKING:
    from .checks.audit import audit_labels
    from .checks.checking import check_labels
    from .checks.repair import fix_labels
    from .project.merge import merge_labels
    from .project.prelabel import prelabel
    from .project.start import start_labels
    from .project.status import labels_status
    from .queue.chipqueue import Ranking, queue_chips
    from .retrain import retrain
    from .weak.weaklabels import weak_labels

# Public name -> module that defines it.
_HOME = {
    "Ranking": ".queue.chipqueue",
    "audit_labels": ".checks.audit",
    "check_labels": ".checks.checking",
    "fix_labels": ".checks.repair",
    "labels_status": ".project.status",
    "merge_labels": ".project.merge",
    "prelabel": ".project.prelabel",
    "queue_chips": ".queue.chipqueue",
    "retrain": ".retrain",
    "start_labels": ".project.start",
    "weak_labels": ".weak.weaklabels",
}

__all__ = [
    "Ranking",
    "audit_labels",
    "check_labels",
    "fix_labels",
    "labels_status",
    "merge_labels",
    "prelabel",
    "queue_chips",
    "retrain",
    "start_labels",
    "weak_labels",
]


def __getattr__(name: str) -> object:
    return load_public_name(__name__, _HOME, name)


def __dir__() -> list[str]:
    return sorted(__all__)
