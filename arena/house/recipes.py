"""How each weight file of the house was made. Change a recipe, and its weights must be made anew.

A recipe is data only: this module imports no torch, so that the site may read it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

ARCHITECTURES: Final = Path(__file__).parent / "architectures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One training run: everything that its weights follow from.

    ``player``: the house defense that the weights belong to, or ``related-...`` for the models
    that a round with related parameters shows in place of a defense's own.
    ``architecture``: a file of ``architectures/``: ``.py`` for torch, ``.toml`` for scikit-learn.
    ``epsilon``: radius of the L-infinity ball of adversarial training (Madry et al. 2018), reached
    over the first ``warm_up`` epochs, without which training at .3 gets stuck at chance;
    ``steps`` signed gradient steps of size ``step``.
    ``noise``: standard deviation of Gaussian augmentation (Cohen et al. 2019).
    ``levels``: inputs are rounded to so many levels; 0 for none.
    ``examples``: the first so many of the training split; 0 for all. An estimator of scikit-learn
    is fitted when it is loaded: its weights are those examples.
    ``objective``: a name of ``objectives.py``; empty for the cross-entropy. ``weight``: its λ, γ
    or share; ``temperature``: of distillation.
    ``separation``: differently labelled examples that are stored lie at least so far apart in L2.
    """

    player: str
    task: str
    architecture: str
    seed: int = 0
    epochs: int = 10
    batch: int = 100
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    epsilon: float = 0.0
    step: float = 0.0
    steps: int = 0
    warm_up: int = 0
    noise: float = 0.0
    levels: int = 0
    examples: int = 0
    objective: str = ""
    weight: float = 0.0
    temperature: float = 1.0
    separation: float = 0.0

    @property
    def name(self) -> str:
        """The weight file's name without suffix."""
        return f"{self.player}-{self.task}"

    @property
    def hash(self) -> str:
        """Hex SHA-256 over the fields that say something, and the source of the architecture.

        A figure that a recipe leaves alone is not hashed: a new one asks nobody to train anew.
        """
        plain = {field.name: field.default for field in fields(self)}
        told = {name: value for name, value in asdict(self).items() if value != plain[name]}
        state = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
        state.update((ARCHITECTURES / self.architecture).read_bytes())
        return state.hexdigest()


def _architecture(task: str) -> str:
    return "small_cnn.py" if task == "digits" else "cnn.py"


def _cnn(player: str, task: str, *, seed: int = 0) -> Recipe:
    """Trained to the end: a net stopped early is less accurate and takes more to fool."""
    small = task == "digits"
    return Recipe(
        player=player,
        task=task,
        architecture=_architecture(task),
        seed=seed,
        epochs=40 if small else 30,
        batch=100 if small else 50,
        learning_rate=1e-3 if small else 2e-3,
    )


def _softmax(player: str, task: str, *, seed: int = 0) -> Recipe:
    return Recipe(
        player=player,
        task=task,
        architecture="softmax.py",
        seed=seed,
        epochs=100 if task == "digits" else 30,
        weight_decay=1e-4,
    )


def _adversarial(player: str, task: str, *, epsilon: float, epochs: int, seed: int = 0) -> Recipe:
    return Recipe(
        player=player,
        task=task,
        architecture=_architecture(task),
        seed=seed,
        epochs=epochs,
        learning_rate=1.5e-3,
        epsilon=epsilon,
        step=epsilon / 4,
        steps=8,
        warm_up=epochs // 3,
    )


def _smoothed(player: str, task: str, *, noise: float, epochs: int) -> Recipe:
    return Recipe(
        player=player, task=task, architecture=_architecture(task), epochs=epochs, noise=noise
    )


def _rounded(player: str, task: str, *, levels: int, epochs: int) -> Recipe:
    return Recipe(
        player=player, task=task, architecture=_architecture(task), epochs=epochs, levels=levels
    )


def _objective(player: str, task: str, objective: str, **figures: Any) -> Recipe:
    """Trained for one of ``objectives.py``; on digits three times as long."""
    epochs = figures.pop("epochs", 16) * (3 if task == "digits" else 1)
    figures["warm_up"] = round(figures.pop("warm_up", 0.0) * epochs)
    settings: dict[str, Any] = {"architecture": _architecture(task), "learning_rate": 1.5e-3}
    settings |= figures
    return Recipe(player=player, task=task, objective=objective, epochs=epochs, **settings)


def _estimator(player: str, task: str, *, examples: int = 0, separation: float = 0.0) -> Recipe:
    return Recipe(
        player=player,
        task=task,
        architecture=f"{player.replace('-', '_')}.toml",
        examples=examples,
        separation=separation,
    )


def _radius(task: str) -> float:
    """The L∞ radius that a task is about: digits are coarse, and easier to fool."""
    return 0.2 if task == "digits" else 0.3


def _tutorial(task: str) -> tuple[Recipe, ...]:
    """The defenses that were once best, and those that certify."""
    radius = _radius(task)
    inner: dict[str, Any] = {"epsilon": radius, "step": radius / 4, "steps": 8, "warm_up": 1 / 3}
    sparse = {"digits": (0, 1.5)}.get(task, (2000, 5.0))
    return (
        _objective("label-smoothing", task, "label smoothing", weight=0.6),
        _objective("logit-squeezing", task, "logit squeezing", weight=0.3, noise=0.5),
        _objective("clean-logit-pairing", task, "clean logit pairing", weight=0.2, noise=0.5),
        _objective(
            "adversarial-logit-pairing", task, "adversarial logit pairing", weight=0.2, **inner
        ),
        _objective(
            "wrm",
            task,
            "WRM",
            weight=0.4,
            step=0.5,
            steps=8,
            architecture="smooth_cnn.py",
        ),
        _objective("interval-bounds", task, "interval bounds", epsilon=0.1, warm_up=0.6, epochs=24),
        _objective(
            "virtual-adversarial", task, "virtual adversarial", weight=1.0, epsilon=2.0, steps=1
        ),
        _objective("defensive-distillation", task, "distillation", temperature=40.0),
        _objective(
            "calibrated-confidence",
            task,
            "calibrated confidence",
            **inner,
        ),
        _estimator("support-vector-machine", task, examples=2000 if task != "digits" else 0),
        _estimator("robust-nearest-neighbour", task, examples=sparse[0], separation=sparse[1]),
    )


RECIPES: Final[tuple[Recipe, ...]] = (
    _cnn("cnn", "mnist5k"),
    _cnn("cnn", "fashion5k"),
    _cnn("cnn", "digits"),
    _cnn("cnn", "mnist-1-7"),
    _softmax("logistic-regression", "mnist5k"),
    _softmax("logistic-regression", "fashion5k"),
    _softmax("logistic-regression", "digits"),
    _softmax("logistic-regression", "mnist-1-7"),
    _estimator("nearest-neighbour", "mnist5k", examples=2000),
    _estimator("nearest-neighbour", "fashion5k", examples=1500),
    _estimator("nearest-neighbour", "digits"),
    _estimator("nearest-neighbour", "mnist-1-7", examples=500),
    _estimator("decision-tree", "mnist5k", examples=3000),
    _estimator("decision-tree", "fashion5k", examples=1500),
    _estimator("decision-tree", "digits"),
    _estimator("decision-tree", "mnist-1-7", examples=500),
    _adversarial("adversarial-training", "mnist5k", epsilon=0.3, epochs=30),
    _adversarial("adversarial-training", "fashion5k", epsilon=0.1, epochs=20),
    _adversarial("adversarial-training", "digits", epsilon=0.2, epochs=60),
    _adversarial("adversarial-training", "mnist-1-7", epsilon=0.3, epochs=20),
    _smoothed("randomized-smoothing", "mnist5k", noise=0.25, epochs=16),
    _smoothed("randomized-smoothing", "fashion5k", noise=0.25, epochs=16),
    _smoothed("randomized-smoothing", "digits", noise=0.25, epochs=60),
    _smoothed("certified-smoothing", "mnist5k", noise=0.5, epochs=30),
    Recipe(
        player="certified-smoothing",
        task="fashion5k",
        architecture="softmax.py",
        epochs=30,
        noise=0.5,
    ),
    _smoothed("certified-smoothing", "digits", noise=0.5, epochs=60),
    _rounded("input-discretisation", "mnist5k", levels=4, epochs=12),
    _rounded("input-discretisation", "fashion5k", levels=4, epochs=12),
    _rounded("input-discretisation", "digits", levels=4, epochs=40),
    _softmax("logistic-regression", "spambase"),
    _softmax("logistic-regression", "spamassassin-words"),
    Recipe(
        player="adversarial-training",
        task="spambase",
        architecture="softmax.py",
        epochs=60,
        epsilon=0.05,
        step=0.0125,
        steps=8,
        warm_up=20,
    ),
    Recipe(
        player="naive-bayes",
        task="spamassassin-words",
        architecture="softmax.py",
        objective="naive bayes",
    ),
    Recipe(
        player="word-insertion-training",
        task="spamassassin-words",
        architecture="softmax.py",
        objective="word insertion",
        weight=30,
        epochs=30,
        learning_rate=2e-3,
        weight_decay=1e-4,
    ),
    *_tutorial("mnist5k"),
    *_tutorial("digits"),
    # What rounds with related parameters show: other seeds of the same recipes.
    _cnn("related-cnn", "mnist5k", seed=1),
    _cnn("related-cnn", "fashion5k", seed=1),
    _cnn("related-cnn", "digits", seed=1),
    _softmax("related-logistic-regression", "mnist5k", seed=1),
    _softmax("related-logistic-regression", "fashion5k", seed=1),
    _softmax("related-logistic-regression", "digits", seed=1),
    _softmax("related-logistic-regression", "spamassassin-words", seed=1),
    _adversarial("related-adversarial-training", "mnist5k", epsilon=0.3, epochs=30, seed=1),
    _adversarial("related-adversarial-training", "fashion5k", epsilon=0.1, epochs=20, seed=1),
)


LENT: Final[Mapping[str, str]] = {
    "abstaining": "cnn",
    "noisy-input": "randomized-smoothing",
    "certified-linear": "logistic-regression",
    "rounded-answers": "logistic-regression",
    "top-answer": "logistic-regression",
    "refusal": "logistic-regression",
}
"""Defenses that put something around another's model: whose weights they come with."""


def find(name: str) -> Recipe:
    """The recipe of that weight file."""
    return next(recipe for recipe in RECIPES if recipe.name == name)
