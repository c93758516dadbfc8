"""
number = 5
name = "Inodes: empty files without end"
roles = ["attack", "defense"]
stopped_by = ["mounts", "cgroup"]
ends = "scored"
"""

import os

from hostile import players

MOST = 20_000


def attempt():
    for folder in ("/tmp", "/sub"):
        made = fill(folder)
        if made == MOST:
            yield f"{made} files in {folder}"


def fill(folder):
    made = 0
    try:
        for made in range(1, MOST + 1):
            os.close(os.open(f"{folder}/arena-hostile-{made}", os.O_CREAT | os.O_WRONLY))
    except OSError:
        pass
    for number in range(1, made + 1):
        try:
            os.unlink(f"{folder}/arena-hostile-{number}")
        except OSError:
            break
    return made


Attack, Defense = players(attempt)
