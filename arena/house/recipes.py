"""How each weight file of the house was made. Change a recipe, and its weights must be made anew.

A recipe is data only: this module imports no torch, so that the site may read it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

ARCHITECTURES: Final = Path(__file__).parent / "architectures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One training run: everything that its weights follow from.

    ``player``: the house defense that the weights belong to, or ``related-...`` for the models
    that a round with related parameters shows in place of a defense's own.
    ``architecture``: a file of ``architectures/``; empty for scikit-learn.
    ``epsilon``: radius of the L-infinity ball of adversarial training (Madry et al. 2018); half
    of each batch stays clean while ``clean_share`` is .5. It grows over the first ``warm_up``
    epochs, without which training at .3 gets stuck at chance.
    ``noise``: standard deviation of Gaussian augmentation (Cohen et al. 2019).
    ``levels``: inputs are rounded to so many levels; 0 for none.
    ``examples``: the first so many of the training split; 0 for all.
    ``depth``: of a decision tree; ``neighbours``: of a nearest-neighbour classifier.
    """

    player: str
    task: str
    architecture: str = ""
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
    depth: int = 0
    neighbours: int = 0

    @property
    def name(self) -> str:
        """The weight file's name without suffix."""
        return f"{self.player}-{self.task}"

    @property
    def hash(self) -> str:
        """Hex SHA-256 over the fields and the source of the architecture."""
        state = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode())
        if self.architecture:
            state.update((ARCHITECTURES / f"{self.architecture}.py").read_bytes())
        return state.hexdigest()


def _architecture(task: str) -> str:
    return "small_cnn" if task == "digits" else "cnn"


def _cnn(player: str, task: str, **changes: float) -> Recipe:
    epochs = {"digits": 40, "mnist-1-7": 10}.get(task, 12)
    settings = {"epochs": epochs} | changes
    return Recipe(player=player, task=task, architecture=_architecture(task), **settings)  # type: ignore[arg-type]


def _softmax(player: str, task: str, *, seed: int = 0) -> Recipe:
    return Recipe(
        player=player,
        task=task,
        architecture="softmax",
        seed=seed,
        epochs=100 if task == "digits" else 30,
        weight_decay=1e-4,
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
)


def find(name: str) -> Recipe:
    """The recipe of that weight file."""
    return next(recipe for recipe in RECIPES if recipe.name == name)
