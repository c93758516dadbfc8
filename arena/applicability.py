"""Whether two players can meet in a round: their declared abilities against its switches.

A cell whose players cannot meet is *not applicable*: no match is played, and it is outside both
denominators. It is decided from the manifests alone, so that pairing needs no jail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from arena.errors import Side
from arena.manifest import Manifest, Needs, Role
from arena.round_switches import uses
from arena.rounds import BEYOND_BALLS, POISONED, GameName, Norm, RoundSpec
from arena.threat_model import Architecture, OutputKind, Parameters, TrainingDataKind

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
    GameName.TREND_POISONING: "removes no trends",
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


def unfit(player: Manifest, round_: RoundSpec) -> str | None:
    """The first reason why this player meets nobody in this round; None if it may meet somebody."""
    side = Side(player.role.side)
    return next((why for part in _PARTS for why in part(player, side, round_)), None)


def plays_game(manifest: Manifest, game: GameName) -> bool:
    """Whether a player takes part in this kind of round, whatever its norm and threat model."""
    named = set(manifest.needs.games)
    if manifest.role not in ROLES.get(game, USUAL_ROLES):
        return False
    if game is GameName.CERTIFICATION and manifest.role is Role.DEFENSE and not manifest.certifies:
        return False
    if game is GameName.TREND_POISONING or (
        game in _BY_NAME_ALONE and manifest.role is Role.POISONER
    ):
        return game.value in named
    return not named or bool(named & {game.value, _PLAYED_AS.get(game, game).value})


def plays_round(manifest: Manifest, round_: RoundSpec) -> bool:
    """Whether a player plays the round's game, and a defense certifies in the norm of one about
    certificates; whatever the threat model.
    """
    certifies = manifest.role is not Role.DEFENSE or round_.norm.value in manifest.certifies
    if round_.game is GameName.CERTIFICATION and not certifies:
        return False
    return plays_game(manifest, round_.game)


def norms_played(needs: Needs) -> Sequence[str]:
    """The norms of an attack; those of balls where it names none."""
    return needs.norms or [norm.value for norm in Norm if norm not in BEYOND_BALLS]


def _reasons(attack: Manifest, defense: Manifest, round_: RoundSpec) -> Iterator[str]:
    for part in _PARTS:
        yield from part(attack, Side.ATTACK, round_)
        yield from part(defense, Side.DEFENSE, round_)
    if attack.needs.gradients and not _has_gradients(defense, round_):
        yield "The attack needs gradients, and the defense has none."


def _role(player: Manifest, side: Side, round_: RoundSpec) -> Iterator[str]:
    attacker, defender = ROLES.get(round_.game, USUAL_ROLES)
    game = round_.game.value.replace("_", "-")
    if side is Side.ATTACK and player.role is not attacker:
        yield f"The {game} game is attacked by a player of role {attacker.value}."
    if side is Side.DEFENSE and player.role is not defender:
        yield f"The {game} game is defended by a player of role {defender.value}."


def _task(player: Manifest, _side: Side, round_: RoundSpec) -> Iterator[str]:
    if not player.plays_task(round_.task):
        yield f"The {player.role.value} does not play the task {round_.task}."


def _abilities(player: Manifest, side: Side, round_: RoundSpec) -> Iterator[str]:
    """What those that it declares do not allow, whoever it meets."""
    if side is Side.ATTACK:
        yield from _declared(player.needs, round_)
        yield from _knowledge(player.needs, round_)
        return
    if round_.game is GameName.CERTIFICATION and round_.norm.value not in player.certifies:
        yield (
            f"The defense certifies nothing in the norm {round_.norm.value}; one that does names "
            "it in certifies."
        )
    yield from _learns(player, round_)
    yield from _eligibility(player, round_)


_PARTS: Final = (_role, _task, _abilities)


def _declared(needs: Needs, round_: RoundSpec) -> Iterator[str]:
    lacks = _BY_NAME_ALONE.get(round_.game)
    if lacks and round_.game.value not in needs.games:
        yield f"The poisoner {lacks}; one that does names {round_.game.value} in [needs] games."
    games = (round_.game.value, _PLAYED_AS.get(round_.game, round_.game).value)
    if needs.games and not set(games) & set(needs.games):
        yield f"The attack does not play the game {round_.game.value}."
    if round_.game in WITHOUT_NORM:
        return
    if round_.norm.value not in norms_played(needs):
        yield (
            f"The attack does not play the norm {round_.norm.value}; it plays "
            f"{', '.join(norms_played(needs))}."
        )
    if needs.goals and round_.goal.value not in needs.goals:
        yield f"The attack does not play {round_.goal.value} rounds."


def _has_gradients(defense: Manifest, round_: RoundSpec) -> bool:
    """An attack that moves first plays against the house's reference, which has."""
    return defense.differentiable or round_.game is GameName.ATTACKER_FIRST


def _learns(defense: Manifest, round_: RoundSpec) -> Iterator[str]:
    """Who estimates trends says so: it is given values, not classes."""
    trends, games = GameName.TREND_POISONING.value, defense.needs.games
    if round_.game is GameName.TREND_POISONING and trends not in games:
        yield f"The learner estimates no trends; one that does names {trends} in [needs] games."
    if games and round_.game.value not in games:
        yield f"The {defense.role.value} does not play the game {round_.game.value}."


def _knowledge(needs: Needs, round_: RoundSpec) -> Iterator[str]:
    """Against the switches. One that the game has no use for withholds nothing."""
    model, game = round_.threat_model, round_.game
    no_data = model.training_data.kind is TrainingDataKind.NONE
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
    if needs.training_data and no_data and uses(game, "training_data"):
        yield "The attack needs training data, and the round gives none."
    if needs.true_label and not model.true_label and uses(game, "true_label"):
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
