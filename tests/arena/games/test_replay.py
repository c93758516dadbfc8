"""Replay: Alice proposes a mistake, and the referee plays it again, with seeds of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from arena import metrics
from arena.applicability import applicability
from arena.errors import Side, ThreatModelError
from arena.games.draws import row_seeds
from arena.games.replay import FRESH
from arena.packages import Package
from arena.rounds import GameName
from arena.threat_model import ThreatModel
from arena.verdict import Status, Verdict
from tests.arena.fakes import (
    SECRET,
    Fakes,
    Linear,
    differentiable,
    fgsm,
    leave_alone,
    package,
    play,
    spec,
)

Array = NDArray[Any]
N = 60


class Forgetful(Linear):
    """Wrong where the first feature is odd one out, but for one seed in four."""

    def predict(self, x: Array, seeds: Array) -> Array:
        scores = super().predict(x, seeds)
        spared = (x[:, 5] < 0.95) | (seeds % np.uint64(4) == 0)
        return np.where(spared[:, None], scores, np.roll(scores, 1, axis=1))


def one_mistake(c: Any) -> Array:
    """Moves the last feature of the third example, and nothing else."""
    x = c.x.copy()
    x[2, 5] = 0.99
    return x


def forgetful() -> Package:
    return differentiable(stochastic=True)


def replayed(cast: Fakes, defense: Package | None = None, **rules: Any) -> Verdict:
    values = {"game": GameName.REPLAY, "epsilons": (0.9,), "replays": N, **rules}
    return play(cast, spec(**values), defense=defense or differentiable())


def test_a_deterministic_mistake_is_made_again_every_time_and_asked_once() -> None:
    cast = Fakes(lambda c: _only(fgsm(c), c.x, 4))
    verdict = replayed(cast, epsilons=(0.4,))
    assert verdict.status is Status.SCORED
    assert verdict.metrics["proposals"] == 1
    assert verdict.metrics["wrong_again"] == 1.0
    assert verdict.metrics["replay_loss"] == N
    low, high = metrics.wilson(N, N)
    assert verdict.metrics["wrong_again_low"] == pytest.approx(low)
    assert verdict.metrics["replay_loss_high"] == pytest.approx(N * high)
    assert set(cast.opened[-1].calls) == {1}  # the mistake, and the controls of it


def _only(moved: Array, x: Array, row: int) -> Array:
    found = x.copy()
    found[row] = moved[row]
    return found


def test_a_defense_that_draws_at_random_forgets_as_often_as_its_seeds_say() -> None:
    defense = forgetful()
    verdict = replayed(Fakes(one_mistake, Forgetful), defense)
    (example,) = verdict.provenance["replayed"]
    seeds = np.array(
        [row_seeds(SECRET, defense.sha256, np.array([example]), FRESH + j)[0] for j in range(N)]
    )
    wanted = float((seeds % np.uint64(4) != 0).mean())
    assert 0.5 < wanted < 0.95
    assert verdict.metrics["wrong_again"] == pytest.approx(wanted)
    assert verdict.metrics["replay_loss"] == pytest.approx(N * wanted)


def test_the_seeds_of_replays_are_fresh_even_where_the_judging_seeds_are_known() -> None:
    seen: list[set[int]] = []

    class Watched(Forgetful):
        def __init__(self) -> None:
            super().__init__()
            self.seeds: set[int] = set()
            seen.append(self.seeds)

        def predict(self, x: Array, seeds: Array) -> Array:
            self.seeds.update(seeds.tolist())
            return super().predict(x, seeds)

    replayed(Fakes(one_mistake, Watched), forgetful())
    judged = set().union(*seen[:-1])
    assert len(seen[-1] - judged) == N
    assert 0 < len(seen[-1] & judged) <= 10  # what was judged is put once more


def test_several_proposals_are_played_in_turn() -> None:
    """Three mistakes and one that is none: a quarter of the answers is right."""

    def four(c: Any) -> Array:
        x = c.x.copy()
        x[:3, 5] = 0.99
        x[3, 4] += 0.001
        return x

    class Sure(Linear):
        def predict(self, x: Array, seeds: Array) -> Array:
            scores = super().predict(x, seeds)
            return np.where((x[:, 5] < 0.95)[:, None], scores, np.roll(scores, 1, axis=1))

    verdict = replayed(Fakes(four, Sure))
    assert verdict.metrics["proposals"] == 4
    assert verdict.metrics["replay_loss"] == 0.75 * N


def test_an_attack_that_moves_nothing_proposes_the_examples_as_they_are() -> None:
    """A third of the classes is confused: that is how often the clean examples are wrong."""

    def confused() -> Linear:
        w = np.eye(6, 3, dtype=np.float32)
        w[:, 0] = -1.0
        return Linear(w)

    verdict = replayed(Fakes(leave_alone, confused))
    clean = verdict.metrics["clean_accuracy"]
    assert clean is not None
    assert 0.5 < clean < 0.8
    assert verdict.metrics["proposals"] == 30
    assert verdict.metrics["wrong_again"] == pytest.approx(1 - clean)


def test_a_mistake_on_the_clean_example_counts_though_it_is_no_kill() -> None:
    w = np.eye(6, 3, dtype=np.float32)
    w[:, 0] = -1.0

    def nudge_a_zero(c: Any) -> Array:
        x = c.x.copy()
        row = int(np.flatnonzero(c.y == 0)[0])
        x[row, 4] += 0.001
        return x

    verdict = replayed(Fakes(nudge_a_zero, lambda: Linear(w)))
    assert verdict.metrics["wrong_again"] == 1.0
    assert verdict.metrics["attack_success_rate"] == 0.0


def test_more_proposals_than_replays_are_drawn_from() -> None:
    verdict = replayed(Fakes(fgsm), epsilons=(0.4,), replays=7)
    assert verdict.metrics["proposals"] == 7
    assert verdict.kills is not None
    assert verdict.kills.broken.shape == (1, 7)


def test_a_rejected_candidate_proposes_nothing() -> None:
    def out_of_range(c: Any) -> Array:
        x = one_mistake(c)
        x[0, 4] = 1.5
        return x

    verdict = replayed(Fakes(out_of_range), epsilons=(0.9,))
    assert verdict.metrics["rejected"] == 1
    assert verdict.metrics["proposals"] == 1


def test_replays_meet_neither_the_attack_nor_a_clean_example() -> None:
    cast = Fakes(one_mistake, Forgetful)
    replayed(cast, forgetful())
    asked = np.concatenate(cast.opened[-1].asked)
    assert (asked[:, 5] > 0.95).all()
    assert len(cast.opened) == 4  # attacked, two judges, and this one


def test_each_epsilon_has_its_own_proposals() -> None:
    def when_wide(c: Any) -> Array:
        return one_mistake(c) if c.epsilon > 0.5 else c.x

    verdict = replayed(Fakes(when_wide, Forgetful), forgetful(), epsilons=(0.1, 0.9))
    assert [point["proposals"] for point in verdict.curve] == [30, 1]
    assert verdict.curve[0]["wrong_again"] == 0.0
    assert (verdict.curve[1]["wrong_again"] or 0) > 0.5


def test_a_defense_that_fails_while_it_is_played_again_is_wrong_from_there_on() -> None:
    class Fragile(Linear):
        def predict(self, x: Array, seeds: Array) -> Array:
            if (x[:, 5] > 0.95).any():
                raise RuntimeError("no")
            return super().predict(x, seeds)

    verdict = replayed(Fakes(one_mistake, Fragile))
    assert verdict.status is Status.FORFEIT
    assert verdict.fault is not None
    assert verdict.fault.side is Side.DEFENSE
    assert verdict.metrics["wrong_again"] == 1.0


def test_an_abstention_is_wrong_where_x_was_not_answered_correctly() -> None:
    """Dana abstains on what Alice moved: that is safe, and the replay costs nothing."""

    class Careful(Linear):
        def predict(self, x: Array, seeds: Array) -> Array:
            scores = super().predict(x, seeds)
            strange = np.abs(x[:, 5] - 0.99) < 0.005  # noise of this size ends at 0 or 1
            unsure = np.where(strange, 99.0, -99.0).astype(np.float32)
            return np.concatenate([scores, unsure[:, None]], axis=1)

    verdict = replayed(Fakes(one_mistake, Careful), differentiable(abstains=True))
    assert verdict.metrics["wrong_again"] == 0.0


def test_what_plays_evasion_plays_replay() -> None:
    round_ = spec(game=GameName.REPLAY)
    plays = package("attack", needs={"games": ["evasion"]}).manifest
    does_not = package("attack", needs={"games": ["transfer"]}).manifest
    assert applicability(plays, differentiable().manifest, round_) is None
    assert "does not play the game replay" in (
        applicability(does_not, differentiable().manifest, round_) or ""
    )


@pytest.mark.parametrize("replays", [0, 10_001])
def test_replays_are_bounded(replays: int) -> None:
    with pytest.raises(ThreatModelError, match="between 1 and 10,000"):
        spec(game=GameName.REPLAY, replays=replays)


def test_a_replay_round_needs_an_epsilon() -> None:
    with pytest.raises(ThreatModelError, match="at least one epsilon"):
        spec(ThreatModel.black(), game=GameName.REPLAY, epsilons=())


def test_the_rules_explain_every_metric() -> None:
    page = (Path(__file__).parents[3] / "docs" / "rules.md").read_text("utf-8")
    explained = set(re.findall(r"`(\w+)`", page))
    verdict = replayed(Fakes(one_mistake, Forgetful), forgetful())
    told = {re.sub(r"_(low|high)$", "", name) for name in verdict.metrics}
    assert told <= explained
