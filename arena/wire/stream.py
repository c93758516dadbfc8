"""The two ends of the stream: frames are sent and received whole, within one deadline."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from arena.wire.frames import (
    BOOL,
    HEADER_BYTES,
    NUMBER,
    NUMBER_AT,
    Array,
    ConnectionClosed,
    DeadlineExceeded,
    Expected,
    Frame,
    Header,
    ProtocolViolation,
    Shape,
    cut_arrays,
    parse_meta,
    read_header,
    truthful,
    write_header,
)
from arena.wire.messages import QUESTIONS, Op

READ_AHEAD: Final = 16 * 1024
"""Bytes: more than a question about one small image takes."""
TICK: Final = 0.05
"""Seconds that the referee's end waits for a message before it looks at its clock."""
_TICK: Final = struct.pack("@ll", 0, int(TICK * 1e6))
"""The kernel's ``struct timeval``."""
_REMEMBERED: Final = 256
"""Headers, and sets of what is expected, that one end keeps in mind."""


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
        self._waits = blocking
        self._stream = stream
        self._ahead = bytearray(READ_AHEAD)
        self._ahead_view = memoryview(self._ahead)
        self._from = self._upto = 0
        self._readable = select.poll()
        self._readable.register(stream, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(stream, select.POLLOUT)
        self._packed: dict[tuple[Any, ...], tuple[bytes, int]] = {}
        self._right: dict[int, tuple[Expected, dict[bytes, Header]]] = {}

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
            known = write_header(op, len(text), arrays)
            _remember(self._packed, key, known)
        header = bytearray(known[0])
        NUMBER.pack_into(header, NUMBER_AT, request)
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
        (number,) = NUMBER.unpack_from(self._ahead, self._from + NUMBER_AT)
        op, meta_bytes, shapes, size = self._check(expected)
        due = question if op in QUESTIONS else request
        if due is not None and number != due:
            raise ProtocolViolation(f"{op.name} carries number {number} instead of {due}.")
        meta = parse_meta(self._take(meta_bytes, deadline)) if meta_bytes else {}
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

    def _check(self, expected: Expected) -> Header:
        """Take the header that lies ahead, held against ``expected`` but for its number."""
        known = self._right.get(id(expected))
        if known is None:
            known = (expected, {})  # holding on to it keeps its id from being given away
            _remember(self._right, id(expected), known)
        start, end = self._from, self._from + HEADER_BYTES
        self._from = end
        NUMBER.pack_into(self._ahead, start + NUMBER_AT, 0)
        key = bytes(self._ahead_view[start:end])
        checked = known[1].get(key)
        if checked is None:
            checked = read_header(key, expected)
            _remember(known[1], key, checked)
        return checked

    def quiet(self) -> bool:
        """Whether nothing waits to be read: before a question is asked, nothing may."""
        return self._from == self._upto and not self._readable.poll(0)

    def _arrays(self, shapes: list[Shape], size: int, deadline: float) -> tuple[Array, ...]:
        if size > self._upto - self._from:
            return tuple([self._array(*shape, deadline) for shape in shapes])
        held = bytearray(self._ahead_view[self._from : self._from + size])
        self._from += size
        return cut_arrays(held, shapes)

    def _array(
        self, dtype: np.dtype[Any], shape: tuple[int, ...], size: int, deadline: float
    ) -> Array:
        array = np.empty(shape, dtype)
        if size:
            self._fill(array, size, deadline)
        return truthful(array) if dtype is BOOL else array

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
                sent = self._sent(buffers)
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

    def _sent(self, buffers: list[Any]) -> int:
        """A jail's end may only write."""
        if self._waits:
            return os.writev(self._stream.fileno(), buffers)
        return self._stream.sendmsg(buffers, (), socket.MSG_DONTWAIT)

    def _wait(self, poll: select.poll, deadline: float) -> None:
        """Until the stream is ready."""
        timeout = None if deadline == float("inf") else (deadline - time.monotonic()) * 1000
        if not poll.poll(None if timeout is None else max(0.0, timeout)):
            raise DeadlineExceeded("No message came in time.")


def _remember(known: dict[Any, Any], key: Any, value: Any) -> None:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[key] = value


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
