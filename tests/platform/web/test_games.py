"""Each kind of round beside evasion and poisoning: created, recorded, ranked and read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.db import transaction
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

import arena.tasks
from accounts.models import User
from arena.rounds import GameName, Goal, Norm, RoundSpec, TargetRule, threat_model_for
from arena.threat_model import ThreatModel
from arena.verdict import Kills, Outcome, Status
from arena.verdict import Verdict as Finding
from events.errors import Invalid
from leaderboard.models import Board, Standing
from leaderboard.services import fold_all
from tests.arena.fakes import Fakes, Linear, differentiable, play
from tests.platform.web.seeding import World
from tournaments import announcing, services
from tournaments.models import Match, Round, Verdict
from tournaments.services import RoundPlan, TournamentPlan
from tournaments.states import MatchState, Phase
from web.round_forms import round_formset
from web.round_presets import PREFIX, settle

Browser = Callable[[User | None], Client]
EXAMPLES = 40


def text_of(response: object) -> str:
    return response.content.decode()  # type: ignore[attr-defined, no-any-return]


def opened(world: World, plan: RoundPlan) -> Round:
    """A tournament of one round, open, its matches planned."""
    tournament = services.create(
        TournamentPlan(title="One round", slug="one", task=plan.spec.task, rounds=(plan,)),
        organizer=world.oscar,
    )
    services.move(tournament=tournament, to=Phase.OPEN, organizer=world.oscar)
    round_: Round = tournament.rounds.get()
    return round_


def record(match: Match, finding: Finding) -> None:
    """A verdict with its outcome file and its event, and the boards that follow from it."""
    folder = f"matches/{match.uid}/1"
    finding.write(settings.DATA / folder)
    match.state, match.finished_at = MatchState.SCORED, timezone.now()
    with transaction.atomic():
        match.save()
        Verdict.objects.create(
            match=match,
            attempt=1,
            status=match.state,
            metrics=dict(finding.metrics),
            curve=[dict(point) for point in finding.curve],
            kills=finding.kills.to_json() if finding.kills else None,
            files=folder,
            flags=[],
            provenance=dict(finding.provenance),
            logs={"attack": "", "defense": ""},
        )
        announcing.tell_of_match(match, "match.recorded")
    fold_all()


def pages(world: World, as_: Browser, match: Match) -> tuple[str, str]:
    """The match's page and the boards of its round, as an organizer reads them."""
    browser = as_(world.oscar)
    found = browser.get(f"/matches/{match.uid}/")
    boards = browser.get(f"/tournaments/{match.tournament.slug}/?round={match.round.number}")
    assert (found.status_code, boards.status_code) == (200, 200)
    return text_of(found), text_of(boards)


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


def spec_of(**data: Any) -> RoundSpec:
    """What the form makes of a round on digits; what is not given is left empty."""
    posted = QueryDict(mutable=True)
    posted.update({f"{PREFIX}-TOTAL_FORMS": "1", f"{PREFIX}-INITIAL_FORMS": "0"})
    for name, value in data.items():
        posted.setlist(f"{PREFIX}-0-{name}", value if isinstance(value, list) else [value])
    form = round_formset(settle(posted)).forms[0]
    assert form.is_valid(), form.errors
    return form.plan(task="digits", split="practice").spec


def test_an_extraction_round_is_made_by_the_form(world: World) -> None:
    spec = spec_of(
        title="Theft", game="extraction", preset="black", queries="650", norm="linf",
        goal="untargeted", poison_mode="add", examples="50",
        attacks=["equation-solving"], defenses=["logistic-regression"],
    )  # fmt: skip
    assert spec.threat_model.probes.total == 650


@pytest.mark.parametrize(("given", "area"), [("", 0.02), ("0.05", 0.05)])
def test_a_backdoor_round_is_made_by_the_form(world: World, given: str, area: float) -> None:
    spec = spec_of(
        title="Doors", game="backdoor", preset="black", shares="0.01", trigger_area=given,
        examples="50", attacks=["badnets"], defenses=["logistic-learner"],
    )  # fmt: skip
    assert (spec.shares, spec.trigger_area, spec.epsilons) == ((0.01,), area, ())


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
    plan = RoundPlan("Proofs", spec, ("pgd",), ("certified-linear", "cnn"))
    round_ = opened(world, plan)
    states = dict(round_.matches.values_list("defense__house", "state"))
    assert states == {"certified-linear": "pending", "cnn": "not_applicable"}
    match = round_.matches.get(defense__house="certified-linear")
    record(match, refuted())
    page, boards = pages(world, as_, match)
    assert "PGD refuted 1 of 40 claims of Certified linear model" in page
    assert "claimed radius 2: <strong>a counterexample</strong>" in page
    assert page.count("a counterexample</strong>") == 1
    assert "Claims refuted" in page
    assert "Certified accuracy at the round" in boards
    row = Standing.objects.get(round=round_, role="defense", entry__house="certified-linear")
    assert row.headline == 0.0


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
    plan = RoundPlan("Doors", spec, ("badnets", "label-flip"), ("logistic-learner",))
    round_ = opened(world, plan)
    states = dict(round_.matches.values_list("attack__house", "state"))
    assert states == {"badnets": "pending", "label-flip": "not_applicable"}
    match = round_.matches.get(attack__house="badnets")
    record(match, planted())
    page, boards = pages(world, as_, match)
    assert "The trigger of BadNets reaches its target on 90.0 %" in page
    assert "Judged examples with the trigger on them." in page
    assert page.count("Triggered example") == 12
    picture = as_(world.oscar).get(f"/matches/{match.uid}/pictures/triggered-0-0.png")
    assert "Poisoners" in boards
    assert "poison 1 %, patch of 2 %" in boards
    assert Standing.objects.get(round=round_, role="attack", entry__house="badnets").headline == 0.9
    assert picture["Content-Type"] == "image/png"


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
    plan = RoundPlan("Chosen", spec, ("collision", "label-flip"), ("logistic-learner",))
    round_ = opened(world, plan)
    states = dict(round_.matches.values_list("attack__house", "state"))
    assert states == {"collision": "pending", "label-flip": "not_applicable"}
    match = round_.matches.get(attack__house="collision")
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
    plan = RoundPlan("Stream", spec, ("online-greedy", "label-flip"), ("online-logistic",))
    round_ = opened(world, plan)
    states = dict(round_.matches.values_list("attack__house", "state"))
    assert states == {"online-greedy": "pending", "label-flip": "not_applicable"}
    match = round_.matches.get(attack__house="online-greedy")
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
    plan = RoundPlan("Ice", spec, ("few-points",), ("ols-trend", "logistic-learner"))
    round_ = opened(world, plan)
    states = dict(round_.matches.values_list("defense__house", "state"))
    assert states == {"ols-trend": "pending", "logistic-learner": "not_applicable"}
    match = round_.matches.get(defense__house="ols-trend")
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


# ── good words, and other tasks that are no pictures ───────────────────────────────────────────


def rows_of(task: str, epsilons: tuple[float, ...], **rules: Any) -> RoundSpec:
    return RoundSpec(
        rules.pop("game", GameName.EVASION),
        task,
        ThreatModel.white(),
        epsilons=epsilons,
        examples=12,
        **rules,
    )


def moved(spec: RoundSpec, change: Callable[[Any], Any], scores: Callable[[Any], Any]) -> Finding:
    """A finding of the referee's own, with a filter and an attack in this process."""

    class Filter(Linear):
        def predict(self, x: Any, seeds: Any) -> Any:
            spam = scores(x)
            return np.stack([-spam, spam], axis=1).astype(np.float32)

    seats = Fakes(change, Filter)
    return play(seats, spec, defense=differentiable(), task=arena.tasks.load(spec.task))


def test_good_words_are_planned_ranked_and_read(world: World, as_: Browser) -> None:
    task = arena.tasks.load("spamassassin-words")
    words = [task.features.index(word) for word in ("linux", "perl", "unseen")
             if word in task.features]  # fmt: skip
    lean = task.train.x[task.train.y == 1].mean(0) - task.train.x[task.train.y == 0].mean(0)
    spec = rows_of(task.name, (2.0, 4.0), game=GameName.GOOD_WORDS, norm=Norm.L0)
    round_ = opened(world, RoundPlan("Words", spec, ("good-words",), ("naive-bayes",)))
    match = round_.matches.get()

    def pads(c: Any) -> Any:
        x = c.x.copy()
        x[:, words[: int(c.epsilon)]] = 1
        return x

    found = moved(spec, pads, lambda x: x @ lean - 1.0 - 9 * x[:, words].sum(1))
    assert found.status is Status.SCORED
    record(match, found)
    page, boards = pages(world, as_, match)
    assert "words Good words got" in page
    assert "Against words added" in page
    assert f'<span class="word">{task.features[words[0]]}</span>' in page
    assert "pictures/" not in page
    assert "Examples (.npz)" in page
    assert "up to 2, 4 words added" in boards
    assert "the share of blocked spam that passed" in boards
    row = Standing.objects.get(round=round_, role="defense", entry__house="naive-bayes")
    assert row.headline == pytest.approx(found.metrics["robust_accuracy"])
    attack = Standing.objects.get(round=round_, role="attack", entry__house="good-words")
    assert attack.headline == pytest.approx(found.metrics["attack_success_rate"])


def test_a_tables_match_shows_the_features_that_were_changed_and_what_errors_cost(
    world: World, as_: Browser
) -> None:
    task = arena.tasks.load("spambase")
    spec = rows_of(task.name, (0.3,))
    plan = RoundPlan("Table", spec, ("pgd",), ("logistic-regression",))
    match = opened(world, plan).matches.get()
    free = task.features.index("free")

    def raises(c: Any) -> Any:
        x = c.x.copy()
        x[:, free] = np.minimum(x[:, free] + 0.25, 1)
        return x

    record(match, moved(spec, raises, lambda x: 0.2 - x[:, free]))
    page, _ = pages(world, as_, match)
    assert '<th scope="row">free</th>' in page
    assert "pictures/" not in page
    assert "Value-weighted loss" in page.split("All figures")[0]


def test_a_good_word_round_is_made_by_the_form_and_counts_words(world: World) -> None:
    spec = spec_of(
        title="Words", game="good_words", task="spamassassin-words", preset="black",
        epsilons="10, 30", examples="50", attacks=["good-words-by-probes"],
        defenses=["naive-bayes"],
    )  # fmt: skip
    assert spec.norm is Norm.L0
    assert spec.epsilons == (10.0, 30.0)


def test_good_words_on_a_task_of_pictures_are_refused_with_the_remedy(world: World) -> None:
    spec = rows_of("digits", (4.0,), game=GameName.GOOD_WORDS, norm=Norm.L0)
    with pytest.raises(Invalid, match="choose spamassassin-words"):
        opened(world, RoundPlan("Words", spec, ("good-words",), ("cnn",)))


def test_a_tables_page_shows_its_rows_its_features_and_what_mistakes_cost(
    world: World, as_: Browser
) -> None:
    page = text_of(as_(None).get("/tasks/spambase/"))
    for told in ("may only grow", "may change", "stays", "What mistakes cost", "capitalLong"):
        assert told in page
    words = text_of(as_(None).get("/tasks/spamassassin-words/"))
    assert "1,500 features" in words
    assert "What mistakes cost" not in words
