"""Names that Qt 5 (QGIS 3) and Qt 6 (QGIS 4) keep in different places. Everything else is imported from
`qgis.PyQt` by its full name.
"""

from qgis.core import Qgis
from qgis.PyQt import QtGui, QtWidgets
from qgis.PyQt.QtCore import QMetaType, QVariant

QAction = getattr(QtGui, "QAction", None) or QtWidgets.QAction
QShortcut = getattr(QtGui, "QShortcut", None) or QtWidgets.QShortcut

# Types of a new field: QgsField takes those of QMetaType from QGIS 3.38 on; QVariant has none in Qt 6.
_WITH_META_TYPES = Qgis.QGIS_VERSION_INT >= 33800
TEXT = QMetaType.Type.QString if _WITH_META_TYPES else QVariant.String
BOOLEAN = QMetaType.Type.Bool if _WITH_META_TYPES else QVariant.Bool
