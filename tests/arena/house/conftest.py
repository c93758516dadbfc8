"""The house in this process (direct.py), and small models that theory can speak about."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from arena import tasks


@cache
def _direct() -> ModuleType:
    name = "house_direct"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "direct.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def direct() -> ModuleType:
    torch.set_num_threads(1)
    return _direct()


@pytest.fixture(scope="session")
def digits() -> tasks.Task:
    return tasks.load("digits")


@pytest.fixture(scope="session")
def mnist() -> tasks.Task:
    return tasks.load("mnist5k")


@pytest.fixture(scope="session")
def house_cnn(direct: ModuleType, digits: tasks.Task) -> Any:
    """Dana's plain CNN on digits."""
    return direct.build("cnn", digits)


class Linear:
    """Logits W x + b with everything in closed form; ``calls`` counts backward passes."""

    manifest = SimpleNamespace(stochastic=False)

    def __init__(self, weight: Any, bias: Any) -> None:
        self.weight, self.bias = np.asarray(weight), np.asarray(bias)

    def predict(self, x: Any) -> Any:
        return (x.reshape(len(x), -1) @ self.weight.T + self.bias).astype(np.float32)

    def gradient(self, x: Any, weights: Any) -> tuple[Any, Any]:
        logits = self.predict(x)
        if weights.ndim == 1:
            odds = np.exp(logits - logits.max(1, keepdims=True))
            weights = odds / odds.sum(1, keepdims=True) - np.eye(logits.shape[1])[weights]
        return logits, (weights @ self.weight).reshape(x.shape).astype(np.float32)


@pytest.fixture
def linear() -> type[Linear]:
    return Linear
