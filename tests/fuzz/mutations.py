"""Damage: small inputs made wrong in the ways in which files get wrong, or are made wrong on purpose.

Every mutation is a function of (seed, random generator): the same number of an input gives the same bytes again.
"""

import json
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

Mutate = Callable[[bytes, random.Random], bytes]

MAX_BYTES = 2**16
_EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
_NUMBERS = (0, -1, 1, 2, 3, 15, 17, 0.5, -0.0, 1e-9, 1e308, 2**31, 2**63, 2**64, 10**40, -(10**40))
_ODD_VALUES: tuple[Any, ...] = (
    *_NUMBERS,
    *(float("inf"), float("-inf"), float("nan")),
    *(None, True, False, "", "x", "1e5", "nan", "-1", "../../etc/passwd", "a\x00b", "\u202e\U0001f600", "x" * 3000),
    *([], {}, [[]], [None], {"": ""}, [1, "2", None, True], {"x": {"y": {"z": [0]}}}),
)


def damage(data: bytes, draw: random.Random) -> bytes:
    """One to six plain damages of bytes: flips, edge values, cuts, repeats, insertions."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        start = draw.randrange(len(changed) + 1)
        length = min(draw.choice((1, 2, 4, 8, 16, 64, 300)), len(changed) - start)
        match draw.randrange(8):
            case 0 if length:
                changed[start] ^= 1 << draw.randrange(8)
            case 1:
                changed[start : start + length] = draw.randbytes(length)
            case 2:
                width = draw.choice((1, 2, 4, 8))
                value = draw.choice(_EDGES) % 256**width
                changed[start : start + width] = value.to_bytes(width, draw.choice(("little", "big")))
            case 3:
                del changed[start : start + length]
            case 4:
                changed[start:start] = changed[start : start + length] * draw.choice((1, 1, 2, 40))
            case 5:
                changed[start:start] = draw.randbytes(length)
            case 6:
                changed[start : start + length] = bytes(length)
            case _:
                del changed[start:]
        if not changed:
            break
    return bytes(changed[:MAX_BYTES])


def rewrite(tokens: Sequence[str]) -> Mutate:
    """Mutations of text: tokens of its language put in, taken out and doubled, numbers made odd, and plain damage."""

    def mutate(data: bytes, draw: random.Random) -> bytes:
        text = data.decode("utf-8", "replace")
        for _ in range(draw.randint(1, 5)):
            at = draw.randrange(len(text) + 1)
            match draw.randrange(5):
                case 0:
                    text = text[:at] + draw.choice(tokens) + text[at:]
                case 1:
                    text = text[:at] + text[at + draw.randint(1, 6) :]
                case 2:
                    text = text[:at] + str(draw.choice(_NUMBERS)) + text[at + draw.randint(0, 3) :]
                case 3:
                    text = text[:at] + text[at : at + 12] * draw.choice((2, 2, 50)) + text[at + 12 :]
                case _:
                    text = text[:at] + chr(draw.choice((0, 9, 10, 32, 0x660, 0xFF11, 0x2028, 0x1F600))) + text[at:]
        changed = text.encode("utf-8", "replace")
        return damage(changed, draw) if draw.random() < 0.1 else changed[:MAX_BYTES]

    return mutate


def change_tree(tree: Any, draw: random.Random) -> Any:
    """A copy of a JSON-like tree with one to three places made odd: another value, a lost key, a new one, a swap."""
    tree = json.loads(json.dumps(tree))
    for _ in range(draw.choice((1, 1, 2, 3))):
        places = list(_places(tree))
        if not places:
            return draw.choice(_ODD_VALUES)
        holder, key = draw.choice(places)
        match draw.randrange(6):
            case 0 | 1:
                holder[key] = draw.choice(_ODD_VALUES)
            case 2:
                other, other_key = draw.choice(places)
                holder[key], other[other_key] = other[other_key], holder[key]
            case 3:
                del holder[key]
            case 4 if isinstance(holder, dict):
                holder[draw.choice(("x", "", "model", "0", "__class__"))] = holder[key]
            case _:
                number = holder[key]
                plain = isinstance(number, int | float)
                holder[key] = number * draw.choice((-1, 0.5, 2, 1e6)) if plain else [number]
        tree = json.loads(json.dumps(tree)) if draw.random() < 0.5 else tree
    return tree


def _places(tree: Any, depth: int = 0) -> Any:
    """(container, key) of every value in a tree."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(pairs):
        yield tree, key
        if depth < 8:
            yield from _places(value, depth + 1)


def rewrite_safetensors(data: bytes, draw: random.Random) -> bytes:
    """Mutations of a .safetensors file that mostly keep its frame: length, JSON header, tensors."""
    if draw.random() < 0.3 or len(data) < 8:
        return damage(data, draw)
    (length,) = struct.unpack("<Q", data[:8])
    try:
        header = change_tree(json.loads(data[8 : 8 + length]), draw)
        text = json.dumps(header).encode()
    except (ValueError, RecursionError):
        return damage(data, draw)
    body = data[8 + length :]
    if draw.random() < 0.2:
        body = body[: draw.randrange(len(body) + 1)]
    return struct.pack("<Q", len(text)) + text + body


def repair_png(data: bytes) -> bytes:
    """The PNG with every chunk's checksum made right, so that its reader looks at what is inside."""
    repaired, position = bytearray(data[:8]), 8
    while position + 12 <= len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        chunk = data[position + 4 : position + 8 + length]
        if len(chunk) < 4 + length:
            break
        repaired += data[position : position + 4] + chunk + struct.pack(">I", zlib.crc32(chunk))
        position += 12 + length
    return bytes(repaired + data[position:])


def repair_tar(data: bytes) -> bytes:
    """The tar with the checksum of every 512-byte block that looks like a header made right."""
    repaired = bytearray(data)
    for start in range(0, len(data) - 511, 512):
        if data[start + 257 : start + 262] == b"ustar":
            repaired[start + 148 : start + 156] = b" " * 8
            repaired[start + 148 : start + 156] = b"%06o\0 " % sum(repaired[start : start + 512])
    return bytes(repaired)
