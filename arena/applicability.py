"""Whether two players can meet in a round: their declared abilities against its switches.

A cell whose players cannot meet is *not applicable*: no match is played, and it is outside both
denominators. It is decided from the manifests alone, so that pairing needs no jail.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arena.manifest import Manifest, Needs, Role
from arena.rounds import BEYOND_BALLS, POISONED, GameName, RoundSpec
from arena.threat_model import Architecture, OutputKind, Parameters, ThreatModel, TrainingDataKind

ROLES: Final = {
    **dict.fromkeys(POISONED, (Role.POISONER, Role.LEARNER)),
    GameName.EXTRACTION: (Role.THIEF, Role.DEFENSE),
    GameName.ATTACKER_FIRST: (Role.ATTACK, Role.LEARNER),
    GameName.TREND_POISONING: (Role.POISONER, Role.LEARNER),
}
_BY_NAME_ALONE: Final = {
    GameName.BACKDOOR: "plants no backdoors",
    GameName.TARGETED_POISONING: "poisons no chosen points",
    GameName.ONLINE_POISONING: "poisons no streams",
}
"""Games that a poisoner plays only if it says so, and what one that does not say so lacks."""
USUAL_ROLES: Final = (Role.ATTACK, Role.DEFENSE)
"""(who attacks, who defends): by game, and in games that are not named."""
_PLAYED_AS: Final = {
    GameName.CERTIFICATION: GameName.EVASION,
    GameName.REPLAY: GameName.EVASION,
    GameName.ATTACKER_FIRST: GameName.EVASION,
    GameName.GOOD_WORDS: GameName.EVASION,
}
"""An attack on a certificate is one like any other, and so is one whose mistake is played again,
one that moves first, or one that may only add: what plays evasion plays these."""
WITHOUT_NORM: Final = POISONED | {GameName.EXTRACTION}


def applicability(attack: Manifest, defense: Manifest, round_: RoundSpec) -> str | None:
    """The first reason why these two cannot meet in this round, one sentence; None if they can."""
    return next(_reasons(attack, defense, round_), None)


def plays_game(manifest: Manifest, game: GameName) -> bool:
    """Whether a player takes part in this kind of round, whatever its norm and threat model."""
    named = set(manifest.needs.games)
    if manifest.role not in ROLES.get(game, USUAL_ROLES):
        return False
    if game is GameName.TREND_POISONING or (
        game in _BY_NAME_ALONE and manifest.role is Role.POISONER
    ):
        return game.value in named
    return not named or bool(named & {game.value, _PLAYED_AS.get(game, game).value})


def _reasons(attack: Manifest, defense: Manifest, round_: RoundSpec) -> Iterator[str]:
    yield from _roles(attack, defense, round_)
    for manifest in (attack, defense):
        if not manifest.plays_task(round_.task):
            yield f"The {manifest.role.value} does not play the task {round_.task}."
    if round_.game is GameName.CERTIFICATION and round_.norm.value not in defense.certifies:
        yield f"The defense certifies nothing in the norm {round_.norm.value}."
    yield from _declared(attack.needs, round_)
    yield from _trend(attack.needs, defense, round_)
    yield from _knowledge(attack.needs, round_.threat_model)
    if attack.needs.gradients and not _has_gradients(defense, round_):
        yield "The attack needs gradients, and the defense has none."
    yield from _eligibility(defense, round_)


def _roles(attack: Manifest, defense: Manifest, round_: RoundSpec) -> Iterator[str]:
    attacker, defender = ROLES.get(round_.game, USUAL_ROLES)
    game = round_.game.value.replace("_", "-")
    if attack.role is not attacker:
        yield f"The {game} game is attacked by a player of role {attacker.value}."
    if defense.role is not defender:
        yield f"The {game} game is defended by a player of role {defender.value}."


def _declared(needs: Needs, round_: RoundSpec) -> Iterator[str]:
    lacks = _BY_NAME_ALONE.get(round_.game)
    if lacks and round_.game.value not in needs.games:
        yield f"The poisoner {lacks}; one that does names {round_.game.value} in [needs] games."
    games = (round_.game.value, _PLAYED_AS.get(round_.game, round_.game).value)
    if needs.games and not set(games) & set(needs.games):
        yield f"The attack does not play the game {round_.game.value}."
    if round_.game in WITHOUT_NORM:
        return
    if (needs.norms or round_.norm in BEYOND_BALLS) and round_.norm.value not in needs.norms:
        yield f"The attack does not play the norm {round_.norm.value}."
    if needs.goals and round_.goal.value not in needs.goals:
        yield f"The attack does not play {round_.goal.value} rounds."


def _has_gradients(defense: Manifest, round_: RoundSpec) -> bool:
    """An attack that moves first plays against the house's reference, which has."""
    return defense.differentiable or round_.game is GameName.ATTACKER_FIRST


def _trend(needs: Needs, defense: Manifest, round_: RoundSpec) -> Iterator[str]:
    """Who plays trends says so, on both sides: they are given values, not classes."""
    trends = GameName.TREND_POISONING.value
    if round_.game is GameName.TREND_POISONING and trends not in needs.games:
        yield f"The poisoner removes no trends; one that does names {trends} in [needs] games."
    if round_.game is GameName.TREND_POISONING and trends not in defense.needs.games:
        yield f"The learner estimates no trends; one that does names {trends} in [needs] games."
    if defense.needs.games and round_.game.value not in defense.needs.games:
        yield f"The {defense.role.value} does not play the game {round_.game.value}."


def _knowledge(needs: Needs, model: ThreatModel) -> Iterator[str]:
    if needs.gradients and not model.gives_gradients:
        yield "The attack needs gradients, and the round withholds them."
    if needs.probes and model.probes.none:
        yield "The attack needs probes, and the round grants none."
    if needs.probes and model.output.kind.level < OutputKind(needs.output).level:
        yield f"The attack needs replies with {needs.output}, and the round gives less."
    if needs.architecture and model.architecture is Architecture.HIDDEN:
        yield "The attack needs the architecture, and the round withholds it."
    if needs.related and model.parameters.level < Parameters.RELATED.level:
        yield "The attack needs related models, and the round gives none."
    if needs.training_data and model.training_data.kind is TrainingDataKind.NONE:
        yield "The attack needs training data, and the round gives none."
    if needs.true_label and not model.true_label:
        yield "The attack needs the true labels, and the round withholds them."


def _eligibility(defense: Manifest, round_: RoundSpec) -> Iterator[str]:
    if asks_for_eligibility(defense, round_) and not defense.architecture:
        yield "The round reveals the architecture, and the defense keeps none apart from its code."


def asks_for_eligibility(defense: Manifest, round_: RoundSpec) -> bool:
    """Whether the round reveals this defense's architecture alone.

    Then it must lie in a file of its own, and stand apart from the weights: that needs a jail, and
    is found at qualification (``grey_eligible``).
    """
    model = round_.threat_model
    grey = model.architecture is Architecture.GIVEN and model.parameters is not Parameters.FULL
    return grey and defense.role is Role.DEFENSE


INELIGIBLE: Final = (
    "The round reveals the architecture without the weights, and qualification found that the "
    "defense's do not stand apart."
)
"""Why a defense that failed the check does not play; what it failed by is for its team alone."""
