"""A tournament on digits: Oscar organizes, Alice attacks, Dana defends, Mallory cheats."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from accounts.models import Membership, Team, TeamRole, User
from arena.errors import FaultCode, Side
from arena.manifest import Manifest, Role
from arena.rounds import GameName, RoundSpec
from arena.threat_model import ThreatModel
from arena.verdict import Fault, Kills, Status
from arena.verdict import Verdict as Finding
from submissions.models import Submission
from submissions.states import SubmissionState
from tournaments import claims, recording, services
from tournaments.models import Entry, Match, Tournament
from tournaments.services import RoundPlan, TournamentPlan
from tournaments.states import Phase


def spec(preset: str = "black", **values: Any) -> RoundSpec:
    given: dict[str, Any] = {
        "game": GameName.EVASION,
        "task": "digits",
        "threat_model": ThreatModel.preset(preset),
        "epsilons": (0.1,),
        "examples": 10,
    }
    return RoundSpec(**{**given, **values})


class Stage:
    """Makes people, submissions and entries through the services, without a jail."""

    def __init__(self, tournament: Tournament, oscar: User) -> None:
        self.tournament = tournament
        self.oscar = oscar

    def person(self, name: str, *, team: str | None = None) -> User:
        user, _ = User.objects.get_or_create(
            username=name, defaults={"email": f"{name}@example.org"}
        )
        joined, made = Team.objects.get_or_create(name=team or f"Team {name}")
        role = TeamRole.CAPTAIN if made else TeamRole.MEMBER
        Membership.objects.get_or_create(team=joined, user=user, defaults={"role": role})
        return user

    def submission(
        self, user: User, name: str, role: Role, *, state: str = "qualified", **manifest: Any
    ) -> Submission:
        data = Manifest(name=name, role=role, entry="player.py:Player", **manifest)
        return Submission.objects.create(
            team=user.teams.order_by("pk").first(),
            uploader=user,
            role=role.value,
            sha256=hashlib.sha256(f"{user} {name}".encode()).hexdigest(),
            name=name,
            manifest=data.to_json(),
            task="digits",
            bytes=1,
            state=SubmissionState(state),
        )

    def enters(self, user: User, name: str, role: Role, **given: Any) -> Entry:
        submission = self.submission(user, name, role, **given)
        return services.enter(tournament=self.tournament, submission=submission, user=user)

    def opens(self) -> None:
        self.tournament = services.move(
            tournament=self.tournament, to=Phase.OPEN, organizer=self.oscar
        )

    def match(self, attack: Entry, defense: Entry) -> Match:
        return Match.objects.get(attack=attack, defense=defense)

    def plays(self, match: Match, found: Finding | None = None) -> Match:
        """Claims this very match and records a verdict."""
        assert claims.LEASES.take(match.pk, worker="w:1")
        match = Match.objects.select_related(*claims._PLAYERS).get(pk=match.pk)
        assert recording.record_verdict(match, found or finding(), files="matches/x/1")
        return Match.objects.select_related("verdict", *claims._PLAYERS).get(pk=match.pk)


def finding(status: Status = Status.SCORED, *, blame: Side | None = None) -> Finding:
    fault = Fault(blame, FaultCode.CRASHED, "It said: the secret is 42.") if blame else None
    kills = Kills(np.arange(3), np.ones(3, bool), np.array([[True, False, True]]), (0.1,))
    return Finding(
        status=status,
        metrics={"robust_accuracy": 1 / 3},
        kills=kills,
        fault=fault,
        logs={"attack": "attack\x1b[0m log", "defense": "defense log"},
    )


@pytest.fixture
def oscar(db: None) -> User:
    return User.objects.create(username="oscar", email="o@example.org", is_organizer=True)


def scheduled(oscar: User, *rounds: RoundPlan, **given: Any) -> Stage:
    plan = TournamentPlan(
        title="Spring", task="digits", rounds=rounds or (RoundPlan("Black-box", spec()),), **given
    )
    return Stage(services.create(plan, organizer=oscar), oscar)


@pytest.fixture
def make_stage(oscar: User) -> Any:
    """make_stage(*rounds, **plan): a scheduled tournament."""
    return lambda *rounds, **given: scheduled(oscar, *rounds, **given)


@pytest.fixture
def stage(oscar: User) -> Stage:
    """One open black-box round, without house players."""
    stage = scheduled(oscar)
    stage.opens()
    return stage


@pytest.fixture
def make_spec() -> Any:
    return spec


@pytest.fixture
def make_finding() -> Any:
    return finding
