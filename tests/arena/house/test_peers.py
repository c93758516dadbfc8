"""Peers' bugs that must not be ours, and peers as oracles where they are right."""

from __future__ import annotations

import warnings
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from arena import tasks
from arena.house.attacks.audit_suite import AuditSuite
from arena.house.attacks.cw_l0 import CarliniWagnerL0
from arena.house.attacks.cw_l2 import CarliniWagner
from arena.house.attacks.cw_linf import CarliniWagnerLinf
from arena.house.attacks.fgsm import Fgsm
from arena.house.attacks.jsma import Jsma, best_pairs
from arena.house.attacks.pgd import Pgd

FOLDER: Any = None


class Shifted:
    """A defense whose logits are moved by a constant: the same classifier."""

    def __init__(self, inner: Any, shift: float) -> None:
        self.inner, self.shift, self.manifest = inner, shift, inner.manifest

    def predict(self, x: Any) -> Any:
        return (self.inner.predict(x) + self.shift).astype(np.float32)

    def gradient(self, x: Any, weights: Any) -> Any:
        logits, slope = self.inner.gradient(x, weights)
        return (logits + self.shift).astype(np.float32), slope


class Stubborn:
    """A defense that always answers 0: no attack can succeed against it."""

    manifest = SimpleNamespace(stochastic=False)

    def predict(self, x: Any) -> Any:
        return np.tile(np.eye(10, dtype=np.float32)[0], (len(x), 1))

    def gradient(self, x: Any, weights: Any) -> Any:
        return self.predict(x), np.full_like(x, 0.1)


# ── bugs ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "norm", "epsilon"),
    [
        (CarliniWagner, "l2", None),
        (CarliniWagnerL0, "l0", None),
        (CarliniWagnerLinf, "linf", None),
        (Jsma, "l0", None),
        (Pgd, "linf", None),
        (AuditSuite, "linf", 0.1),
        (AuditSuite, "l2", 1.0),
    ],
)
def test_where_nothing_is_found_x_comes_back_and_no_black_image(
    direct: ModuleType, digits: tasks.Task, method: Any, norm: str, epsilon: float | None
) -> None:
    attack = method(FOLDER, {"searches": 2, "queries": 50})
    x = digits.practice.x[:10]
    y = np.zeros(10, np.int64)
    played = direct.play(attack, Stubborn(), digits, x=x, y=y, norm=norm, epsilon=epsilon)
    assert np.array_equal(played.candidates, x)


def test_carlini_wagner_moves_pixels_that_are_black_or_white(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 30)
    played = direct.play(CarliniWagner(FOLDER), house_cnn, digits, x=x, y=y, norm="l2")
    saturated = (x == 0) | (x == 1)
    moved = np.abs(played.candidates - x) > 1e-4
    assert saturated.mean() > 0.3
    assert moved[saturated].mean() > 0.1


@pytest.mark.parametrize("shift", [-100.0, 100.0])
def test_carlini_wagner_does_not_care_where_the_logits_lie(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any, shift: float
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 30)
    plain, shifted = (
        direct.play(CarliniWagner(FOLDER), defense, digits, x=x, y=y, norm="l2")
        for defense in (house_cnn, Shifted(house_cnn, shift))
    )
    assert plain.fooled.all()
    assert shifted.fooled.all()
    assert shifted.sizes("l2").mean() == pytest.approx(plain.sizes("l2").mean(), rel=0.03)


def test_jsma_goes_for_the_target_it_was_given(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 30)
    for step in (2, 5):
        targets = (y + step) % 10
        attack = Jsma(FOLDER, {"gamma": 0.5})
        played = direct.play(attack, house_cnn, digits, x=x, y=y, norm="l0", targets=targets)
        assert (played.answers == targets).mean() > 0.8


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 100_000), count=st.integers(2, 12))
def test_pruned_pairs_are_the_best_of_all_pairs(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    alpha, gain = rng.normal(size=(2, 3, count)).round(1)
    free = rng.random((3, count)) < 0.8
    free[:, :2] = True
    pairs = best_pairs(alpha, gain, free)
    for row in range(3):
        scores = {
            (p, q): (alpha[row, p] + alpha[row, q]) * (gain[row, p] + gain[row, q])
            for p in range(count)
            for q in range(count)
            if p != q
            and free[row, p]
            and free[row, q]
            and alpha[row, p] + alpha[row, q] > 0
            and gain[row, p] + gain[row, q] > 0
        }
        p, q = pairs[row]
        assert p != q
        assert free[row, [p, q]].all()
        if scores:
            assert scores[p, q] == pytest.approx(max(scores.values()))


def test_no_attack_trusts_a_success_that_the_defense_does_not_repeat(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 30)
    for attack, norm in (
        (CarliniWagner, "l2"),
        (CarliniWagnerL0, "l0"),
        (CarliniWagnerLinf, "linf"),
        (Jsma, "l0"),
        (Pgd, "linf"),
    ):
        options = {"searches": 2, "steps": 15}
        played = direct.play(attack(FOLDER, options), house_cnn, digits, x=x, y=y, norm=norm)
        moved = (played.candidates != x).any((1, 2, 3))
        assert moved.any()
        assert played.fooled[moved].all()


def test_finished_examples_cost_no_more_passes(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 60)
    view = direct.View(house_cnn, len(x))
    played = direct.play(
        Pgd(FOLDER, {"steps": 40}), house_cnn, digits, x=x, y=y, epsilon=0.3, view=view
    )
    assert played.fooled.all()
    assert view.gradient_rows < 5 * len(x)


def test_carlini_wagner_needs_few_passes_for_nearly_the_distance_of_many(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any
) -> None:
    x, y = direct.right_examples(house_cnn, digits, 20)
    view = direct.View(house_cnn, len(x))
    few = direct.play(CarliniWagner(FOLDER), house_cnn, digits, x=x, y=y, norm="l2", view=view)
    assert view.gradient_rows <= 650 * len(x)
    options = {"searches": 9, "steps": 400, "rate": 0.02, "patience": 400, "first_c": 0.1}
    many = direct.play(CarliniWagner(FOLDER, options), house_cnn, digits, x=x, y=y, norm="l2")
    assert few.fooled.all()
    assert few.sizes("l2").mean() < 1.03 * many.sizes("l2").mean()


# ── oracles ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def foolbox() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("foolbox", reason="needs foolbox")


@pytest.fixture(scope="module")
def problem(direct: ModuleType, digits: tasks.Task, house_cnn: Any) -> Any:
    x, y = direct.right_examples(house_cnn, digits, 200)
    return SimpleNamespace(x=x, y=y, tx=torch.tensor(x), ty=torch.tensor(y))


def peer(foolbox: Any, attack: Any, house_cnn: Any, problem: Any, epsilon: float | None) -> Any:
    """Foolbox's candidates; success is judged by us, never by its flag."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = foolbox.PyTorchModel(house_cnn.module, bounds=(0, 1), device="cpu")
        torch.manual_seed(0)
        _, candidates, _ = attack(model, problem.tx, problem.ty, epsilons=epsilon)
    return candidates.numpy()


def test_fgsm_makes_the_same_images_as_foolbox(
    direct: ModuleType, foolbox: Any, digits: tasks.Task, house_cnn: Any, problem: Any
) -> None:
    theirs = peer(foolbox, foolbox.attacks.LinfFastGradientAttack(), house_cnn, problem, 0.1)
    ours = direct.play(Fgsm(FOLDER), house_cnn, digits, x=problem.x, y=problem.y, epsilon=0.1)
    np.testing.assert_allclose(ours.candidates, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("norm", "epsilon", "name"),
    [
        ("linf", 0.08, "LinfProjectedGradientDescentAttack"),
        ("l2", 0.6, "L2ProjectedGradientDescentAttack"),
        ("l1", 2.5, "SparseL1DescentAttack"),
    ],
)
def test_one_run_of_pgd_finds_what_foolbox_finds(
    direct: ModuleType,
    foolbox: Any,
    digits: tasks.Task,
    house_cnn: Any,
    problem: Any,
    norm: str,
    epsilon: float,
    name: str,
) -> None:
    attack = getattr(foolbox.attacks, name)(steps=40)
    theirs = peer(foolbox, attack, house_cnn, problem, epsilon)
    rate = (house_cnn.predict(theirs).argmax(1) != problem.y).mean()
    ours = direct.play(
        Pgd(FOLDER, {"steps": 40, "restarts": 1}),
        house_cnn,
        digits,
        x=problem.x,
        y=problem.y,
        norm=norm,
        epsilon=epsilon,
    )
    assert 0.05 < rate < 0.98
    assert ours.fooled.mean() >= rate - 0.01


def test_carlini_wagner_is_as_near_as_foolbox(
    direct: ModuleType, foolbox: Any, digits: tasks.Task, house_cnn: Any, problem: Any
) -> None:
    few = replace_rows(problem, 40)
    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=6, steps=200, stepsize=0.05, initial_const=1.0
    )
    theirs = peer(foolbox, attack, house_cnn, few, None)
    found = house_cnn.predict(theirs).argmax(1) != few.y
    distance = np.linalg.norm((theirs - few.x).reshape(len(few.x), -1), axis=1)
    ours = direct.play(CarliniWagner(FOLDER), house_cnn, digits, x=few.x, y=few.y, norm="l2")
    assert ours.fooled.all()
    assert ours.sizes("l2")[found].mean() <= 1.02 * distance[found].mean()


def replace_rows(problem: Any, count: int) -> Any:
    return SimpleNamespace(**{name: value[:count] for name, value in vars(problem).items()})


def test_pgd_finds_what_the_adversarial_robustness_toolbox_finds(
    direct: ModuleType, digits: tasks.Task, house_cnn: Any, problem: Any
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimators = pytest.importorskip("art.estimators.classification", reason="needs art")
        evasion = pytest.importorskip("art.attacks.evasion", reason="needs art")
        classifier = estimators.PyTorchClassifier(
            model=house_cnn.module,
            loss=torch.nn.CrossEntropyLoss(),
            input_shape=digits.shape,
            nb_classes=10,
            clip_values=(0, 1),
            device_type="cpu",
        )
        attack = evasion.ProjectedGradientDescent(
            classifier, eps=0.08, eps_step=0.01, max_iter=40, batch_size=200, verbose=False
        )
        theirs = attack.generate(problem.x, y=problem.y)
    rate = (house_cnn.predict(theirs.astype(np.float32)).argmax(1) != problem.y).mean()
    ours = direct.play(
        Pgd(FOLDER, {"steps": 40, "restarts": 1}),
        house_cnn,
        digits,
        x=problem.x,
        y=problem.y,
        epsilon=0.08,
    )
    assert ours.fooled.mean() >= rate - 0.01
