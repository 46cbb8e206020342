"""The child's words to a QgsProcessingFeedback."""

from .runner import Listener


class Feedback(Listener):
    """Passes progress, log and warnings on; asks QGIS whether the person cancelled."""

    def __init__(self, feedback):
        super().__init__()
        self._feedback = feedback
        self._what = ""

    def is_cancelled(self):
        return self._feedback.isCanceled()

    def progress(self, what, done, total):
        if what != self._what:
            self._what = what
            self._feedback.pushInfo(f"{what} ...")
        if total > 0:
            self._feedback.setProgress(100.0 * done / total)
            self._feedback.setProgressText(f"{what}: {done} of {total}")

    def log(self, text):
        self._feedback.pushInfo(text)

    def text(self, line):
        # QGIS shows it as HTML, which makes one of several blanks
        self._feedback.pushConsoleInfo(line.replace(" ", "\N{NO-BREAK SPACE}"))

    def warning(self, text):
        self._feedback.pushWarning(text)

    def debug(self, text):
        super().debug(text)
        self._feedback.pushDebugInfo(text)
