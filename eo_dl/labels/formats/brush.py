"""The run-length code of Label Studio's brush: the bits of an RGBA picture whose alpha is the mask.

The code is rle-pack of thi.ng/umbrella: 32 bits, the number of bytes; 5 bits, the word size - 1; 4 times 4
bits, the sizes of lengths - 1; then blocks: one bit (1: one word repeated, 0: words one by one), two bits
(which size of length), the length - 1, and the word or words.
"""

from __future__ import annotations

import numpy as np

from ...core.arraytypes import BoolArray, UInt8Array
from .rle import run_lengths

_MAX_PX = 2**26
_CHANNELS = 4
_LENGTH_SIZES = (3, 4, 8, 16)
_WORD_BITS = 8


def brush_mask(code: object, width: int, height: int) -> BoolArray:
    """(H, W) the painted pixels of a brush stroke.

    Raises:
        ValueError: The code is not one of a picture of this size.
    """
    if not isinstance(code, list) or not all(isinstance(byte, int) and 0 <= byte <= 255 for byte in code):
        raise ValueError("the rle is not a list of bytes")
    if not 0 < width * height <= _MAX_PX:
        raise ValueError(f"the mask of {width}x{height} px is empty or too large")
    bits = _BitReader(np.unpackbits(np.array(code, np.uint8)))
    total, word_bits = bits.number(32), bits.number(5) + 1
    length_sizes = [bits.number(4) + 1 for _ in _LENGTH_SIZES]
    expected = width * height * _CHANNELS
    if total != expected or word_bits != _WORD_BITS:
        raise ValueError(f"the rle has {total} bytes, but a picture of {width}x{height} px has {expected}")
    picture = np.zeros(total, np.uint8)
    done = 0
    while done < total:
        repeated = bits.number(1)
        count = bits.number(length_sizes[bits.number(2)]) + 1
        if done + count > total:
            raise ValueError("the rle runs over the end of its picture")
        picture[done : done + count] = bits.number(_WORD_BITS) if repeated else bits.words(count)
        done += count
    alpha = picture.reshape(height, width, _CHANNELS)[..., 3]
    return np.asarray(alpha > 0, np.bool_)


class _BitReader:
    """Reads bits one after the other."""

    def __init__(self, bits: UInt8Array) -> None:
        self._bits = bits
        self._position = 0

    def number(self, size: int) -> int:
        """The next `size` bits as a number, the highest first."""
        return int("".join("1" if bit else "0" for bit in self._take(size)), 2)

    def words(self, count: int) -> UInt8Array:
        """The next `count` bytes."""
        return np.packbits(self._take(count * _WORD_BITS))

    def _take(self, size: int) -> UInt8Array:
        bits = self._bits[self._position : self._position + size]
        if len(bits) < size:
            raise ValueError("the rle ends too early")
        self._position += size
        return bits


def brush_code(mask: BoolArray) -> list[int]:
    """The code, as bytes, of an (H, W) mask."""
    parts = [f"{mask.size * _CHANNELS:032b}", f"{_WORD_BITS - 1:05b}"]
    parts += [f"{size - 1:04b}" for size in _LENGTH_SIZES]
    painted = False
    for run in run_lengths(mask.ravel()):
        parts += _repeated(255 if painted else 0, run * _CHANNELS)
        painted = not painted
    bits = np.frombuffer("".join(parts).encode(), np.uint8) - ord("0")
    return [int(byte) for byte in np.packbits(bits)]


def _repeated(value: int, count: int) -> list[str]:
    """The bits of a byte that is repeated, in as many blocks as the longest length needs."""
    blocks = []
    while count > 0:
        part = min(count, 1 << _LENGTH_SIZES[-1])
        index = next(index for index, size in enumerate(_LENGTH_SIZES) if part <= 1 << size)
        blocks.append(f"1{index:02b}{part - 1:0{_LENGTH_SIZES[index]}b}{value:08b}")
        count -= part
    return blocks
