"""
number = 12
name = "Giving the referee descriptors along with every answer"
roles = ["attack", "defense"]
stopped_by = ["frames"]
ends = "scored"

[known]
gvisor = "it passes no descriptor out of the sandbox: who tries crashes, and is to blame"
"""

import os
import socket

import numpy as np
from hostile import HonestAttack, HonestDefense, frame, request, say, send

from arena.wire import Op

MANY = 16


def with_descriptors(content):
    """The first bytes carry pipes; who reads with recv lets the kernel close them."""
    pipes = [end for _ in range(MANY // 2) for end in os.pipe()]
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, os.dup(3))
    socket.send_fds(stream, [content[:64]], pipes)
    for end in pipes:
        os.close(end)
    stream.close()
    send(content[64:])


class Attack(HonestAttack):
    def attack(self, challenge):
        """A candidate reply of its own; the library's comes after the end of the match."""
        say("TRIED")
        head = frame(Op.CANDIDATES, request(), arrays=((1, challenge.x.shape),))
        with_descriptors(head + np.ascontiguousarray(challenge.x).tobytes())
        return challenge.x


class Defense(HonestDefense):
    """Answers each request by itself, and reads the next one by itself."""

    def predict(self, x):
        say("TRIED")
        number = request()
        while True:
            scores = np.ascontiguousarray(super().predict(x), np.float32)
            head = frame(Op.SCORES, number, arrays=((1, scores.shape),))
            with_descriptors(head + scores.tobytes())
            number += 1
            x = next_request(x.shape[1:])


def next_request(shape):
    """The inputs of the next PREDICT; ends with the referee's hanging up."""
    head = received(160)
    rows = int.from_bytes(head[20:24], "little")
    x = np.frombuffer(received(4 * rows * int(np.prod(shape))), np.float32)
    received(8 * rows)  # seeds
    return x.reshape(rows, *shape)


def received(count):
    content = b""
    while len(content) < count:
        more = os.read(3, count - len(content))
        if not more:
            os._exit(0)
        content += more
    return content
