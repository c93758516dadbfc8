"""
number = 29
name = "Typing into the terminal of whoever started the worker"
roles = ["attack", "defense"]
stopped_by = ["seccomp", "namespaces"]
ends = "scored"
"""

import fcntl
import os

from hostile import players, through

TIOCSTI, TIOCLINUX, TIOCSCTTY, TIOCSETD = 0x5412, 0x541C, 0x540E, 0x5423


def attempt():
    for number in range(4):
        for name, command in (("TIOCSTI", TIOCSTI), ("TIOCLINUX", TIOCLINUX)):
            yield from through(
                f"{name} {number}", lambda n=number, c=command: fcntl.ioctl(n, c, b"x")
            )
        yield from through(f"terminal {number}", lambda n=number: fcntl.ioctl(n, TIOCSCTTY, 0))
        if os.isatty(number):
            yield f"descriptor {number} is a terminal"
    yield from through("the terminal", lambda: os.open("/dev/tty", os.O_RDWR))


Attack, Defense = players(attempt)
