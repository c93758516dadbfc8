"""Rounds in which learners are trained: created, recorded, ranked and read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import arena.tasks
from arena.rounds import GameName, Goal, Norm, RoundSpec, TargetRule, threat_model_for
from arena.threat_model import FirstMover, Parameters, ThreatModel
from arena.verdict import Kills, Outcome, Status
from arena.verdict import Verdict as Finding
from events.errors import Invalid
from leaderboard.models import Standing
from tests.platform.web.played import EXAMPLES, opened, pages, record, spec_of
from tests.platform.web.reading import Browser, text_of
from tests.platform.web.seeding import World
from tournaments import services
from tournaments.models import Round
from tournaments.services import RoundPlan, TournamentPlan
from tournaments.states import MatchState
from web.templatetags.arena import budget


@pytest.mark.parametrize(("given", "area"), [("", 0.02), ("0.05", 0.05)])
def test_a_backdoor_round_is_made_by_the_form(world: World, given: str, area: float) -> None:
    spec = spec_of(
        title="Doors", game="backdoor", preset="black", shares="0.01", trigger_area=given,
        examples="50", attacks=["badnets"], defenses=["logistic-learner"],
    )  # fmt: skip
    assert (spec.shares, spec.trigger_area, spec.epsilons) == ((0.01,), area, ())


# ── backdoors ──────────────────────────────────────────────────────────────────────────────


def planted(target: int = 1) -> Finding:
    """A trigger that reaches its target on nine of ten other examples."""
    task = arena.tasks.load("mnist-1-7")
    others = np.flatnonzero(task.practice.y[:EXAMPLES] != target)
    hits = np.arange(len(others)) < 0.9 * len(others)
    figures = {"clean_accuracy": 0.98, "attack_success_rate": 0.9, "clean_drop": 0.01}
    columns = {"example": others, "target": np.full(len(others), target)}
    images = {"poison": task.train.x[:24], "triggered": task.practice.x[:24]}
    return Finding(
        status=Status.SCORED,
        metrics={**figures, "poisoned_accuracy": 0.97, "robust_accuracy": 0.1},
        curve=({"share": 0.01, **figures},),
        kills=Kills(others, np.ones(len(others), bool), hits[None], (0.01,)),
        outcome=Outcome("backdoor/1", columns, images),
        provenance={"target": target},
    )


def test_a_backdoor_is_planned_ranked_and_read(world: World, as_: Browser) -> None:
    spec = RoundSpec(
        GameName.BACKDOOR, "mnist-1-7", ThreatModel.black(), shares=(0.01,), examples=EXAMPLES
    )
    plan = RoundPlan("Doors", spec, ("badnets",), ("logistic-learner",))
    round_ = opened(world, plan)
    match = round_.matches.get()
    record(match, planted())
    page, boards = pages(world, as_, match)
    assert "The trigger of BadNets reaches its target on 90.0 %" in page
    assert "Judged examples with the trigger on them." in page
    assert page.count("Triggered example") == 12
    picture = as_(world.oscar).get(f"/matches/{match.uid}/pictures/triggered-0-0.png")
    assert "Poisoners" in boards
    assert "poison 1 %, patch of 2 %" in boards
    assert "Unique kills" not in boards  # a game that counts none shows no column of dashes
    assert Standing.objects.get(round=round_, role="attack", entry__house="badnets").headline == 0.9
    assert picture["Content-Type"] == "image/png"


def test_a_poisoning_round_says_its_shares_and_who_moves_first(world: World) -> None:
    """Move order decides who may know whom: the line of a round's rules tells it."""
    seen = ThreatModel.transfer()
    blind = replace(seen, parameters=Parameters.HIDDEN, first_mover=FirstMover.ATTACKER)
    said = [
        budget(Round(game="poisoning", spec=RoundSpec(
            GameName.POISONING, "digits", model, shares=shares
        ).to_json()))
        for model, shares in ((seen, (0.03, 0.1, 0.3)), (blind, (0.1,)))
    ]  # fmt: skip
    assert said == ["poison 3, 10, 30 %, added", "poison 10 %, added, the attacker moves first"]


# ── chosen points and streams ──────────────────────────────────────────────────────────────


def recorded(
    game: GameName, metrics: dict[str, float], curve: tuple[dict[str, float], ...]
) -> Finding:
    """A finding of a game about training data, with poison to look at."""
    task = arena.tasks.load("mnist-1-7")
    hits = np.arange(5) < 4
    images = {"poison": task.train.x[:24], "chosen": task.practice.x[:5], "poison_y": np.ones(24)}
    return Finding(
        status=Status.SCORED,
        metrics=metrics,
        curve=curve,
        kills=Kills(np.arange(5), np.ones(5, bool), hits[None], (0.1,)),
        outcome=Outcome(f"{game.value}/1", {"example": np.arange(5)}, images),
    )


def test_chosen_points_are_planned_ranked_and_read(world: World, as_: Browser) -> None:
    spec = RoundSpec(
        GameName.TARGETED_POISONING, "mnist-1-7", ThreatModel.black(), shares=(0.1,),
        epsilons=(0.3,), examples=EXAMPLES,
    )  # fmt: skip
    plan = RoundPlan("Chosen", spec, ("collision",), ("logistic-learner",))
    round_ = opened(world, plan)
    match = round_.matches.get()
    figures = {"clean_accuracy": 0.98, "attack_success_rate": 0.8, "clean_drop": 0.01}
    told = {**figures, "poisoned_accuracy": 0.97, "robust_accuracy": 0.2, "chosen_points": 5.0}
    record(match, recorded(spec.game, told, ({"share": 0.1, **figures},)))
    page, boards = pages(world, as_, match)
    assert "Collision won 80.0 % of 5 chosen points" in page
    assert page.count("Chosen point ") == 5
    seven = arena.tasks.load("mnist-1-7").classes[1]
    assert page.count(f"<small>{seven}</small>") == 12  # the labels that the poison was given
    picture = as_(world.oscar).get(f"/matches/{match.uid}/pictures/chosen-0-0.png")
    assert picture["Content-Type"] == "image/png"
    assert "poison 10 %, 5 chosen points, clean-label L∞ ≤ 0.3" in boards
    assert "Chosen points lost to the best poison" in boards
    row = Standing.objects.get(round=round_, role="attack", entry__house="collision")
    assert row.headline == pytest.approx(0.8)


def test_a_stream_is_planned_ranked_and_read(world: World, as_: Browser) -> None:
    spec = RoundSpec(
        GameName.ONLINE_POISONING, "mnist-1-7", ThreatModel.black(), shares=(0.1,), batches=4,
        examples=EXAMPLES,
    )  # fmt: skip
    plan = RoundPlan("Stream", spec, ("online-greedy",), ("online-logistic", "online-sanitising"))
    round_ = opened(world, plan)
    match = round_.matches.get(defense__house="online-logistic")
    told = {
        "clean_accuracy": 0.98,
        "poisoned_error_over_time": 0.12,
        "clean_error_over_time": 0.02,
        "delta_error_over_time": 0.1,
    }
    curve = tuple(
        {"seen": 100.0 * t, "clean_error": 0.02, "poisoned_error": 0.03 * t, "delta_error": 0.01}
        for t in (1, 2, 3, 4)
    )
    record(match, recorded(spec.game, told, curve))
    page, boards = pages(world, as_, match)
    assert "Online greedy added 10.0 points to the error over time" in page
    assert "Points seen" in page
    assert "poison 10 % of 4 batches" in boards
    assert "Largest mean error over a poisoned stream" in boards
    assert 'title="Online greedy against Online softmax regression: added 10.0 %"' in boards
    row = Standing.objects.get(round=round_, role="defense", entry__house="online-logistic")
    assert row.headline == pytest.approx(0.12)


# ── attacker first ─────────────────────────────────────────────────────────────────────────


def test_an_attack_that_moves_first_is_planned_ranked_and_read(world: World, as_: Browser) -> None:
    model = threat_model_for("attacker_first", ThreatModel.white())
    spec = RoundSpec(GameName.ATTACKER_FIRST, "digits", model, epsilons=(0.2,), examples=EXAMPLES)
    plan = RoundPlan("First", spec, ("pgd",), ("logistic-learner",))
    round_ = opened(world, plan)
    match = round_.matches.get()
    assert match.state == MatchState.PENDING
    task = arena.tasks.load("digits")
    figures = {"clean_accuracy": 0.92, "fresh_error": 0.25, "unprepared_error": 0.75}
    columns = {"example": np.arange(EXAMPLES), "y": task.practice.y[:EXAMPLES]}
    images = {"published": task.practice.x[:24], "fresh": task.practice.x[24:48]}
    finding = Finding(
        status=Status.SCORED,
        metrics={**figures, "published": 200, "prepared_gain": 0.5},
        curve=({"epsilon": 0.2, **figures},),
        kills=Kills(
            np.arange(EXAMPLES), np.ones(EXAMPLES, bool), np.zeros((1, EXAMPLES), bool), (0.2,)
        ),
        outcome=Outcome("attacker_first/1", columns, images),
    )
    record(match, finding)
    page, boards = pages(world, as_, match)
    assert "PGD moved first and published 200 examples" in page
    assert "is wrong on 25.0 % of fresh ones, and on 75.0 % without them" in page
    assert page.count("Published example") == 12
    assert page.count("Fresh example") == 12
    picture = as_(world.oscar).get(f"/matches/{match.uid}/pictures/fresh-0-0.png")
    assert picture["Content-Type"] == "image/png"
    assert "Learners" in boards
    assert "L∞, ε = 0.2, 200 published" in boards
    assert Standing.objects.get(round=round_, role="defense").headline == 0.25


def test_an_attacker_first_round_is_made_by_the_form(world: World) -> None:
    spec = spec_of(
        title="First", game="attacker_first", preset="white", epsilons="0.2", published="100",
        examples="50", attacks=["pgd"], defenses=["cnn-learner"],
    )  # fmt: skip
    assert (spec.published, spec.threat_model.first_mover) == (100, "attacker")


# ── trends ─────────────────────────────────────────────────────────────────────────────────


def test_a_trend_is_planned_ranked_drawn_and_read(world: World, as_: Browser) -> None:
    model = threat_model_for("trend_poisoning", ThreatModel.white())
    spec = RoundSpec(
        GameName.TREND_POISONING, "ice-cover", model, norm=Norm.L0, epsilons=(5.0,), examples=40
    )
    plan = RoundPlan("Ice", spec, ("few-points",), ("ols-trend",))
    round_ = opened(world, plan)
    match = round_.matches.get()
    times = np.tile(np.linspace(0, 1, 80, dtype=np.float32), (6, 1))
    values = 0.6 - 0.2 * times
    changed = values.copy()
    changed[:, -5:] = 1.0
    images = {
        "times": times, "values": values, "changed": changed,
        "rises": np.tile(np.array([-0.2, 0.0], np.float32), (6, 1)),
    }  # fmt: skip
    figures = {"clean_accuracy": 1.0, "trend_kept": 0.05, "slope_left": 0.02}
    kept = np.arange(40) < 2
    finding = Finding(
        status=Status.SCORED,
        metrics={**figures, "attack_success_rate": 0.95, "examples": 40},
        curve=({"epsilon": 5.0, **figures},),
        kills=Kills(np.arange(40), np.ones(40, bool), ~kept[None], (5.0,)),
        outcome=Outcome("trend_poisoning/1", {"example": np.arange(40)}, images),
    )
    record(match, finding)
    page, boards = pages(world, as_, match)
    assert "A few points removed 95.0 % of the trends that Least squares told" in page
    assert page.count('class="series-changed"') == 4
    assert page.count('class="series-trend-changed"') == 4
    assert "64 days to 160 days" in page
    assert "L0, ε = 5" in boards
    assert Standing.objects.get(round=round_, role="defense").headline == 0.05


def test_a_regression_task_is_drawn_and_called_synthetic(world: World, as_: Browser) -> None:
    page = text_of(as_(world.oscar).get("/tasks/ice-cover/"))
    assert "Synthetic: no lake was measured" in page
    assert page.count('class="series-clean"') == 4
    assert "Ice cover, 0 to 160 days" in page
    assert "float64 in [0, 1]" in page
    assert "regression" in text_of(as_(world.oscar).get("/tasks/"))


def test_a_round_and_its_task_must_fit(world: World) -> None:
    for task, game in (("digits", "trend_poisoning"), ("ice-cover", "evasion")):
        spec = RoundSpec(
            GameName(game), task, threat_model_for(game, ThreatModel.white()), epsilons=(0.1,)
        )
        plan = TournamentPlan(title="T", slug="t", task=task, rounds=(RoundPlan("R", spec),))
        with pytest.raises(Invalid, match=r"regression task|values and no classes"):
            services.check(plan)


def test_a_round_on_the_reference_needs_its_weights(world: World) -> None:
    """Else every match of it would end void, and be played thrice."""
    first = RoundSpec(
        GameName.ATTACKER_FIRST, "spambase",
        threat_model_for("attacker_first", ThreatModel.white()), epsilons=(0.1,),
    )  # fmt: skip
    aimed = RoundSpec(
        GameName.EVASION, "spambase", ThreatModel.white(), epsilons=(0.1,),
        goal=Goal.TARGETED, target_rule=TargetRule.LEAST_LIKELY,
    )  # fmt: skip
    for spec in (first, aimed):
        plan = TournamentPlan(title="T", slug="t", task="spambase", rounds=(RoundPlan("R", spec),))
        with pytest.raises(Invalid, match=r"reference model.*no weights for task 'spambase'"):
            services.check(plan)


def test_a_trend_round_is_made_by_the_form(world: World) -> None:
    spec = spec_of(
        title="Ice", game="trend_poisoning", preset="grey", norm="l0", epsilons="2, 5",
        task="ice-cover", examples="40", attacks=["few-points"], defenses=["huber-trend"],
    )  # fmt: skip
    assert (spec.norm, spec.epsilons, spec.threat_model.probes.none) == (Norm.L0, (2, 5), True)
