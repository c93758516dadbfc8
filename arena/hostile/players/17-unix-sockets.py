"""
number = 17
name = "Unix sockets by path and by abstract name"
roles = ["attack", "defense"]
stopped_by = ["seccomp", "namespaces", "mounts"]
ends = "scored"
"""

import socket

from hostile import CANARY, players, through

PATHS = ("/run/docker.sock", "/var/run/docker.sock", "/run/postgresql/.s.PGSQL.5432", "/dev/log")


def attempt():
    for path in (CANARY["abstract"], CANARY["socket"], *PATHS):
        yield from through(repr(path), lambda path=path: reach(path))
    yield from through("a pair", socket.socketpair)
    yield from through("sent along the referee's stream", pass_descriptor)


def reach(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.connect(path.replace("@", "\0", 1))
    return path


def pass_descriptor():
    """A descriptor of a socket that does not exist cannot be passed on either."""
    left, _ = socket.socketpair()
    return left


Attack, Defense = players(attempt)
