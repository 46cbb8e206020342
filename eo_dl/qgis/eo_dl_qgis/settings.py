"""The one setting: the Python that has eo_dl."""

from qgis.core import QgsSettings

from . import environment

KEY = "eo_dl/python"
_checked = {}


def stored():
    """What the person chose, or ""."""
    return QgsSettings().value(KEY, "", type=str)


def store(python):
    """Remember a choice; "" means: look for it."""
    QgsSettings().setValue(KEY, python)
    _checked.clear()


def python():
    """The Python to use, looked for and checked once a session. Raises `environment.NoEnvironment`."""
    asked = stored()
    if asked not in _checked:
        _checked[asked] = environment.find(asked)
    return _checked[asked]
