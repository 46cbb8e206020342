"""What the child reports, passed on to a QgsProcessingFeedback."""

from .runner import Listener


class Feedback(Listener):
    """Shows progress, log and warnings, and asks QGIS whether the user has cancelled."""

    def __init__(self, feedback):
        super().__init__()
        self._feedback = feedback
        self._step = ""

    def is_cancelled(self):
        return self._feedback.isCanceled()

    def progress(self, what, done, total):
        if what != self._step:
            self._step = what
            self._feedback.pushInfo(f"{what} ...")
        if total > 0:
            self._feedback.setProgress(100.0 * done / total)
            self._feedback.setProgressText(f"{what}: {done} of {total}")

    def log(self, text):
        self._feedback.pushInfo(text)

    def text(self, line):
        # QGIS shows it as HTML, which would collapse the spaces that align a table.
        self._feedback.pushConsoleInfo(line.replace(" ", "\N{NO-BREAK SPACE}"))

    def warning(self, text):
        self._feedback.pushWarning(text)

    def debug(self, text):
        super().debug(text)
        self._feedback.pushDebugInfo(text)
