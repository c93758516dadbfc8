"""The registry finds players by their files and builds the packages a guest would upload."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from arena import house, tasks
from arena.errors import PackageError
from arena.house import baseline, recipes, registry
from arena.manifest import Manifest, Role
from arena.packages import Package
from arena.sandbox.view import GUEST_DISTRIBUTIONS, REFEREE_DISTRIBUTIONS
from arena.tasks.own_data import Wishes, import_own

ATTACKS = [
    "audit-suite",
    "boundary",
    "bpda",
    "cw-l0",
    "cw-l2",
    "cw-linf",
    "ensemble-transfer",
    "fgsm",
    "good-words",
    "good-words-by-probes",
    "jacobian-substitute",
    "jsma",
    "patch",
    "pgd",
    "random-noise",
    "replay",
    "spatial-grid",
    "square",
    "worst-corruption",
]
WITH_NETS = ["bpda", "ensemble-transfer", "jacobian-substitute"]
DEFENSES = [
    "abstaining",
    "adversarial-logit-pairing",
    "adversarial-training",
    "calibrated-confidence",
    "certified-linear",
    "certified-smoothing",
    "clean-logit-pairing",
    "cnn",
    "decision-tree",
    "defensive-distillation",
    "input-discretisation",
    "interval-bounds",
    "label-smoothing",
    "logistic-regression",
    "logit-squeezing",
    "naive-bayes",
    "nearest-neighbour",
    "noisy-input",
    "randomized-smoothing",
    "refusal",
    "robust-nearest-neighbour",
    "rounded-answers",
    "support-vector-machine",
    "top-answer",
    "virtual-adversarial",
    "word-insertion-training",
    "wrm",
]
FILTERS = ["naive-bayes", "word-insertion-training"]
"""Of mails by their words alone."""
EVERYWHERE = [
    "abstaining",
    "adversarial-training",
    "certified-linear",
    "cnn",
    "decision-tree",
    "input-discretisation",
    "logistic-regression",
    "nearest-neighbour",
    "noisy-input",
    "randomized-smoothing",
    "refusal",
    "rounded-answers",
    "top-answer",
]
"""The defenses of the demo and of every task; the tutorial's others play digits and mnist5k."""


def test_the_house_names_its_attacks_and_defenses() -> None:
    assert house.names("attack") == ATTACKS
    assert house.names(Role.DEFENSE) == DEFENSES
    assert set(ATTACKS + DEFENSES) <= set(house.names())


@pytest.mark.parametrize("name", house.names())
def test_every_file_holds_a_manifest_of_its_folders_role(name: str) -> None:
    manifest = house.manifest(name)
    folder = house.describe(name)["source"].split("/")[2]
    assert registry.FOLDERS[manifest.role.value] == folder
    assert manifest.description


@pytest.mark.parametrize("name", DEFENSES)
def test_a_defense_has_weights_for_its_tasks(name: str) -> None:
    needed = {"mnist5k", "digits"} | ({"fashion5k"} if name in EVERYWHERE else set())
    needed = {"spamassassin-words"} if name in FILTERS else needed
    assert needed <= set(registry.tasks_of(name))


def test_weights_may_be_lent_by_another_defense() -> None:
    for borrower, lender in recipes.LENT.items():
        ours, theirs = house.package(borrower, "digits"), house.package(lender, "digits")
        assert ours.files["weights.safetensors"] == theirs.files["weights.safetensors"]
        assert ours.files["player.py"] != theirs.files["player.py"]
        assert not any(recipe.player == borrower for recipe in recipes.RECIPES)


def test_a_player_that_builds_on_a_neighbour_takes_its_file_along() -> None:
    package = house.package("audit-suite", "digits")
    assert package.files["square.py"] == house.package("square", "digits").files["player.py"]
    assert {"ball.py", "fab.py", "square.py"} < set(package.files)
    assert b"from square import Square" in package.files["player.py"]
    assert b"arena.house" not in package.files["player.py"]


@pytest.mark.parametrize("name", DEFENSES)
def test_a_package_survives_being_zipped_like_a_guests(name: str) -> None:
    for task in registry.tasks_of(name):
        package = house.package(name, task)
        assert package.manifest.plays_task(task)
        assert type(package).read(package.to_zip()).sha256 == package.sha256


def test_an_architecture_is_set_to_the_shape_and_classes_of_the_task() -> None:
    source = house.package("cnn", "mnist-1-7").files["architecture.py"].decode()
    assert "CLASSES: int = 2\n" in source
    assert "SHAPE: tuple[int, ...] = (1, 28, 28)\n" in source


def test_the_full_data_sets_are_played_by_the_models_of_their_subsets() -> None:
    full, subset = house.package("cnn", "mnist"), house.package("cnn", "mnist5k")
    assert full.manifest.tasks == ("mnist",)
    assert full.files["weights.safetensors"] == subset.files["weights.safetensors"]


def test_an_unknown_player_is_answered_with_the_nearest_and_where_all_are_listed() -> None:
    with pytest.raises(PackageError, match=r"did you mean 'fgsm'.*`arena house list`"):
        house.package("fgsn", "mnist5k")


@pytest.mark.parametrize("name", ["../registry", "cnn.py", "CNN", "_adam", "attacks/fgsm", ""])
def test_a_name_never_leaves_the_folders_of_the_house(name: str) -> None:
    with pytest.raises(PackageError, match="There is no house player"):
        house.package(name, "mnist5k")


def test_a_task_without_weights_is_answered_with_the_tasks_there_are() -> None:
    with pytest.raises(PackageError, match=r"has no weights for task 'imagenet'.*digits"):
        house.package("cnn", "imagenet")


def test_related_models_are_of_the_declared_family_and_never_the_defenses_own() -> None:
    (related,) = house.related("Convolutional network", "mnist5k")
    own = house.package("cnn", "mnist5k")
    assert related.files["architecture.py"] == own.files["architecture.py"]
    assert related.files["weights.safetensors"] != own.files["weights.safetensors"]


def test_an_unknown_family_gets_a_net_and_a_linear_model() -> None:
    for family in (None, "", "quantum forest"):
        names = [package.manifest.name for package in house.related(family, "digits")]
        assert names == ["related-cnn-digits", "related-logistic-regression-digits"]


def test_reading_the_house_imports_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys; from arena import house\n"
        "for name in house.names(): house.describe(name)\n"
        "house.package('cnn', 'mnist5k'); house.related('', 'mnist5k')\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", [n for n in ATTACKS if n not in WITH_NETS])
def test_attacks_that_need_no_torch_do_not_ask_for_it(name: str) -> None:
    package = house.package(name, "mnist5k")
    assert package.manifest.framework.value == "numpy"
    assert b"import torch" not in package.files["player.py"]


def test_every_evasion_round_has_an_attack_that_can_play_it() -> None:
    def plays(manifest: Manifest, game: str, norm: str, goal: str) -> bool:
        needs = manifest.needs
        plain = not (needs.gradients or needs.probes or needs.training_data or needs.related)
        return plain and all(
            not allowed or value in allowed
            for allowed, value in ((needs.games, game), (needs.norms, norm), (needs.goals, goal))
        )

    attacks = [house.manifest(name) for name in ATTACKS]
    for game in ("evasion", "transfer"):
        for norm in ("linf", "l2", "l1", "l0"):
            for goal in ("untargeted", "targeted"):
                assert any(plays(manifest, game, norm, goal) for manifest in attacks)


# --- tasks that the house ships no weights for ----------------------------------------------------


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tasks.Task:
    """Digits under another name, and without its house weights."""
    monkeypatch.setenv("ADVERSARIUM_DATA", str(tmp_path / "data"))
    digits = tasks.load("digits")
    for split in (digits.train, digits.practice):
        assert len(np.unique(split.y)) == 10
    np.savez(
        tmp_path / "own.npz",
        x_train=digits.train.x, y_train=digits.train.y,
        x_test=digits.practice.x, y_test=digits.practice.y,
    )  # fmt: skip
    import_own("own", tmp_path / "own.npz", Wishes(drop_duplicates=True))
    return tasks.load("own")


def accuracy(package: Package, task: tasks.Task) -> float:
    tensors = load(package.files["weights.safetensors"])
    flat = task.practice.x.reshape(len(task.practice), -1)
    scores = flat @ tensors["1.weight"].T + tensors["1.bias"]
    return float((scores.argmax(axis=1) == task.practice.y).mean())


def test_the_baseline_is_fitted_to_an_organizer_s_own_task(own: tasks.Task) -> None:
    shipped = accuracy(house.package("logistic-regression", "digits"), tasks.load("digits"))
    fitted = house.package("logistic-regression", "own")
    assert fitted.manifest.plays_task("own")
    assert accuracy(fitted, own) > shipped - 0.03
    for lent in ("rounded-answers", "top-answer", "refusal"):
        weights = house.package(lent, "own").files["weights.safetensors"]
        assert weights == fitted.files["weights.safetensors"]
    (related,) = house.related("support vector machine", "own")
    assert related.files["weights.safetensors"] != fitted.files["weights.safetensors"]
    assert accuracy(related, own) > shipped - 0.05


def test_the_baseline_is_fitted_where_the_referee_sits_too() -> None:
    """Its jail shows no framework and no safetensors: what the house fits there does without."""
    blocked = [n for n in ("torch", "onnxruntime", "safetensors") if n in GUEST_DISTRIBUTIONS]
    assert not set(blocked) & set(REFEREE_DISTRIBUTIONS)
    script = (
        f"import sys; sys.modules |= dict.fromkeys({blocked!r})\n"
        "import numpy as np, arena.house.baseline as b, arena.tasks as t\n"
        "b._weights.__wrapped__('spambase', '', 1)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_what_must_be_trained_is_not_at_home_on_an_own_task(own: tasks.Task) -> None:
    with pytest.raises(PackageError, match="no weights for task 'own'"):
        house.package("cnn", "own")


def test_the_baseline_s_slope_vanishes_where_it_was_fitted() -> None:
    """Softmax regression is convex: at its optimum the penalized gradient is nothing."""
    stream = np.random.default_rng(0)
    x = stream.normal(size=(200, 3)) + 4
    y = np.eye(3)[(x @ stream.normal(size=(3, 3)) + stream.gumbel(size=(200, 3))).argmax(axis=1)]
    weight, bias = baseline.fitted(x, y)
    scores = np.exp(x @ weight.T + bias)
    wrong = scores / scores.sum(axis=1, keepdims=True) - y
    assert np.abs(wrong.T @ (x - x.mean(axis=0)) / 200 + baseline.DECAY * weight).max() < 1e-3
    assert np.abs(wrong.mean(axis=0)).max() < 1e-3
