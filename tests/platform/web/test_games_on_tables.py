"""Rounds on words and tables, which have no pictures: created, recorded, ranked and read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import arena.tasks
from arena.rounds import GameName, Norm, RoundSpec
from arena.tasks.task import Scaling
from arena.threat_model import ThreatModel
from arena.verdict import Status
from arena.verdict import Verdict as Finding
from events.errors import Invalid
from leaderboard.models import Standing
from tests.arena.fakes import Fakes, Linear, differentiable, play
from tests.platform.web.played import opened, pages, record, spec_of
from tests.platform.web.reading import Browser, text_of
from tests.platform.web.seeding import World
from tournaments.services import RoundPlan
from web.pages.rows import changes


def rows_of(task: str, epsilons: tuple[float, ...], **rules: Any) -> RoundSpec:
    return RoundSpec(
        rules.pop("game", GameName.EVASION),
        task,
        ThreatModel.white(),
        epsilons=epsilons,
        examples=12,
        **rules,
    )


def moved(spec: RoundSpec, change: Callable[[Any], Any], scores: Callable[[Any], Any]) -> Finding:
    """A finding of the referee's own, with a filter and an attack in this process."""

    class Filter(Linear):
        def predict(self, x: Any, seeds: Any) -> Any:
            spam = scores(x)
            return np.stack([-spam, spam], axis=1).astype(np.float32)

    seats = Fakes(change, Filter)
    return play(seats, spec, defense=differentiable(), task=arena.tasks.load(spec.task))


def test_good_words_are_planned_ranked_and_read(world: World, as_: Browser) -> None:
    task = arena.tasks.load("spamassassin-words")
    words = [task.features.index(word) for word in ("linux", "perl", "unseen")
             if word in task.features]  # fmt: skip
    lean = task.train.x[task.train.y == 1].mean(0) - task.train.x[task.train.y == 0].mean(0)
    spec = rows_of(task.name, (2.0, 4.0), game=GameName.GOOD_WORDS, norm=Norm.L0)
    round_ = opened(world, RoundPlan("Words", spec, ("good-words",), ("naive-bayes",)))
    match = round_.matches.get()

    def pads(c: Any) -> Any:
        x = c.x.copy()
        x[:, words[: int(c.epsilon)]] = 1
        return x

    found = moved(spec, pads, lambda x: x @ lean - 1.0 - 9 * x[:, words].sum(1))
    assert found.status is Status.SCORED
    record(match, found)
    page, boards = pages(world, as_, match)
    assert "words Good words got" in page
    assert "Against words added" in page
    assert f'<span class="word">{task.features[words[0]]}</span>' in page
    assert "pictures/" not in page
    assert "Examples (.npz)" in page
    assert "up to 2, 4 words added" in boards
    assert "the share of blocked spam that passed" in boards
    row = Standing.objects.get(round=round_, role="defense", entry__house="naive-bayes")
    assert row.headline == pytest.approx(found.metrics["robust_accuracy"])
    attack = Standing.objects.get(round=round_, role="attack", entry__house="good-words")
    assert attack.headline == pytest.approx(found.metrics["attack_success_rate"])


def test_a_tables_match_shows_the_features_that_were_changed_and_what_errors_cost(
    world: World, as_: Browser
) -> None:
    task = arena.tasks.load("spambase")
    spec = rows_of(task.name, (0.3,))
    plan = RoundPlan("Table", spec, ("pgd",), ("logistic-regression",))
    match = opened(world, plan).matches.get()
    free = task.features.index("free")

    def raises(c: Any) -> Any:
        x = c.x.copy()
        x[:, free] = np.minimum(x[:, free] + 0.25, 1)
        return x

    record(match, moved(spec, raises, lambda x: 0.2 - x[:, free]))
    page, _ = pages(world, as_, match)
    assert '<th scope="row">free</th>' in page
    assert "pictures/" not in page
    assert "Value-weighted loss" in page.split("All figures")[0]


def test_changes_are_told_in_the_units_of_the_data() -> None:
    task = arena.tasks.load("spambase")
    features = len(task.features)
    scaling = Scaling((20.0,) * features, (120_020.0,) * features)
    clean = np.zeros(features)
    attacked = clean.copy()
    attacked[3:5] = 0.5, 0.0001
    rows = changes(clean, attacked, replace(task, scaling=scaling)).rows
    assert rows == (("num3d", "20", "60,020"), ("our", "20", "32"))
    assert changes(clean, attacked, task).rows[0] == ("num3d", "0", "0.5")


def test_a_good_word_round_is_made_by_the_form_and_counts_words(world: World) -> None:
    spec = spec_of(
        title="Words", game="good_words", task="spamassassin-words", preset="black",
        epsilons="10, 30", examples="50", attacks=["good-words-by-probes"],
        defenses=["naive-bayes"],
    )  # fmt: skip
    assert spec.norm is Norm.L0
    assert spec.epsilons == (10.0, 30.0)


def test_good_words_on_a_task_of_pictures_are_refused_with_the_remedy(world: World) -> None:
    spec = rows_of("digits", (4.0,), game=GameName.GOOD_WORDS, norm=Norm.L0)
    with pytest.raises(Invalid, match="choose spamassassin-words"):
        opened(world, RoundPlan("Words", spec, ("good-words",), ("cnn",)))


def test_a_tables_page_shows_its_rows_its_features_and_what_mistakes_cost(
    world: World, as_: Browser
) -> None:
    page = text_of(as_(None).get("/tasks/spambase/"))
    for told in ("may only grow", "may change", "stays", "What mistakes cost", "capitalLong"):
        assert told in page
    words = text_of(as_(None).get("/tasks/spamassassin-words/"))
    assert "1,500 features" in words
    assert "What mistakes cost" not in words
