"""Which wall is chosen, and what people are told where none is strong enough."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from arena import sandbox
from arena.errors import SandboxUnavailable
from arena.rounds import Limits
from arena.sandbox import bare, bubblewrap, choice, gvisor, remedies, self_test
from arena.sandbox.backend import Strength


@pytest.fixture(autouse=True)
def _ask_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test is a process that has not chosen yet."""
    monkeypatch.setenv(choice.PASSED, "")
    monkeypatch.setattr(choice, "_known", {})
    for known in (choice._candidates, choice._zygote, choice._bubblewrap):
        known.cache_clear()
    yield
    for known in (choice._candidates, choice._zygote, choice._bubblewrap):
        known.cache_clear()


@pytest.fixture
def without_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise SandboxUnavailable(remedies.INSTALL)

    monkeypatch.setattr(bubblewrap, "find_binary", missing)
    monkeypatch.setattr(choice, "find_binary", missing)
    monkeypatch.setattr(gvisor.shutil, "which", lambda name: None)


@pytest.mark.jail
def test_guests_stand_behind_namespaces() -> None:
    assert sandbox.choose(trusted=False).strength >= Strength.NAMESPACES


@pytest.mark.jail
def test_house_players_stand_behind_the_strongest_wall_too() -> None:
    assert sandbox.choose(trusted=True) is sandbox.choose(trusted=False)


@pytest.mark.jail
def test_the_choice_is_proved_once_and_told_to_the_processes_that_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = sandbox.choose(trusted=False)
    monkeypatch.setattr(choice, "_known", {})
    monkeypatch.setattr(choice, "probe", lambda backend: pytest.fail("asked again"))

    assert os.environ[choice.PASSED].startswith("bubblewrap-zygote ")
    assert sandbox.choose(trusted=False) is chosen


@pytest.mark.jail
def test_where_no_process_may_be_forked_into_namespaces_each_gets_a_bubblewrap_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where AppArmor lets bubblewrap make namespaces, and nothing inside of it."""

    def refused(*_: object) -> None:
        raise SandboxUnavailable("unshare: Operation not permitted")

    monkeypatch.setattr(choice.ZygoteBackend, "start_module", refused)

    assert sandbox.choose(trusted=False).name == "bubblewrap"


@pytest.mark.usefixtures("without_bubblewrap")
def test_without_bubblewrap_guests_are_refused_with_the_remedy() -> None:
    with pytest.raises(SandboxUnavailable, match="apt install bubblewrap"):
        sandbox.choose(trusted=False)


@pytest.mark.usefixtures("without_bubblewrap")
def test_without_bubblewrap_house_players_play_behind_what_is_left() -> None:
    chosen = sandbox.choose(trusted=True)

    assert chosen.strength < Strength.NAMESPACES
    assert chosen.name == bare.find_backends()[0].name


def test_one_probe_that_gets_through_and_the_backend_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leaky = self_test.ProbeResult("open sockets", stopped=False, through="vsock", needed=True)
    monkeypatch.setattr(choice, "probe", lambda backend: [leaky])

    told = r"No wall .* could open sockets \(vsock\)\. It starts, and does not hold"
    with pytest.raises(SandboxUnavailable, match=told):
        sandbox.choose(trusted=False)
    found = sandbox.doctor()[0]
    assert "could open sockets (vsock)" in found.sentence
    assert "It starts, and does not hold" in found.remedy


@pytest.mark.usefixtures("without_bubblewrap")
def test_the_doctor_names_every_backend_and_a_remedy_for_the_one_that_fails() -> None:
    table = sandbox.doctor()

    assert (table[0].backend, table[-1].backend) == ("bubblewrap-zygote", "process")
    assert not table[0].works
    assert "apt install bubblewrap" in table[0].remedy
    assert table[-1].works


@pytest.mark.usefixtures("without_bubblewrap")
def test_the_doctor_says_what_gvisor_is_for_and_where_it_is_to_be_had() -> None:
    (found,) = [row for row in sandbox.doctor() if row.backend == "gvisor"]

    assert "not installed" in found.sentence
    assert "a kernel of its own" in found.remedy


def test_the_backend_that_is_named_is_the_one_that_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert sandbox.choose(trusted=True, named="process").name == "process"
    monkeypatch.setenv(choice.NAMED, "process")
    assert sandbox.choose(trusted=True).name == "process"
    with pytest.raises(SandboxUnavailable, match="'process' is not strong enough for guests"):
        sandbox.choose(trusted=False)


def test_a_backend_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(SandboxUnavailable, match=r"no wall 'glass'.*bubblewrap.*process"):
        sandbox.choose(trusted=True, named="glass")


@pytest.mark.usefixtures("without_bubblewrap")
def test_a_named_backend_that_fails_is_not_replaced_by_another() -> None:
    with pytest.raises(SandboxUnavailable, match=r"'gvisor' does not stand.*install runsc"):
        sandbox.choose(trusted=True, named="gvisor")


def test_landlock_stops_what_it_promises() -> None:
    if len(bare.find_backends()) < 2:
        pytest.skip("needs a kernel with Landlock")
    backend = bare.find_backends()[0]

    results = self_test.probe(backend)

    assert backend.strength is Strength.LANDLOCK
    assert self_test.got_through(results) == []
    assert [r for r in results if not r.stopped], "it hides less than namespaces do"


def test_a_plain_process_is_no_wall_and_says_so() -> None:
    plain = bare.find_backends()[-1]
    jail = plain.start_module("timeit", Limits(), "-n1", "-r1", "print('ran')")
    jail.process.wait()

    assert plain.strength is Strength.NONE
    assert "no wall" in sandbox.doctor()[-1].sentence
    jail.close()
    assert "ran" in jail.log()


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("_APPARMOR", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
        ("_APPARMOR", "1", "profile bwrap /usr/bin/bwrap flags=(unconfined) {\n  userns,"),
        ("_CLONE", "0", "kernel.unprivileged_userns_clone=1"),
        ("_MOST", "0", "user.max_user_namespaces="),
    ],
)
def test_the_setting_that_forbids_it_is_named_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str, value: str, told: str
) -> None:
    for name in ("_APPARMOR", "_CLONE", "_MOST"):
        monkeypatch.setattr(remedies, name, tmp_path / name)
    (tmp_path / setting).write_text(f"{value}\n")

    assert told in remedies.for_bubblewrap(Path("/usr/bin/bwrap"))


def test_the_page_on_security_prints_the_same_profile(project_root: Path) -> None:
    page = (project_root / "docs" / "security.md").read_text()
    lines = [line.strip() for line in page.splitlines()]
    profile = remedies.apparmor_profile(Path("/usr/bin/bwrap"))

    assert [line.strip() for line in profile.splitlines() if line.strip() not in lines] == []
