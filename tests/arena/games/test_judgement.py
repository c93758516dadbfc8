"""The final judgement: who is asked what, when, and what cannot be told apart."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from arena.games.judgement import BATCH, SAMPLED, Ask, Ballots, lay_out, schedule
from arena.games.scoring import rule_attacked, rule_clean
from arena.games.targets import NO_TARGET
from tests.arena.fakes import Array, Fakes, Linear, defense_package, leave_alone, play, spec


def stream(seed: int = 0) -> np.random.RandomState:
    return np.random.RandomState(seed)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 30), st.integers(1, 3), st.integers(0, 1000))
def test_no_two_inputs_of_an_example_share_a_process(n: int, levels: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    clean = draw.uniform(size=(n, 4)).astype(np.float32)
    attacked = [
        np.where(draw.uniform(size=(n, 1)) < 0.5, clean, clean + i + 1) for i in range(levels)
    ]
    sheet = lay_out(clean, [a.astype(np.float32) for a in attacked], np.arange(n), stream(seed))
    for example in range(n):
        rows = np.flatnonzero(sheet.inputs.example == example)
        assert len(set(sheet.process[rows])) == len(rows)
    assert 2 <= sheet.processes <= 1 + levels
    assert sheet.process.max() < sheet.processes
    for level in range(levels):
        assert (sheet.inputs.x[sheet.attacked[level]] == attacked[level]).all()
    shares = np.bincount(sheet.process[:n], minlength=sheet.processes)
    assert shares.max() - shares.min() <= 1


def test_identical_inputs_are_judged_once() -> None:
    clean = np.arange(8, dtype=np.float32).reshape(4, 2)
    moved = clean + 1
    sheet = lay_out(clean, [clean, moved, moved], np.arange(4), stream())
    assert len(sheet.inputs) == 8
    assert (sheet.attacked[0] == np.arange(4)).all()
    assert (sheet.attacked[1] == sheet.attacked[2]).all()


def test_the_halves_change_with_the_match() -> None:
    clean = np.random.default_rng(0).uniform(size=(40, 2)).astype(np.float32)
    one, other = (lay_out(clean, [clean], np.arange(40), stream(s)).process for s in (1, 2))
    assert (one != other).any()


def test_the_schedule_asks_everything_once_and_hides_its_controls() -> None:
    requests = schedule(1000, stream())
    counting = np.concatenate([pairs for kind, pairs in requests if kind is Ask.COUNTS])
    assert sorted(counting) == list(range(1000))
    alone = [i for i, (kind, pairs) in enumerate(requests) if len(pairs) == 1]
    assert len(alone) == SAMPLED
    assert alone != list(range(min(alone), min(alone) + SAMPLED))
    assert max(len(pairs) for _, pairs in requests) <= BATCH
    (again,) = [pairs for kind, pairs in requests if kind is Ask.AGAIN]
    assert any(np.array_equal(again, pairs) for kind, pairs in requests if kind is Ask.COUNTS)


def ballots(*rows: list[int]) -> Ballots:
    labels = np.array(rows)
    return Ballots(labels, np.full(labels.shape, 0.5))


def test_ties_count_against_the_defense() -> None:
    y = np.array([0, 0, 0])
    votes = ballots([0, 0, 1, 1], [0, 0, 0, 1], [1, 1, 1, 0])
    assert rule_clean(votes, y).mostly_wrong.tolist() == [True, False, True]
    right = np.array([True, True, True])
    ruled = rule_attacked(votes, y, np.full(3, NO_TARGET), right, abstaining_allowed=True)
    assert ruled.mostly_wrong.tolist() == [True, False, True]
    assert ruled.wrong.tolist() == [2, 1, 3]


def test_an_abstention_is_safe_only_where_x_was_answered_correctly() -> None:
    votes = ballots([-1], [-1], [-2])
    y, nothing = np.array([0, 0, 0]), np.full(3, NO_TARGET)
    right = np.array([True, False, True])
    ruled = rule_attacked(votes, y, nothing, right, abstaining_allowed=True)
    assert ruled.mostly_wrong.tolist() == [False, True, True]
    strict = rule_attacked(votes, y, nothing, right, abstaining_allowed=False)
    assert strict.mostly_wrong.tolist() == [True, True, True]
    assert rule_clean(votes, y).mostly_wrong.tolist() == [True, True, True]


def test_a_target_is_reached_by_that_label_and_by_no_answer() -> None:
    votes = ballots([2], [1], [-2], [-1])
    y, targets, right = np.zeros(4, int), np.full(4, 2), np.ones(4, bool)
    ruled = rule_attacked(votes, y, targets, right, abstaining_allowed=True)
    assert ruled.mostly_wrong.tolist() == [True, False, True, False]


def test_both_processes_see_clean_and_attacked_rows_in_the_same_kinds_of_request() -> None:
    def nudge(challenge: object) -> Array:
        return np.asarray(challenge.x * 0.99, np.float32)  # type: ignore[attr-defined]

    fakes = Fakes(nudge)
    play(fakes, spec(examples=40))
    judges = [seat for seat in fakes.opened if seat.asked]
    assert len(judges) == 2
    assert sorted(judges[0].calls) == sorted(judges[1].calls)


def test_a_smoothed_vote_that_flips_by_rounding_is_flagged_and_not_a_fault() -> None:
    class Hair(Linear):
        """One row of all is answered a little differently in a batch of one."""

        def predict(self, x: Array, seeds: Array) -> Array:
            scores = super().predict(x, seeds)
            if len(x) == 1 and seeds[0] == self.marked:
                scores = scores + np.array([0.0, 0.0, 0.01])
            return np.asarray(scores)

        marked = None

    class Watch(Hair):
        def predict(self, x: Array, seeds: Array) -> Array:
            if len(x) == 1 and type(self).marked is None:
                type(self).marked = seeds[0]
            return super().predict(x, seeds)

    dana = defense_package(stochastic=True)
    verdict = play(Fakes(leave_alone, Watch), spec(repeats=1), defense=dana)
    assert verdict.fault is None
    assert verdict.flags == ("rows_depend_on_each_other",)
