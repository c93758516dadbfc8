"""
number = 34
name = "Ten million bytes of log, with escapes for terminals and pages"
roles = ["attack", "defense"]
stopped_by = ["clock", "referee"]
ends = "scored"
checks = ["log_is_capped", "log_is_plain"]
"""

import os

from hostile import players

ESCAPES = (
    b"\x1b]0;arena-hostile\x07\x1b[2J\x1b[31m\xe2\x80\xae\x00\r\xff<script>alert(1)</script>\n"
)


def attempt():
    for _ in range(20):
        os.write(1, ESCAPES)
    for _ in range(160):
        os.write(1, b"x" * 2**16)
    os.write(2, ESCAPES)
    yield from ()


Attack, Defense = players(attempt)
