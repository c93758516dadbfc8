"""Crafted once: what an attack that asks nothing hands in is kept for all its matches."""

from __future__ import annotations

import fcntl
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import OperationalError

from arena.errors import PackageError
from arena.games import controls
from arena.games.crafted import FILE
from arena.manifest import Role
from arena.rounds import GameName
from submissions.processes import Ended
from tests.platform.tournaments.conftest import spec
from tournaments import claims, crafting, reaping, running
from tournaments.models import Entry, Match, Round
from tournaments.services import RoundPlan
from tournaments.states import MatchState, Phase

pytestmark = pytest.mark.django_db


class Referees:
    """Stand in for jailed ones; they note what was ordered, and craft or fail."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.orders: list[Mapping[str, Any]] = []
        self.asked: list[Mapping[str, Any]] = []
        """Of the defense alone; ``orders`` are all others."""
        self.slow = threading.Event()
        self.slow.set()

    def __call__(self, order: Mapping[str, Any], out: Path) -> Ended:
        if order["program"] == "controls":
            self.asked.append(order)
            if self.status == 0:
                (out / controls.FILE).write_bytes(b"asked %d" % len(self.asked))
            return Ended(self.status)
        self.orders.append(order)
        self.slow.wait(10)
        if self.status == 0:
            (out / FILE).write_bytes(b"crafted by %d" % len(self.orders))
        return Ended(self.status)


@pytest.fixture
def board(make_stage: Any, settings: LazySettings, tmp_path: Path) -> Any:
    """Alice's and Mallory's attacks meet three defenses; those of Dana and Eve are of families
    that the house has no models of, so that it shows the same for both."""
    settings.DATA, settings.RUNNER = tmp_path, []
    families = {"Dana": "tree", "Eve": "magic", "Finn": "logistic regression"}
    stage = make_stage(RoundPlan("Transfer", spec("transfer", game=GameName.TRANSFER)))
    stage.opens()
    for name in ("Alice", "Mallory"):
        stage.enters(stage.person(name), f"{name}'s", Role.ATTACK)
    for name, family in families.items():
        stage.enters(stage.person(name), f"{name}'s", Role.DEFENSE, family=family)
    return lambda attack, defense: Match.objects.select_related(*claims._PLAYERS).get(
        attack__name=f"{attack}'s", defense__name=f"{defense}'s"
    )


def keep(match: Match, tmp_path: Path, referees: Referees, what: str = "crafted") -> Path | None:
    scratch = tmp_path / f"scratch-{match.uid}"
    scratch.mkdir(exist_ok=True)
    orders = {"match": match.uid, "trusted": match.house_only}
    made = crafting.kept(match, orders, scratch, run=referees, heartbeat=lambda: True)
    return Path(made[what]) if what in made else None


def test_one_crafting_serves_all_defenses_that_show_the_same(board: Any, tmp_path: Path) -> None:
    referees = Referees()
    first = keep(board("Alice", "Dana"), tmp_path, referees)
    assert first is not None
    assert first.read_bytes() == b"crafted by 1"
    assert keep(board("Alice", "Eve"), tmp_path, referees) == first
    assert [order["program"] for order in referees.orders] == ["crafting"]


def test_another_family_and_another_attack_are_crafted_for_themselves(
    board: Any, tmp_path: Path
) -> None:
    referees = Referees()
    pairs = [("Alice", "Dana"), ("Alice", "Finn"), ("Mallory", "Dana")]
    paths = {keep(board(*pair), tmp_path, referees) for pair in pairs}
    assert len(paths) == len(referees.orders) == 3


def test_two_workers_craft_the_same_once(board: Any, tmp_path: Path) -> None:
    referees = Referees()
    dana, eve = board("Alice", "Dana"), board("Alice", "Eve")
    referees.slow.clear()
    found: list[Path | None] = []
    workers = [
        threading.Thread(target=lambda m=m: found.append(keep(m, tmp_path, referees)))
        for m in (dana, eve)
    ]
    for worker in workers:
        worker.start()
    referees.slow.set()
    for worker in workers:
        worker.join(20)
    assert len(referees.orders) == 1
    assert found[0] == found[1] is not None
    assert not list(tmp_path.glob("crafted/*/*.lock"))


def test_who_waits_for_a_crafting_outlasts_a_database_that_is_away(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HEARTBEAT_SECONDS = 0
    monkeypatch.setattr("submissions.processes.connection", SimpleNamespace(close=lambda: None))
    lock, beats = tmp_path / "it.lock", 0

    def away() -> bool:
        nonlocal beats
        beats += 1
        other.close()
        raise OperationalError("terminating connection due to administrator command")

    other = lock.open("w")
    fcntl.flock(other, fcntl.LOCK_EX)
    with crafting._alone(lock, away):
        assert beats == 1


def test_where_crafting_fails_the_match_plays_for_itself(board: Any, tmp_path: Path) -> None:
    assert keep(board("Alice", "Dana"), tmp_path, Referees(status=5)) is None


def test_where_something_may_be_asked_nothing_is_crafted_beforehand(
    board: Any, tmp_path: Path
) -> None:
    Round.objects.update(spec=spec("black").to_json(), game=GameName.EVASION.value)
    referees = Referees()
    assert keep(board("Alice", "Dana"), tmp_path, referees) is None
    assert referees.orders == referees.asked == []


def test_a_defense_answers_the_controls_once_for_all_attacks(board: Any, tmp_path: Path) -> None:
    referees = Referees()
    first = keep(board("Alice", "Dana"), tmp_path, referees, "controls")
    assert first is not None
    assert first.read_bytes() == b"asked 1"
    assert keep(board("Mallory", "Dana"), tmp_path, referees, "controls") == first
    assert keep(board("Alice", "Eve"), tmp_path, referees, "controls") != first
    assert len(referees.asked) == 2


def test_where_the_controls_fail_the_match_asks_for_itself(board: Any, tmp_path: Path) -> None:
    assert keep(board("Alice", "Dana"), tmp_path, Referees(status=5), "controls") is None


def test_a_match_is_handed_what_was_kept(
    board: Any, settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    referees, out = Referees(), tmp_path / "out"
    out.mkdir()
    played: list[tuple[str, Mapping[str, Any]]] = []

    def play(order: Mapping[str, Any], *, directory: Path, **_: Any) -> Ended:
        played.append((order["program"], _read(order)))
        return referees(order, directory)

    monkeypatch.setattr(
        "submissions.artifacts.local_copy", lambda sha256, scratch: scratch / sha256
    )
    monkeypatch.setattr("submissions.processes.play", play)
    for defense in ("Dana", "Eve"):
        running.run(board("Alice", defense), out)
    programs = ["crafting", "controls", "match", "controls", "match"]
    assert [program for program, _ in played] == programs
    first, second = (told for program, told in played if program == "match")
    assert Path(first["crafted"]).read_bytes() == b"crafted by 1"
    assert second["crafted"] == first["crafted"]
    assert [Path(o["controls"]).read_bytes() for o in (first, second)] == [b"asked 1", b"asked 2"]


def test_what_was_crafted_goes_when_its_round_needs_it_no_more(board: Any, tmp_path: Path) -> None:
    """Not before its last match has ended, though no entry is taken any more."""
    kept = keep(board("Alice", "Dana"), tmp_path, Referees())
    assert kept is not None
    waiting = Match.objects.filter(state=MatchState.PENDING)
    last = waiting.latest("pk")
    waiting.exclude(pk=last.pk).update(state=MatchState.SCORED)
    Round.objects.update(state=Phase.PLAYING)
    assert (reaping.sweep().crafted, kept.exists()) == (0, True)
    Match.objects.filter(pk=last.pk).update(state=MatchState.SCORED)
    assert (reaping.sweep().crafted, kept.parent.exists()) == (1, False)
    assert reaping.sweep().crafted == 0


def test_an_open_round_keeps_what_was_crafted_for_later_entries(board: Any, tmp_path: Path) -> None:
    kept = keep(board("Alice", "Dana"), tmp_path, Referees())
    Match.objects.update(state=MatchState.SCORED)
    reaping.sweep()
    assert kept is not None
    assert kept.exists()


def test_what_was_crafted_for_a_round_that_is_gone_goes(board: Any, tmp_path: Path) -> None:
    kept = keep(board("Alice", "Dana"), tmp_path, Referees())
    Match.objects.all().delete()
    Round.objects.all().delete()
    reaping.sweep()
    assert kept is not None
    assert not kept.parent.exists()


def test_a_round_that_plays_again_crafts_anew(board: Any, tmp_path: Path) -> None:
    referees = Referees()
    kept = keep(board("Alice", "Dana"), tmp_path, referees)
    Round.objects.update(state=Phase.PUBLISHED)
    reaping.sweep()
    Round.objects.update(state=Phase.PLAYING)
    assert keep(board("Alice", "Eve"), tmp_path, referees) == kept
    assert len(referees.orders) == 2


def test_workers_begin_with_attacks_that_no_other_crafts(board: Any) -> None:
    first = Match.objects.order_by("pk")[:2]
    assert {match.attack.name for match in first} == {"Alice's", "Mallory's"}


def _names(match: Match | None) -> tuple[str, str] | None:
    return (match.attack.name[:-2], match.defense.name[:-2]) if match else None


def _begin_alice_against_dana(board: Any) -> Match:
    match: Match = board("Alice", "Dana")
    claims.LEASES.take(match.pk, worker="w:1")
    return match


def test_no_slot_waits_for_a_crafting_while_it_could_play(board: Any) -> None:
    """What Alice needs against Finn is another crafting. Matches that wait are begun when nothing
    else is left."""
    _begin_alice_against_dana(board)
    order = [_names(claims.claim(worker="w:2")) for _ in range(6)]
    assert order[:2] == [("Mallory", "Eve"), ("Alice", "Finn")]
    waiting = {("Alice", "Eve"), ("Mallory", "Dana"), ("Mallory", "Finn"), None}
    assert set(order[2:]) == waiting


def test_once_it_is_crafted_the_order_is_the_usual_one(board: Any, tmp_path: Path) -> None:
    keep(_begin_alice_against_dana(board), tmp_path, Referees())
    assert _names(claims.claim(worker="w:2")) == ("Alice", "Eve")


def test_a_house_player_that_is_gone_stops_no_claim(
    board: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(name: str, task: str) -> None:
        raise PackageError(f"There is no house player {name}.")

    match = _begin_alice_against_dana(board)
    Entry.objects.filter(pk=match.attack_id).update(submission=None, team=None, house="old")
    monkeypatch.setattr("arena.house.package", gone)
    assert claims.claim(worker="w:2") is not None


def _read(order: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(Path(order["arguments"][0]).read_text())
    return found


def test_a_referee_is_told_when_its_match_is_ended(
    board: Any, settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "player", lambda entry, scratch: entry.name)
    orders = running.orders_for(board("Alice", "Dana"), tmp_path, tmp_path)
    assert orders["seconds"] == settings.MATCH_SECONDS
