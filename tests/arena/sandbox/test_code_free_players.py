"""Defenses without code: in their jail they answer what the same model answers here."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from arena.errors import FaultCode, PlayerError
from arena.packages import Package
from tests.arena.sandbox.players import SHAPE, Unjailed, images, no_seeds, package, seats

X = np.random.default_rng(5).random((30, *SHAPE)).astype(np.float32)
Y = np.arange(30) % 3
FLAT = X.reshape(30, -1)


def manifest(framework: str, weights: str, *, architecture: str = "", extra: str = "") -> str:
    named = f'architecture = "{architecture}"\n' if architecture else ""
    return (
        f'name = "D"\nrole = "defense"\nframework = "{framework}"\nweights = "{weights}"\n'
        + named
        + extra
    )


def scores(unjailed: Unjailed, player: Package, x: Any) -> Any:
    with seats(defense=player, backend=unjailed).open_defense() as seat:
        return seat.predict(x, no_seeds(len(x)))


# --- scikit-learn -----------------------------------------------------------------------------


def data(x: Any = X, y: Any = Y) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=x, y=y)
    return buffer.getvalue()


def described(name: str, params: str = "", *, extra: str = "", weights: bytes = b"") -> Package:
    files: dict[str, Any] = {
        "architecture.toml": f'class = "{name}"\n[params]\n{params}',
        "weights.npz": weights or data(),
    }
    head = manifest("sklearn", "weights.npz", architecture="architecture.toml", extra=extra)
    return package(head, **files)


PROBABILITIES = 'output = "probabilities"\n'


@pytest.mark.parametrize(
    ("name", "params", "estimator"),
    [
        (
            "sklearn.neighbors.KNeighborsClassifier",
            "n_neighbors = 3",
            KNeighborsClassifier(n_neighbors=3),
        ),
        (
            "sklearn.tree.DecisionTreeClassifier",
            "max_depth = 3",
            DecisionTreeClassifier(max_depth=3, random_state=0),
        ),
        ("sklearn.linear_model.LogisticRegression", "", LogisticRegression()),
    ],
)
def test_an_estimator_answers_its_probabilities(
    unjailed: Unjailed, name: str, params: str, estimator: Any
) -> None:
    got = scores(unjailed, described(name, params, extra=PROBABILITIES), images(9))
    expected = estimator.fit(FLAT, Y).predict_proba(images(9).reshape(9, -1))
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_an_estimator_without_probabilities_answers_its_decisions(unjailed: Unjailed) -> None:
    got = scores(unjailed, described("sklearn.svm.LinearSVC"), images(9))
    model = LinearSVC(random_state=0).fit(FLAT, Y)
    np.testing.assert_allclose(got, model.decision_function(images(9).reshape(9, -1)), atol=1e-5)


def test_one_column_of_a_binary_decision_becomes_two(unjailed: Unjailed) -> None:
    """And the class that was never trained is never answered."""
    player = described("sklearn.svm.LinearSVC", weights=data(X, Y % 2))
    got = scores(unjailed, player, X)
    model = LinearSVC(random_state=0).fit(FLAT, Y % 2)
    assert (got[:, 2] < got[:, :2].min(1)).all()
    np.testing.assert_array_equal(got.argmax(1), model.predict(FLAT))


def test_a_fitted_estimator_is_opened_inside_the_jail_alone(unjailed: Unjailed) -> None:
    joblib = pytest.importorskip("joblib")
    buffer = io.BytesIO()
    model = LogisticRegression().fit(FLAT, Y)
    joblib.dump(model, buffer)
    files: dict[str, Any] = {"model.joblib": buffer.getvalue()}
    player = package(manifest("sklearn", "model.joblib", extra=PROBABILITIES), **files)
    got = scores(unjailed, player, images(4))
    np.testing.assert_allclose(got, model.predict_proba(images(4).reshape(4, -1)), atol=1e-6)


@pytest.mark.parametrize(
    "player",
    [
        pytest.param(lambda: described("os.system"), id="not of scikit-learn"),
        pytest.param(lambda: described("sklearn.os.system"), id="through scikit-learn"),
        pytest.param(lambda: described("sklearn.nothing.Here"), id="no such class"),
        pytest.param(lambda: described("sklearn.svm.LinearSVC", "a = 1"), id="no such param"),
        pytest.param(lambda: described("sklearn.preprocessing.StandardScaler"), id="no classifier"),
        pytest.param(lambda: described("sklearn.svm.LinearSVC", weights=b"\x80\x04."), id="no npz"),
        pytest.param(
            lambda: described("sklearn.svm.LinearSVC", weights=data(np.array([object()] * 30), Y)),
            id="a pickle in the npz",
        ),
    ],
)
def test_what_is_no_classifier_cannot_be_loaded(unjailed: Unjailed, player: Any) -> None:
    with pytest.raises(PlayerError) as error:
        seats(defense=player(), backend=unjailed).open_defense()
    assert error.value.code is FaultCode.LOAD_FAILED


# --- ONNX -------------------------------------------------------------------------------------

WEIGHT = np.random.default_rng(2).standard_normal((6, 3)).astype(np.float32)


def graph(*, first: int | str | None = "n", flat: bool = False) -> bytes:
    """Flatten and multiply."""
    shape = [first, 6] if flat else [first, *SHAPE]
    nodes = [helper.make_node("MatMul", ["x" if flat else "flat", "w"], ["scores"])]
    if not flat:
        nodes.insert(0, helper.make_node("Flatten", ["x"], ["flat"], axis=1))
    built = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [first, 3])],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    model = helper.make_model(built, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.mark.parametrize("first", ["n", None, 1, 4])
@pytest.mark.parametrize("flat", [False, True])
def test_a_graph_answers_what_it_computes(
    unjailed: Unjailed, first: int | str | None, flat: bool
) -> None:
    files: dict[str, Any] = {"model.onnx": graph(first=first, flat=flat)}
    x = images(7)
    got = scores(unjailed, package(manifest("onnx", "model.onnx"), **files), x)
    np.testing.assert_allclose(got, x.reshape(7, -1) @ WEIGHT, atol=1e-5)


@pytest.mark.parametrize("content", [b"", b"not a graph", graph()[:-40]])
def test_what_is_no_graph_cannot_be_loaded(unjailed: Unjailed, content: bytes) -> None:
    files: dict[str, Any] = {"model.onnx": content}
    player = package(manifest("onnx", "model.onnx"), **files)
    with pytest.raises(PlayerError) as error:
        seats(defense=player, backend=unjailed).open_defense()
    assert error.value.code is FaultCode.LOAD_FAILED


# --- torch ------------------------------------------------------------------------------------


def test_a_torch_module_gives_scores_and_gradients_without_code(unjailed: Unjailed) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 3))
    files: dict[str, Any] = {
        "weights.safetensors": save(module.state_dict()),
        "architecture.py": (
            "from torch import nn\n"
            "def build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(6, 3))\n"
        ),
    }
    head = manifest(
        "torch",
        "weights.safetensors",
        architecture="architecture.py",
        extra="differentiable = true\n",
    )
    x, y = images(300), np.arange(300) % 3
    weights = np.eye(3, dtype=np.float32)[y]
    with seats(defense=package(head, **files), backend=unjailed).open_defense() as seat:
        got = seat.predict(x, no_seeds(300))
        logits, slope = seat.gradient(x, y, no_seeds(300))
        _, chosen = seat.gradient(x, weights, no_seeds(300))
    point = torch.from_numpy(x).requires_grad_()
    expected = module(point)
    np.testing.assert_allclose(got, expected.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(logits, got, atol=1e-5)
    loss = torch.nn.functional.cross_entropy(expected, torch.from_numpy(y), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, point)
    np.testing.assert_allclose(slope, gradient.numpy(), atol=1e-5)
    weight = module[1].weight.detach().numpy()
    np.testing.assert_allclose(chosen.reshape(300, 6), weight[y], atol=1e-6)


# --- behind the walls -------------------------------------------------------------------------


def torch_player() -> Package:
    files: dict[str, Any] = {
        "weights.safetensors": save({"1.weight": torch.from_numpy(WEIGHT.T.copy())}),
        "architecture.py": (
            "from torch import nn\n"
            "def build():\n"
            "    return nn.Sequential(nn.Flatten(), nn.Linear(6, 3, bias=False))\n"
        ),
    }
    head = manifest(
        "torch",
        "weights.safetensors",
        architecture="architecture.py",
        extra="differentiable = true\n",
    )
    return package(head, **files)


def onnx_player() -> Package:
    files: dict[str, Any] = {"model.onnx": graph()}
    return package(manifest("onnx", "model.onnx"), **files)


def sklearn_player() -> Package:
    return described("sklearn.neighbors.KNeighborsClassifier", "n_neighbors = 1")


@pytest.mark.jail
@pytest.mark.parametrize("player", [torch_player, onnx_player, sklearn_player])
def test_every_framework_plays_behind_the_walls_of_this_machine(
    unjailed: Unjailed, player: Any
) -> None:
    from arena.errors import SandboxUnavailable
    from arena.sandbox import choose

    try:
        backend = choose(trusted=True)
    except SandboxUnavailable as error:
        pytest.skip(f"needs a sandbox: {error}")
    x = X[:9]
    with seats(defense=player(), backend=backend).open_defense() as seat:
        inside = seat.predict(x, no_seeds(9))
        if seat.manifest.differentiable:
            _, slope = seat.gradient(x, np.eye(3, dtype=np.float32)[Y[:9]], no_seeds(9))
            np.testing.assert_allclose(slope.reshape(9, 6), WEIGHT.T[Y[:9]], atol=1e-6)
    np.testing.assert_allclose(inside, scores(unjailed, player(), x), atol=1e-6)
