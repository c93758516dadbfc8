"""House thieves against theory: what a linear model tells can be solved for."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from arena.packages import Package
from arena.players import ExtractionChallenge, TaskInfo

SHAPE, CLASSES = (1, 4, 5), 3
SIZE = 20


class Metered:
    """Dana's softmax regression behind an oracle that counts and filters."""

    def __init__(self, reply: Callable[[Any], Any]) -> None:
        stream = np.random.default_rng(3)
        self.w, self.b = stream.normal(size=(SIZE, CLASSES)), stream.normal(size=CLASSES)
        self.reply, self.asked = reply, 0

    def scores(self, x: Any) -> Any:
        return x.reshape(len(x), -1) @ self.w + self.b

    def ask(self, x: Any, examples: Any = None) -> Any:
        self.asked += len(x)
        scores = self.scores(x.astype(np.float64))
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return self.reply(odds / odds.sum(axis=1, keepdims=True))


def exact(p: Any) -> Any:
    return p.astype(np.float32)


def rounded(p: Any) -> Any:
    return p.round(3).astype(np.float32)


def label(p: Any) -> Any:
    return p.argmax(axis=1)


def challenge(oracle: Any, queries: int, output: str, seed: int = 0) -> ExtractionChallenge:
    return ExtractionChallenge(
        task=TaskInfo("toy", SHAPE, tuple("abc")),
        queries=queries,
        queries_in_all=queries,
        defense=oracle,
        output=output,
        seed=seed,
    )


def thief(direct: Any, digits: Any, name: str) -> Any:
    return direct.build(name, digits)


def fidelity(direct: Any, oracle: Metered, surrogate: Any) -> float:
    """On 5,000 uniform points, the copy loaded from its own package."""
    package = Package.of(dict(surrogate.files))
    folder = direct.unpack(package)
    copy = direct.entry(folder, package)(folder, TaskInfo("toy", SHAPE, tuple("abc")))
    x = np.random.default_rng(9).uniform(size=(5000, *SHAPE)).astype(np.float32)
    return float((label(copy.predict(x)) == label(oracle.scores(x))).mean())


def test_as_many_equations_as_unknowns_give_the_model_itself(direct: Any, digits: Any) -> None:
    """Up to what softmax does not tell: one vector added to every class's weights."""
    oracle = Metered(exact)
    copy = thief(direct, digits, "equation-solving").steal(
        challenge(oracle, SIZE + 1, "probabilities")
    )
    stored = np.load(io.BytesIO(copy.files["weights.npz"]))
    told = oracle.w - oracle.w.mean(axis=1, keepdims=True)
    solved = stored["w"] - stored["w"].mean(axis=1, keepdims=True)
    assert oracle.asked == SIZE + 1
    assert solved == pytest.approx(told, abs=1e-4)
    assert fidelity(direct, oracle, copy) > 0.999


def test_rounding_weakens_equations_and_more_probes_mend_them(direct: Any, digits: Any) -> None:
    found = [
        fidelity(
            direct, o, thief(direct, digits, "equation-solving").steal(challenge(o, q, "rounded"))
        )
        for q in (SIZE + 1, 30 * SIZE)
        for o in [Metered(rounded)]
    ]
    assert found[0] < found[1]
    assert found[1] > 0.995


def test_labels_alone_take_more_probes_and_still_give_the_boundary_away(
    direct: Any, digits: Any
) -> None:
    few, many = (
        fidelity(
            direct, o, thief(direct, digits, "adaptive-retraining").steal(challenge(o, q, "label"))
        )
        for q in (2 * SIZE, 50 * SIZE)
        for o in [Metered(label)]
    )
    assert few < many
    assert many > 0.95


@pytest.mark.parametrize("name", ["equation-solving", "adaptive-retraining", "path-finding"])
def test_a_thief_asks_all_that_it_may_and_remembers_from_stop_to_stop(
    direct: Any, digits: Any, name: str
) -> None:
    oracle, player = Metered(exact), thief(direct, digits, name)
    for stop in (3, 16, 40):
        player.steal(challenge(oracle, stop, "probabilities", seed=stop))
        assert oracle.asked == stop


@pytest.mark.parametrize("name", ["equation-solving", "adaptive-retraining", "path-finding"])
def test_a_thief_that_is_refused_everything_hands_in_something(
    direct: Any, digits: Any, name: str
) -> None:
    def refused(p: Any) -> Any:
        return np.concatenate([0 * p, np.ones((len(p), 1))], axis=1).astype(np.float32)

    copy = thief(direct, digits, name).steal(challenge(Metered(refused), 20, "probabilities"))
    assert copy.files["manifest.toml"]


def test_wrappers_against_theft_change_what_is_told_and_not_the_label(
    direct: Any, digits: Any
) -> None:
    x = digits.practice.x[:200]
    plain = direct.build("logistic-regression", digits).predict(x).argmax(axis=1)
    for name in ("rounded-answers", "top-answer"):
        told = direct.build(name, digits).predict(x)
        assert told.sum(axis=1) == pytest.approx(np.ones(len(x)), abs=1e-5)
        assert (told.argmax(axis=1) == plain).mean() >= 0.99
    refused = direct.build("refusal", digits).predict(x)
    answered = refused.argmax(axis=1) < 10
    assert answered.mean() > 0.9
    assert (refused.argmax(axis=1) == plain)[answered].all()
    far = np.zeros_like(x)
    assert (direct.build("refusal", digits).predict(far).argmax(axis=1) == 10).all()


class Tree:
    """Dana's decision tree behind an oracle: every leaf answers with probabilities of its own."""

    def __init__(self, depth: int, reply: Callable[[Any], Any]) -> None:
        stream = np.random.default_rng(5)
        self.feature = stream.integers(SIZE, size=2**depth)
        self.threshold = stream.uniform(0.3, 0.7, size=2**depth)
        self.p = stream.dirichlet(np.ones(CLASSES), size=2**depth)
        self.depth, self.reply, self.asked = depth, reply, 0

    def scores(self, x: Any) -> Any:
        flat, node = x.reshape(len(x), -1), np.ones(len(x), int)
        for _ in range(self.depth):
            above = flat[np.arange(len(x)), self.feature[node]] > self.threshold[node]
            node = 2 * node + above
        return self.p[node - 2**self.depth]

    def ask(self, x: Any, examples: Any = None) -> Any:
        self.asked += len(x)
        return self.reply(self.scores(x))


@pytest.mark.parametrize(("reply", "output"), [(exact, "probabilities"), (label, "label")])
def test_path_finding_finds_the_thresholds_of_a_tree(
    direct: Any, digits: Any, reply: Any, output: str
) -> None:
    oracle = Tree(4, reply)
    copy = thief(direct, digits, "path-finding").steal(challenge(oracle, 3000, output))
    assert fidelity(direct, oracle, copy) > 0.99
    assert oracle.asked <= 3000
    stored = np.load(io.BytesIO(copy.files["weights.npz"]))
    inner = stored["feature"] >= 0
    true = set(zip(oracle.feature.tolist(), oracle.threshold.round(2).tolist(), strict=True))
    thresholds = stored["threshold"][inner].round(2).tolist()
    found = set(zip(stored["feature"][inner].tolist(), thresholds, strict=True))
    assert len(found - true) <= 0.1 * len(found)  # a threshold may lie on the edge of a digit
