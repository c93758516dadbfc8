"""A tournament in the database whose verdicts the test writes, as the referee would."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import Membership, Team, User
from arena import house
from arena.manifest import Manifest, Role
from arena.rounds import GameName, RoundSpec
from arena.threat_model import ThreatModel
from arena.verdict import Kills
from submissions.models import Submission
from tournaments import announcing
from tournaments.models import Entry, Match, Round, Tournament, Verdict, Visibility
from tournaments.states import EntryState, MatchState, Phase

EXAMPLES = 40


class Stage:
    """One open tournament on digits. Services of lower layers are stood in for by rows."""

    def __init__(self) -> None:
        self.tournament = Tournament.objects.create(
            slug="spring", title="Spring", task="digits", state=Phase.OPEN
        )
        self.rounds: dict[str, Round] = {}
        self.entries: dict[str, Entry] = {}

    def round(self, preset: str = "white", **values: Any) -> Round:
        spec = RoundSpec(
            **{
                "game": GameName.EVASION,
                "task": "digits",
                "threat_model": ThreatModel.preset(preset),
                "epsilons": (0.1,),
                **values,
            }
        )
        self.rounds[preset] = Round.objects.create(
            tournament=self.tournament,
            number=len(self.rounds) + 1,
            title=preset,
            spec=spec.to_json(),
            game=spec.game.value,
            state=Phase.OPEN,
        )
        return self.rounds[preset]

    def enters(self, name: str, role: Role, *, team: str | None = None) -> Entry:
        """A new entry supersedes the active one of its team and role."""
        owner = self.team(team or name)
        old = self.tournament.entries.filter(team=owner, player=role, state=EntryState.ACTIVE)
        old.update(state=EntryState.SUPERSEDED)
        manifest = Manifest(name=name, role=role, entry="player.py:Player").to_json()
        submission = Submission.objects.create(
            team=owner,
            role=role,
            sha256=hashlib.sha256(name.encode()).hexdigest(),
            name=name,
            manifest=manifest,
            task="digits",
            bytes=1,
        )
        entry = Entry.objects.create(
            tournament=self.tournament,
            team=owner,
            submission=submission,
            role=role.side,
            player=role,
            name=name,
            manifest=manifest,
            state=EntryState.ACTIVE,
            active_since=timezone.now(),
            roster=list(owner.members.values_list("pk", flat=True)),
        )
        self.entries[name] = entry
        with transaction.atomic():
            announcing.tell_of_entry(entry, "entry.active")
        return entry

    def enters_house(self, name: str) -> None:
        """The house's player enters under its own name."""
        manifest = house.manifest(name)
        self.entries[name] = Entry.objects.create(
            tournament=self.tournament,
            house=name,
            role=manifest.role.side,
            player=manifest.role,
            name=manifest.name,
            manifest=manifest.to_json(),
            state=EntryState.ACTIVE,
        )

    def attacks(self, *names: str) -> None:
        for name in names:
            self.enters(name, Role.ATTACK)

    def defends(self, *names: str) -> None:
        for name in names:
            self.enters(name, Role.DEFENSE)

    def team(self, name: str) -> Team:
        team = Team.objects.filter(name=name).first()
        if team is None:
            team = Team.objects.create(name=name)
            user = User.objects.create(username=name, email=f"{name}@example.org")
            Membership.objects.create(team=team, user=user, role="captain")
        return team

    def waits(self, attack: str, defense: str, *, preset: str = "white") -> Match:
        match, _ = Match.objects.get_or_create(
            tournament=self.tournament,
            round=self.rounds[preset],
            attack=self.entries[attack],
            defense=self.entries[defense],
            defaults={"seed": 1},
        )
        return match

    def plays(
        self,
        attack: str,
        defense: str,
        broken: Iterable[int] = (),
        *,
        preset: str = "white",
        wrong: Sequence[int] = (),
        forfeits: str = "",
        radius: float | None = None,
        **figures: float,
    ) -> Match:
        """A verdict and its event, as one transaction. ``radius``: certified of every example."""
        match = self.waits(attack, defense, preset=preset)
        index = np.arange(EXAMPLES)
        kills = Kills(index, ~np.isin(index, wrong), np.isin(index, list(broken))[None, :], (0.1,))
        if radius is not None:
            kills = replace(kills, radii=np.full(EXAMPLES, radius, np.float32))
        match.state = MatchState.FORFEIT if forfeits else MatchState.SCORED
        with transaction.atomic():
            match.save()
            Verdict.objects.create(
                match=match,
                attempt=1,
                status=match.state,
                metrics={"median_queries": 5.0, **figures},
                kills=None if forfeits else kills.to_json(),
                fault_side=forfeits,
                files="",
            )
            announcing.tell_of_match(match, "match.recorded")
        return match

    def make_private(self) -> None:
        self.tournament.visibility = Visibility.PRIVATE
        self.tournament.save()


@pytest.fixture
def stage(db: None) -> Stage:
    made = Stage()
    made.round("white")
    return made
