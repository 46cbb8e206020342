"""What the child reports, passed on to a QgsProcessingFeedback."""

from .remaining import Remaining, duration
from .runner import Listener

# The log of a dialog tears a table with longer lines.
WIDEST_LINE = 76
# After this much silence the dialog shows what the child did last, and how long ago.
_SILENT_S = 3


class Feedback(Listener):
    """Shows progress, log and warnings, and asks QGIS whether the user has cancelled.

    `has_report`: a page shows the tables that are too wide for the log, which then leaves them out.
    """

    def __init__(self, feedback, has_report=False):
        super().__init__()
        self._feedback, self._has_report = feedback, has_report
        self._step, self._last = "", "starting"
        self._remaining = Remaining()
        self._block = []

    def is_cancelled(self):
        return self._feedback.isCanceled()

    def progress(self, what, done, total):
        if what != self._step:
            self._step = what
            self._feedback.pushInfo(f"{what} ...")
        if total > 0:
            self._feedback.setProgress(100.0 * done / total)
            left = self._remaining.text(what, done, total)
            self._last = f"{what}: {done} of {total}"
            self._feedback.setProgressText(f"{self._last}, {left}" if left else self._last)

    def silent(self, seconds):
        if seconds >= _SILENT_S:
            self._feedback.setProgressText(f"{self._last}, {duration(seconds)} ago")

    def log(self, text):
        self._last = text
        self._feedback.pushInfo(text)

    def text(self, line):
        if line.strip():
            self._block.append(line)
        else:
            self.finish()
            self._feedback.pushConsoleInfo("")

    def finish(self):
        """Show the lines since the last empty one: a table, as a whole or not at all."""
        block, self._block = self._block, []
        if self._has_report and any(len(line) > WIDEST_LINE for line in block):
            self._feedback.pushInfo("(A table that is too wide for this log is in the report.)")
            return
        for line in block:
            # QGIS shows it as HTML, which would collapse the spaces that align a table.
            self._feedback.pushConsoleInfo(line.replace(" ", "\N{NO-BREAK SPACE}"))

    def warning(self, text):
        self._feedback.pushWarning(text)

    def debug(self, text):
        super().debug(text)
        self._feedback.pushDebugInfo(text)
