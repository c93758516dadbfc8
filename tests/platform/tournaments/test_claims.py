"""Claiming: which match, for whom, and that no two workers ever hold one."""

from __future__ import annotations

import importlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from django.apps import apps
from django.utils import timezone

from arena import tasks
from arena.manifest import Role
from arena.rounds import GameName, RoundSpec, threat_model_for
from arena.sandbox import gpu
from arena.threat_model import ThreatModel
from events.models import Event
from tournaments import claims, services
from tournaments.models import Entry, Match
from tournaments.states import MatchState, Phase

GPU_TASK: Final = Path(tasks.__file__).with_name("digits.toml")


@pytest.fixture
def walls(stage: Any) -> list[Any]:
    """Three defenses of Dana's league."""
    return [
        stage.enters(stage.person(name), f"Wall of {name}", Role.DEFENSE)
        for name in ("dana", "bob", "carol")
    ]


def test_a_claim_holds_a_lease_and_counts_an_attempt(stage: Any, walls: list[Any]) -> None:
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    match = claims.claim(worker="w:1")
    assert match is not None
    assert (match.state, match.attempt, match.worker) == (MatchState.RUNNING, 1, "w:1")
    assert match.lease_until > timezone.now()
    assert Event.objects.filter(kind="match.running", subject=match.pk).count() == 1


def test_on_a_full_disk_matches_wait_and_do_not_burn(
    stage: Any, walls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would end as a fault of ours, three times over, and be void."""
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    with monkeypatch.context() as full:
        full.setattr("submissions.room.LEAST_BYTES", 1 << 80)
        assert claims.claim(worker="w:1") is None
    assert not Match.objects.filter(attempt__gt=0).exists()
    assert claims.claim(worker="w:1") is not None


@pytest.mark.parametrize(("preset", "disclosed"), [("white", True), ("black", False)])
def test_a_defense_is_disclosed_once_another_team_meets_it_in_a_white_box(
    stage: Any, walls: list[Any], preset: str, disclosed: bool
) -> None:
    round_ = stage.tournament.rounds.get()
    model = ThreatModel.preset(preset)
    round_.spec = replace(round_.rules, threat_model=model).to_json()
    round_.save()
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    match = claims.claim(worker="w:1")
    assert match is not None
    met = Entry.objects.get(pk=match.defense_id)
    assert (met.disclosed_at is not None) is disclosed
    assert not Entry.objects.exclude(pk=met.pk).filter(disclosed_at__isnull=False).exists()


def test_a_disclosed_package_is_marked_wherever_and_by_whomever_it_is_entered_later(
    stage: Any, make_stage: Any, walls: list[Any]
) -> None:
    round_ = stage.tournament.rounds.get()
    round_.spec = replace(round_.rules, threat_model=ThreatModel.white()).to_json()
    round_.save()
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    match = claims.claim(worker="w:1")
    assert match is not None
    shown = Entry.objects.get(pk=match.defense_id)
    later = make_stage()
    later.opens()
    again = services.enter(
        tournament=later.tournament, submission=shown.submission, user=shown.entered_by
    )
    assert again.disclosed_at == shown.disclosed_at
    bob = later.person("bob")
    copy = later.submission(bob, "Copy", Role.DEFENSE)
    copy.sha256 = shown.submission.sha256
    copy.save()
    own = services.enter(tournament=later.tournament, submission=copy, user=bob)
    assert own.disclosed_at == shown.disclosed_at
    other = later.enters(later.person("carol"), "Fresh", Role.DEFENSE)
    assert other.disclosed_at is None


def test_entries_made_before_the_mark_followed_the_package_are_marked(stage: Any) -> None:
    alice, bob = stage.person("alice"), stage.person("bob")
    stage.enters(alice, "Shield", Role.DEFENSE)
    shown = Entry.objects.get(name="Shield")
    shown.disclosed_at = timezone.now()
    shown.save()
    stage.enters(bob, "Copy", Role.DEFENSE)
    copy = Entry.objects.get(name="Copy").submission
    copy.sha256 = shown.submission.sha256
    copy.save()
    migration = importlib.import_module("tournaments.migrations.0010_disclosed_packages")
    migration.mark(apps, None)
    assert Entry.objects.get(name="Copy").disclosed_at == shown.disclosed_at


def test_an_attack_that_moves_first_is_shown_no_team_s_package() -> None:
    white = threat_model_for(GameName.ATTACKER_FIRST, ThreatModel.white())
    first = RoundSpec(GameName.ATTACKER_FIRST, "digits", white, epsilons=(0.1,))
    assert not first.discloses_defense
    assert RoundSpec(
        GameName.EVASION, "digits", ThreatModel.white(), epsilons=(0.1,)
    ).discloses_defense


def test_every_match_is_claimed_once(stage: Any, walls: list[Any]) -> None:
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    claimed = [claims.claim(worker=f"w:{number}") for number in range(4)]
    assert claimed[3] is None
    assert len({match.pk for match in claimed[:3] if match}) == 3


def test_a_match_that_another_worker_took_is_not_taken_again(stage: Any, walls: list[Any]) -> None:
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    pk = Match.objects.values_list("pk", flat=True)[0]
    assert claims.LEASES.take(pk, worker="w:1") is not None
    assert claims.LEASES.take(pk, worker="w:2") is None


def test_the_team_with_the_least_recent_running_time_goes_first(
    stage: Any, walls: list[Any]
) -> None:
    hog = stage.enters(stage.person("mallory"), "Hog", Role.ATTACK)
    Match.objects.filter(attack=hog, defense=walls[0]).update(
        state=MatchState.SCORED, started_at=timezone.now(), seconds=500
    )
    modest = stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    order = [claims.claim(worker="w") for _ in range(5)]
    assert [match.attack for match in order if match] == [modest] * 3 + [hog] * 2


def test_two_teams_take_turns(stage: Any, walls: list[Any]) -> None:
    for name in ("alice", "mallory"):
        stage.enters(stage.person(name), f"Spear of {name}", Role.ATTACK)
    first, second = claims.claim(worker="w"), claims.claim(worker="w")
    assert first is not None
    assert second is not None
    assert first.beneficiary != second.beneficiary


def test_within_a_team_priority_and_then_age_decides(stage: Any, walls: list[Any]) -> None:
    spear = stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    Match.objects.filter(defense=walls[2]).update(priority=5)
    order = [claims.claim(worker="w") for _ in range(3)]
    assert [match.defense for match in order if match] == [walls[2], walls[0], walls[1]]
    assert {match.attack for match in order if match} == {spear}


@pytest.mark.parametrize("stopped", ["paused", "scheduled round", "published"])
def test_nothing_is_claimed_where_nothing_plays(stage: Any, walls: list[Any], stopped: str) -> None:
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    tournament = stage.tournament
    if stopped == "paused":
        services.pause(tournament=tournament, organizer=stage.oscar, paused=True)
    elif stopped == "scheduled round":
        services.move_round(
            round_=tournament.rounds.get(), to=Phase.SCHEDULED, organizer=stage.oscar
        )
    else:
        type(tournament).objects.update(state=Phase.PUBLISHED)
    assert claims.claim(worker="w") is None


def test_a_worker_without_a_strong_jail_plays_the_house_alone(
    stage: Any, walls: list[Any], settings: Any
) -> None:
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    settings.TRUSTED_ONLY = True
    assert claims.claim(worker="w") is None


def test_a_heartbeat_extends_the_lease_of_its_own_attempt_alone(
    stage: Any, walls: list[Any]
) -> None:
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    first = claims.claim(worker="w:1")
    assert first is not None
    assert claims.LEASES.renew(first)
    claims.release(claims.LEASES.held(first))
    Match.objects.exclude(pk=first.pk).delete()
    second = claims.claim(worker="w:2")
    assert second is not None
    assert (second.pk, second.attempt) == (first.pk, 2)
    assert not claims.LEASES.renew(first)
    assert claims.LEASES.renew(second)


def test_an_orderly_end_counts_nothing(stage: Any, walls: list[Any]) -> None:
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    for _ in range(5):
        match = claims.claim(worker="host-1:77")
        assert match is not None
        assert claims.release(claims.LEASES.of_worker("host-1")) == 1
    match.refresh_from_db()
    assert (match.state, match.faults, match.worker) == (MatchState.PENDING, 0, "")


def test_what_others_hold_is_not_released(stage: Any, walls: list[Any]) -> None:
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    assert claims.claim(worker="host-12:77") is not None
    assert claims.release(claims.LEASES.of_worker("host-1")) == 0


def test_running_time_is_on_the_databases_clock(stage: Any, walls: list[Any]) -> None:
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    match = claims.claim(worker="w")
    assert match is not None
    Match.objects.filter(pk=match.pk).update(started_at=timezone.now() - timedelta(seconds=90))
    claims.fail(match, "The disk is full.")
    match.refresh_from_db()
    assert 90 <= round(match.seconds, 3) < 120  # an instant less by the last bit of a float


def test_a_match_on_a_gpu_waits_for_a_worker_that_has_one(
    make_stage: Any, make_spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tasks").mkdir()
    text = GPU_TASK.read_text().replace('name = "digits"', 'name = "large"\ndevice = "cuda"')
    (tmp_path / "tasks" / "large.toml").write_text(text)
    monkeypatch.setenv("ADVERSARIUM_DATA", str(tmp_path))
    stage = make_stage(
        services.RoundPlan("Small", make_spec()),
        services.RoundPlan("Large", make_spec(task="large")),
    )
    stage.opens()
    stage.enters(stage.person("dana"), "Wall", Role.DEFENSE)
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)

    monkeypatch.setattr(gpu, "DEVICES", tmp_path)
    without = [claims.claim(worker="w:1"), claims.claim(worker="w:1")]
    assert [match and match.round.title for match in without] == ["Small", None]
    for name in ("nvidiactl", "nvidia-uvm", "nvidia0"):
        (tmp_path / name).touch()
    with_one = claims.claim(worker="w:2")
    assert with_one is not None
    assert with_one.round.title == "Large"
