"""Everything eo_dl raises on purpose, as one tree.

    EoDlError                      the root: the CLI prints one line and exits with `exit_code`
    |- InputError (ValueError)     invalid input: files, options, or their combination
    |  |- SceneError               a raster: missing, unreadable, unsafe, without what is needed
    |  |  `- SceneChangedError     a raster that changed while it was read
    |  |- BandError                bands that cannot be matched
    |  |- GridError                CRS, transform or size that cannot be worked with
    |  |- LabelError               labels: missing field, no overlap, invalid geometry
    |  |- AnswerError              a server that refuses, with the number of its answer
    |  |- ChipSetError             a chip set that is not one, or whose scenes moved or changed
    |  |- BundleError              a model file that is not one, is newer, or does not fit
    |  |- ConfigError              an option or configuration value
    |  |  `- SplitError            ground too small for the splits that are wanted
    |  `- OutputExistsError (FileExistsError)
    |- MissingExtraError (ImportError) an optional package is not installed; names the extra to install
    |- DeviceError (RuntimeError)  a device that is not there
    |- WriteError (OSError)        an output that could not be written or did not verify
    |- ClusterError (RuntimeError)  a cluster that cannot be reached, or whose workers die
    |- TrainingError (RuntimeError) training that cannot go on (exit code 1)
    `- Cancelled                   the user or a signal stopped the run (exit code 130)

Each has a parent from the standard library, so that `except ValueError` or `except OSError` work
for people who do not know this module. The text says what was expected, what was found and what to do.
"""


class EoDlError(Exception):
    """Root of the tree. `exit_code` is what the CLI ends with."""

    exit_code = 2


class InputError(EoDlError, ValueError):
    """Invalid input: files, options, or their combination."""


class SceneError(InputError):
    """A raster is missing, unreadable, unsafe to open, or lacks what is needed."""


class SceneChangedError(SceneError):
    """A raster changed while it was read; what was made of it is not kept."""


class BandError(InputError):
    """Bands cannot be matched without guessing."""


class GridError(InputError):
    """A CRS, a transform or a size cannot be worked with."""


class LabelError(InputError):
    """Labels cannot be used: file, class field, geometry or place."""


class AnswerError(InputError):
    """A server answered with an error.

    Args:
        message: What happened.
        status: The number of the answer, e.g. 404.
        wait_s: After how many seconds the server asks to come back; None: it does not say.
    """

    def __init__(self, message: str, status: int = 0, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.wait_s = status, wait_s


class ChipSetError(InputError):
    """Not a chip set, or its scenes moved or changed since it was made."""


class BundleError(InputError):
    """Not a bundle, a newer one, or one that does not fit."""


class ConfigError(InputError):
    """An option or a configuration value is unknown or out of range."""


class SplitError(ConfigError):
    """The ground is too small, or chips too large, for the splits that are wanted."""


class OutputExistsError(InputError, FileExistsError):
    """An output exists and `overwrite` was not given."""


class MissingExtraError(EoDlError, ImportError):
    """An optional package is not installed; the message names the extra that installs it."""


class DeviceError(EoDlError, RuntimeError):
    """The asked-for device is not there."""


class WriteError(EoDlError, OSError):
    """An output could not be written, or did not read back as it was written."""


class ExportError(EoDlError, RuntimeError):
    """A model cannot be written in the format of another program."""


class ClusterError(EoDlError, RuntimeError):
    """A cluster cannot be reached, or its workers die or lack a package."""


class TrainingError(EoDlError, RuntimeError):
    """Training cannot go on, e.g. after a loss that is not finite."""

    exit_code = 1


class Cancelled(EoDlError):
    """The user or the system stopped the run; finished work is kept."""

    exit_code = 130
