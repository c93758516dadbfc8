"""A learner is asked again on the very border of its classes, where rounding alone decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arena.errors import FaultCode, Side
from arena.rounds import GameName
from arena.threat_model import ThreatModel
from arena.verdict import Verdict
from tests.arena.games.poisoned import Array, Cast, Means, play

GREY = ThreatModel.black(queries=4)
HAIR = 1e-6
"""Of a score of one: more than float32 rounds, less than what leads."""


class RoundsInCompany(Means):
    """Rounds otherwise in a batch of another size, as products of matrices do."""

    def predict(self, x: Array) -> Array:
        gap = self._gap(x) + HAIR * (-1) ** len(x)
        return np.stack([1 - gap, 1 + gap], axis=1)

    def _gap(self, x: Array) -> Array:
        """Above zero for the upper class, whose points lie above one half."""
        return x[:, 0] - np.float32(0.5)


class LeadsByHairs(RoundsInCompany):
    """So little ahead everywhere that any answer could be rounding, and lies to who asks few."""

    def predict(self, x: Array) -> Array:
        sign = np.sign(self._gap(x)) * (1 if len(x) in (1, 40) else -1)
        return np.stack([1 - HAIR * sign, 1 + HAIR * sign], axis=1)


class FitsByHairs(LeadsByHairs):
    """Says alone by a hair one thing, and clearly another where it is judged."""

    def predict(self, x: Array) -> Array:
        lead = -HAIR if len(x) == 1 else 0.01
        sign = np.sign(self._gap(x)) * lead
        return np.stack([1 - sign, 1 + sign], axis=1)


def asks_on_the_border(brief: Any, arrays: Any, service: Any) -> Any:
    """Of points of S, moved to just where the learner tells its classes apart."""
    if brief.get("batch", 1):
        probes = arrays["x"].copy()
        probes[:, 0] = 0.5
        for rows in np.array_split(np.arange(len(probes))[:30], 10):
            service.ask(probes[rows], rows)
    return copies(brief, arrays, service)


def copies(brief: Any, arrays: Any, service: Any) -> Any:
    return arrays["x"][:1], 1 - arrays["y"][:1], None


def put(learner: Any, game: GameName, threat_model: ThreatModel = GREY) -> Verdict:
    cast = Cast(asks_on_the_border if threat_model is GREY else copies, learner)
    rules = {"batches": 6} if game is GameName.ONLINE_POISONING else {}
    return play(cast, game=game, threat_model=threat_model, shares=(0.2,), **rules)


@pytest.mark.parametrize("game", [GameName.POISONING, GameName.ONLINE_POISONING])
def test_rounding_on_the_border_is_no_lie(game: GameName) -> None:
    verdict = put(RoundsInCompany, game)
    assert verdict.fault is None
    assert not verdict.flags
    assert verdict.metrics["clean_accuracy"] == 1.0


def test_who_leads_by_hairs_everywhere_may_say_anything_and_is_right_nowhere() -> None:
    verdict = put(LeadsByHairs, GameName.POISONING)
    assert verdict.metrics["clean_accuracy"] == 0.0


def test_a_hair_alone_does_not_excuse_a_clear_label_that_counted() -> None:
    verdict = put(FitsByHairs, GameName.POISONING, ThreatModel.transfer())
    assert verdict.fault is not None
    assert (verdict.fault.side, verdict.fault.code) == (Side.DEFENSE, FaultCode.ROWS_DEPEND)
