"""Train the house defenses anew: ``python -m arena.house.train [--only NAME] [--task TASK]``.

Writes ``weights/<player>-<task>.safetensors`` (``.npz`` for scikit-learn) and their entry in
``weights/weights.toml``. One thread and fixed seeds: the same machine makes the same bytes,
another one the same predictions but for rounding.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from arena import tasks
from arena.house import naive_bayes, sidecar
from arena.house.architectures import cnn, small_cnn, smooth_cnn, softmax
from arena.house.objectives import OBJECTIVES, Step
from arena.house.recipes import ARCHITECTURES, RECIPES, Recipe

BUILDERS: Final = {
    "cnn.py": cnn.build,
    "small_cnn.py": small_cnn.build,
    "smooth_cnn.py": smooth_cnn.build,
    "softmax.py": softmax.build,
}
#: Stored examples keep so many grey levels: what a nearest neighbour or a tree needs, in few bytes.
STORED_LEVELS: Final = 16
#: Objectives whose minimum is written down, where others descend.
CLOSED_FORMS: Final = {"naive bayes": naive_bayes.fill}
WEIGHTS: Final = Path(__file__).parent / "weights"

Arrays = dict[str, NDArray[Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m arena.house.train", description=__doc__)
    parser.add_argument("--only", metavar="NAME", help="one player, as recipes.py names it")
    parser.add_argument("--task", metavar="TASK", help="one task")
    options = parser.parse_args(arguments)
    chosen = [
        recipe
        for recipe in RECIPES
        if options.only in (None, recipe.player) and options.task in (None, recipe.task)
    ]
    if not chosen:
        parser.error("no recipe fits; recipes are in arena/house/recipes.py")
    torch.set_num_threads(1)
    for recipe in chosen:
        _make(recipe, WEIGHTS)
    return 0


def _make(recipe: Recipe, folder: Path) -> None:
    start = time.monotonic()
    arrays, accuracy = train(recipe)
    path = folder / f"{recipe.name}{suffix(recipe)}"
    save(path, arrays)
    task = tasks.load(recipe.task)
    sidecar.record(
        folder,
        recipe.name,
        {
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "recipe": recipe.hash,
            "task_digest": task.digest,
            "architecture": recipe.architecture,
            "shape": list(task.shape),
            "classes": len(task.classes),
            "clean_accuracy": round(accuracy, 4),
        },
    )
    seconds = time.monotonic() - start
    print(f"{path.name}: clean accuracy {accuracy:.3f}, {seconds:.0f} s", flush=True)  # noqa: T201


def suffix(recipe: Recipe) -> str:
    return ".safetensors" if recipe.architecture in BUILDERS else ".npz"


def save(path: Path, arrays: Arrays) -> None:
    """Write the arrays; the same arrays make the same bytes."""
    if path.suffix == ".safetensors":
        path.write_bytes(safetensors.numpy.save(dict(sorted(arrays.items()))))
    else:
        np.savez_compressed(path, allow_pickle=False, **arrays)


def train(recipe: Recipe) -> tuple[Arrays, float]:
    """The trained arrays and the accuracy on the whole practice split (without noise).

    Nets are kept in half precision, which is all that their files hold; players run in single.
    """
    return _train_torch(recipe) if recipe.architecture in BUILDERS else _train_sklearn(recipe)


# ── scikit-learn ───────────────────────────────────────────────────────────────────────────────


def _train_sklearn(recipe: Recipe) -> tuple[Arrays, float]:
    """The examples that the estimator is fitted on when it is loaded."""
    task = tasks.load(recipe.task)
    x, labels = _examples(recipe, task.train)
    stored, y = _rounded(x.flatten(1), STORED_LEVELS).numpy(), labels.numpy()
    if recipe.separation:
        kept = separated(stored, y, recipe.separation)
        stored, y = stored[kept], y[kept]
    table = tomllib.loads((ARCHITECTURES / recipe.architecture).read_text("utf-8"))
    module, _, name = table["class"].rpartition(".")
    estimator = getattr(importlib.import_module(module), name)(**table["params"])
    estimator.fit(stored, y)
    right = estimator.predict(task.practice.x.reshape(len(task.practice), -1)) == task.practice.y
    return {"x": stored, "y": y}, float(right.mean())


def separated(x: NDArray[np.float32], y: NDArray[np.int64], distance: float) -> NDArray[np.int64]:
    """Rows that are left when no two with different labels lie nearer than ``distance`` in L2.

    Wang, Jha & Chaudhuri 2018 (arXiv:1706.03922), section 3.3, remove as few as they can (a
    smallest vertex cover of the conflicts, for two classes). Here the row with the most conflicts
    goes first, over and over: the greedy cover, for any number of classes.
    """
    far = (x**2).sum(1)
    squares = far[:, None] - 2 * x @ x.T + far
    conflicts = (y[:, None] != y) & (squares < distance**2)
    count = conflicts.sum(1)
    kept = np.ones(len(x), bool)
    while count.max(initial=0):
        worst = int(count.argmax())
        kept[worst] = False
        count -= conflicts[worst]
        count[worst] = 0
        conflicts[worst] = conflicts[:, worst] = False
    return np.flatnonzero(kept)


# ── torch ──────────────────────────────────────────────────────────────────────────────────────


def _train_torch(recipe: Recipe) -> tuple[Arrays, float]:
    task = tasks.load(recipe.task)
    teacher = None
    if recipe.objective == "distillation":
        teacher = _fitted(replace(recipe, seed=recipe.seed + 1), task, None).eval()
    model = _fitted(recipe, task, teacher)
    arrays = {
        name: tensor.half().numpy() if tensor.is_floating_point() else tensor.numpy()
        for name, tensor in model.state_dict().items()
    }
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    practice_x, practice_y = _examples(recipe, task.practice)
    with torch.no_grad():
        right = model(_rounded(practice_x, recipe.levels)).argmax(1) == practice_y
    return arrays, float(right.float().mean())


def _fitted(recipe: Recipe, task: tasks.Task, teacher: nn.Module | None) -> nn.Module:
    x, y = _examples(recipe, task.train)
    model = build(recipe)
    if recipe.objective in CLOSED_FORMS:
        CLOSED_FORMS[recipe.objective](model, x, y)
        return model
    generator = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    batches = -(-len(x) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=2 * recipe.learning_rate, total_steps=recipe.epochs * batches
    )
    for epoch in range(recipe.epochs):
        for number, rows in enumerate(_batches(len(x), recipe.batch, generator)):
            progress = (epoch + number / batches) / recipe.epochs
            step = Step(model, x[rows], y[rows], recipe, progress, generator, teacher)
            optimizer.zero_grad()
            _loss(step, epoch).backward()
            optimizer.step()
            schedule.step()
    return model


def _loss(step: Step, epoch: int) -> Tensor:
    """The recipe's objective; the cross-entropy on disturbed inputs where it names none."""
    if step.recipe.objective:
        return OBJECTIVES[step.recipe.objective](step)
    inputs = _disturbed(step.model, step.x, step.y, step.recipe, epoch, step.generator)
    return functional.cross_entropy(step.model(inputs), step.y)


def build(recipe: Recipe) -> nn.Module:
    """The recipe's network with its initial weights."""
    task = tasks.load(recipe.task)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        return BUILDERS[recipe.architecture](task.shape, len(task.classes))


def _examples(recipe: Recipe, split: tasks.Split) -> tuple[Tensor, Tensor]:
    count = recipe.examples if split.name == "train" and recipe.examples else len(split)
    return torch.tensor(split.x[:count]), torch.tensor(split.y[:count])


def _batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    order = torch.randperm(count, generator=generator)
    yield from (order[start : start + size] for start in range(0, count, size))


def _disturbed(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    recipe: Recipe,
    epoch: int,
    generator: torch.Generator,
) -> Tensor:
    """The inputs that this recipe trains on: attacked, noisy, rounded or as they are."""
    if recipe.epsilon:
        growth = min(1.0, (epoch + 1) / max(1, recipe.warm_up))
        return _attacked(model, x, y, recipe, growth, generator)
    if recipe.noise:
        return x + recipe.noise * torch.randn(x.shape, generator=generator)
    return _rounded(x, recipe.levels)


def _rounded(x: Tensor, levels: int) -> Tensor:
    return torch.round(x * (levels - 1)) / (levels - 1) if levels else x


def _attacked(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    recipe: Recipe,
    growth: float,
    generator: torch.Generator,
) -> Tensor:
    """The inner maximisation of Madry et al. 2018, eq. 2.1: projected signed gradient steps."""
    epsilon, step = recipe.epsilon * growth, recipe.step * growth
    noise = 2 * torch.rand(x.shape, generator=generator) - 1
    task = tasks.load(recipe.task)
    attacked = _allowed(task, x, (x + epsilon * noise).clamp(0, 1))
    for _ in range(recipe.steps):
        attacked.requires_grad_()
        loss = functional.cross_entropy(model(attacked), y, reduction="sum")
        (slope,) = torch.autograd.grad(loss, attacked)
        attacked = attacked.detach() + step * slope.sign()
        attacked = torch.clamp(torch.minimum(attacked, x + epsilon), 0, 1)
        attacked = _allowed(task, x, torch.maximum(attacked, x - epsilon))
    return attacked


def _allowed(task: tasks.Task, x: Tensor, attacked: Tensor) -> Tensor:
    """What an attack on this task could hand in: fixed features stay, add-only ones never fall."""
    if task.mutable is not None:
        attacked = torch.where(torch.from_numpy(task.mutable), attacked, x)
    if task.add_only is not None:
        lowered = torch.from_numpy(task.add_only) & (attacked < x)
        attacked = torch.where(lowered, x, attacked)
    return attacked


if __name__ == "__main__":
    raise SystemExit(main())
