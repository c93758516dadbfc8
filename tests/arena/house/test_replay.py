"""The house's replay attack hands in the mistake that is made most surely, and only that."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from arena.house.attacks.replay import Replay, nudged
from arena.players import TaskInfo

INFO = TaskInfo("coins", (4,), ("right", "wrong"))


class Coins:
    """Example i is answered wrong with the chance that its first feature says."""

    manifest = SimpleNamespace(stochastic=True)

    def predict(self, x: Any, seeds: Any) -> Any:
        drawn = np.array([np.random.default_rng(int(s)).uniform() for s in seeds])
        wrong = drawn < x.reshape(len(x), -1)[:, 0]
        return np.eye(2, dtype=np.float32)[wrong.astype(int)] * 9

    def gradient(self, x: Any, weights: Any, seeds: Any) -> Any:
        return self.predict(x, seeds), np.zeros_like(x)


@pytest.fixture
def chances() -> Any:
    x = np.full((24, 4), 0.5, np.float32)
    x[:, 0] = np.linspace(0.05, 0.6, 24)
    x[7, 0] = 0.97
    return x


@pytest.mark.parametrize("white", [True, False])
def test_the_surest_mistake_is_proposed_and_no_other(
    direct: Any, digits: Any, chances: Any, *, white: bool
) -> None:
    view = direct.View(Coins(), len(chances), stochastic=True, white=white, per_example=400)
    played = direct.play(
        Replay(Path()), Coins(), digits, x=chances, y=np.zeros(24, np.int64), epsilon=0.001,
        view=view, info=INFO, game="replay",
    )  # fmt: skip
    moved = np.flatnonzero((played.candidates != chances).any(axis=1))
    assert moved.tolist() == [7]
    assert (played.sizes("linf") <= 0.001 + 1e-6).all()


def test_where_nothing_can_be_asked_everything_is_proposed(
    direct: Any, digits: Any, chances: Any
) -> None:
    view = direct.View(Coins(), len(chances), stochastic=True, white=False, per_example=0)
    played = direct.play(
        Replay(Path()), Coins(), digits, x=chances, y=np.zeros(24, np.int64), epsilon=0.01,
        view=view, info=INFO, output="label", game="replay",
    )  # fmt: skip
    assert (played.candidates != chances).any(axis=1).all()


def test_a_nudge_keeps_to_grid_mask_and_ball(direct: Any, digits: Any, chances: Any) -> None:
    info = SimpleNamespace(grid=17, mutable=np.array([False, False, True, True]), classes=())
    challenge = SimpleNamespace(x=chances, task=info, norm="linf", epsilon=0.1)
    moved = nudged(challenge, np.array([3]))[0] - chances[3]  # type: ignore[arg-type]
    assert np.flatnonzero(moved).tolist() == [2]
    assert abs(moved[2]) == pytest.approx(1 / 16)
