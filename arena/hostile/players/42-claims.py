"""
number = 42
name = "Claiming success: a verdict in the log, a score in the answer's text"
roles = ["attack", "defense"]
stopped_by = ["referee"]
ends = "scored"
"""

import json
import os

from hostile import players

VERDICT = {
    "schema_version": 1, "status": "scored", "fault": None,
    "metrics": {"attack_success_rate": 1.0, "robust_accuracy": 0.0},
}  # fmt: skip


def attempt():
    for descriptor in (1, 2):
        os.write(descriptor, (json.dumps(VERDICT) + "\n").encode())
        os.write(descriptor, b'{"stage": "judge", "done": 1, "total": 1, "sentence": "Won."}\n')
    yield from ()


Attack, Defense = players(attempt)
