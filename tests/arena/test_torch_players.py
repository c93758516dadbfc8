"""Torch defenses: what they answer, and that their gradients are autograd's and calculus'."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from arena.errors import PackageError
from arena.players import TaskInfo, row_noise
from arena.torch_layout import HELD_BYTES, Layout
from arena.torch_players import TorchDefense, load_module

SHAPE = (1, 4, 4)
TASK = TaskInfo(name="t", shape=SHAPE, classes=("a", "b", "c"))
MANIFEST = """
schema_version = 1
name = "Dana's"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
differentiable = true
"""
LINEAR = """
import torch

def build():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
"""
CONVOLUTIONAL = """
import torch
from torch import nn

def build():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(16, 3),
    )
"""


def write(directory: Path, architecture: str = LINEAR, manifest: str = MANIFEST) -> torch.nn.Module:
    """A package with seeded weights; the module they come from."""
    (directory / "manifest.toml").write_text(manifest)
    (directory / "architecture.py").write_text(architecture)
    scope: dict[str, Any] = {}
    exec(architecture, scope)
    torch.manual_seed(0)
    module: torch.nn.Module = scope["build"]()
    save_file(module.state_dict(), directory / "weights.safetensors")
    return module.eval()


def inputs(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).random((count, *SHAPE)).astype(np.float32)


LABELS = np.array([0, 1, 2, 0, 1])


def test_weights_and_architecture_give_the_module_that_was_saved(tmp_path: Path) -> None:
    module = write(tmp_path, CONVOLUTIONAL)
    scores = TorchDefense(tmp_path, TASK).predict(inputs())
    with torch.no_grad():
        np.testing.assert_allclose(scores, module(torch.from_numpy(inputs())).numpy(), atol=1e-6)


def test_a_loaded_module_is_frozen_float32_in_evaluation_mode(tmp_path: Path) -> None:
    write(tmp_path, CONVOLUTIONAL.replace("nn.Linear(16, 3)", "nn.Linear(16, 3).double()"))
    module = load_module(tmp_path)
    assert not module.training
    assert all(not p.requires_grad and p.dtype is torch.float32 for p in module.parameters())


def test_the_gradient_of_a_linear_model_has_its_closed_form(tmp_path: Path) -> None:
    """d cross-entropy / dx = W^T (softmax(Wx + b) - onehot(y))."""
    linear = write(tmp_path)[1]
    logits, slope = TorchDefense(tmp_path, TASK).gradient(inputs(), LABELS)
    odds = np.exp(logits.astype(np.float64))
    odds /= odds.sum(1, keepdims=True)
    weight = linear.weight.detach().numpy()
    expected = ((odds - np.eye(3)[LABELS]) @ weight).reshape(slope.shape)
    np.testing.assert_allclose(slope, expected, atol=1e-6)


def test_fgsm_on_a_linear_model_has_its_closed_form(tmp_path: Path) -> None:
    """Two classes: every feature moves by epsilon towards the other class's weights."""
    two = LINEAR.replace("Linear(16, 3)", "Linear(16, 2)")
    linear = write(tmp_path, two)[1]
    task = TaskInfo(name="t", shape=SHAPE, classes=("a", "b"))
    y = np.array([0, 1, 0, 1, 0])
    _, slope = TorchDefense(tmp_path, task).gradient(inputs(), y)
    weight = linear.weight.detach().numpy()
    towards = np.sign(weight[1] - weight[0]).reshape(SHAPE)
    expected = np.where(y == 0, 1, -1)[:, None, None, None] * towards
    np.testing.assert_array_equal(np.sign(slope), expected)


def test_weighted_gradients_are_vector_jacobian_products(tmp_path: Path) -> None:
    module = write(tmp_path, CONVOLUTIONAL)
    weights = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    logits, slope = TorchDefense(tmp_path, TASK).gradient(inputs(), weights)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda one: module(one[None])[0]))(
        torch.from_numpy(inputs())
    )
    expected = torch.einsum("nk,nkchw->nchw", torch.from_numpy(weights), jacobian)
    np.testing.assert_allclose(slope, expected.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(logits, TorchDefense(tmp_path, TASK).predict(inputs()), atol=1e-6)


def test_a_row_s_gradient_does_not_depend_on_the_other_rows(tmp_path: Path) -> None:
    write(tmp_path, CONVOLUTIONAL)
    defense = TorchDefense(tmp_path, TASK)
    _, together = defense.gradient(inputs(), LABELS)
    for row in range(5):
        _, alone = defense.gradient(inputs()[row : row + 1], LABELS[row : row + 1])
        np.testing.assert_allclose(alone[0], together[row], atol=1e-6)


def test_read_only_and_empty_arrays_are_answered_too(tmp_path: Path) -> None:
    write(tmp_path)
    defense = TorchDefense(tmp_path, TASK)
    x = inputs()
    x.flags.writeable = False
    assert defense.predict(x).shape == (5, 3)
    assert defense.predict(x[:0]).shape == (0, 3)
    logits, slope = defense.gradient(x[:0], LABELS[:0])
    assert (logits.shape, slope.shape) == ((0, 3), (0, *SHAPE))


def test_preprocessing_is_part_of_the_gradient(tmp_path: Path) -> None:
    write(tmp_path)

    class Doubled(TorchDefense):
        def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return self.module(2 * x)

    _, plain = TorchDefense(tmp_path, TASK).gradient(inputs(), np.eye(3, dtype=np.float32)[LABELS])
    _, twice = Doubled(tmp_path, TASK).gradient(inputs(), np.eye(3, dtype=np.float32)[LABELS])
    np.testing.assert_allclose(twice, 2 * plain, rtol=1e-5)


def test_a_stochastic_defense_gives_the_same_answer_for_the_same_seed(tmp_path: Path) -> None:
    write(tmp_path)

    class Noisy(TorchDefense):
        def forward(self, x: torch.Tensor, seeds: np.ndarray) -> torch.Tensor:  # type: ignore[override]
            return self.module(x + torch.from_numpy(row_noise(SHAPE, seeds)))

    defense = Noisy(tmp_path, TASK)
    seeds = np.arange(5, dtype=np.uint64)
    first = defense.predict(inputs(), seeds)
    np.testing.assert_array_equal(first, defense.predict(inputs(), seeds))
    assert (first != defense.predict(inputs(), seeds + 1)).any()
    logits, _ = defense.gradient(inputs(), LABELS, seeds)
    np.testing.assert_allclose(logits, first, atol=1e-6)


def test_declared_probabilities_become_logits_for_the_gradient(tmp_path: Path) -> None:
    """softmax then log is the same up to a constant: the gradient of the loss is the same."""
    write(tmp_path)
    _, expected = TorchDefense(tmp_path, TASK).gradient(inputs(), LABELS)
    (tmp_path / "manifest.toml").write_text(MANIFEST + 'output = "probabilities"\n')

    class Normalised(TorchDefense):
        def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return self.module(x).softmax(1)

    defense = Normalised(tmp_path, TASK)
    np.testing.assert_allclose(defense.predict(inputs()).sum(1), 1, atol=1e-6)
    logits, slope = defense.gradient(inputs(), LABELS)
    np.testing.assert_allclose(np.exp(logits).sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(slope, expected, atol=1e-6)


def convolutions(channels: int, last: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, channels, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(channels, channels, 3, padding=1),
        last,
        torch.nn.Linear(16 * channels, 3),
    )


class Viewed(torch.nn.Module):
    """Flattens by a view, which channels-last pictures have not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(len(x), -1)


@pytest.mark.parametrize(
    ("channels", "flatten", "last"),
    [(8, torch.nn.Flatten(), False), (32, torch.nn.Flatten(), True), (32, Viewed(), False)],
)
def test_wide_convolutions_run_channels_last_where_they_can(
    tmp_path: Path, channels: int, flatten: torch.nn.Module, last: bool
) -> None:
    write(tmp_path)
    defense = TorchDefense(tmp_path, TASK)
    defense.module = convolutions(channels, flatten).requires_grad_(False)
    x = torch.from_numpy(inputs()).requires_grad_()
    expected = defense.module(x)
    loss = torch.nn.functional.cross_entropy(
        expected, torch.from_numpy(np.asarray(LABELS)), reduction="sum"
    )
    (slope,) = torch.autograd.grad(loss, x)
    answers = defense.predict(inputs())
    logits, gradient = defense.gradient(inputs(), LABELS)
    np.testing.assert_allclose(answers, logits, atol=1e-6)
    assert defense._layout is not None
    assert defense._layout.channels_last == last
    np.testing.assert_allclose(logits, expected.detach(), atol=1e-5)
    np.testing.assert_allclose(gradient, slope, atol=1e-5)


def test_a_model_is_asked_about_as_many_rows_as_it_can_hold(tmp_path: Path) -> None:
    write(tmp_path)
    defense, asked = TorchDefense(tmp_path, TASK), list[int]()
    defense.module = convolutions(64, torch.nn.Flatten()).requires_grad_(False)
    defense.module.register_forward_pre_hook(lambda _module, inputs: asked.append(len(inputs[0])))
    x = np.repeat(inputs(), 400, axis=0)  # 2,000 rows
    assert defense.predict(x).shape == (2000, 3)
    layers = 3 * 64 * 16 * 4  # two convolutions and a rectifier, of 64 channels of 4 x 4
    whole = [rows for rows in asked if rows > 2]  # the others were to see the layout
    assert sum(whole) == 2000
    assert 1 < len(whole) <= 5
    assert max(asked) * layers <= HELD_BYTES["cpu"]
    assert Layout(False, 10**12).rows("cpu") == 1


@pytest.mark.parametrize(
    ("architecture", "complaint"),
    [
        ("x = 1", "must define build"),
        ("def build():\n    return 1", "must return a torch.nn.Module"),
        (LINEAR.replace("Linear(16, 3)", "Linear(16, 4)"), "does not fit"),
        (LINEAR.replace("Flatten()", "Flatten(), torch.nn.Linear(16, 16)"), "does not fit"),
    ],
)
def test_a_builder_that_does_not_fit_is_told_so(
    tmp_path: Path, architecture: str, complaint: str
) -> None:
    write(tmp_path)
    (tmp_path / "architecture.py").write_text(architecture)
    with pytest.raises(PackageError, match=complaint):
        TorchDefense(tmp_path, TASK)


def test_weights_that_are_no_safetensors_are_not_opened(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(PackageError, match="no safetensors file"):
        load_module(tmp_path)
    torch.save(torch.nn.Linear(16, 3).state_dict(), tmp_path / "weights.npz")
    (tmp_path / "manifest.toml").write_text(MANIFEST.replace("weights.safetensors", "weights.npz"))
    with pytest.raises(PackageError, match=r"must be \.safetensors"):
        load_module(tmp_path)


def test_an_architecture_alone_is_built_untrained(tmp_path: Path) -> None:
    (tmp_path / "architecture.py").write_text(LINEAR)
    assert load_module(tmp_path)(torch.zeros(2, *SHAPE)).shape == (2, 3)


def test_architectures_of_two_packages_do_not_get_mixed_up(tmp_path: Path) -> None:
    for name, classes in (("one", 3), ("two", 5)):
        (tmp_path / name).mkdir()
        text = LINEAR.replace("Linear(16, 3)", f"Linear(16, {classes})")
        (tmp_path / name / "architecture.py").write_text(text)
    before = set(sys.modules)
    shapes = [load_module(tmp_path / n)(torch.zeros(1, *SHAPE)).shape for n in ("one", "two")]
    assert shapes == [(1, 3), (1, 5)]
    for name in set(sys.modules) - before:
        if name.startswith("architecture_"):
            del sys.modules[name]
