"""What Qt 5 (QGIS 3) and Qt 6 (QGIS 4) keep in different places; everything else is imported from `qgis.PyQt`
by its full name.
"""

from qgis.core import Qgis
from qgis.PyQt import QtGui, QtWidgets
from qgis.PyQt.QtCore import QMetaType, QVariant

QAction = getattr(QtGui, "QAction", None) or QtWidgets.QAction
QShortcut = getattr(QtGui, "QShortcut", None) or QtWidgets.QShortcut

# Kinds of a new field: QgsField takes those of QMetaType from 3.38 on, and QVariant has none in Qt 6.
_NEW = Qgis.QGIS_VERSION_INT >= 33800
TEXT = QMetaType.Type.QString if _NEW else QVariant.String
BOOLEAN = QMetaType.Type.Bool if _NEW else QVariant.Bool
