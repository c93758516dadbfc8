"""
number = 12
name = "Secrets in the environment, inherited descriptors"
roles = ["attack", "defense"]
stopped_by = ["namespaces", "mounts"]
ends = "scored"
"""

import os
import stat

from hostile import CANARY, SOCKET, players

PLAIN = (stat.S_ISCHR, stat.S_ISFIFO)
"""What 0, 1 and 2 may be: /dev/null and a pipe that is drained."""


def attempt():
    first, second = CANARY["halves"]
    for name, value in os.environ.items():
        if first + second in value or "ARENA" in name or "SECRET" in name or "TOKEN" in name:
            yield f"variable {name}"
    for number in range(1024):
        try:
            mode = os.fstat(number).st_mode
        except OSError:
            continue
        expected = number < SOCKET and any(kind(mode) for kind in PLAIN)
        if not expected and not (number == SOCKET and stat.S_ISSOCK(mode)):
            yield f"descriptor {number}, mode {mode:o}"
    yield from readable()


def readable():
    """Standard input and the log must hold nothing to read."""
    for number in range(3):
        try:
            os.set_blocking(number, False)
        except OSError:
            pass
        try:
            if content := os.read(number, 16):
                yield f"{content!r} from descriptor {number}"
        except OSError:
            pass


Attack, Defense = players(attempt)
