"""The run-length code of Label Studio's brush: bits of an RGBA picture, of which alpha is the mask (rle-pack
of thi.ng/umbrella).

32 bits: number of bytes; 5 bits: word size - 1; 4 times 4 bits: sizes of lengths - 1; then blocks: one bit
(1: one word repeated, 0: words one by one), two bits (which size of length), the length - 1, and the word or
words.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .rle import run_lengths

_MAX_PX = 2**26
_CHANNELS = 4
_SIZES = (3, 4, 8, 16)
_WORD = 8


def brush_mask(code: object, width: int, height: int) -> npt.NDArray[np.bool_]:
    """(H, W) the painted pixels. Raises ValueError for a code that does not fit the picture."""
    if not isinstance(code, list) or not all(isinstance(byte, int) and 0 <= byte <= 255 for byte in code):
        raise ValueError("its rle is no list of bytes")
    if not 0 < width * height <= _MAX_PX:
        raise ValueError(f"its mask of {width}x{height} px is empty or too large")
    bits = _Bits(np.unpackbits(np.array(code, np.uint8)))
    total, word = bits.number(32), bits.number(5) + 1
    sizes = [bits.number(4) + 1 for _ in _SIZES]
    if total != width * height * _CHANNELS or word != _WORD:
        raise ValueError(
            f"its rle is of {total} bytes, a picture of {width}x{height} px has {width * height * _CHANNELS}"
        )
    out = np.zeros(total, np.uint8)
    done = 0
    while done < total:
        repeated = bits.number(1)
        count = bits.number(sizes[bits.number(2)]) + 1
        if done + count > total:
            raise ValueError("its rle runs over the end of its picture")
        out[done : done + count] = bits.number(_WORD) if repeated else bits.words(count)
        done += count
    return np.asarray(out.reshape(height, width, _CHANNELS)[..., 3] > 0, np.bool_)


class _Bits:
    """Bits read one after the other."""

    def __init__(self, bits: npt.NDArray[np.uint8]) -> None:
        self._bits, self._place = bits, 0

    def number(self, size: int) -> int:
        found = self._take(size)
        return int("".join("1" if bit else "0" for bit in found), 2)

    def words(self, count: int) -> npt.NDArray[np.uint8]:
        return np.packbits(self._take(count * _WORD))

    def _take(self, size: int) -> npt.NDArray[np.uint8]:
        found = self._bits[self._place : self._place + size]
        if len(found) < size:
            raise ValueError("its rle ends too early")
        self._place += size
        return found


def brush_code(mask: npt.NDArray[np.bool_]) -> list[int]:
    """The code of an (H, W) mask."""
    parts = [f"{mask.size * _CHANNELS:032b}", f"{_WORD - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    painted = False
    for run in run_lengths(mask.ravel()):
        parts += _run_bits(run * _CHANNELS, 255 if painted else 0)
        painted = not painted
    text = "".join(parts)
    bits = np.frombuffer(text.encode(), np.uint8) - ord("0")
    return [int(byte) for byte in np.packbits(bits)]


def _run_bits(count: int, value: int) -> list[str]:
    parts = []
    while count > 0:
        part = min(count, 1 << _SIZES[-1])
        place = next(number for number, size in enumerate(_SIZES) if part <= 1 << size)
        parts.append(f"1{place:02b}{part - 1:0{_SIZES[place]}b}{value:08b}")
        count -= part
    return parts
