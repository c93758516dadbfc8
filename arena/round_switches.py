"""Which switches of a threat model a round's game uses, and what is told of one that changes
nothing.

As with settings (:mod:`arena.round_settings`), such a switch is refused where a round comes in, so
that nobody believes that it counts; a round that is stored is read whatever it holds. A preset is
one for all games, so that what it says itself is never held against a round.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import Any, Final

from arena.rounds import POISONED, GameName, RoundSpec, is_used
from arena.threat_model import (
    Feedback,
    OracleOutput,
    Randomness,
    Switch,
    TaskKnowledge,
    ThreatModel,
    TrainingData,
    TrainingDataKind,
)

_EVERY: Final = frozenset(GameName)
_WITHOUT_PROBES: Final = frozenset((GameName.TRANSFER, GameName.TREND_POISONING))
_WITHOUT_EXAMPLES: Final = POISONED | {GameName.TREND_POISONING, GameName.EXTRACTION}
"""The attack is dealt none of the examples that are judged."""
_HANDED_ALL: Final = frozenset(
    (
        GameName.POISONING,
        GameName.BACKDOOR,
        GameName.TARGETED_POISONING,
        GameName.TREND_POISONING,
    )
)
"""The poisoner is handed what it poisons, whole."""

USED_BY: Final[dict[str, frozenset[GameName]]] = {
    "training_data": _EVERY - _HANDED_ALL,
    "randomness": _EVERY - {GameName.ATTACKER_FIRST},
    "output": _EVERY - _WITHOUT_PROBES,
    "feedback": _EVERY - _WITHOUT_PROBES - _WITHOUT_EXAMPLES,
    "true_label": (_EVERY - _WITHOUT_EXAMPLES) | {GameName.TARGETED_POISONING},
}
"""The games that use a switch; every game uses those that are not named. Who may move first is for
:func:`arena.rounds.movers_of` to say."""

_WHY: Final = {
    "training_data": "the poisoner is handed what it poisons",
    "randomness": "the house's reference model is attacked, which draws nothing",
    "output": "nothing can be asked",
    "feedback": "no candidates can be checked",
    "true_label": "the attack is dealt no examples whose labels could be withheld",
}
_LEAST: Final[Mapping[str, Any]] = {
    "randomness": Randomness.SECRET,
    "output": OracleOutput(),
    "feedback": Feedback.NONE,
}
"""What is true where the switch is ignored, so that it may be said."""


def uses(game: str, switch: str) -> bool:
    """Whether this kind of round has any use for a switch; True for a game that is none."""
    return is_used(USED_BY, game, switch)


def knows_seeds(game: str) -> bool:
    """Whether an attack of this kind of round can be told the seeds of what is judged."""
    return game not in _WITHOUT_EXAMPLES


def sentence_of(round_: RoundSpec) -> str:
    """What the attack of this round is shown and may ask, in one plain sentence; of switches that
    the game ignores, what is true instead.
    """
    model, game = round_.threat_model, round_.game
    whole = TrainingData(TrainingDataKind.FULL_SET)
    shown = replace(
        model,
        task_knowledge=TaskKnowledge.COST,  # the sentence does not tell it
        training_data=model.training_data if uses(game, "training_data") else whole,
        true_label=model.true_label or not uses(game, "true_label"),
    )
    sentence = shown.sentence()
    if game is GameName.ATTACKER_FIRST:
        return f"Of the house's reference model, t{sentence[1:]}"
    return sentence


def rows_of(round_: RoundSpec) -> list[tuple[str, str]]:
    """(name, plain sentence) for each switch; one that the game ignores says why."""
    labels = "The attacker is " + ("" if round_.threat_model.true_label else "not ")
    told = f"{labels}told the true labels of its examples."
    switches = [*round_.threat_model.switches(), Switch("true_label", "True labels", told)]
    return [
        (switch.name, switch.sentence)
        if uses(round_.game, switch.field)
        else (switch.name, f"Of no use in this game: {_WHY[switch.field]}.")
        for switch in switches
    ]


def values_of(model: ThreatModel) -> dict[str, Any]:
    """Its switches by name, as values of their types."""
    return {switch.name: getattr(model, switch.name) for switch in fields(model)}


def giving_way(game: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The same, in which switches that the game ignores contradict none that it uses."""
    return {**values, **_forced(game, values)}


def _forced(game: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What ignored switches come to, by the rules of :class:`ThreatModel`, as the others stand."""
    known = values["task_knowledge"].level
    found = {
        "feedback": (values["probes"].none, Feedback.NONE),
        "true_label": (known < TaskKnowledge.INPUT_SPACE.level, False),
        "training_data": (known < TaskKnowledge.CLASSES.level, TrainingData()),
    }
    return {
        switch: value
        for switch, (forced, value) in found.items()
        if forced and not uses(game, switch)
    }


def withholds(switch: str, value: Any) -> bool:
    """Whether this value says no more than is true where the switch is ignored."""
    return switch in _LEAST and bool(_LEAST[switch] == value)


def idle(
    game: str,
    values: Mapping[str, Any],
    switches: Collection[str],
    *,
    presets: Collection[ThreatModel],
) -> list[tuple[str, str]]:
    """(switch, sentence) for each of ``switches`` that changes nothing in such a round.

    ``values``: of all switches. ``presets``: what one of them says itself is no mistake.
    """
    forced = _forced(game, values)

    def stands(switch: str) -> bool:
        known = [getattr(preset, switch) for preset in presets]
        if switch in forced:
            known.append(forced[switch])
        return values[switch] in known or withholds(switch, values[switch])

    told = [(switch, _why_idle(game, values, switch)) for switch in switches if not stands(switch)]
    return [(switch, why) for switch, why in told if why is not None]


def _why_idle(game: str, values: Mapping[str, Any], switch: str) -> str | None:
    if not uses(game, switch):
        return f"{switch} changes nothing in a round of {game}: {_WHY[switch]}."
    if switch == "output" and values["probes"].none:
        return "output changes nothing in a round that grants no probes: nothing is answered."
    if switch == "randomness" and values[switch] is Randomness.SEED and not knows_seeds(game):
        return (
            f"randomness = 'seed' changes nothing in a round of {game}: the attack is dealt no "
            "examples, and so no seeds of any."
        )
    return None
