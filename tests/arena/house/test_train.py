"""Recipes and weights belong together."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from arena import tasks
from arena.house import recipes, sidecar, train
from arena.house.objectives import OBJECTIVES, Step
from arena.house.recipes import RECIPES, Recipe

MIB = 1024 * 1024
ENTRIES = sidecar.read(train.WEIGHTS)


def ids(recipe: Recipe) -> str:
    return recipe.name


@pytest.mark.parametrize("recipe", RECIPES, ids=ids)
def test_weights_were_made_by_the_recipe_that_stands_here(recipe: Recipe) -> None:
    entry = ENTRIES[recipe.name]
    assert entry["recipe"] == recipe.hash, f"run python -m arena.house.train --only {recipe.player}"
    content = (train.WEIGHTS / entry["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == entry["sha256"]


@pytest.mark.parametrize("recipe", RECIPES, ids=ids)
def test_weights_were_trained_on_the_task_as_it_is(recipe: Recipe) -> None:
    entry, task = ENTRIES[recipe.name], tasks.load(recipe.task)
    assert entry["task_digest"] == task.digest
    assert tuple(entry["shape"]) == task.shape
    assert entry["classes"] == len(task.classes)


def test_no_weight_file_is_without_a_recipe_and_all_are_small() -> None:
    files = {p.name: p.stat().st_size for p in train.WEIGHTS.iterdir() if p.suffix != ".toml"}
    assert set(files) == {entry["file"] for entry in ENTRIES.values()}
    assert set(ENTRIES) == {recipe.name for recipe in RECIPES}
    assert max(files.values()) < MIB
    assert sum(files.values()) < 8 * MIB


@pytest.mark.parametrize("task", ["mnist5k", "fashion5k", "digits"])
def test_adversarial_training_passes_the_clean_floor(task: str) -> None:
    entry = ENTRIES[f"adversarial-training-{task}"]
    assert entry["clean_accuracy"] >= tasks.load(task).floor


def test_training_anew_makes_the_same_predictions() -> None:
    recipe = recipes.find("logistic-regression-mnist-1-7")
    arrays, accuracy = train.train(recipe)
    stored = safetensors.numpy.load_file(train.WEIGHTS / ENTRIES[recipe.name]["file"])
    task = tasks.load(recipe.task)
    x = task.practice.x.reshape(len(task.practice), -1)
    logits = [x @ w["1.weight"].T + w["1.bias"] for w in (arrays, stored)]
    assert (logits[0].argmax(1) == logits[1].argmax(1)).all()
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-3)
    assert accuracy == pytest.approx(ENTRIES[recipe.name]["clean_accuracy"], abs=1e-4)


def test_a_recipe_changes_its_hash_with_any_of_its_figures() -> None:
    recipe = recipes.find("cnn-digits")
    other = Recipe(
        player="cnn", task="digits", architecture=recipe.architecture, epochs=recipe.epochs + 1
    )
    assert recipe.hash != other.hash


def test_a_figure_that_a_recipe_leaves_alone_is_not_in_its_hash() -> None:
    recipe = recipes.find("cnn-digits")
    assert recipe.hash == replace(recipe, temperature=1.0).hash
    assert recipe.hash != replace(recipe, temperature=2.0).hash


def test_every_objective_is_trained_by_some_recipe() -> None:
    assert {recipe.objective for recipe in RECIPES} - {""} == {*OBJECTIVES, *train.CLOSED_FORMS}


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_a_step_down_every_objective_lowers_it(name: str) -> None:
    of_mails = name == "word insertion"
    task = tasks.load("spamassassin-words" if of_mails else "digits")
    recipe = next(r for r in RECIPES if r.objective == name and r.task == task.name)
    x, y = torch.tensor(task.train.x[:64]), torch.tensor(task.train.y[:64])
    model, teacher = train.build(recipe), train.build(replace(recipe, seed=9))
    losses = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(0)
        step = Step(model, x, y, recipe, 0.9, generator, teacher)
        loss = OBJECTIVES[name](step)
        slopes = torch.autograd.grad(loss, list(model.parameters()))
        length = torch.cat([slope.flatten() for slope in slopes]).norm()
        with torch.no_grad():
            for weight, slope in zip(model.parameters(), slopes, strict=True):
                weight -= 0.02 * slope / length
        losses.append(loss.item())
    assert losses[1] < losses[0]


def test_stored_examples_of_different_classes_lie_apart() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((80, 3)).astype(np.float32), rng.integers(0, 3, 80)
    kept = train.separated(x, y, 0.3)
    far = np.linalg.norm(x[kept][:, None] - x[kept], axis=2)
    assert (far[y[kept][:, None] != y[kept]] >= 0.3 - 1e-6).all()
    assert 0 < len(kept) < 80
    assert len(train.separated(x, y, 1e-9)) == 80


def test_arrays_are_saved_to_the_same_bytes(tmp_path: Path) -> None:
    arrays = {"b": np.ones(3, np.float32), "a": np.zeros((2, 2), np.float32)}
    for name in ("one.safetensors", "two.safetensors"):
        train.save(tmp_path / name, arrays)
    assert (tmp_path / "one.safetensors").read_bytes() == (
        tmp_path / "two.safetensors"
    ).read_bytes()
    restored = safetensors.numpy.load_file(tmp_path / "one.safetensors")
    assert restored["b"].tolist() == [1.0, 1.0, 1.0]


def test_nothing_is_trained_for_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.main(["--only", "nobody"])
    assert "no recipe fits" in capsys.readouterr().err
