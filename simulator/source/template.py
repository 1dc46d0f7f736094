"""Headers that both ends can write: cut from a file before it is sent, and put back afterwards.

Both ends encode the same two dummy images of the size and at the level of the file. What those files begin with is the
template; where the four bytes of a number follow the length of the file, it is a length, and is set to the file's own.
"""

import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Order = Literal["big", "little"]

_ORDERS: tuple[Order, ...] = ("big", "little")
_PREFIX = struct.Struct(">HH")  # level; bytes of the template's head (12 bits) and tail (4 bits) that the file has
_TAIL_BITS = 4
_MAX_HEAD, _MAX_TAIL = 2**12 - 1, 2**_TAIL_BITS - 1


@dataclass(frozen=True)
class Template:
    """What files of one size and level have in common.

    Attributes:
        head: bytes that a file begins with, with lengths as in a file of no bytes.
        lengths: position and byte order of each length in `head`; they count modulo 2**32.
        tail: bytes that it ends with.
    """

    head: bytes
    lengths: tuple[tuple[int, Order], ...]
    tail: bytes

    def head_of(self, length: int) -> bytes:
        """The head of a file of `length` bytes."""
        head = bytearray(self.head)
        for start, order in self.lengths:
            value = (int.from_bytes(head[start : start + 4], order) + length) % 2**32
            head[start : start + 4] = value.to_bytes(4, order)
        return bytes(head)


def dummies(size: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A flat image and one with a checked corner, uint8 [H, W, 3]: files of unlike lengths."""
    flat = np.full((*size, 3), 128, np.uint8)
    checked = flat.copy()
    rows, columns = np.indices((min(size[0], 64), min(size[1], 64)))
    checked[:64, :64, 0] = 255 * ((rows // 3 + columns // 5) % 2)
    checked[:64, :64, 2] = (37 * rows + 91 * columns) % 256
    return flat, checked


def template(flat: bytes, checked: bytes) -> Template:
    """What the files of the two dummy images have in common."""
    lengths: list[tuple[int, Order]] = []
    head = bytearray(checked[:_MAX_HEAD])
    position = 0
    while position < min(len(flat), len(head)):
        if flat[position] == checked[position]:
            position += 1
        elif (field := _length_at(flat, checked, position)) is not None:
            start, order = field
            value = (int.from_bytes(checked[start : start + 4], order) - len(checked)) % 2**32
            head[start : start + 4] = value.to_bytes(4, order)
            lengths.append(field)
            position = start + 4
        else:
            break
    tail = min(_agreeing(flat[position:][::-1], checked[position:][::-1]), _MAX_TAIL)
    return Template(bytes(head[:position]), tuple(lengths), checked[len(checked) - tail :])


def _length_at(flat: bytes, checked: bytes, position: int) -> tuple[int, Order] | None:
    """The four-byte number around a position that differs by as much as the lengths of the files."""
    for start in range(max(position - 3, 0), position + 1):
        for order in _ORDERS:
            one, other = (int.from_bytes(file[start : start + 4], order) for file in (flat, checked))
            if start + 4 <= min(len(flat), len(checked), _MAX_HEAD) and one - len(flat) == other - len(checked):
                return start, order
    return None


def strip(file: bytes, level: int, known: Template) -> bytes:
    """The file without what the receiver can write, after its level and how much that is; the inverse of `restore`.

    level: 0..65535.
    """
    head = known.head_of(len(file))
    head_bytes = _agreeing(file, head)
    tail_bytes = min(_agreeing(file[::-1], known.tail[::-1]), len(file) - head_bytes)
    body = file[head_bytes : len(file) - tail_bytes]
    return _PREFIX.pack(level, head_bytes << _TAIL_BITS | tail_bytes) + body


def _agreeing(one: bytes, other: bytes) -> int:
    """How many bytes two texts have in common at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (mine, yours) in pairs if mine != yours), min(len(one), len(other)))


def level_of(data: bytes) -> int | None:
    """The level of a stripped file; None if it is too short to have one."""
    return _PREFIX.unpack_from(data)[0] if len(data) >= _PREFIX.size else None


def restore(data: bytes, known: Template) -> bytes:
    """The file from which `strip` made `data`."""
    head_bytes, tail_bytes = divmod(_PREFIX.unpack_from(data)[1], 1 << _TAIL_BITS)
    body = data[_PREFIX.size :]
    head = known.head_of(head_bytes + len(body) + tail_bytes)[:head_bytes]
    return head + body + known.tail[len(known.tail) - tail_bytes :]
