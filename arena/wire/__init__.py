"""Frames between the referee and a jail: one fixed header, a little JSON, raw arrays. No pickle.

A frame is 160 bytes of header, then ``meta`` bytes of JSON, then each array's bytes in order::

    0   4s  magic "ADV1"
    4   B   op (:class:`Op`)
    5   B   number of arrays, at most 6
    6   H   zero
    8   I   request: a question carries its asker's running number, a reply repeats it
    12  I   bytes of JSON that follow the header
    16      6 x array: B dtype, B ndim, H zero, 5 x I dimensions (unused ones zero)

Everything is little-endian. The number of bytes of an array is the product of its dimensions: it
is never claimed apart. The receiver says beforehand which ops it takes, and for each one the dtype,
row shape and number of rows of every array (:class:`Accepts`); each field is held against that
*before* a byte is allocated. One deadline covers a whole frame, so that a peer who sends a byte a
second gains nothing. Speaking is strictly in turn (docs/wire.md).
"""

from arena.wire.frames import (
    BOOL,
    DTYPES,
    FLOAT32,
    FLOAT64,
    HEADER_BYTES,
    INT64,
    MAGIC,
    MAX_ARRAYS,
    MAX_DIMENSIONS,
    MAX_META_DEPTH,
    UINT8,
    Accepts,
    Array,
    ConnectionClosed,
    DeadlineExceeded,
    Expected,
    Frame,
    ProtocolViolation,
    Rows,
    Trusting,
    WireError,
    WrongShape,
)
from arena.wire.messages import (
    FAILED_META,
    MAX_SURROGATE,
    MAX_TRACEBACK,
    MAX_WEIGHT,
    QUESTIONS,
    VERSION,
    Failure,
    Op,
)
from arena.wire.stream import READ_AHEAD, TICK, Wire, tick

__all__ = [
    "BOOL",
    "DTYPES",
    "FAILED_META",
    "FLOAT32",
    "FLOAT64",
    "HEADER_BYTES",
    "INT64",
    "MAGIC",
    "MAX_ARRAYS",
    "MAX_DIMENSIONS",
    "MAX_META_DEPTH",
    "MAX_SURROGATE",
    "MAX_TRACEBACK",
    "MAX_WEIGHT",
    "QUESTIONS",
    "READ_AHEAD",
    "TICK",
    "UINT8",
    "VERSION",
    "Accepts",
    "Array",
    "ConnectionClosed",
    "DeadlineExceeded",
    "Expected",
    "Failure",
    "Frame",
    "Op",
    "ProtocolViolation",
    "Rows",
    "Trusting",
    "Wire",
    "WireError",
    "WrongShape",
    "tick",
]
