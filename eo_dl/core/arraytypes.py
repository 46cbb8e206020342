"""One name per type of array. Shapes are in the docstring of the function or field that uses it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[np.generic]
BoolArray = npt.NDArray[np.bool_]
UInt8Array = npt.NDArray[np.uint8]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]  # of any integer dtype
FloatArray = npt.NDArray[np.floating]  # of any floating dtype
GeometryArray = npt.NDArray[np.object_]  # of shapely geometries
ObjectArray = npt.NDArray[np.object_]  # of names or feature ids
