"""An attack: a friendly in a round that it says it can play, and planted examples to find."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from arena import house
from arena.applicability import ROLES, USUAL_ROLES
from arena.manifest import Role
from arena.planted import plant
from arena.qualification.check import (
    FRIENDLY_EXAMPLES,
    HOUSE_DEFENSE,
    HOUSE_LEARNER,
    Check,
    Rejected,
    epsilon_of,
    friendly,
    judged,
)
from arena.rounds import (
    MOVES,
    GameName,
    Goal,
    Norm,
    RoundSpec,
    norm_for,
    threat_model_for,
)
from arena.tasks import Task
from arena.tasks.fitting import misfit
from arena.threat_model import OracleOutput, OutputKind, ThreatModel
from arena.verdict import Status, Verdict

PLANTED_EXAMPLES: Final = 20
PLANTED_PROBES: Final = 2000
RELIABLE: Final = 0.5
"""Share of planted examples that an attack must break to be called reliable."""


def check_attack(check: Check) -> str:
    check.report("Playing a friendly against the house.", 3)
    played = _first_friendly(check)
    check.figures["friendly"] = _summary(played)
    check.report("Looking for planted examples.", 3)
    planted = _planted(check)
    check.figures["planted"] = planted
    missed = [row for row in planted if not row["reliable"]]
    told_by = ("wrong_again", "fresh_error", "attack_success_rate")
    broken = next((played.metrics[key] for key in told_by if key in played.metrics), None)
    told = "nothing to break" if broken is None else f"{broken:.0%} success on a house model"
    told += _rejected(played)
    if missed:
        norms = ", ".join(str(row["norm"]) for row in missed)
        return (
            f"Qualified with {told}, marked unreliable: it missed planted adversarial examples "
            f"({norms}), so its failures prove nothing."
        )
    return f"Qualified with {told}."


def _first_friendly(check: Check) -> Verdict:
    """A short match in the first round that this attack says it can play."""
    for round_ in _rounds(check):
        first = round_.game is GameName.ATTACKER_FIRST
        defense = house.package(HOUSE_LEARNER if first else HOUSE_DEFENSE, check.task.name)
        verdict = friendly(check, round_, defense, check.task)
        if verdict.status is not Status.NOT_APPLICABLE:
            return judged(check, verdict)
    raise Rejected(
        "No round can meet what [needs] in the manifest asks for; ask for less, or for another "
        "norm, goal or game."
    )


def _rounds(check: Check) -> list[RoundSpec]:
    needs, task = check.manifest.needs, check.task
    norms = [Norm(name) for name in needs.norms] or [Norm.LINF]
    goals = [Goal(name) for name in needs.goals] or [Goal.UNTARGETED]
    games = [GameName(name) for name in needs.games] or [GameName.EVASION]
    return [
        round_
        for norm in norms[:1]
        for goal in goals[:1]
        for game in games
        for round_ in _rounds_of(game, task, Norm(norm_for(game, norm)), goal)
        if misfit(task, round_.game) is None
    ]


def _rounds_of(game: GameName, task: Task, norm: Norm, goal: Goal) -> list[RoundSpec]:
    if ROLES.get(game, USUAL_ROLES)[0] is not Role.ATTACK:
        return []
    measured = game in (GameName.MINIMUM_NORM, GameName.CERTIFICATION)
    if norm in MOVES and (measured or not task.is_image):
        return []
    models = [ThreatModel.transfer()]
    if game is not GameName.TRANSFER:
        models = [ThreatModel.white(), _black(), ThreatModel.grey()]
    epsilons = () if game is GameName.MINIMUM_NORM else (epsilon_of(task, norm),)
    return [
        RoundSpec(
            game,
            task.name,
            threat_model_for(game, model),
            norm=norm,
            epsilons=epsilons,
            goal=goal,
            examples=FRIENDLY_EXAMPLES,
        )
        for model in models
    ]


def _black() -> ThreatModel:
    return replace(
        ThreatModel.black(queries=PLANTED_PROBES), output=OracleOutput(OutputKind.LOGITS)
    )


def _rejected(verdict: Verdict) -> str:
    """Why candidates counted as clean; an attack that hands in none that counts must read it."""
    reasons = _reasons(verdict)
    if not reasons:
        return ""
    told = ", ".join(
        f"{count} {key.removeprefix('rejected_').replace('_', ' ')}"
        for key, count in reasons.items()
    )
    asked = verdict.metrics["examples"]
    return f" ({verdict.metrics['rejected']} of {asked} candidates were rejected: {told})"


def _reasons(verdict: Verdict) -> dict[str, Any]:
    return {key: n for key, n in verdict.metrics.items() if key.startswith("rejected_")}


def _summary(verdict: Verdict) -> dict[str, Any]:
    wanted = (
        "wrong_again",
        "fresh_error",
        "attack_success_rate",
        "robust_accuracy",
        "clean_accuracy",
        "rejected",
    )
    found = {key: verdict.metrics[key] for key in wanted if key in verdict.metrics}
    found |= _reasons(verdict)
    return {**found, "seconds": verdict.provenance.get("seconds")}


def _planted(check: Check) -> list[dict[str, Any]]:
    """One row per norm that the attack claims; empty for those that cannot be held to it.

    Exempt: attacks that ask nothing of the defense (noise, transfer), and rounds of distance.
    """
    needs = check.manifest.needs
    if not (needs.gradients or needs.probes) or Goal.UNTARGETED.value not in (
        needs.goals or (Goal.UNTARGETED.value,)
    ):
        return []
    if needs.games and GameName.EVASION.value not in needs.games:
        return []
    norms = [Norm(name) for name in needs.norms] or [Norm.LINF, Norm.L2]
    return [_planted_row(check, norm) for norm in norms if norm not in MOVES or check.task.is_image]


def _planted_row(check: Check, norm: Norm) -> dict[str, Any]:
    epsilon = epsilon_of(check.task, norm)
    planted = plant(
        check.task,
        norm=norm,
        epsilon=epsilon,
        examples=PLANTED_EXAMPLES,
        rng=np.random.default_rng(),
        by_probes=not check.manifest.needs.gradients,
    )
    needs = check.manifest.needs
    model = ThreatModel.white() if needs.gradients else _black()
    round_ = RoundSpec(
        GameName.EVASION,
        check.task.name,
        model,
        norm=norm,
        epsilons=(epsilon,),
        examples=PLANTED_EXAMPLES,
    )
    verdict = judged(check, friendly(check, round_, planted.defense, planted.task))
    rate = verdict.metrics.get("attack_success_rate") or 0.0
    return {
        "norm": norm.value,
        "epsilon": epsilon,
        "examples": PLANTED_EXAMPLES,
        "success": rate,
        "reliable": rate >= RELIABLE,
    }
