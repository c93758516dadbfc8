"""Which settings of a round its game uses, and what is told of one that changes nothing.

Such a setting is refused where a round comes in (a file, the API, the form, the command line), so
that nobody believes that it counts. A round that is stored is read whatever it holds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import MISSING, fields
from typing import Final

from arena.rounds import (
    BEYOND_BALLS,
    IN_A_BALL,
    MOVES,
    POISONED,
    GameName,
    Goal,
    Norm,
    RoundSpec,
    is_used,
)

_AIMED: Final = frozenset(
    (GameName.EVASION, GameName.MINIMUM_NORM, GameName.TRANSFER, GameName.REPLAY)
)
_BOUNDED: Final = IN_A_BALL | {GameName.BACKDOOR, GameName.TARGETED_POISONING}
_MOVED: Final = frozenset(
    (GameName.EVASION, GameName.TRANSFER, GameName.REPLAY, GameName.ATTACKER_FIRST)
)

USED_BY: Final[dict[str, frozenset[GameName]]] = {
    "norm": _BOUNDED | {GameName.MINIMUM_NORM},
    "epsilons": _BOUNDED,
    "shifts": _MOVED,
    "target_rule": _AIMED,
    "repeats": _AIMED | {GameName.CERTIFICATION, GameName.GOOD_WORDS, GameName.EXTRACTION},
    "replays": frozenset((GameName.REPLAY,)),
    "published": frozenset((GameName.ATTACKER_FIRST,)),
    "shares": POISONED,
    "poison_mode": POISONED,
    "seeds": POISONED | {GameName.ATTACKER_FIRST},
    "trigger_area": frozenset((GameName.BACKDOOR,)),
    "targets": frozenset((GameName.TARGETED_POISONING,)),
    "batches": frozenset((GameName.ONLINE_POISONING,)),
}
"""The games that use a setting; every game uses those that are not named."""


def uses(game: str, setting: str) -> bool:
    """Whether this kind of round has any use for a setting; True for a game that is none."""
    return is_used(USED_BY, game, setting)


def norms_of(game: str) -> tuple[Norm, ...]:
    """What may bound a change in this kind of round; none where nothing is bounded."""
    if game == GameName.GOOD_WORDS:
        return (Norm.L0,)
    if not uses(game, "norm"):
        return ()
    if uses(game, "shifts"):
        return tuple(Norm)
    most = MOVES if game in (GameName.MINIMUM_NORM, GameName.CERTIFICATION) else BEYOND_BALLS
    return tuple(norm for norm in Norm if norm not in most)


def changed(round_: RoundSpec) -> list[str]:
    """The settings that differ from what stands where nobody set them."""
    return [
        setting.name
        for setting in fields(round_)
        if setting.default is not MISSING and getattr(round_, setting.name) != setting.default
    ]


def idle(round_: RoundSpec, settings: Collection[str]) -> list[tuple[str, str]]:
    """(setting, sentence) for each of ``settings`` that changes nothing in this round."""
    told = [(setting, _why_idle(round_, setting)) for setting in settings]
    return [(setting, why) for setting, why in told if why is not None]


def _why_idle(round_: RoundSpec, setting: str) -> str | None:
    game = round_.game
    if not uses(game, setting):
        others = [other.value for other in GameName if other in USED_BY[setting]]
        return f"{setting} changes nothing in a round of {game.value}: it is for {_listed(others)}."
    if setting == "target_rule" and round_.goal is not Goal.TARGETED:
        return "target_rule changes nothing in an untargeted round: it is for goal = 'targeted'."
    if setting == "norm" and game in (GameName.BACKDOOR, GameName.TARGETED_POISONING):
        return None if round_.epsilons else _NORM_OF_NOTHING[game]
    if setting == "trigger_area" and round_.epsilons:
        return (
            "trigger_area changes nothing in a backdoor round with an epsilon: its trigger is "
            "added, and no patch."
        )
    return None


_NORM_OF_NOTHING: Final = {
    GameName.BACKDOOR: (
        "norm changes nothing in a backdoor round without an epsilon: its trigger is a patch, "
        "bounded by trigger_area."
    ),
    GameName.TARGETED_POISONING: (
        "norm changes nothing in a targeted_poisoning round without an epsilon: its poison may be "
        "any points."
    ),
}


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
