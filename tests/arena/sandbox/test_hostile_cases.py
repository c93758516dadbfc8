"""The collection itself: complete, described, packed, and able to find what is open."""

from __future__ import annotations

import io
import json
import re
import socket
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from arena.errors import SandboxUnavailable, Side
from arena.hostile import archives, remains, suite
from arena.hostile.canary import Canary
from arena.hostile.cases import PLAYERS, SCORED, Case, Layer, all_cases, read
from arena.hostile.checks import CHECKS
from arena.hostile.opponents import honest, hostile
from arena.rounds import Limits
from arena.sandbox import bubblewrap, cgroup, seccomp, view
from arena.sandbox.backend import Strength
from arena.sandbox.bare import BareBackend
from arena.sandbox.bubblewrap import BubblewrapBackend

CASES = all_cases()
by_id = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


def test_every_kind_of_attempt_has_a_case() -> None:
    numbers = {case.number for case in CASES} | {archives.NUMBER}
    assert numbers == set(range(1, 51))


def test_both_sides_try_what_both_could() -> None:
    """What only one side can do is about its own answers or questions."""
    one_sided = {case.id for case in CASES if len(case.roles) == 1}
    assert all(37 <= int(name[:2]) <= 48 for name in one_sided), one_sided
    assert len(CASES) - len(one_sided) > 40


@by_id
def test_a_case_is_called_as_it_is_numbered_and_names_known_checks(case: Case) -> None:
    assert case.id.startswith(f"{case.number:02}-")
    assert set(case.checks) <= set(CHECKS)
    assert case.stopped_by or case.number == 47
    assert 10 < len(case.name) < 100


@by_id
def test_a_case_is_packed_as_a_guest_s_upload(case: Case) -> None:
    for side in case.roles:
        package = hostile(case, side, b"{}")
        assert package.manifest.role.side == side.value
        assert package.files["player.py"] == case.source
        assert f"{side.value.capitalize()}".encode() in case.source


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ("number = 1", "roles"),
        ('number = 1\nname = "x"\nroles = ["judge"]\nstopped_by = []\nends = "scored"', "judge"),
        ('number = 1\nname = "x"\nroles = ["attack"]\nstopped_by = ["hope"]\nends = "x"', "hope"),
        ('number = 1\nname = "x"\nroles = ["attack"]\nstopped_by = []\nends = "won"', "won"),
    ],
)
def test_a_file_that_describes_no_case_is_refused(tmp_path: Path, header: str, what: str) -> None:
    path = tmp_path / "01-x.py"
    path.write_text(f'"""\n{header}\n"""\n')
    with pytest.raises(ValueError, match=what):
        read(path)


def test_the_players_are_where_the_tests_have_theirs(project_root: Path) -> None:
    assert (project_root / "tests" / "players" / "hostile").resolve() == PLAYERS


# --- the documents ------------------------------------------------------------------------------


def test_the_page_on_security_lists_every_case(project_root: Path) -> None:
    page = (project_root / "docs" / "security.md").read_text()
    told = re.findall(
        r"^\| (\d+) \| `([\w-]+)` \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", page, re.MULTILINE
    )
    assert [tuple(row) for row in told] == [row_of(case) for case in CASES]


def row_of(case: Case) -> tuple[str, ...]:
    """The case's line of the table."""
    ends = [
        f"{'' if len(set(case.ends.values())) == 1 else side.value + ': '}{' or '.join(words)}"
        for side, words in case.ends.items()
    ]
    return (
        str(case.number),
        case.id,
        case.name,
        ", ".join(side.value for side in case.roles),
        ", ".join(case.stopped_by) or "nothing",
        "; ".join(dict.fromkeys(ends)),
    )


# --- the archives -------------------------------------------------------------------------------


@pytest.mark.parametrize("archive", archives.ARCHIVES, ids=lambda archive: archive.id)
def test_a_hostile_archive_is_refused_with_a_sentence(archive: archives.Archive) -> None:
    assert archive.problems() == []


# --- an instrument that shows nothing must be able to show something -----------------------------


def test_no_hostile_player_runs_without_a_wall() -> None:
    with pytest.raises(SandboxUnavailable, match="no wall"):
        next(suite.play(BareBackend("process", Strength.NONE), CASES))


OPEN = ("18-odd-sockets", "19-messages", "25-programs", "28-privileges")


@pytest.fixture
def without_filters(monkeypatch: pytest.MonkeyPatch) -> Iterator[BubblewrapBackend]:
    """A jail that forgot its system call filters: namespaces, mounts and uid are still there."""
    lib = replaced(
        view.arena_lib(),
        "arena/sandbox/guest_lockdown.py",
        "    if wanted.seccomp:\n        _filter_system_calls(wanted)\n",
        "",
    )
    allow = seccomp._give(seccomp._ALLOW)
    with monkeypatch.context() as patch:
        patch.setattr(view, "arena_lib", lambda: lib)
        patch.setattr(seccomp, "start_filter", lambda **_: allow)
        yield BubblewrapBackend()


def replaced(lib: bytes, name: str, old: str, new: str) -> bytes:
    """The zip with one source changed, and without its compiled code."""
    archive = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(lib)) as before, zipfile.ZipFile(archive, "w") as after:
        for known in before.namelist():
            content = before.read(known)
            if known == name:
                assert old.encode() in content
                content = content.replace(old.encode(), new.encode())
            if known != f"{name}c":
                after.writestr(known, content)
    return archive.getvalue()


@pytest.mark.jail
@pytest.mark.slow
def test_a_jail_without_filters_is_found_out(without_filters: BubblewrapBackend) -> None:
    cases = [case for case in CASES if case.id in OPEN]
    found = {
        (finding.case, finding.side): finding for finding in suite.play(without_filters, cases)
    }
    assert len(found) == 2 * len(OPEN)
    for (case, side), finding in found.items():
        assert not finding.stopped, (case, side)
        assert "the attempt was never made" not in finding.problems, (case, side)


@pytest.fixture
def with_shared_tmp(monkeypatch: pytest.MonkeyPatch) -> Iterator[BubblewrapBackend]:
    """Jails that share one directory of the host as their /tmp."""
    with tempfile.TemporaryDirectory() as shared:
        Path(shared).chmod(0o777)
        private = bubblewrap._Launch._private

        def shares(launch: Any, descriptors: Any) -> tuple[str, ...]:
            words = list(private(launch, descriptors))
            at = words.index("/tmp")
            words[at - 3 : at] = ["--bind", shared]
            return tuple(words)

        monkeypatch.setattr(bubblewrap._Launch, "_private", shares)
        monkeypatch.setattr(bubblewrap, "SCRATCH", ("/sub",))  # the host's is no tmpfs to bound
        yield BubblewrapBackend()


@pytest.mark.jail
@pytest.mark.slow
def test_what_one_match_leaves_is_found_by_the_next(with_shared_tmp: BubblewrapBackend) -> None:
    cases = [case for case in CASES if case.id == "44-leaves"]
    problems = [what for found in suite.play(with_shared_tmp, cases) for what in found.problems]
    assert any("found /tmp/arena-hostile-left" in what for what in problems), problems


def test_a_control_group_that_was_busy_when_its_jail_ended_is_removed_later() -> None:
    """The kernel takes seconds to free what a bomb of files left: 05-inode-fill without an end."""
    with ExitStack() as undo:
        group = cgroup.make_group(Limits(), undo)
        if group is None:
            pytest.skip("this user may make no control group")
        with subprocess.Popen(["sleep", "60"]) as busy:
            group.add(busy.pid)
            undo.close()
            busy.kill()
    with ExitStack() as undo:
        cgroup.make_group(Limits(), undo)
    left = [str(folder) for folder in group.directories if folder.exists()]
    group.remove()
    assert left == []


def test_what_is_left_on_the_worker_is_counted(tmp_path: Path) -> None:
    before = remains.count()
    left = Path("/dev/shm", f"{remains.MARK}-of-a-test")
    left.write_text("x")
    try:
        new = remains.count() - before
        assert f"file {left}" in new
    finally:
        left.unlink()
    assert remains.settled(before) == []


def test_whoever_comes_by_the_canary_is_told() -> None:
    with Canary() as canary:
        assert canary.touched() == []
        told = json.loads(canary.told())
        socket.create_connection(("127.0.0.1", told["port"])).close()
        Path(told["places"][0]).with_name("unpickled").touch()
        touched = " ".join(canary.touched())
    assert "127.0.0.1" in touched
    assert "unpickled" in touched


def test_an_honest_pair_looks_like_any_other() -> None:
    for side in Side:
        assert honest(side, b"{}").manifest.role.side == side.value
    assert SCORED not in {layer.value for layer in Layer}
