"""A tournament to look at: real images, made-up verdicts, told and folded as the site does.

Dana defends, Alice attacks, Oscar organizes, Charlie is an outsider.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
from django.conf import settings
from django.db import transaction
from django.utils import timezone

import arena.tasks
from accounts import services as accounts
from accounts.models import Team, User
from arena.manifest import Framework, Manifest, Role
from arena.metrics import attack_success_rate, clean_accuracy, robust_accuracy
from arena.rounds import GameName, RoundSpec
from arena.threat_model import ThreatModel
from arena.verdict import Kills, Outcome
from leaderboard.services import fold_all
from submissions.models import Submission
from submissions.states import SubmissionState
from tournaments import announcing, services
from tournaments.models import Entry, Match, Round, Tournament, Verdict
from tournaments.services import RoundPlan, TournamentPlan
from tournaments.states import MatchState, Phase

PASSWORD = "correct horse battery"
EXAMPLES = 60
STRENGTH = {"random-noise": 0.02, "fgsm": 0.5, "pgd": 0.9, "square": 0.55, "boundary": 0.3,
            "jacobian-substitute": 0.35}  # fmt: skip
HARDNESS = {"adversarial-training": 0.3, "cnn": 1.0, "logistic-regression": 1.1,
            "randomized-smoothing": 0.7, "input-discretisation": 0.85}  # fmt: skip


@dataclass
class World:
    """People, teams, and one tournament of theirs."""

    oscar: User
    alice: User
    dana: User
    charlie: User
    attackers: Team
    defenders: Team
    outsiders: Team
    tournament: Tournament
    entries: dict[str, Entry] = field(default_factory=dict)

    def round(self, number: int) -> Round:
        return self.tournament.rounds.get(number=number)

    def match(self, attack: str, defense: str, number: int = 1) -> Match:
        return Match.objects.get(
            round__number=number,
            tournament=self.tournament,
            attack__name=attack,
            defense__name=defense,
        )


def member(name: str) -> User:
    return accounts.sign_up(username=name, email=f"{name}@example.org", password=PASSWORD)


def submitted(team: Team, user: User, name: str, role: Role, **manifest: Any) -> Submission:
    """A qualified submission without its bytes."""
    made = Manifest(name=name, role=role, entry="player.py:Player", **manifest)
    return Submission.objects.create(
        team=team,
        uploader=user,
        role=role.value,
        sha256=hashlib.sha256(f"{team.name} {name}".encode()).hexdigest(),
        name=name,
        manifest=made.to_json(),
        task="mnist5k",
        bytes=48_211,
        state=SubmissionState.QUALIFIED,
        sentence="Qualified: clean accuracy 97.2 %, above the floor of 90 %.",
        figures={"clean_accuracy": 0.972, "floor": 0.9, "deterministic": True, "seconds": 3.4},
        started_at=timezone.now(),
        finished_at=timezone.now(),
    )


def spec(preset: str, game: GameName = GameName.EVASION, **values: Any) -> RoundSpec:
    given = {"epsilons": (0.1, 0.2, 0.3), "examples": EXAMPLES, "task": "mnist5k", **values}
    return RoundSpec(game=game, threat_model=ThreatModel.preset(preset), **given)


def plan() -> TournamentPlan:
    evasion = ("adversarial-training", "cnn", "logistic-regression", "randomized-smoothing",
               "input-discretisation")  # fmt: skip
    return TournamentPlan(
        title="Spring league on MNIST",
        slug="spring",
        task="mnist5k",
        description="White, grey and black box on 5,000 digits; poisoning on ones and sevens.",
        rounds=(
            RoundPlan("White box", spec("white"), ("fgsm", "pgd", "random-noise"), evasion),
            RoundPlan("Grey box", spec("grey"), ("square", "random-noise"), evasion),
            RoundPlan("Black box", spec("black"), ("square", "boundary", "random-noise"), evasion),
            RoundPlan(
                "Poisoning",
                spec(
                    "black", GameName.POISONING, task="mnist-1-7", epsilons=(), shares=(0.03, 0.1)
                ),
                ("label-flip", "far-outliers"),
                ("logistic-learner", "sphere-sanitisation"),
            ),
        ),
    )


def seed(*, unfinished: int = 4) -> World:
    """The tournament is open; all but ``unfinished`` of its matches have verdicts."""
    oscar, alice, dana, charlie = map(member, ("oscar", "alice", "dana", "charlie"))
    User.objects.filter(pk=oscar.pk).update(is_organizer=True)
    oscar.refresh_from_db()
    world = World(
        oscar, alice, dana, charlie,
        accounts.create_team(user=alice, name="Perturbers"),
        accounts.create_team(user=dana, name="Bulwark Lab"),
        accounts.create_team(user=charlie, name="Outsiders"),
        services.create(plan(), organizer=oscar),
    )  # fmt: skip
    services.move(tournament=world.tournament, to=Phase.OPEN, organizer=oscar)
    world.tournament.refresh_from_db()
    _enter(world)
    play(world, unfinished=unfinished)
    fold_all()
    return world


def found_again() -> World:
    """The seeded world, read anew."""
    people = {user.username: user for user in User.objects.all()}
    teams = {team.name: team for team in Team.objects.all()}
    tournament = Tournament.objects.get(slug="spring")
    return World(
        *(people[name] for name in ("oscar", "alice", "dana", "charlie")),
        *(teams[name] for name in ("Perturbers", "Bulwark Lab", "Outsiders")),
        tournament,
        {entry.name: entry for entry in tournament.entries.filter(team__isnull=False)},
    )


def _enter(world: World) -> None:
    torch = {"differentiable": True, "family": "cnn", "framework": Framework.TORCH}
    for team, user, name, role, more in (
        (world.defenders, world.dana, "Bulwark v3", Role.DEFENSE, torch),
        (world.attackers, world.alice, "Momentum PGD", Role.ATTACK, {}),
    ):
        world.entries[name] = services.enter(
            tournament=world.tournament,
            submission=submitted(team, user, name, role, **more),
            user=user,
        )


def play(world: World, *, unfinished: int = 0) -> None:
    """Verdicts for the waiting matches; of the last ones, two are made to run."""
    waiting = list(
        Match.objects.filter(tournament=world.tournament, state=MatchState.PENDING)
        .select_related("tournament", "round", "attack__team", "defense__team")
        .order_by("round__number", "pk")
    )
    done = waiting[: len(waiting) - unfinished] if unfinished else waiting
    for match in done:
        judge(match)
    for match in waiting[len(done) : len(done) + 2]:
        Match.objects.filter(pk=match.pk).update(
            state=MatchState.RUNNING,
            worker="demo:1",
            lease_until=timezone.now() + timedelta(hours=1),
            started_at=timezone.now(),
        )


def judge(match: Match, *, fault: str = "") -> Verdict:
    """A verdict with its files and its event."""
    stream = np.random.default_rng(match.seed % 2**32)
    poisoning = match.round.plays_poisoning
    finding = _poisoned(match, stream) if poisoning else _evaded(match, stream)
    folder = f"matches/{match.uid}/1"
    if finding["outcome"] is not None:
        out = settings.DATA / folder
        out.mkdir(parents=True, exist_ok=True)
        finding["outcome"].write(out / "outcome.parquet")
        np.savez_compressed(out / "images.npz", **finding["outcome"].images)
    match.state = MatchState.FORFEIT if fault else MatchState.SCORED
    match.finished_at = timezone.now()
    match.seconds = float(stream.uniform(2, 20))
    with transaction.atomic():
        match.save()
        verdict = Verdict.objects.create(
            match=match,
            attempt=1,
            status=match.state,
            metrics=finding["metrics"],
            curve=finding["curve"],
            kills=None if fault else finding["kills"],
            fault_side=fault,
            fault_code="crashed" if fault else "",
            fault_sentence="ValueError in player.py: secret of Mallory." if fault else "",
            files=folder,
            flags=[],
            provenance={
                "versions": {"python": "3.11", "torch": "2.13.0"},
                "attack_sha256": hashlib.sha256(match.attack.name.encode()).hexdigest(),
                "defense_sha256": hashlib.sha256(match.defense.name.encode()).hexdigest(),
                "task": match.round.spec["task"],
                "split": "practice",
                "seed": match.seed,
                "backend": "bubblewrap",
            },
            logs={
                "attack": "step 1: loss 0.31\nstep 2: loss 0.94 \x1b[31mdone",
                "defense": "ready",
            },
        )
        announcing.tell_of_match(match, "match.recorded")
    return verdict


def _evaded(match: Match, stream: np.random.Generator) -> dict[str, Any]:
    rules, task = match.round.rules, arena.tasks.load("mnist5k")
    index = np.arange(EXAMPLES) * 7
    x, y = task.practice.x[index], task.practice.y[index]
    right = np.random.default_rng(match.defense.pk).random(EXAMPLES) < 0.97
    strength = STRENGTH.get(match.attack.house, 0.93)
    hardness = HARDNESS.get(match.defense.house, 0.22)
    luck = np.clip(0.8 * np.random.default_rng(match.defense.pk + 9).random(EXAMPLES)
                   + 0.2 * stream.random(EXAMPLES), 0, 1)  # fmt: skip
    broken = np.array(
        [right & (luck < strength * hardness * (e / rules.epsilons[-1])) for e in rules.epsilons]
    )
    direction = np.sign(stream.normal(size=x.shape)).astype(np.float32)
    attacked = np.stack([np.clip(x + e * direction, 0, 1) for e in rules.epsilons])
    curve = []
    probes = 0 if rules.threat_model.gives_gradients else 100
    for e, hit in zip(rules.epsilons, broken, strict=True):
        curve.append(
            {"epsilon": e, "examples": EXAMPLES, "queries": probes * EXAMPLES,
             **clean_accuracy(right), **robust_accuracy(right, hit),
             **attack_success_rate(right, hit)}
        )  # fmt: skip
    kills = Kills(index, right, broken, rules.epsilons)
    return {
        "metrics": {**curve[-1], "rejected": 1, "queries": probes * EXAMPLES,
                    "median_queries": 23.0 if probes else None},
        "curve": curve,
        "kills": kills.to_json(),
        "outcome": _outcome(rules, index, y, right, broken, x, attacked, probes, stream),
    }  # fmt: skip


def _outcome(
    rules: RoundSpec, index: Any, y: Any, right: Any, broken: Any, x: Any, attacked: Any,
    probes: int, stream: np.random.Generator,
) -> Outcome:  # fmt: skip
    n, levels = len(index), len(rules.epsilons)
    wrong = (y + 1 + stream.integers(0, 8, n)) % 10
    flat = broken.ravel()
    size = (attacked - x).reshape(levels, n, -1)
    columns = {
        "example": np.tile(index, levels),
        "epsilon": np.repeat(np.array(rules.epsilons), n),
        "y": np.tile(y, levels),
        "clean_prediction": np.tile(np.where(right, y, wrong), levels),
        "clean_confidence": np.tile(stream.uniform(0.8, 1, n), levels),
        "clean_right": np.tile(right, levels),
        "attacked_prediction": np.where(broken, wrong, y).ravel(),
        "attacked_confidence": stream.uniform(0.5, 1, n * levels),
        "broken": flat,
        "target": np.full(n * levels, -1),
        "linf": np.abs(size).max(axis=2).ravel(),
        "queries": np.full(n * levels, probes),
        "queries_to_success": np.where(flat, stream.integers(1, 100, n * levels), 0) * (probes > 0),
        "rejected": np.full(n * levels, "", dtype=object),
    }
    return Outcome("evasion", columns, {"clean": x, "attacked": attacked})


def _poisoned(match: Match, stream: np.random.Generator) -> dict[str, Any]:
    clean = 0.02 if "sphere" not in match.defense.house else 0.03
    growth = 0.01 if "sphere" in match.defense.house else 0.18
    curve = []
    for share in match.round.rules.shares:
        delta = growth * share / 0.1 + float(stream.uniform(0, 0.01))
        curve.append(
            {"share": share, "clean_error": clean, "poisoned_error": clean + delta,
             "delta_error": delta, "delta_error_low": delta - 0.01,
             "delta_error_high": delta + 0.01, "success": 1.0}
        )  # fmt: skip
    index = np.arange(EXAMPLES)
    right = np.ones(EXAMPLES, bool)
    hit = stream.random((len(curve), EXAMPLES)) < curve[-1]["delta_error"]
    kills = Kills(index, right, hit, match.round.rules.shares)
    return {
        "metrics": {**{k: v for k, v in curve[-1].items() if k != "share"},
                    "clean_accuracy": 1 - clean},
        "curve": curve,
        "kills": kills.to_json(),
        "outcome": Outcome(
            "poisoning/1",
            {"example": index},
            {"poison": arena.tasks.load("mnist-1-7").train.x[:24]},
        ),
    }  # fmt: skip
