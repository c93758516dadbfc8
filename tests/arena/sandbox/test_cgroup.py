"""Control groups of both versions, on directories that look like the kernel's."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from arena.rounds import Limits
from arena.sandbox import cgroup
from arena.sandbox.cgroup import Controllers, Group


def test_version_2_limits_memory_swap_and_tasks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cgroup, "controllers", lambda: Controllers(2, tmp_path, tmp_path))
    group = cgroup.make_group(Limits(memory_mib=100, threads=2), ExitStack())

    assert group is not None
    assert (group.memory / "memory.max").read_text() == str(100 * 2**20)
    assert (group.memory / "memory.swap.max").read_text() == "0"
    assert int((group.memory / "pids.max").read_text()) > 2
    assert group.directories == (group.memory,)


@pytest.mark.parametrize(
    ("version", "file", "text"),
    [
        (1, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"),
        (2, "memory.events", "low 0\nhigh 0\nmax 4\noom 1\noom_kill {}\n"),
    ],
)
def test_the_kernels_count_says_that_memory_ended_it(
    tmp_path: Path, version: int, file: str, text: str
) -> None:
    group = Group(version, tmp_path, (tmp_path,))

    (tmp_path / file).write_text(text.format(0))
    assert not group.out_of_memory()
    (tmp_path / file).write_text(text.format(1))
    assert group.out_of_memory()


def test_version_2_needs_the_controllers_delegated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cgroup, "_hierarchy", lambda controller: tmp_path)
    control = tmp_path / "cgroup.subtree_control"

    control.write_text("cpu io\n")
    assert cgroup._version_2() is None
    control.write_text("cpu memory pids\n")
    assert cgroup._version_2() == Controllers(2, tmp_path, tmp_path)


def test_groups_that_a_killed_process_left_are_swept_and_others_stay(tmp_path: Path) -> None:
    left, ours = tmp_path / "arena-jail-99999999-3", tmp_path / f"arena-jail-{os.getpid()}-0"
    left.mkdir()
    ours.mkdir()

    cgroup._sweep(Controllers(2, tmp_path, None))

    assert not left.exists()
    assert ours.exists()


def test_threads_that_ask_side_by_side_find_the_same() -> None:
    alone = cgroup.controllers()
    cgroup.controllers.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: cgroup.controllers.__wrapped__(), range(64)))

    assert set(found) == {alone}


def test_a_group_is_gone_with_its_jail() -> None:
    if cgroup.controllers() is None:
        pytest.skip("no control group is writable here")
    with ExitStack() as undo:
        group = cgroup.make_group(Limits(), undo)
        assert group is not None
        assert all(directory.is_dir() for directory in group.directories)

    assert not any(directory.exists() for directory in group.directories)
