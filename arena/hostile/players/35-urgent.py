"""
number = 35
name = "Urgent bytes, which come out of their turn, and looks at what is to be read"
roles = ["attack", "defense"]
stopped_by = ["seccomp"]
ends = "scored"
"""

import os
import socket

from hostile import SOCKET, players, through

OTHERS = (socket.MSG_PEEK, socket.MSG_ERRQUEUE, socket.MSG_OOB, socket.MSG_TRUNC)


def attempt():
    """The kernel's own list of urgent bytes has had holes; no honest player needs one."""
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, os.dup(SOCKET))
    yield from through("an urgent byte", lambda: stream.send(b"!", socket.MSG_OOB))
    for how in OTHERS:
        yield from through(f"look {how}", lambda how=how: stream.recv(1, how | socket.MSG_DONTWAIT))
    stream.close()


Attack, Defense = players(attempt)
