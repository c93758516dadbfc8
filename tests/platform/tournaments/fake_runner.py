"""Stands in for ``python -m arena.runner``: plays as the files beside it say.

usage: fake_runner.py DIRECTORY MATCH.json. ``DIRECTORY/seconds`` holds how long a match lasts. Each
attempt that begins is a file in ``DIRECTORY/began``.
"""

import json
import sys
import time
from pathlib import Path

directory, orders = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
(directory / "began" / f"{orders['match']}.{orders['attempt']}").touch()
print(json.dumps({"stage": "attack", "done": 1, "total": 2, "sentence": "Half way."}), flush=True)
deadline = time.monotonic() + float((directory / "seconds").read_text())
while time.monotonic() < deadline:
    time.sleep(0.01)
verdict = {
    "schema_version": 1,
    "status": "scored",
    "metrics": {"robust_accuracy": 0.5},
    "curve": [],
    "fault": None,
    "kills": None,
    "flags": [],
    "provenance": {"attempt": orders["attempt"]},
    "logs": {},
}
(Path(orders["out"]) / "verdict.json").write_text(json.dumps(verdict))
