"""The command ``python -m arena.qualification``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from arena import tasks
from arena.errors import PackageError
from arena.games.base import Progress
from arena.packages import Package
from arena.qualification.check import Qualification
from arena.qualification.roles import qualify
from arena.runner import OK, OUR_FAULT, print_step
from arena.sandbox import choose
from arena.sandbox.backend import SandboxBackend


def main(
    arguments: Sequence[str] | None = None,
    *,
    backend: SandboxBackend | None = None,
    progress: Progress | None = None,
) -> int:
    """Check the package of a file. ``backend``: the strongest of this machine where left out."""
    parser = argparse.ArgumentParser(prog="python -m arena.qualification")
    parser.add_argument("package", type=Path)
    parser.add_argument("--task", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        finding = _finding(options.package, options.task, backend, progress or print_step)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is ours; the site tries again)
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return OUR_FAULT
    finding.figures["seconds"] = round(time.monotonic() - started, 3)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "log.txt").write_text(finding.log, "utf-8")
    text = json.dumps(finding.to_json(), allow_nan=False)
    (options.out / "qualification.json").write_text(text, "utf-8")
    return OK


def _finding(
    path: Path, task: str, backend: SandboxBackend | None, progress: Progress
) -> Qualification:
    try:
        package = Package.read(path)
    except PackageError as error:
        return Qualification(False, str(error))
    chosen = backend or choose(trusted=False)
    return qualify(package, task=tasks.load(task), backend=chosen, progress=progress)
