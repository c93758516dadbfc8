"""
number = 12
name = "Giving the referee descriptors along with an answer, as many as a message holds"
roles = ["attack", "defense"]
stopped_by = ["seccomp"]
ends = "scored"
"""

import os
import socket

from hostile import SOCKET, players, through

MOST = 253
"""Of one message. Those under way are counted by user, which jails share."""


def attempt():
    """Through the stream, the only socket there is. What the referee got of it is no frame."""
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, os.dup(SOCKET))
    for many in (1, MOST):
        yield from through(
            f"{many} descriptors", lambda many=many: socket.send_fds(stream, [b"A"], [0] * many)
        )
    stream.close()


Attack, Defense = players(attempt)
