"""What Mallory hears of a defense does not hang on a switch that the game has no use for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import pytest

from arena.errors import InGameError
from arena.packages import Package
from arena.referee import MatchSpec, play_match
from arena.round_switches import USED_BY, knows_seeds, uses
from arena.rounds import POISONED, GameName, Norm, RoundSpec, threat_model_for
from arena.seats import Revealed
from arena.tasks.usual import usual_shares
from arena.threat_model import (
    Feedback,
    OracleOutput,
    OutputKind,
    Randomness,
    ThreatModel,
    TrainingData,
    TrainingDataKind,
)
from tests.arena.fakes import SIDE, DefenseSeatFake, Linear, NoBackend, package, toy_task

DRAWS_NOTHING = "The defense declares that it is deterministic."
"""True of the house's reference model in every match, and public."""
SECRET = b"the round's own secret, 32 bytes"
PLAYED = tuple(game for game in GameName if game is not GameName.TREND_POISONING)
"""Trends need a task of their own; there nothing of these is handed over at all."""
SET_BY_HAND: Final[dict[str, Any]] = {
    "training_data": TrainingData(TrainingDataKind.SAMPLES, 7),
    "randomness": Randomness.DISTRIBUTION,
    "output": OracleOutput(OutputKind.TOP_K, 2),
    "feedback": Feedback.SUCCESS,
    "true_label": False,
}
ROLES = {
    **dict.fromkeys(POISONED, ("poisoner", "learner")),
    GameName.EXTRACTION: ("thief", "defense"),
    GameName.ATTACKER_FIRST: ("attack", "learner"),
}


class HeardEnough(BaseException):
    """Mallory knows what she came for."""


@dataclass
class Seats:
    """Of a match in which the attack only listens."""

    round: RoundSpec
    attack: Package
    defense: Package
    heard: dict[str, Any] = field(default_factory=dict)

    def open_attack(self, revealed: Revealed) -> Ear:
        draws = None if revealed.randomness == DRAWS_NOTHING else revealed.randomness
        self.heard["revealed"] = replace(revealed, randomness=draws)
        return Ear(self.heard)

    def open_defense(self, *, in_turn: bool = False) -> Any:
        return Learner(self.defense.manifest, Linear())

    def prepare(self, *openers: Any) -> list[Any]:
        return [opener() for opener in openers]


class Learner(DefenseSeatFake):
    def fit(self, x: Any, y: Any, seed: int, *, told: Any = None) -> None:
        """It answers as the true rule does, whatever it was shown."""


@dataclass
class Ear:
    heard: dict[str, Any]
    seconds: float = 0.0

    def hear(self, brief: Any, arrays: Any, service: Any) -> Any:
        if brief.get("batch") == 0:  # nobody has learned anything yet that could be asked
            return np.zeros((0, SIDE), np.float32), np.zeros(0, np.int64), None
        self.heard["brief"] = {key: value for key, value in brief.items() if key != "seed"}
        self.heard["arrays"] = {name: np.sort(rows, axis=0) for name, rows in arrays.items()}
        x = np.random.default_rng(1).random((40, SIDE), np.float32)
        self.heard["replies"] = answered(service.ask, x[:1])  # a thief's first copy is of two
        self.heard["hits"] = bool(np.any(answered(service.check, x[1:])))
        raise HeardEnough

    evade = poison = backdoor = steal = hear

    def close(self) -> str:
        return ""


def answered(call: Any, x: Any) -> Any:
    try:
        return call(x, np.zeros(len(x), np.int64))
    except InGameError:
        return False


def heard(game: GameName, **switches: Any) -> str:
    """All that reaches the attack under a black box in which these are changed."""
    black = ThreatModel.transfer() if game is GameName.TRANSFER else ThreatModel.black(queries=90)
    model = replace(threat_model_for(game, black), **switches)
    words = game is GameName.GOOD_WORDS
    perturbs = game not in POISONED and game not in (GameName.EXTRACTION, GameName.MINIMUM_NORM)
    round_ = RoundSpec(
        game,
        "toy",
        model,
        norm=Norm.L0 if words else Norm.LINF,
        epsilons=(float(SIDE),) if perturbs else (),
        shares=usual_shares(game)[:1],
        examples=20,
        published=20,
        targets=2,
    )
    attacker, defender = ROLES.get(game, ("attack", "defense"))
    certifies = {"certifies": ["linf"]} if game is GameName.CERTIFICATION else {}
    named = {"needs": {"games": [game.value]}} if attacker == "poisoner" else {}
    match = MatchSpec(
        round=round_,
        attack=package(attacker, **named),
        defense=package(defender, stochastic=True, **certifies),
        seed=1,
        secret=SECRET,
        reference=package("defense", name="reference"),
    )
    own = {"attacker_class": 0, "add_only": np.ones(SIDE, bool)} if words else {}
    told: dict[str, Any] = {}
    with pytest.raises(HeardEnough):
        play_match(
            match,
            backend=NoBackend(),
            task=toy_task(**own),
            seat_maker=lambda **given: Seats(
                given["round"], given["attack"], given["defense"], told
            ),
        )
    told["brief"].pop("output")
    with np.printoptions(threshold=10**6):
        return repr(sorted(told.items()))


@pytest.mark.parametrize(
    ("game", "switch"),
    [
        (game, switch)
        for game in PLAYED
        for switch in USED_BY
        if (game, switch) != (GameName.TRANSFER, "feedback")  # refused: nothing may be asked
    ],
)
def test_the_attack_hears_of_a_switch_if_and_only_if_the_game_uses_it(
    game: GameName, switch: str
) -> None:
    changed = heard(game, **{switch: SET_BY_HAND[switch]}) != heard(game)
    assert changed is uses(game, switch)


@pytest.mark.parametrize("game", [game for game in PLAYED if game is not GameName.ATTACKER_FIRST])
def test_seeds_are_heard_where_judged_examples_are_dealt(game: GameName) -> None:
    told = heard(game, randomness=Randomness.SEED)
    assert ('"seeds": [[]' not in told) is knows_seeds(game)
