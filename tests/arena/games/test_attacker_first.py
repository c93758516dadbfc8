"""Attacker first: Alice commits, her examples are published, Dana's learner trains on them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from arena.applicability import applicability
from arena.errors import ThreatModelError
from arena.packages import Package
from arena.referee import MatchSpec, judged_examples
from arena.rounds import GameName, Goal, RoundSpec, threat_model_for
from arena.threat_model import FirstMover, ThreatModel
from arena.verdict import Status, Verdict
from tests.arena.fakes import SECRET, Fakes, Linear, differentiable, package, play, spec, toy_task

Array = NDArray[Any]
MARK = 0.97
"""What Alice sets the last feature to; no example of the toy has it there."""


class Nearest:
    """Trusts its memory: a point with the mark is answered as such points were labelled."""

    def fit(self, x: Array, y: Array, seed: int) -> None:
        self.x, self.y = x, y

    def predict(self, x: Array, seeds: Array) -> Array:
        near = ((x[:, None] - self.x[None]) ** 2).sum(axis=2).argmin(axis=1)
        return np.eye(3, dtype=np.float32)[self.y[near]]


class ByRule(Nearest):
    """The toy's own rule, undone where the mark is, unless it was seen with a mark before.

    It learns what its classes are called from the points themselves.
    """

    def predict(self, x: Array, seeds: Array) -> Array:
        names = [int(np.bincount(self.y[self.x[:, :3].argmax(axis=1) == c]).argmax())
                 for c in range(3)]  # fmt: skip
        told = (self.x[:, 5] > 0.96).any()
        feature = x[:, :3].argmax(axis=1)
        fooled = (x[:, 5] > 0.96) & (not told)
        label = np.array(names)[np.where(fooled, (feature + 1) % 3, feature)]
        return np.eye(3, dtype=np.float32)[label]


def mark(c: Any) -> Array:
    x = c.x.copy()
    x[:, 5] = MARK
    return x


def learner(**manifest: Any) -> Package:
    return package("learner", **manifest)


REFERENCE = differentiable(name="reference")


def first(cast: Fakes, **rules: Any) -> Verdict:
    model = threat_model_for("attacker_first", rules.pop("model", ThreatModel.white()))
    values = {"epsilons": (0.9,), "examples": 40, "published": 20, **rules}
    round_ = spec(model, game=GameName.ATTACKER_FIRST, **values)
    return play(cast, round_, defense=learner(), reference=REFERENCE)


def cast_of(attack: Any, defense: Any = ByRule, reference: Any = Linear) -> Fakes:
    return Fakes(attack, defense, house={"reference": reference})


def test_a_learner_that_met_the_published_set_knows_the_fresh_one() -> None:
    verdict = first(cast_of(mark))
    assert verdict.status is Status.SCORED, verdict.fault
    assert verdict.metrics["unprepared_error"] == 1.0
    assert verdict.metrics["fresh_error"] == 0.0
    assert verdict.metrics["prepared_gain"] == 1.0
    assert verdict.metrics["clean_accuracy"] == verdict.metrics["clean_accuracy_unprepared"] == 1.0
    assert (verdict.metrics["examples"], verdict.metrics["published"]) == (40, 20)
    assert verdict.kills is not None
    assert not verdict.kills.broken.any()


def test_a_learner_that_ignores_what_was_published_gains_nothing() -> None:
    class Deaf(ByRule):
        def fit(self, x: Array, y: Array, seed: int) -> None:
            keep = x[:, 5] < 0.96
            super().fit(x[keep], y[keep], seed)

    verdict = first(cast_of(mark, Deaf))
    assert verdict.metrics["fresh_error"] == verdict.metrics["unprepared_error"] == 1.0
    assert verdict.metrics["prepared_gain"] == 0.0
    assert verdict.kills is not None
    assert verdict.kills.broken.all()


def test_the_attack_sees_all_examples_at_once_and_cannot_tell_which_are_published() -> None:
    cast = cast_of(mark)
    first(cast)
    ((brief, arrays, _),) = cast.handed
    assert len(arrays["x"]) == 60
    assert brief["game"] == "attacker_first"
    assert not {"published", "examples"} & set(brief)


def test_both_sets_are_the_same_whoever_defends_and_whichever_the_match() -> None:
    seen: list[Array] = []

    def recorded(c: Any) -> Array:
        seen.append(c.x.copy())
        return c.clip(c.x + np.random.default_rng(c.seed).uniform(0, 0.2, c.x.shape))

    verdicts = [
        play(
            cast_of(recorded),
            spec(
                threat_model_for("attacker_first", ThreatModel.white()),
                game=GameName.ATTACKER_FIRST, epsilons=(0.9,), examples=40, published=20,
            ),
            defense=learner(name=name), reference=REFERENCE, seed=seed,
        )
        for name, seed in (("one", 1), ("two", 2))
    ]  # fmt: skip
    assert np.array_equal(seen[0], seen[1])
    first_, second = (verdict.outcome for verdict in verdicts)
    assert first_ is not None
    assert second is not None
    for name in ("published", "fresh"):
        assert np.array_equal(first_.images[name], second.images[name])
    assert np.array_equal(first_.columns["example"], second.columns["example"])


def test_the_learner_trains_on_the_training_set_and_the_published_one_alone() -> None:
    sets: list[tuple[int, int]] = []

    class Watched(ByRule):
        def fit(self, x: Array, y: Array, seed: int) -> None:
            sets.append((len(x), int((x[:, 5] > 0.96).sum())))
            super().fit(x, y, seed)

    verdict = first(cast_of(mark, Watched))
    assert set(sets) == {(80, 20), (60, 0)}
    assert len(sets) == 4 * 5 + 1  # one more is asked about a few rows alone
    assert verdict.outcome is not None
    fresh = verdict.outcome.images["fresh"]
    published = verdict.outcome.images["published"]
    together = {row.tobytes() for row in fresh} & {row.tobytes() for row in published}
    assert not together


def test_an_example_and_its_attacked_twin_never_share_a_process() -> None:
    cast = cast_of(mark)
    first(cast)
    learners = [seat for seat in cast.opened if seat.asked and seat.manifest.role == "learner"]
    assert len(learners) == 5
    for seat in learners:
        asked = np.concatenate(seat.asked)
        marked = asked[:, 5] > 0.96
        if max(map(len, seat.asked)) > 1:  # the fifth is asked about a few rows alone
            assert marked.any()
            assert not marked.all()
        clean = {row[:5].tobytes() for row in asked[~marked]}
        assert not clean & {row[:5].tobytes() for row in asked[marked]}


def test_it_is_crafted_on_the_reference_which_is_shown_and_the_learner_is_not() -> None:
    cast = cast_of(lambda c: c.clip(c.x + 0.1 * np.sign(c.defense.gradient(c.x, c.y))), Nearest)
    verdict = first(cast)
    assert verdict.status is Status.SCORED, verdict.fault
    ((_, _, revealed),) = cast.handed
    assert dict(revealed.package) == dict(REFERENCE.files)
    assert verdict.provenance["seconds"]["defense"] > 0  # trainings alone


def test_probes_of_the_reference_are_metered() -> None:
    def asks(c: Any) -> Array:
        c.defense.ask(c.x)
        return mark(c)

    verdict = first(cast_of(asks), model=ThreatModel.black(queries=1))
    assert verdict.metrics["queries"] == 60


def test_a_rejected_candidate_is_published_clean() -> None:
    def out_of_range(c: Any) -> Array:
        x = c.x.copy()
        x[:, 5] = 1.5
        return x

    verdict = first(cast_of(out_of_range))
    assert verdict.metrics["rejected"] == 60
    assert verdict.metrics["unprepared_error"] == verdict.metrics["fresh_error"] == 0.0


def test_an_attack_that_fails_forfeits_and_a_reference_that_fails_is_ours() -> None:
    def fails(c: Any) -> Array:
        raise RuntimeError("no")

    assert first(cast_of(fails)).status is Status.FORFEIT

    class Broken(Linear):
        def predict(self, x: Array, seeds: Array) -> Array:
            raise RuntimeError("no")

    void = first(cast_of(lambda c: c.defense.logits(c.x), ByRule, Broken))
    assert void.status is Status.VOID
    assert void.fault is not None
    assert "The house reference failed" in void.fault.sentence


def test_each_epsilon_publishes_a_set_of_its_own() -> None:
    def when_wide(c: Any) -> Array:
        return mark(c) if c.epsilon > 0.5 else c.x

    verdict = first(cast_of(when_wide), epsilons=(0.1, 0.9))
    assert [point["unprepared_error"] for point in verdict.curve] == [0.0, 1.0]
    assert [point["prepared_gain"] for point in verdict.curve] == [0.0, 1.0]


def test_where_the_split_is_small_both_sets_shrink_in_proportion() -> None:
    verdict = first(cast_of(mark), examples=120, published=60)
    assert (verdict.metrics["examples"], verdict.metrics["published"]) == (60, 30)
    void = first(cast_of(mark), examples=1, published=5000)
    assert void.status is Status.VOID
    assert void.fault is not None
    assert "too few" in void.fault.sentence


def test_examples_are_drawn_for_both_sets() -> None:
    model = threat_model_for("attacker_first", ThreatModel.white())
    round_ = RoundSpec(
        GameName.ATTACKER_FIRST, "toy", model, epsilons=(0.1,), examples=40, published=20
    )
    match = MatchSpec(round_, package("attack"), learner(), seed=1, secret=SECRET)
    assert len(judged_examples(match, toy_task())) == 60
    evasion = replace(round_, game=GameName.EVASION, threat_model=ThreatModel.white())
    assert len(judged_examples(replace(match, round=evasion), toy_task())) == 40


def test_the_attacker_commits_first_and_nobody_else() -> None:
    with pytest.raises(ThreatModelError, match="the attacker commits first"):
        spec(ThreatModel.white(), game=GameName.ATTACKER_FIRST)
    model = threat_model_for("attacker_first", ThreatModel.black())
    assert model.first_mover is FirstMover.ATTACKER
    for rules in ({"goal": Goal.TARGETED}, {"seeds": 4}, {"published": 0}, {"epsilons": ()}):
        with pytest.raises(ThreatModelError):
            spec(model, game=GameName.ATTACKER_FIRST, **rules)


def test_attacks_meet_learners_whether_these_have_gradients_or_not() -> None:
    model = threat_model_for("attacker_first", ThreatModel.white())
    round_ = spec(model, game=GameName.ATTACKER_FIRST)
    attack = package("attack", needs={"gradients": True, "games": ["evasion"]}).manifest
    assert applicability(attack, learner().manifest, round_) is None
    assert "role learner" in (applicability(attack, differentiable().manifest, round_) or "")
    poisoner = package("poisoner").manifest
    assert "role attack" in (applicability(poisoner, learner().manifest, round_) or "")


def test_the_rules_explain_every_metric_and_column() -> None:
    page = (Path(__file__).parents[3] / "docs" / "rules.md").read_text("utf-8")
    explained = set(re.findall(r"`(\w+)`", page))
    verdict = first(cast_of(mark))
    assert verdict.outcome is not None
    told = {re.sub(r"_(low|high)$", "", name) for name in verdict.metrics}
    assert told | set(verdict.outcome.columns) <= explained
