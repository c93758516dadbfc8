"""
number = 20
name = "Keyrings of the kernel, which sandboxes of one uid share"
roles = ["attack", "defense"]
stopped_by = ["seccomp"]
ends = "scored"
"""

from hostile import MARK, players, syscall, through

RINGS = {"thread": -1, "process": -2, "session": -3, "user": -4, "user session": -5}


def attempt():
    name = MARK.encode() + b"\0"
    for ring, number in RINGS.items():
        yield from through(
            f"add to {ring}", lambda n=number: syscall("add_key", b"user\0", name, b"x", 1, n)
        )
        yield from through(f"find in {ring}", lambda n=number: syscall("keyctl", 0, n, 1))
    yield from through("join a session", lambda: syscall("keyctl", 1, name))
    yield from through("request", lambda: syscall("request_key", b"user\0", name, 0, -4))


Attack, Defense = players(attempt)
