"""TensorBoard's log of a run, which never ends the run: a log that cannot be written is given up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger

from ...core.arraytypes import UInt8Array

log = logging.getLogger(__name__)


class CurveLog(TensorBoardLogger):
    """TensorBoard's files in `folder/tensorboard`, until one cannot be written: then a warning says so, and
    nothing more is logged. The same numbers are in history.csv.

    TensorBoard writes in a thread, so that an error is raised by a later call.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, name="", version="tensorboard")
        self._failed = False

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """As Lightning's."""
        self._attempt(lambda: super(CurveLog, self).log_metrics(metrics, step))

    def log_image(self, title: str, picture: UInt8Array, step: int) -> None:
        """Log a picture, (H, W, 3)."""
        self._attempt(lambda: self.experiment.add_image(title, picture, step, dataformats="HWC"))

    def save(self) -> None:
        """As Lightning's."""
        self._attempt(super().save)

    def finalize(self, status: str) -> None:
        """As Lightning's."""
        self._attempt(lambda: super(CurveLog, self).finalize(status))

    def _attempt(self, action: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            action()
        except (OSError, ValueError) as error:
            # Lightning puts a ValueError around whatever ends the writing of a number
            cause = error.__cause__ if isinstance(error, ValueError) else error
            if not isinstance(cause, OSError):
                raise
            self._failed = True
            log.warning(
                "TensorBoard's log is given up (%s); the training goes on, and history.csv has the numbers",
                cause.strerror or cause,
            )
