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

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arena.errors import ArenaError

Array = NDArray[Any]

VERSION: Final = 2
MAGIC: Final = b"ADV1"
READ_AHEAD: Final = 16 * 1024
"""Bytes: more than a question about one small image takes."""
TICK: Final = 0.05
"""Seconds that the referee's end waits for a message before it looks at its clock."""
_TICK: Final = struct.pack("@ll", 0, int(TICK * 1e6))
"""The kernel's ``struct timeval``."""
MAX_ARRAYS: Final = 6
MAX_DIMENSIONS: Final = 5
MAX_META_DEPTH: Final = 6
_HEAD: Final = struct.Struct("<4sBBHII")
_ARRAY: Final = struct.Struct("<BBH5I")
_NUMBER: Final = struct.Struct("<I")
_NUMBER_AT: Final = 8
_REMEMBERED: Final = 256
"""Headers, and sets of what is expected, that one end keeps in mind."""
HEADER_BYTES: Final = _HEAD.size + MAX_ARRAYS * _ARRAY.size
_REST: Final = tuple(bytes((MAX_ARRAYS - n) * _ARRAY.size) for n in range(MAX_ARRAYS + 1))
_UNUSED: Final = tuple((0,) * (MAX_DIMENSIONS - n) for n in range(MAX_DIMENSIONS + 1))
_ARRAY_STARTS: Final = tuple(_HEAD.size + n * _ARRAY.size for n in range(MAX_ARRAYS + 1))


class Op(IntEnum):
    """Every message there is: who may send it, and when. Anything else is a violation.

    ==================  ===================  =====================================================
    op                  sender               when
    ==================  ===================  =====================================================
    HELLO               referee              first frame: seed, framework
    UP                  any jail             reply to HELLO: no byte of a player has come yet
    FILE                referee              after UP, any number; no reply
    SEAL                referee              after the files: the last walls go up
    LOCKED              any jail             reply to SEAL: no line of a player has run yet
    START               referee              after LOCKED: task; the player is loaded now
    READY               any jail             reply to START
    PREDICT             referee              to a loaded defense or a fitted learner
    SCORES              defense, learner     reply to PREDICT
    BACKWARD            referee              to a differentiable defense: labels
    BACKWARD_WEIGHTED   referee              to a differentiable defense: weights of the logits
    GRADIENTS           defense              reply to BACKWARD and BACKWARD_WEIGHTED
    FIT                 referee              to a learner: train from scratch
    FITTED              learner              reply to FIT
    EVADE               referee              to an attack: the challenge
    CANDIDATES          attack               reply to EVADE, after any number of questions
    POISON              referee              to a poisoner: the challenge
    POISONED            poisoner             reply to POISON, after any number of questions
    STEAL               referee              to a thief: the challenge, once for each stop
    STOLEN              thief                reply to STEAL: the zip of the copy
    BACKDOOR            referee              to a poisoner: the challenge, with a target
    BACKDOORED          poisoner             reply to BACKDOOR, after any number of questions
    CERTIFY             referee              to a defense that certifies
    CERTIFIED           defense              reply to CERTIFY: labels and radii
    ASK                 attacker             question while it plays: the oracle, charged
    LOGITS              attack               question while it plays: white-box rounds
    GRADIENT            attack               question while it plays: white-box rounds, labels
    WEIGHTED_GRADIENT   attack               question while it plays: white-box rounds, weights
    CHECK               attack               question while it plays: feedback, charged
    SUBMIT              attack               question while it plays: candidates so far
    PROBES              attacker             question while it plays: what is left
    ANSWER              referee              reply to a question
    REFUSED             referee              reply to a question: an InGameError, raised there
    FAILED              any jail             instead of any reply: the player raised; then it exits
    ==================  ===================  =====================================================
    """

    HELLO = 1
    UP = 2
    FILE = 3
    SEAL = 4
    LOCKED = 5
    START = 6
    READY = 7
    PREDICT = 10
    SCORES = 11
    BACKWARD = 12
    BACKWARD_WEIGHTED = 13
    GRADIENTS = 14
    FIT = 15
    FITTED = 16
    EVADE = 20
    CANDIDATES = 21
    POISON = 22
    POISONED = 23
    STEAL = 24
    STOLEN = 25
    CERTIFY = 26
    CERTIFIED = 27
    BACKDOOR = 28
    BACKDOORED = 29
    ASK = 30
    LOGITS = 31
    GRADIENT = 32
    WEIGHTED_GRADIENT = 33
    CHECK = 34
    SUBMIT = 35
    PROBES = 36
    ANSWER = 40
    REFUSED = 41
    FAILED = 50


QUESTIONS: Final = frozenset(
    {
        Op.ASK,
        Op.LOGITS,
        Op.GRADIENT,
        Op.WEIGHTED_GRADIENT,
        Op.CHECK,
        Op.SUBMIT,
        Op.PROBES,
    }
)
"""What a player may ask while it plays; everything else it sends is a reply."""


class Failure(StrEnum):
    """What a jail says of its own player in FAILED; it can blame nobody else."""

    LOCKDOWN = "lockdown"
    RAISED = "raised"
    MEMORY = "memory"
    SHAPE = "shape"
    QUERIES = "queries"
    POISON = "poison"
    SURROGATE = "surrogate"


MAX_WEIGHT: Final = 1e6
"""Largest weight of a logit in a gradient question: larger ones would overflow the defense."""
MAX_SURROGATE: Final = 16 * 2**20
"""Largest zip of a stolen copy."""
MAX_TRACEBACK: Final = 4000
"""Characters; JSON may take six bytes for one."""
FAILED_META: Final = 6 * MAX_TRACEBACK + 1000

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


def tick(stream: socket.socket) -> None:
    """Make this the referee's end: the kernel ends a wait for a message after :data:`TICK`.

    So a message that comes soon, and nearly all do, takes one system call. It is done where the
    stream is made, since a jailed referee may set no option. Sending never waits in the kernel: a
    jail that took a little now and then would hold the referee there beyond any deadline.
    """
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TICK)


class Wire:
    """One end of the stream.

    ``blocking=True`` is the jail's end: it waits for ever, with one system call a buffer. The
    referee's end, which must :func:`tick`, takes deadlines, moments of :func:`time.monotonic`.

    Headers repeat from frame to frame but for their number: what was packed or found right once
    is remembered, and the hot path of a query packs and checks nothing but that number. What has
    come is taken in one system call where it fits :data:`READ_AHEAD`; the rest of a long array is
    read in place.
    """

    def __init__(self, stream: socket.socket, *, blocking: bool) -> None:
        stream.settimeout(None)
        self._sent_how = 0 if blocking else socket.MSG_DONTWAIT
        self._stream = stream
        self._ahead = bytearray(READ_AHEAD)
        self._ahead_view = memoryview(self._ahead)
        self._from = self._upto = 0
        self._readable = select.poll()
        self._readable.register(stream, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(stream, select.POLLOUT)
        self._packed: dict[tuple[Any, ...], tuple[bytes, int]] = {}
        self._right: dict[int, tuple[Expected, dict[bytes, _Checked]]] = {}

    def send(
        self,
        op: Op,
        *,
        request: int = 0,
        meta: Mapping[str, Any] | None = None,
        arrays: Sequence[Array] = (),
        deadline: float = float("inf"),
    ) -> None:
        """Send one frame; ``arrays`` must be C-contiguous and of an allowed dtype."""
        text = json.dumps(meta, allow_nan=False).encode() if meta else b""
        key = (op, len(text), *[(array.dtype, array.shape) for array in arrays])
        known = self._packed.get(key)
        if known is None:
            known = _packed(op, len(text), arrays)
            _remember(self._packed, key, known)
        header = bytearray(known[0])
        _NUMBER.pack_into(header, _NUMBER_AT, request)
        buffers = [header, text, *arrays] if text else [header, *arrays]
        self._send_all(buffers, known[1], deadline)

    def receive(
        self,
        expected: Expected,
        *,
        request: int | None = None,
        question: int | None = None,
        deadline: float = float("inf"),
    ) -> Frame:
        """The next frame, which must be one of ``expected``.

        A reply must repeat ``request``, a question must carry ``question``. ``expected`` must not
        be changed between calls: what it was found to allow is remembered.

        Raises:
            ProtocolViolation: a field that is not expected; nothing was allocated.
            ConnectionClosed: the other end is gone.
            DeadlineExceeded: the frame was not complete at ``deadline``.
        """
        if self._upto - self._from < HEADER_BYTES:
            self._gather(deadline)
        (number,) = _NUMBER.unpack_from(self._ahead, self._from + _NUMBER_AT)
        op, meta_bytes, shapes, size = self._check(expected)
        due = question if op in QUESTIONS else request
        if due is not None and number != due:
            raise ProtocolViolation(f"{op.name} carries number {number} instead of {due}.")
        meta = _parse(self._take(meta_bytes, deadline)) if meta_bytes else {}
        return Frame(op, number, meta, self._arrays(shapes, size, deadline) if shapes else ())

    def _gather(self, deadline: float) -> None:
        """See to it that a header lies ahead in one piece, of which there is less as yet."""
        have = self._upto - self._from
        if have:
            self._ahead[:have] = self._ahead_view[self._from : self._upto]
        self._from, self._upto = 0, have
        while True:
            room = self._ahead_view[self._upto :] if self._upto else self._ahead
            self._upto += self._receive_into(room, deadline)
            if self._upto >= HEADER_BYTES:
                return
            if time.monotonic() > deadline:
                raise DeadlineExceeded("The message was not complete in time.")

    def _check(self, expected: Expected) -> _Checked:
        """Take the header that lies ahead, held against ``expected`` but for its number."""
        known = self._right.get(id(expected))
        if known is None:
            known = (expected, {})  # holding on to it keeps its id from being given away
            _remember(self._right, id(expected), known)
        start, end = self._from, self._from + HEADER_BYTES
        self._from = end
        _NUMBER.pack_into(self._ahead, start + _NUMBER_AT, 0)
        key = bytes(self._ahead_view[start:end])
        checked = known[1].get(key)
        if checked is None:
            checked = _checked(key, expected)
            _remember(known[1], key, checked)
        return checked

    def quiet(self) -> bool:
        """Whether nothing waits to be read: before a question is asked, nothing may."""
        return self._from == self._upto and not self._readable.poll(0)

    def _arrays(self, shapes: list[_Shape], size: int, deadline: float) -> tuple[Array, ...]:
        if size > self._upto - self._from:
            return tuple([self._array(*shape, deadline) for shape in shapes])
        held = bytearray(self._ahead_view[self._from : self._from + size])
        self._from += size
        return _cut(held, shapes)

    def _array(
        self, dtype: np.dtype[Any], shape: tuple[int, ...], size: int, deadline: float
    ) -> Array:
        array = np.empty(shape, dtype)
        if size:
            self._fill(array, size, deadline)
        return _truthful(array) if dtype is BOOL else array

    def _take(self, count: int, deadline: float) -> bytearray:
        buffer = bytearray(count)
        self._fill(buffer, count, deadline)
        return buffer

    def _fill(self, buffer: Any, size: int, deadline: float) -> None:
        """Fill ``buffer``, of ``size`` > 0 bytes."""
        view = memoryview(buffer).cast("B")
        filled = self._take_ahead(view, 0, size)
        while filled < size:
            if filled and time.monotonic() > deadline:
                raise DeadlineExceeded("The message was not complete in time.")
            if size - filled >= READ_AHEAD:
                filled += self._receive_into(view[filled:], deadline)
            else:
                self._from, self._upto = 0, self._receive_into(self._ahead, deadline)
                filled = self._take_ahead(view, filled, size)

    def _take_ahead(self, view: memoryview, filled: int, size: int) -> int:
        """Move what was read ahead; how much is filled now."""
        count = min(size - filled, self._upto - self._from)
        if count:
            end = self._from + count
            view[filled : filled + count] = self._ahead_view[self._from : end]
            self._from = end
        return filled + count

    def _receive_into(self, buffer: Any, deadline: float) -> int:
        """A first :data:`TICK` is waited for what comes within the same system call; the rest, and
        what is due sooner, to the moment. A deadline in the past still takes what lies ready."""
        if deadline - time.monotonic() < TICK:
            self._wait(self._readable, deadline)
        while True:
            try:
                got = self._stream.recv_into(buffer)
            except BlockingIOError:  # a tick went by
                self._wait(self._readable, deadline)
                continue
            except OSError as error:
                raise ConnectionClosed("The connection broke.") from error
            if not got:
                raise ConnectionClosed("The connection was closed.")
            return got

    def _send_all(self, buffers: list[Any], size: int, deadline: float) -> None:
        while True:
            try:
                sent = self._stream.sendmsg(buffers, (), self._sent_how)
            except BlockingIOError:
                self._wait(self._writable, deadline)
                continue
            except OSError as error:
                raise ConnectionClosed("The connection broke.") from error
            size -= sent
            if not size:
                return
            if time.monotonic() > deadline:
                raise DeadlineExceeded("The message was not taken in time.")
            buffers = _rest_of(buffers, sent)

    def _wait(self, poll: select.poll, deadline: float) -> None:
        """Until the stream is ready."""
        timeout = None if deadline == float("inf") else (deadline - time.monotonic()) * 1000
        if not poll.poll(None if timeout is None else max(0.0, timeout)):
            raise DeadlineExceeded("No message came in time.")


_OPS: Final = {op.value: op for op in Op}
_Shape = tuple[np.dtype[Any], tuple[int, ...], int]
"""dtype, shape and bytes of an array."""
_Checked = tuple[Op, int, list[_Shape], int]
"""Op, bytes of JSON, the arrays, and the bytes of all of them."""


def _remember(known: dict[Any, Any], key: Any, value: Any) -> None:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[key] = value


def _packed(op: Op, text: int, arrays: Sequence[Array]) -> tuple[bytes, int]:
    """A header with number 0, and the bytes of the whole frame."""
    parts = [_HEAD.pack(MAGIC, op, len(arrays), 0, 0, text)]
    for array in arrays:
        unused = _UNUSED[array.ndim]
        parts.append(_ARRAY.pack(_CODES[array.dtype], array.ndim, 0, *array.shape, *unused))
    parts.append(_REST[len(arrays)])
    return b"".join(parts), HEADER_BYTES + text + sum(array.nbytes for array in arrays)


def _checked(header: bytes, expected: Expected) -> _Checked:
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


def _described(header: bytes, op: Op, n: int) -> _Shape:
    code, ndim, zero, *dims = _ARRAY.unpack_from(header, _ARRAY_STARTS[n])
    dtype = DTYPES.get(code)
    if dtype is None or not 0 < ndim <= MAX_DIMENSIONS or zero or any(dims[ndim:]):
        raise ProtocolViolation(f"{op.name} describes no array that frames know.")
    shape = tuple(dims[:ndim])
    return dtype, shape, dtype.itemsize * _product(shape)


def _cut(held: bytearray, shapes: list[_Shape]) -> tuple[Array, ...]:
    """The arrays of a small frame, all in one buffer; one that lies askew is copied."""
    arrays, start = [], 0
    for dtype, shape, size in shapes:
        array: Array = np.ndarray(shape, dtype, held, start)
        if start % dtype.itemsize:
            array = array.copy()
        arrays.append(_truthful(array) if dtype is BOOL else array)
        start += size
    return tuple(arrays)


def _truthful(array: Array) -> Array:
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


def _rest_of(buffers: list[Any], sent: int) -> list[Any]:
    """What a partial send left over."""
    left: list[Any] = []
    for buffer in buffers:
        view = memoryview(buffer)
        if sent >= view.nbytes:
            sent -= view.nbytes
        else:
            left.append(view.cast("B")[sent:])
            sent = 0
    return left


def _parse(text: bytearray) -> dict[str, Any]:
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
