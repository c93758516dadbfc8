"""A poisoner: a friendly in each kind of round that it says it plays."""

from __future__ import annotations

from typing import Final

from arena import house
from arena.errors import NotApplicable
from arena.qualification.check import HOUSE_LEARNER, Check, friendly, judged
from arena.qualification.learners import friendly_trend
from arena.rounds import GameName, RoundSpec
from arena.threat_model import ThreatModel
from arena.verdict import Status, Verdict

HOUSE_ESTIMATOR: Final = "ols-trend"


def check_poisoner(check: Check) -> str:
    """A friendly in each kind of round that it says it plays."""
    if check.task.is_regression:
        return _leveller(check)
    named = [game for game in _FRIENDLIES if game.value in check.manifest.needs.games]
    found = [_friendly_of(check, game) for game in named or [GameName.POISONING]]
    listed = " and ".join([", ".join(found[:-1]), found[-1]] if found[1:] else found)
    return f"Qualified; {listed}."


_FRIENDLIES: Final[dict[GameName, tuple[str, str, str]]] = {
    GameName.POISONING: (
        "friendly",
        "delta_error",
        "it adds {:.1f} points of error to a house learner at 10 %",
    ),
    GameName.BACKDOOR: (
        "friendly_backdoor",
        "attack_success_rate",
        "its trigger reaches {:.0f} % of a house learner's inputs at 10 %",
    ),
    GameName.TARGETED_POISONING: (
        "friendly_targeted",
        "attack_success_rate",
        "it wins {:.0f} % of the chosen points from a house learner at 10 %",
    ),
    GameName.ONLINE_POISONING: (
        "friendly_online",
        "delta_error_over_time",
        "it adds {:.1f} points to a house learner's error over time at 10 %",
    ),
}
"""What a poisoner is tried in: under which name its figures stand, which one is told, and how."""


def _leveller(check: Check) -> str:
    check.report("Playing a friendly against least squares.", 1)
    house_learner = house.package(HOUSE_ESTIMATOR, check.task.name)
    verdict = friendly_trend(check, check.package, house_learner)
    check.figures["friendly"] = dict(verdict.metrics)
    removed = verdict.metrics.get("attack_success_rate") or 0.0
    return f"Qualified; it removes {removed:.0%} of the trends that least squares tells."


def _friendly_of(check: Check, game: GameName) -> str:
    name, figure, sentence = _FRIENDLIES[game]
    verdict = _friendly_poisoning(check, game)
    check.figures[name] = dict(verdict.metrics)
    return sentence.format(100 * (verdict.metrics.get(figure) or 0.0))


def _friendly_poisoning(check: Check, game: GameName) -> Verdict:
    check.report("Playing a friendly against a house learner.", 1)
    round_ = RoundSpec(
        game,
        check.task.name,
        ThreatModel.black(),
        shares=(0.1,),
        examples=min(200, len(check.task.practice)),
    )
    defense = house.package(HOUSE_LEARNER, check.task.name)
    verdict = judged(check, friendly(check, round_, defense, check.task))
    if verdict.status is Status.NOT_APPLICABLE:
        raise NotApplicable(verdict.fault.sentence if verdict.fault else "Not applicable.")
    return verdict
