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
    """The Python to use, checked once a session: the chosen one and no other, or the first that is found.
    Raises `environment.NoEnvironment`.
    """
    asked = stored()
    if asked not in _checked:
        _checked[asked] = _fitting(asked)
    return _checked[asked]


def _fitting(asked):
    try:
        if not asked:
            return environment.find()
        environment.check(environment.python_of(asked))
        return environment.python_of(asked)
    except environment.NoEnvironment as error:
        raise environment.NoEnvironment(f"{error}. {environment.SET}") from None
