"""The only setting: the Python of the environment in which eo_dl is installed."""

from qgis.core import QgsSettings

from . import environment

KEY = "eo_dl/python"
# Chosen Python (or "") -> the Python to run, for this session.
_checked = {}


def stored():
    """The Python that the user has chosen; "" if eo_dl is to look for one."""
    return QgsSettings().value(KEY, "", type=str)


def store(python):
    """Remember the user's choice; "" means: look for one."""
    QgsSettings().setValue(KEY, python)
    _checked.clear()


def python():
    """The Python to run, checked once per session: the chosen one and no other, or the first that is found.
    Raises `environment.NoEnvironment`.
    """
    chosen = stored()
    if chosen not in _checked:
        _checked[chosen] = _fitting(chosen)
    return _checked[chosen]


def _fitting(chosen):
    try:
        if not chosen:
            return environment.find()
        path = environment.python_of(chosen)
        environment.check(path)
        return path
    except environment.NoEnvironment as error:
        raise environment.NoEnvironment(f"{error}. {environment.SET}") from None
