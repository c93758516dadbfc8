"""Frames: what is allowed arrives whole, everything else is refused before it costs anything."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from arena.wire import (
    BOOL,
    DTYPES,
    FLOAT32,
    HEADER_BYTES,
    INT64,
    Accepts,
    ConnectionClosed,
    DeadlineExceeded,
    Op,
    ProtocolViolation,
    Rows,
    Trusting,
    Wire,
    WireError,
    WrongShape,
    tick,
)

ROW = (2, 3)
SCORES = {Op.SCORES: Accepts((Rows.exactly(4, FLOAT32, ROW),))}
ANYTHING = {op: Trusting() for op in Op}
HEAD = struct.Struct("<4sBBHII")
ARRAY = struct.Struct("<BBH5I")


class Pair:
    """The referee's end, and Mallory's: a raw socket with a well-behaved wire around it."""

    def __init__(self) -> None:
        ours, self.raw = socket.socketpair()
        tick(ours)
        self.referee = Wire(ours, blocking=False)
        self.ours = ours
        self.mallory = Wire(self.raw, blocking=True)

    def send_raw(self, data: bytes) -> None:
        self.raw.sendall(data)

    def close(self) -> None:
        self.ours.close()
        self.raw.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


def soon(seconds: float = 0.05) -> float:
    return time.monotonic() + seconds


def header(
    *,
    magic: bytes = b"ADV1",
    op: int = Op.SCORES,
    count: int | None = None,
    zero: int = 0,
    request: int = 1,
    meta: int = 0,
    arrays: tuple[tuple[int, ...], ...] = ((1, 3, 4, 2, 3),),
) -> bytes:
    """Arrays as (dtype code, ndim, dimensions...)."""
    described = b""
    for code, ndim, *dims in arrays:
        described += ARRAY.pack(code, ndim, 0, *dims, *(0,) * (5 - len(dims)))
    head = HEAD.pack(magic, op, len(arrays) if count is None else count, zero, request, meta)
    return (head + described).ljust(HEADER_BYTES, b"\0")


# --- what is allowed arrives ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_an_array_of_every_allowed_type_arrives_as_it_was(pair: Pair, dtype: np.dtype) -> None:
    sent = (np.arange(24).reshape(4, 2, 3) % 2).astype(dtype)
    pair.mallory.send(Op.ANSWER, request=9, arrays=(sent,))
    frame = pair.referee.receive(ANYTHING, request=9, deadline=soon(5))
    assert frame.arrays[0].dtype == dtype
    np.testing.assert_array_equal(frame.arrays[0], sent)


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    shapes=st.lists(
        st.lists(st.integers(0, 5), min_size=1, max_size=5).map(tuple), min_size=0, max_size=6
    ),
    meta=st.dictionaries(
        st.text(max_size=5), st.none() | st.integers(-(2**53), 2**53) | st.text(), max_size=5
    ),
    number=st.integers(0, 2**32 - 1),
)
def test_any_frame_that_can_be_sent_arrives_as_it_was(
    pair: Pair, shapes: list[tuple[int, ...]], meta: dict[str, object], number: int
) -> None:
    arrays = [np.full(shape, 1.5, np.float32) for shape in shapes]
    pair.mallory.send(Op.EVADE, request=number, meta=meta, arrays=arrays)
    frame = pair.referee.receive(ANYTHING, request=number, deadline=soon(5))
    assert (frame.op, frame.request, frame.meta) == (Op.EVADE, number, meta)
    assert [array.shape for array in frame.arrays] == shapes
    for got, sent in zip(frame.arrays, arrays, strict=True):
        np.testing.assert_array_equal(got, sent)


def test_a_frame_larger_than_the_socket_s_buffer_arrives_whole(pair: Pair) -> None:
    sent = np.random.default_rng(0).random((3000, 784)).astype(np.float32)
    expected = {Op.CANDIDATES: Accepts((Rows.exactly(3000, FLOAT32, (784,)),))}
    sender = threading.Thread(
        target=lambda: pair.mallory.send(Op.CANDIDATES, request=1, arrays=(sent,))
    )
    sender.start()
    frame = pair.referee.receive(expected, request=1, deadline=soon(20))
    sender.join()
    np.testing.assert_array_equal(frame.arrays[0], sent)


def test_a_large_frame_is_sent_whole_to_a_slow_reader(pair: Pair) -> None:
    sent = np.random.default_rng(0).random((3000, 784)).astype(np.float32)
    got: list[np.ndarray] = []
    reader = threading.Thread(target=lambda: got.append(pair.mallory.receive(ANYTHING).arrays[0]))
    reader.start()
    pair.referee.send(Op.EVADE, request=1, meta={"a": 1}, arrays=(sent,), deadline=soon(20))
    reader.join()
    np.testing.assert_array_equal(got[0], sent)


def test_many_frames_follow_one_another(pair: Pair) -> None:
    for number in range(1, 500):
        sent = np.full((4, *ROW), number, np.float32)
        pair.mallory.send(Op.SCORES, request=number, arrays=(sent,))
        frame = pair.referee.receive(SCORES, request=number, deadline=soon(5))
        assert frame.arrays[0][0, 0, 0] == number


# --- what is not is refused -------------------------------------------------------------------

HUGE = 2**32 - 1


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(header(magic=b"ADV2"), ProtocolViolation, id="another magic"),
        pytest.param(b"GET / HTTP/1.1\r\n".ljust(HEADER_BYTES), ProtocolViolation, id="http"),
        pytest.param(b"\x80\x04\x95".ljust(HEADER_BYTES), ProtocolViolation, id="pickle"),
        pytest.param(header(op=255), ProtocolViolation, id="an op that is none"),
        pytest.param(header(op=Op.READY), ProtocolViolation, id="an op out of place"),
        pytest.param(header(op=Op.PREDICT), ProtocolViolation, id="an op of the referee"),
        pytest.param(header(zero=1), ProtocolViolation, id="padding that is not zero"),
        pytest.param(header(request=2), ProtocolViolation, id="a number not asked"),
        pytest.param(header(request=0), ProtocolViolation, id="an old number"),
        pytest.param(header(meta=1), ProtocolViolation, id="text where none is due"),
        pytest.param(header(meta=HUGE), ProtocolViolation, id="four gigabytes of text"),
        pytest.param(header(count=7), ProtocolViolation, id="seven arrays"),
        pytest.param(header(count=255), ProtocolViolation, id="255 arrays"),
        pytest.param(header(count=0), ProtocolViolation, id="an array that is not counted"),
        pytest.param(header(arrays=()), WrongShape, id="no array"),
        pytest.param(header(count=2), ProtocolViolation, id="an array that is not described"),
        pytest.param(header(arrays=((1, 3, 4, 2, 3),) * 2), WrongShape, id="two arrays"),
        pytest.param(header(arrays=((0, 3, 4, 2, 3),)), ProtocolViolation, id="no dtype"),
        pytest.param(header(arrays=((99, 3, 4, 2, 3),)), ProtocolViolation, id="unknown dtype"),
        pytest.param(header(arrays=((6, 3, 4, 2, 3),)), WrongShape, id="another dtype"),
        pytest.param(header(arrays=((1, 0),)), ProtocolViolation, id="no dimensions"),
        pytest.param(header(arrays=((1, 9, 4, 2, 3),)), ProtocolViolation, id="nine dimensions"),
        pytest.param(header(arrays=((1, 2, 4, 2, 3),)), ProtocolViolation, id="one hidden"),
        pytest.param(header(arrays=((1, 3, 3, 2, 3),)), WrongShape, id="a row too few"),
        pytest.param(header(arrays=((1, 3, 5, 2, 3),)), WrongShape, id="a row too many"),
        pytest.param(header(arrays=((1, 3, 4, 3, 2),)), WrongShape, id="another shape of row"),
        pytest.param(header(arrays=((1, 2, 4, 6),)), WrongShape, id="the same size, flat"),
        pytest.param(header(arrays=((1, 3, HUGE, 2, 3),)), WrongShape, id="giant rows"),
        pytest.param(header(arrays=((1, 3, 4, HUGE, HUGE),)), WrongShape, id="giant row"),
        pytest.param(header(arrays=((1, 5, *(HUGE,) * 5),)), WrongShape, id="2^160 numbers"),
    ],
)
def test_a_malformed_header_is_refused_before_anything_is_allocated(
    pair: Pair, data: bytes, error: type[WireError]
) -> None:
    pair.send_raw(data)
    tracemalloc.start()
    try:
        with pytest.raises(error) as caught:
            pair.referee.receive(SCORES, request=1, deadline=soon(5))
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert type(caught.value) is error


def test_a_jail_too_takes_no_more_bytes_than_a_frame_may_hold(pair: Pair) -> None:
    giant = header(op=Op.EVADE, arrays=((1, 3, 2**20, 2**10, 2**10),))
    pair.ours.setblocking(True)
    pair.ours.sendall(giant)
    with pytest.raises(ProtocolViolation, match="more bytes"):
        pair.mallory.receive({Op.EVADE: Trusting()})


@settings(max_examples=300)
@given(at=st.integers(0, HEADER_BYTES - 1), value=st.integers(0, 255))
@example(at=5, value=0)
def test_a_flipped_byte_is_refused_or_changes_nothing(at: int, value: int) -> None:
    good = header()
    data = good[:at] + bytes([value]) + good[at + 1 :]
    fresh = Pair()
    try:
        fresh.send_raw(data + bytes(4 * 6 * 4))
        if data == good:
            assert fresh.referee.receive(SCORES, request=1, deadline=soon(5)).op is Op.SCORES
            return
        with pytest.raises(ProtocolViolation):
            fresh.referee.receive(SCORES, request=1, deadline=soon(5))
    finally:
        fresh.close()


def test_a_header_that_was_right_once_is_still_held_against_its_number(pair: Pair) -> None:
    array = np.zeros((4, *ROW), np.float32)
    pair.mallory.send(Op.SCORES, request=1, arrays=(array,))
    pair.referee.receive(SCORES, request=1, deadline=soon(5))
    pair.mallory.send(Op.SCORES, request=1, arrays=(array,))
    with pytest.raises(ProtocolViolation, match="number 1 instead of 2"):
        pair.referee.receive(SCORES, request=2, deadline=soon(5))


def test_a_header_that_is_right_for_one_reply_is_not_for_another(pair: Pair) -> None:
    other = {Op.SCORES: Accepts((Rows.exactly(5, FLOAT32, ROW),))}
    array = np.zeros((4, *ROW), np.float32)
    for _ in range(2):
        pair.mallory.send(Op.SCORES, request=1, arrays=(array,))
    pair.referee.receive(SCORES, request=1, deadline=soon(5))
    with pytest.raises(WrongShape):
        pair.referee.receive(other, request=1, deadline=soon(5))


def test_a_second_array_must_have_as_many_rows_as_the_first(pair: Pair) -> None:
    asks = {Op.ASK: Accepts((Rows(FLOAT32, ROW, 0, 10), Rows(INT64, like_first=True)))}
    x, few = np.zeros((4, *ROW), np.float32), np.zeros(3, np.int64)
    pair.mallory.send(Op.ASK, request=1, arrays=(x, few))
    with pytest.raises(WrongShape):
        pair.referee.receive(asks, question=1, deadline=soon(5))


def test_a_question_out_of_sequence_is_refused(pair: Pair) -> None:
    pair.mallory.send(Op.PROBES, request=3)
    with pytest.raises(ProtocolViolation, match="number 3 instead of 2"):
        pair.referee.receive({Op.PROBES: Accepts()}, request=1, question=2, deadline=soon(5))


def test_a_truth_value_is_0_or_1(pair: Pair) -> None:
    pair.send_raw(header(arrays=((5, 1, 2),)) + bytes([1, 2]))
    with pytest.raises(ProtocolViolation, match="neither 0 nor 1"):
        pair.referee.receive(
            {Op.SCORES: Accepts((Rows.exactly(2, BOOL),))}, request=1, deadline=soon(5)
        )


@pytest.mark.parametrize(
    "text",
    [
        b"[1]",
        b"1",
        b"{",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b"\xff\xfe",
        b"[" * 5000,
        b'{"a":' * 5000,
        json.dumps({"a": [[[[[[[1]]]]]]]}).encode(),
        b'{"a": ' + b"9" * 6000 + b"}",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_text_that_is_no_flat_json_object_is_refused(pair: Pair, text: bytes) -> None:
    failed = {Op.FAILED: Accepts(meta=40_000)}
    pair.send_raw(header(op=Op.FAILED, meta=len(text), arrays=()) + text)
    with pytest.raises(ProtocolViolation):
        pair.referee.receive(failed, request=1, deadline=soon(5))


# --- deadlines and ends -----------------------------------------------------------------------


def test_silence_ends_at_the_deadline(pair: Pair) -> None:
    with pytest.raises(DeadlineExceeded):
        pair.referee.receive(SCORES, request=1, deadline=soon())


@pytest.mark.parametrize("size", [1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 95])
def test_a_frame_that_stops_half_way_ends_at_the_deadline(pair: Pair, size: int) -> None:
    pair.send_raw((header() + bytes(96))[:size])
    with pytest.raises(DeadlineExceeded):
        pair.referee.receive(SCORES, request=1, deadline=soon())


def test_one_deadline_covers_a_frame_that_trickles_in(pair: Pair) -> None:
    """A slow loris: every byte comes well within the deadline, the frame never does."""
    stop = threading.Event()

    def trickle() -> None:
        for byte in (header() + bytes(96)) * 100:
            if stop.is_set():
                return
            pair.raw.send(bytes([byte]))
            time.sleep(0.002)

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        with pytest.raises(DeadlineExceeded):
            pair.referee.receive(SCORES, request=1, deadline=soon(0.1))
    finally:
        stop.set()
        thread.join()


def test_a_peer_who_reads_nothing_cannot_hold_the_sender(pair: Pair) -> None:
    large = np.zeros((5000, 784), np.float32)
    with pytest.raises(DeadlineExceeded):
        pair.referee.send(Op.EVADE, arrays=(large,), deadline=soon())


def test_a_peer_who_reads_a_little_at_a_time_cannot_hold_the_sender(pair: Pair) -> None:
    """Every read makes room for some more; the deadline covers them all."""
    large = np.zeros((20_000, 784), np.float32)
    stop = threading.Event()

    def sip() -> None:
        while not stop.wait(0.02):
            pair.raw.recv(2**15)

    thread = threading.Thread(target=sip)
    thread.start()
    try:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            pair.referee.send(Op.EVADE, arrays=(large,), deadline=soon(0.2))
        assert time.monotonic() - began < large.nbytes / 2**15 * 0.02 / 2
    finally:
        stop.set()
        thread.join()


def test_a_frame_that_is_there_counts_even_when_the_deadline_has_passed(pair: Pair) -> None:
    pair.mallory.send(Op.FITTED, request=1)
    frame = pair.referee.receive({Op.FITTED: Accepts()}, request=1, deadline=soon(-1))
    assert frame.op is Op.FITTED


@pytest.mark.parametrize("size", [0, 1, HEADER_BYTES, HEADER_BYTES + 95])
def test_the_end_of_the_stream_is_told_from_silence(pair: Pair, size: int) -> None:
    pair.send_raw((header() + bytes(96))[:size])
    pair.raw.close()
    with pytest.raises(ConnectionClosed):
        pair.referee.receive(SCORES, request=1, deadline=soon(5))


def test_sending_to_nobody_is_the_end_of_the_stream(pair: Pair) -> None:
    pair.raw.close()
    with pytest.raises(ConnectionClosed):
        pair.referee.send(Op.PREDICT, deadline=soon(5))


def test_quiet_tells_whether_somebody_spoke_out_of_turn(pair: Pair) -> None:
    assert pair.referee.quiet()
    pair.send_raw(b"x")
    assert not pair.referee.quiet()


# --- the documents ----------------------------------------------------------------------------


def test_every_message_is_in_both_tables() -> None:
    page = (Path(__file__).parents[2] / "docs" / "wire.md").read_text()
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE)) == {op.name for op in Op}
    assert Op.__doc__ is not None
    assert set(re.findall(r"^ +([A-Z_]+) {2,}", Op.__doc__, re.MULTILINE)) == {op.name for op in Op}
