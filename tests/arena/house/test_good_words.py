"""House attacks by good words: against filters whose best words are known."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from arena import tasks
from arena.house.attacks.good_words import by_frequency

Array = NDArray[Any]
OWN = 150


@pytest.fixture(scope="module")
def mails() -> tasks.Task:
    return tasks.load("spamassassin-words")


def spam_of(defense: Any, mails: tasks.Task, count: int) -> tuple[Array, Array]:
    """The first spam mails of the practice split that the filter blocks, and their labels."""
    x = mails.practice.x[mails.practice.y == 1][: 3 * count]
    blocked = defense.predict(x).argmax(1) == 1
    return x[blocked][:count], np.ones(count, np.int64)


def pad(
    direct: ModuleType,
    mails: tasks.Task,
    attack: str,
    words: int,
    *,
    probes: float = 0,
    **more: Any,
) -> tuple[Any, Any]:
    """(what came of it, the view), against the house's logistic regression."""
    defense = direct.build("logistic-regression", mails)
    x, y = spam_of(defense, mails, 20)
    view = direct.View(defense, len(x), output="label", per_example=probes, white=False, **more)
    played = direct.play(
        direct.build(attack, mails),
        defense,
        mails,
        x=x,
        y=y,
        norm="l0",
        epsilon=words,
        view=view,
        training=(mails.train.x[:OWN], mails.train.y[:OWN]),
    )
    delta = played.candidates - x
    assert (delta >= 0).all()
    assert played.sizes("l0").max() <= words
    assert set(np.unique(played.candidates)) <= {0.0, 1.0}
    return played, view


def test_words_are_ordered_by_how_much_more_ham_holds_them(direct: ModuleType) -> None:
    ham = np.array([[1, 1, 0, 0], [1, 0, 0, 1], [1, 1, 0, 0]], np.float32)
    spam = np.array([[0, 1, 1, 0], [0, 0, 1, 0], [0, 1, 1, 1]], np.float32)
    challenge: Any = type("Challenge", (), {})()
    challenge.training = np.concatenate([ham, spam]), np.array([0, 0, 0, 1, 1, 1])
    challenge.y = np.array([1])
    order = by_frequency(challenge)
    assert order[0] == 0
    assert order[-1] == 2


def test_half_of_blocked_spam_passes_without_a_probe(direct: ModuleType, mails: Any) -> None:
    played, view = pad(direct, mails, "good-words", 150)
    assert played.fooled.mean() >= 0.5
    assert view.asked.sum() == 0


def test_probes_find_fewer_words_and_none_is_asked_beyond_the_budget(
    direct: ModuleType, mails: Any
) -> None:
    passive, _ = pad(direct, mails, "good-words", 20)
    asking, view = pad(direct, mails, "good-words-by-probes", 20, probes=200)
    assert asking.fooled.sum() > passive.fooled.sum()
    assert asking.sizes("l0")[asking.fooled].mean() < 20
    assert 0 < view.asked.max() <= 200


def test_probes_in_total_alone_and_few_of_them_are_lived_on(direct: ModuleType, mails: Any) -> None:
    played, view = pad(direct, mails, "good-words-by-probes", 40, probes=float("inf"), total=300.0)
    assert view.asked.sum() <= 300
    assert played.fooled.any()
    none, _ = pad(direct, mails, "good-words-by-probes", 40, probes=1)
    assert none.candidates.shape == played.candidates.shape


def test_what_was_learned_is_handed_in_when_the_filters_time_is_up(
    direct: ModuleType, mails: Any
) -> None:
    played, _ = pad(direct, mails, "good-words-by-probes", 60, probes=200, answered=500)
    assert played.fooled.any()


def test_a_filter_trained_against_added_words_holds_more(direct: ModuleType, mails: Any) -> None:
    passed = {}
    for name in ("logistic-regression", "word-insertion-training"):
        defense = direct.build(name, mails)
        x, y = spam_of(defense, mails, 20)
        played = direct.play(
            direct.build("good-words", mails),
            defense,
            mails,
            x=x,
            y=y,
            norm="l0",
            epsilon=30,
            view=direct.View(defense, len(x), per_example=0, white=False),
            training=(mails.train.x, mails.train.y),
        )
        passed[name] = played.fooled.mean()
    assert passed["word-insertion-training"] < passed["logistic-regression"] / 2
