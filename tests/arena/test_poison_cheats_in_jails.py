"""Mallory poisons, bends trends and learns against the rules, in real jails; nobody else pays."""

from __future__ import annotations

from textwrap import dedent, indent
from typing import Any

import numpy as np
import pytest

from arena import house
from arena.errors import FaultCode, Side
from arena.packages import Package
from arena.rounds import GameName, Norm, PoisonMode
from arena.sandbox.backend import SandboxBackend
from arena.verdict import Status, Verdict
from tests.arena.cheats import (
    HURRIED,
    HURRY,
    MEANS,
    SUMS,
    Cheat,
    blamed,
    learner,
    play,
    player,
    poisoner,
)

pytestmark = [pytest.mark.jail, pytest.mark.slow]


# ── poison ─────────────────────────────────────────────────────────────────────────────────

ZEROS = "np.zeros(({n}, 1, 8, 8), np.float32), np.zeros({n}, np.int64), np.zeros({r}, np.int64)"


def raw(n: Any, r: Any = 0) -> str:
    """Points and replaced rows that the library has not seen."""
    return f"past_the_library({ZEROS.format(n=n, r=r)})\nreturn Poison(c.x[:1], c.y[:1])"


REPLACE = {"poison_mode": PoisonMode.REPLACE}
POISON = {
    "one point too many": Cheat(
        "return Poison(c.x[:c.count + 1], c.y[:c.count + 1])", FaultCode.POISON_BUDGET
    ),
    "one too many, past the library": Cheat(raw("c.count + 1"), FaultCode.POISON_BUDGET),
    "64 MiB of points": Cheat(raw("2**18"), FaultCode.POISON_BUDGET),
    "NaN": Cheat("return Poison(c.x[:1] * np.nan, c.y[:1])", FaultCode.NOT_FINITE),
    "infinite": Cheat("return Poison(c.x[:1] + np.inf, c.y[:1])", FaultCode.NOT_FINITE),
    "outside the cube": Cheat("return Poison(c.x[:1] - 1.5, c.y[:1])", FaultCode.OUT_OF_RANGE),
    "a label too large for a byte": Cheat(
        "return Poison(c.x[:1], [2**62])", FaultCode.OUT_OF_RANGE
    ),
    "a label below none": Cheat("return Poison(c.x[:1], [-1])", FaultCode.OUT_OF_RANGE),
    "more labels than points": Cheat(
        "past_the_library(c.x[:1], c.y[:2], np.zeros(0, np.int64))\nreturn Poison(c.x, c.y)",
        FaultCode.POISON_BUDGET,
    ),
    "replaces where points are added": Cheat(
        "return Poison(c.x[:1], c.y[:1], [0])", FaultCode.POISON_BUDGET
    ),
    "replaces one point twice": Cheat(
        "return Poison(c.x[:2], c.y[:2], [3, 3])", FaultCode.POISON_BUDGET, REPLACE
    ),
    "replaces more than it gives": Cheat(raw(1, 2), FaultCode.POISON_BUDGET, REPLACE),
    "replaces what is not there": Cheat(
        "return Poison(c.x[:1], c.y[:1], [len(c.x)])", FaultCode.OUT_OF_RANGE, REPLACE
    ),
    "replaces from the end": Cheat(
        "return Poison(c.x[:1], c.y[:1], [-1])", FaultCode.OUT_OF_RANGE, REPLACE
    ),
    "hangs": Cheat("while True: pass", FaultCode.WALL_TIME, HURRY),
}


@pytest.mark.parametrize("name", POISON)
def test_poison_that_breaks_a_rule_is_the_poisoners_fault_and_trains_nobody(
    backend: SandboxBackend, name: str
) -> None:
    cheat = POISON[name]
    verdict = play(
        backend, GameName.POISONING, poisoner("poison", cheat.body), learner(),
        shares=(0.01,), seeds=5, **cheat.rules,
    )  # fmt: skip
    assert blamed(verdict) == (Side.ATTACK, cheat.code)
    assert verdict.metrics["poisoned_error"] == verdict.metrics["clean_error"]


def test_clean_label_poison_that_is_none_wins_no_chosen_point(backend: SandboxBackend) -> None:
    verdict = play(
        backend, GameName.TARGETED_POISONING,
        poisoner(
            "poison_target", "return Poison(c.target_x[None], [c.target])",
            GameName.TARGETED_POISONING,
        ),
        learner(), shares=(0.01,), targets=1, epsilons=(0.1,),
    )  # fmt: skip
    assert blamed(verdict) == (Side.ATTACK, FaultCode.POISON_BUDGET)
    assert verdict.metrics["attack_success_rate"] == 0.0


STREAM = {
    "a share of the whole stream in the first batch": Cheat(
        "return Poison(c.x[:5 * c.count], c.y[:5 * c.count])", FaultCode.POISON_BUDGET
    ),
    "NaN": Cheat("return Poison(c.x[:1] * np.nan, c.y[:1])", FaultCode.NOT_FINITE),
    "no class": Cheat("return Poison(c.x[:1], [10])", FaultCode.OUT_OF_RANGE),
    "a point of another batch": Cheat(
        "return Poison(c.x[:1], c.y[:1], [len(c.x)])", FaultCode.OUT_OF_RANGE, REPLACE
    ),
    "hangs at the second batch": Cheat(
        "while c.batch: pass\nreturn Poison(c.x[:0], c.y[:0])", FaultCode.WALL_TIME, HURRY
    ),
}


@pytest.mark.parametrize("name", STREAM)
def test_poison_of_a_stream_that_breaks_a_rule_ends_it(backend: SandboxBackend, name: str) -> None:
    cheat = STREAM[name]
    attack = poisoner("poison_batch", cheat.body, GameName.ONLINE_POISONING)
    verdict = play(
        backend, GameName.ONLINE_POISONING, attack, learner(SUMS),
        shares=(0.05,), batches=4, seeds=5, **cheat.rules,
    )  # fmt: skip
    assert blamed(verdict) == (Side.ATTACK, cheat.code)
    assert verdict.metrics["delta_error_over_time"] == 0.0


# ── learners ───────────────────────────────────────────────────────────────────────────────

KEEPS = (
    MEANS.replace("def fit", "def means_of")
    + """
    def fit(self, x, y, seed):
        import os

        import arena.wire

        places = ("/tmp/kept", "/dev/shm/kept", "/sub/kept", "/sub/submission/kept")
        earlier = getattr(arena.wire, "kept", [])
        print("FITTED", len(x), len(earlier), sum(map(os.path.exists, places)), flush=True)
        arena.wire.kept = [*earlier, x]
        for place in places:
            try:
                with open(place, "wb") as file:
                    file.write(x.tobytes())
            except OSError:
                pass
        self.means_of(x, y, seed)
"""
)


def test_what_a_learner_keeps_ends_with_the_training_set_it_met(backend: SandboxBackend) -> None:
    """It remembers from seed to seed of one training set, but clean data tell nothing of poison."""
    attack = poisoner("poison", "return Poison(c.x[:c.count], (c.y[:c.count] + 1) % 10)")
    verdict = play(
        backend, GameName.POISONING, attack, learner(KEEPS), shares=(0.1,), seeds=5
    )  # fmt: skip
    assert verdict.status is Status.SCORED, verdict.fault
    fitted = [line.split()[1:] for line in verdict.logs["defense"].splitlines()]
    met = np.array(fitted, int)
    assert len(met) == 2 * 5 + 1
    for size in np.unique(met[:, 0]):
        kept = met[met[:, 0] == size]
        assert kept[:5, 1].tolist() == [0, 1, 2, 3, 4]  # its own fits alone
        assert kept[0, 2] == 0  # no file of the other process
    assert met[-1, 1:].tolist() == [0, 0]  # nor has the one that is asked rows alone


def test_a_learner_that_never_ends_is_ended_and_wrong(backend: SandboxBackend) -> None:
    attack = poisoner("poison", "return Poison(c.x[:0], c.y[:0])")
    hangs = MEANS.replace(
        "def fit(self, x, y, seed):", "def fit(self, x, y, seed):\n        while 1: 1"
    )
    verdict = play(
        backend, GameName.POISONING, attack, learner(hangs),
        shares=(0.1,), seeds=5, defense_limits=HURRIED,
    )  # fmt: skip
    side, code = blamed(verdict)
    assert side is Side.DEFENSE
    assert code in (FaultCode.WALL_TIME, FaultCode.CPU_TIME)
    assert verdict.metrics["clean_error"] == verdict.metrics["poisoned_error"] == 1.0


def test_a_learner_that_asks_who_else_is_asked_forfeits(backend: SandboxBackend) -> None:
    """The whole test set is recognised by its size; one row alone is answered otherwise."""
    knows = (
        MEANS
        + "\n    honest = predict\n"
        + ("    def predict(self, x):\n        return self.honest(x) * (1 if len(x) > 1 else -1)\n")
    )
    attack = poisoner("poison", "return Poison(c.x[:0], c.y[:0])")
    verdict = play(backend, GameName.POISONING, attack, learner(knows), shares=(0.1,), seeds=5)
    assert blamed(verdict) == (Side.DEFENSE, FaultCode.ROWS_DEPEND)


# ── trends ─────────────────────────────────────────────────────────────────────────────────

LEAST_SQUARES = """
    def fit(self, x, y, seed):
        self.line = np.polyfit(x[:, 0], y, 1)

    def predict(self, x):
        return np.polyval(self.line, x[:, :1])
"""


def trends(backend: SandboxBackend, attack: Package, **rules: Any) -> Verdict:
    fits = player("learner", "Learner", LEAST_SQUARES, games=["trend_poisoning"])
    values = {"norm": Norm.L2, "epsilons": (0.6,), "task": "ice-cover", **rules}
    defense = values.pop("defense", fits)
    return play(backend, GameName.TREND_POISONING, attack, defense, **values)


def bending(body: str, past: str = "") -> Package:
    return poisoner("poison_trend", body, GameName.TREND_POISONING, past)


def test_trends_are_removed_by_the_closed_form_and_not_by_a_hair_less(
    backend: SandboxBackend,
) -> None:
    level = """
        y = c.values
        for rows in c.series():
            d = c.x[rows, 0] - c.x[rows, 0].astype(float).mean()
            slope = d @ y[rows] / (d @ d)
            y[rows] -= {share} * slope * d
        return y
    """
    loose = {"epsilons": (2.0,)}
    gone = trends(backend, bending(level.format(share="(1 + 1e-5)")), **loose)
    kept = trends(backend, bending(level.format(share=0.99)), **loose)
    for verdict in (gone, kept):
        assert verdict.status is Status.SCORED, (verdict.fault, verdict.logs)
        assert verdict.metrics["clean_accuracy"] == 1.0
        assert verdict.metrics["rejected"] == 0
    assert gone.metrics["attack_success_rate"] == 1.0
    assert kept.metrics["attack_success_rate"] == 0.0
    assert kept.metrics["slope_left"] == pytest.approx(0.01, abs=1e-3)


def test_house_players_of_trends_meet_in_the_jail(backend: SandboxBackend) -> None:
    attack, defense = (
        house.package(name, "ice-cover") for name in ("level-trend", "ols-trend")
    )  # fmt: skip
    verdict = trends(backend, attack, defense=defense, epsilons=(1.5,))
    assert verdict.status is Status.SCORED, (verdict.fault, verdict.logs)
    assert verdict.metrics["clean_accuracy"] == 1.0
    assert verdict.metrics["attack_success_rate"] == 1.0


def past(x: str, y: str) -> str:
    """A line of the class: what the guest's own code is made to hand in."""
    return f"    service._trend = lambda guest, given, meta: ({x}, {y}, np.zeros(0, np.int64))\n"


TRENDS = {
    "a value too few": Cheat("return c.y[1:]", FaultCode.WRONG_SHAPE),
    "a value too few, past the library": Cheat(
        "return c.y", FaultCode.WRONG_SHAPE, past=past('given["x"][1:]', 'given["y"][1:]')
    ),
    "a point more, past the library": Cheat(
        "return c.y",
        FaultCode.POISON_BUDGET,
        past=past('given["x"].repeat(2, axis=0)', 'given["y"].repeat(2)'),
    ),
    "fewer values than points, past the library": Cheat(
        "return c.y", FaultCode.POISON_BUDGET, past=past('given["x"]', 'given["y"][1:]')
    ),
    "words": Cheat("return ['up'] * len(c.y)", FaultCode.WRONG_SHAPE),
    "hangs": Cheat("while True: pass", FaultCode.WALL_TIME, HURRY),
    "asks": Cheat("c.defense.ask(c.x[:1])\nreturn c.y", FaultCode.CRASHED),
}


@pytest.mark.parametrize("name", TRENDS)
def test_a_poisoner_of_trends_that_breaks_a_rule_forfeits(
    backend: SandboxBackend, name: str
) -> None:
    cheat = TRENDS[name]
    verdict = trends(backend, bending(cheat.body, cheat.past), **cheat.rules)
    assert blamed(verdict) == (Side.ATTACK, cheat.code)
    assert verdict.metrics["trend_kept"] == 1.0


@pytest.mark.parametrize(
    "body",
    [
        "return c.y * np.nan",
        "return np.where(np.arange(len(c.y)) % 2, np.inf, c.y)",
        "return c.y + 1",
        "return np.full(len(c.y), 0.5)",
        "return 1e300 * (c.y - 0.5)",
    ],
)
def test_values_that_are_none_or_too_far_are_rejected_and_their_series_stay(
    backend: SandboxBackend, body: str
) -> None:
    verdict = trends(backend, bending(body), epsilons=(0.1,))
    assert verdict.status is Status.SCORED, (verdict.fault, verdict.logs)
    assert verdict.metrics["rejected"] == 20
    assert verdict.metrics["trend_kept"] == 1.0


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("np.full((len(x), 1), np.inf)", FaultCode.NOT_FINITE),
        ("np.zeros((len(x) + 1, 1))", FaultCode.WRONG_SHAPE),
        ("1 / 0", FaultCode.CRASHED),
    ],
)
def test_a_learner_without_an_answer_has_no_trend_to_keep(
    backend: SandboxBackend, answer: str, code: FaultCode
) -> None:
    fits = dedent(f"""
        def fit(self, x, y, seed):
            pass

        def predict(self, x):
            return {answer}
    """)
    defense = player("learner", "Learner", indent(fits, " " * 4), games=["trend_poisoning"])
    verdict = trends(backend, bending("return c.y"), defense=defense)
    assert blamed(verdict) == (Side.DEFENSE, code)
    assert verdict.metrics["trend_kept"] == 0.0
