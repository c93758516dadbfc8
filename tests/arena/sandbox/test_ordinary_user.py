"""The same walls, started by an ordinary user with an interpreter of his own outside /usr.

As root: in a private mount namespace, where the interpreter, its libraries and the project are
bound below a directory that everybody may enter, a process gives up root for good and runs
``test_walls.py`` once more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.jail, pytest.mark.slow]

UID = 60_000 + os.getpid() % 1_500
"""A user of this process's own: what is left on a worker is told by its user's processes, and those
of a test beside this one are not ours."""
STAGE = """
set -e
uid=$1 stage=$2
shift 2
while [ "$1" != "--" ]; do
    mkdir -p "$stage/$2"
    mount --bind "$1" "$stage/$2"
    shift 2
done
shift
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
"""


@pytest.fixture
def stage() -> Iterator[Path]:
    """A directory of the user's that he can reach; pytest's own ones are closed to him."""
    folder = Path(tempfile.mkdtemp(prefix="ordinary-user-"))
    if os.geteuid() == 0:
        os.chown(folder, UID, UID)
    yield folder
    shutil.rmtree(folder)


def test_the_walls_stand_for_an_ordinary_user(stage: Path, project_root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("test_walls.py is run by an ordinary user already")
    if not shutil.which("setpriv") or not shutil.which("unshare"):
        pytest.skip("needs util-linux (setpriv, unshare)")
    sites = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    binds = {sys.base_prefix: "python", str(project_root): "project"}
    binds |= {path: f"site{n}/{Path(path).name}" for n, path in enumerate(sites)}
    executable = Path(sys.executable).resolve().relative_to(Path(sys.base_prefix).resolve())
    paths = [f"{stage}/project", *(f"{stage}/{binds[path]}" for path in sites)]

    command = ["unshare", "--mount", "sh", "-c", STAGE, "sh", str(UID), str(stage)]
    command += [word for bind in binds.items() for word in bind]
    command += ["--", f"{stage}/python/{executable}", "-m", "pytest", "-q", "-W", "error"]
    command += ["-c", "/dev/null", "--noconftest", "-p", "no:cacheprovider"]
    command += ["--import-mode=importlib", "-o", "markers=jail", "--rootdir", f"{stage}/project"]
    command += ["--basetemp", f"{stage}/tmp", f"{stage}/project/tests/arena/sandbox/test_walls.py"]
    ran = subprocess.run(
        command,
        env=environment(stage, paths),
        cwd=stage,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout


def environment(stage: Path, paths: list[str]) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(stage),
        "PYTHONPATH": ":".join(paths),
        "LD_LIBRARY_PATH": f"{stage}/python/lib",  # for an interpreter built with --enable-shared
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
