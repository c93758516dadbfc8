"""Rounds about a fixed model, beside evasion: created, recorded, ranked and read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import arena.tasks
from arena.rounds import GameName, Goal, Norm, RoundSpec, TargetRule, threat_model_for
from arena.threat_model import ThreatModel
from arena.verdict import Kills, Outcome, Status
from arena.verdict import Verdict as Finding
from leaderboard.models import Board, Standing
from tests.platform.web.played import EXAMPLES, opened, pages, record, spec_of
from tests.platform.web.reading import Browser
from tests.platform.web.seeding import World
from tournaments.models import Round
from tournaments.services import RoundPlan

# ── targeted goals ─────────────────────────────────────────────────────────────────────────


def test_a_targeted_round_says_so_and_calls_no_other_mistake_right(
    world: World, as_: Browser
) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    assert "evasion, untargeted" in pages(world, as_, match)[1]
    match.round.spec = replace(
        match.round.rules, goal=Goal.TARGETED, target_rule=TargetRule.LEAST_LIKELY
    ).to_json()
    match.round.save()
    page, boards = pages(world, as_, match)
    for told in (page, boards):
        assert "evasion, targeted (least-likely)" in told
    assert "Momentum PGD reached the target on" in page
    assert "stayed right" not in page


# ── extraction ─────────────────────────────────────────────────────────────────────────────


def stolen(fidelity: float) -> Finding:
    """A thief's verdict on digits: the copy differs on the first examples."""
    task = arena.tasks.load("digits")
    y = task.practice.y[:EXAMPLES]
    agrees = np.arange(EXAMPLES) >= round((1 - fidelity) * EXAMPLES)
    columns = {
        "stop": np.full(EXAMPLES, 650),
        "example": np.arange(EXAMPLES),
        "y": y,
        "prediction": y,
        "copied_prediction": np.where(agrees, y, (y + 1) % 10),
        "agrees": agrees,
    }
    return Finding(
        status=Status.SCORED,
        metrics={
            "fidelity": fidelity,
            "clean_accuracy": 0.95,
            "oracle_accuracy": 0.95,
            "queries": 650.0,
            "queries_to_99": None,
            "uniform_kappa": 0.5,
        },
        curve=(
            {"queries": 64.0, "fidelity": 0.4},
            {"queries": 650.0, "fidelity": fidelity},
        ),
        kills=Kills(np.arange(EXAMPLES), np.ones(EXAMPLES, bool), agrees[None], (650.0,)),
        outcome=Outcome("extraction/1", columns),
        provenance={"stops": [64, 650]},
    )


@pytest.fixture
def theft(world: World) -> Round:
    model = threat_model_for("extraction", ThreatModel.black(queries=650))
    spec = RoundSpec(GameName.EXTRACTION, "digits", model, examples=EXAMPLES)
    plan = RoundPlan(
        "Theft", spec, ("equation-solving",), ("logistic-regression", "rounded-answers")
    )
    return opened(world, plan)


def test_a_theft_is_planned_between_thieves_and_defenses_alone(theft: Round) -> None:
    pairs = set(theft.matches.values_list("attack__house", "defense__house"))
    assert pairs == {
        ("equation-solving", "logistic-regression"),
        ("equation-solving", "rounded-answers"),
    }


def test_a_theft_is_ranked_and_read(world: World, theft: Round, as_: Browser) -> None:
    for match, fidelity in zip(theft.matches.order_by("pk"), (0.9, 0.75), strict=True):
        record(match, stolen(fidelity))
    headlines = dict(Board.objects.filter(round=theft).values_list("role", "headline"))
    assert headlines == {"attack": "fidelity", "defense": "stolen_fidelity"}
    robbed = Standing.objects.filter(round=theft, role="defense").order_by("position")
    assert [row.entry.house for row in robbed] == ["rounded-answers", "logistic-regression"]
    page, boards = pages(world, as_, theft.matches.order_by("pk")[0])
    assert "After 650 probes the copy of Equation solving agrees" in page
    assert "Where copy and original differ, at the end of the budget; 4 of 40 examples." in page
    assert "Fidelity on uniform points" not in page  # nothing is shown that was not measured
    assert "Probes" in page
    assert "Thieves" in boards
    assert "650 probes" in boards
    assert "the share of examples on which copy and original agree" in boards


def test_an_extraction_round_is_made_by_the_form(world: World) -> None:
    spec = spec_of(
        title="Theft", game="extraction", preset="black", queries="650", norm="linf",
        goal="untargeted", poison_mode="add", examples="50",
        attacks=["equation-solving"], defenses=["logistic-regression"],
    )  # fmt: skip
    assert spec.threat_model.probes.total == 650


# ── certification ──────────────────────────────────────────────────────────────────────────


def refuted() -> Finding:
    """A certificate of radius 2 on everything, and one example moved inside it."""
    task = arena.tasks.load("digits")
    x, y = task.practice.x[:EXAMPLES], task.practice.y[:EXAMPLES]
    broken = np.arange(EXAMPLES) == 0
    columns = {
        "example": np.arange(EXAMPLES),
        "epsilon": np.full(EXAMPLES, 0.4),
        "y": y,
        "clean_prediction": y,
        "clean_confidence": np.ones(EXAMPLES),
        "clean_right": np.ones(EXAMPLES, bool),
        "attacked_prediction": np.where(broken, (y + 1) % 10, y),
        "attacked_confidence": np.ones(EXAMPLES),
        "broken": broken,
        "l2": np.where(broken, 0.375, 0.0),
        "queries": np.zeros(EXAMPLES, np.int64),
        "certified_radius": np.full(EXAMPLES, 2.0),
    }
    bits = Kills(
        np.arange(EXAMPLES),
        np.ones(EXAMPLES, bool),
        broken[None],
        (0.4,),
        radii=np.zeros(EXAMPLES, np.float32),
    )
    figures = {"clean_accuracy": 1.0, "robust_accuracy": 1 - 1 / EXAMPLES}
    return Finding(
        status=Status.SCORED,
        metrics={
            **figures,
            "attack_success_rate": 1 / EXAMPLES,
            "certified_accuracy": 0.0,
            "claims": EXAMPLES,
            "claims_refuted": 1,
            "claim_alpha": 0.0,
            "certificate_broken": 1.0,
        },
        curve=({"epsilon": 0.4, **figures, "certified_accuracy": 0.0},),
        kills=bits,
        outcome=Outcome("certification", columns, {"clean": x, "attacked": x[None]}),
        provenance={"refuted": [{"example": 0, "distance": 0.375, "radius": 2.0}]},
    )


def test_a_broken_certificate_is_shown_with_its_counterexample(world: World, as_: Browser) -> None:
    spec = RoundSpec(
        GameName.CERTIFICATION,
        "digits",
        ThreatModel.white(),
        norm=Norm.L2,
        epsilons=(0.4,),
        examples=EXAMPLES,
    )
    plan = RoundPlan("Proofs", spec, ("pgd",), ("certified-linear",))
    round_ = opened(world, plan)
    match = round_.matches.get()
    record(match, refuted())
    page, boards = pages(world, as_, match)
    assert "PGD refuted 1 of 40 claims of Certified linear model" in page
    assert "claimed radius 2: <strong>a counterexample</strong>" in page
    assert page.count("a counterexample</strong>") == 1
    assert "Claims refuted" in page
    assert "Certified accuracy at the round" in boards
    row = Standing.objects.get(round=round_, role="defense", entry__house="certified-linear")
    assert row.headline == 0.0


# ── replay ─────────────────────────────────────────────────────────────────────────────────


def test_a_replay_is_planned_ranked_and_read(world: World, as_: Browser) -> None:
    spec = RoundSpec(
        GameName.REPLAY, "digits", ThreatModel.white(), epsilons=(0.1,), examples=EXAMPLES
    )
    plan = RoundPlan("Again", spec, ("replay",), ("noisy-input",))
    round_ = opened(world, plan)
    match = round_.matches.get()
    wrong = np.arange(100) < 92
    figures = {"clean_accuracy": 0.95, "wrong_again": 0.92, "replay_loss": 92.0}
    finding = Finding(
        status=Status.SCORED,
        metrics={**figures, "replays": 100, "proposals": 1},
        curve=({"epsilon": 0.1, "wrong_again": 0.92},),
        kills=Kills(np.arange(100), np.ones(100, bool), wrong[None], (0.1,)),
        provenance={"replayed": [3]},
    )
    record(match, finding)
    page, boards = pages(world, as_, match)
    assert "Replay of one mistake proposed one input; Noisy input answered 92 of 100" in page
    assert "Made again" in page
    assert "L∞, ε = 0.1, 100 replays" in boards
    assert "the chance that the mistake is made again" in boards
    row = Standing.objects.get(round=round_, role="defense", entry__house="noisy-input")
    assert row.headline == 0.92


def test_a_replay_round_is_made_by_the_form(world: World) -> None:
    spec = spec_of(
        title="Again", game="replay", preset="white", epsilons="0.1", replays="40",
        examples="50", attacks=["replay"], defenses=["cnn"],
    )  # fmt: skip
    assert spec.replays == 40
