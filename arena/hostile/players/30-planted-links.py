"""
number = 30
name = "Links where a careless referee would read or write"
roles = ["attack", "defense"]
stopped_by = ["seccomp", "referee"]
ends = "scored"
"""

import contextlib
import os
from pathlib import Path

from hostile import CANARY, players, through


def attempt():
    places = ("/tmp/outcome.parquet", "/sub/verdict.json", "/sub/package/weights2.npz")
    for place in places:
        for target in ("/etc/passwd", CANARY["places"][0], "/sub/package/player.py"):
            yield from through(f"symlink {place}", lambda t=target, p=place: os.symlink(t, p))
            yield from through(f"link {place}", lambda t=target, p=place: os.link(t, p))
    # Plain files that an honest match writes under the same names, elsewhere.
    for name in ("verdict.json", "outcome.parquet", "images.npz"):
        for folder in ("/sub", "/tmp"):
            with contextlib.suppress(OSError):
                Path(folder, name).write_text('{"status": "scored"}')


Attack, Defense = players(attempt)
