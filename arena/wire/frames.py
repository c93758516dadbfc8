"""One frame: its header, what it is held against before a byte is allocated, and its arrays."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arena.errors import ArenaError
from arena.wire.messages import Op

Array = NDArray[Any]

MAGIC: Final = b"ADV1"
MAX_ARRAYS: Final = 6
MAX_DIMENSIONS: Final = 5
MAX_META_DEPTH: Final = 6
_HEAD: Final = struct.Struct("<4sBBHII")
_ARRAY: Final = struct.Struct("<BBH5I")
NUMBER: Final = struct.Struct("<I")
NUMBER_AT: Final = 8
"""Where the number lies in a header, which may differ in nothing else from the one before."""
HEADER_BYTES: Final = _HEAD.size + MAX_ARRAYS * _ARRAY.size
_REST: Final = tuple(bytes((MAX_ARRAYS - n) * _ARRAY.size) for n in range(MAX_ARRAYS + 1))
_UNUSED: Final = tuple((0,) * (MAX_DIMENSIONS - n) for n in range(MAX_DIMENSIONS + 1))
_ARRAY_STARTS: Final = tuple(_HEAD.size + n * _ARRAY.size for n in range(MAX_ARRAYS + 1))

DTYPES: Final[dict[int, np.dtype[Any]]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<i8"),
    3: np.dtype("<u8"),
    4: np.dtype("u1"),
    5: np.dtype("?"),
    6: np.dtype("<f8"),
}
_CODES: Final = {dtype: code for code, dtype in DTYPES.items()}
FLOAT32: Final = DTYPES[1]
INT64: Final = DTYPES[2]
UINT8: Final = DTYPES[4]
BOOL: Final = DTYPES[5]
FLOAT64: Final = DTYPES[6]


class WireError(ArenaError):
    """The other end broke off, or broke the rules. A session turns it into somebody's fault."""


class ProtocolViolation(WireError):
    """A frame that the table does not allow at this point."""


class WrongShape(ProtocolViolation):
    """The right message with an array of another dtype, shape or number of rows."""


class ConnectionClosed(WireError):
    """End of the stream, in or between frames."""


class DeadlineExceeded(WireError):
    """The frame was not complete in time."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What one array may be: dtype, shape of a row, least and most rows.

    ``like_first``: as many rows as the frame's first array.
    """

    dtype: np.dtype[Any]
    row: tuple[int, ...] = ()
    least: int = 0
    most: int = 0
    like_first: bool = False

    @classmethod
    def exactly(cls, count: int, dtype: np.dtype[Any], row: tuple[int, ...] = ()) -> Rows:
        return cls(dtype, row, count, count)


@dataclass(frozen=True, slots=True)
class Accepts:
    """What one op may carry: these arrays in this order, and at most ``meta`` bytes of JSON."""

    arrays: tuple[Rows, ...] = ()
    meta: int = 0


@dataclass(frozen=True, slots=True)
class Trusting:
    """What a jail takes from the referee: any arrays, up to a number of bytes in all."""

    bytes: int = 2**30
    meta: int = 2**18


Expected = Mapping[Op, Accepts | Trusting]


class Frame(NamedTuple):
    """One received message."""

    op: Op
    request: int
    meta: dict[str, Any]
    arrays: tuple[Array, ...]


_OPS: Final = {op.value: op for op in Op}
Shape = tuple[np.dtype[Any], tuple[int, ...], int]
"""dtype, shape and bytes of an array."""
Header = tuple[Op, int, list[Shape], int]
"""Op, bytes of JSON, the arrays, and the bytes of all of them."""


def write_header(op: Op, text: int, arrays: Sequence[Array]) -> tuple[bytes, int]:
    """A header with number 0, and the bytes of the whole frame."""
    parts = [_HEAD.pack(MAGIC, op, len(arrays), 0, 0, text)]
    for array in arrays:
        unused = _UNUSED[array.ndim]
        parts.append(_ARRAY.pack(_CODES[array.dtype], array.ndim, 0, *array.shape, *unused))
    parts.append(_REST[len(arrays)])
    return b"".join(parts), HEADER_BYTES + text + sum(array.nbytes for array in arrays)


def read_header(header: bytes, expected: Expected) -> Header:
    """Hold every field but the number against what is expected."""
    magic, code, count, zero, _, meta_bytes = _HEAD.unpack_from(header)
    if magic != MAGIC or zero:
        raise ProtocolViolation("A frame did not begin as frames do.")
    op = _OPS.get(code)
    accepts = expected.get(op) if op is not None else None
    if op is None or accepts is None:
        raise ProtocolViolation(f"Message {op.name if op else code} is not allowed here.")
    if meta_bytes > accepts.meta:
        raise ProtocolViolation(f"{op.name} claims {meta_bytes} bytes of text.")
    if count > MAX_ARRAYS:
        raise ProtocolViolation(f"{op.name} claims {count} arrays.")
    if header[_ARRAY_STARTS[count] :] != _REST[count]:
        raise ProtocolViolation(f"{op.name} describes arrays it does not send.")
    shapes = [_described(header, op, n) for n in range(count)]
    size = sum(shape[2] for shape in shapes)
    if isinstance(accepts, Trusting):
        if size > accepts.bytes:
            raise ProtocolViolation(f"{op.name} claims more bytes than a frame may hold.")
        return op, meta_bytes, shapes, size
    if count != len(accepts.arrays):
        raise WrongShape(f"{op.name} holds {count} arrays, not {len(accepts.arrays)}.")
    for (dtype, shape, _), rows in zip(shapes, accepts.arrays, strict=True):
        _hold_against(op, dtype, shape, rows, shapes[0][1][0])
    return op, meta_bytes, shapes, size


def _described(header: bytes, op: Op, n: int) -> Shape:
    code, ndim, zero, *dims = _ARRAY.unpack_from(header, _ARRAY_STARTS[n])
    dtype = DTYPES.get(code)
    if dtype is None or not 0 < ndim <= MAX_DIMENSIONS or zero or any(dims[ndim:]):
        raise ProtocolViolation(f"{op.name} describes no array that frames know.")
    shape = tuple(dims[:ndim])
    return dtype, shape, dtype.itemsize * _product(shape)


def cut_arrays(held: bytearray, shapes: list[Shape]) -> tuple[Array, ...]:
    """The arrays of a small frame, all in one buffer; one that lies askew is copied."""
    arrays, start = [], 0
    for dtype, shape, size in shapes:
        array: Array = np.ndarray(shape, dtype, held, start)
        if start % dtype.itemsize:
            array = array.copy()
        arrays.append(truthful(array) if dtype is BOOL else array)
        start += size
    return tuple(arrays)


def truthful(array: Array) -> Array:
    if array.view(np.uint8).max(initial=0) > 1:
        raise ProtocolViolation("A truth value is neither 0 nor 1.")
    return array


def _hold_against(
    op: Op, dtype: np.dtype[Any], shape: tuple[int, ...], rows: Rows, first: int
) -> None:
    least, most = (first, first) if rows.like_first else (rows.least, rows.most)
    if dtype != rows.dtype or shape[1:] != rows.row or not least <= shape[0] <= most:
        count = str(least) if least == most else f"{least} to {most}"
        raise WrongShape(
            f"{op.name} holds {dtype} {shape} where {rows.dtype} ({count}, "
            f"{', '.join(map(str, rows.row))}) is due."
        )


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product


def parse_meta(text: bytearray) -> dict[str, Any]:
    try:
        meta = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolViolation("The text of a frame is no JSON.") from error
    if not isinstance(meta, dict) or _too_deep(meta):
        raise ProtocolViolation("The text of a frame is no flat JSON object.")
    return meta


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON.")


def _too_deep(value: object) -> bool:
    layer = [value]
    for _ in range(MAX_META_DEPTH):
        layer = [child for item in layer for child in _children(item)]
        if not layer:
            return False
    return True


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return [v for v in value.values() if isinstance(v, dict | list)]
    if isinstance(value, list):
        return [v for v in value if isinstance(v, dict | list)]
    return []
