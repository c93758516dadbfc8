"""What a zygote does once, so that none of its children has to: first uses are dear.

Everything runs on one thread: a process with more could not be forked. The children's number of
threads is set in :func:`use_threads`.

Runs inside the jail.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Final

from arena.manifest import Framework

_SKLEARN: Final = (
    *("sklearn.neighbors", "sklearn.tree", "sklearn.svm", "sklearn.linear_model"),
    *("sklearn.ensemble", "sklearn.pipeline", "sklearn.preprocessing", "sklearn.neural_network"),
)


def _numpy() -> None:
    import numpy as np

    generator = np.random.default_rng(0)
    a = generator.random((32, 32)).astype(np.float32)
    np.linalg.norm(a @ a)


def _torch() -> None:
    """One step of training of a small net: loads the kernels and half of torch's modules."""
    import torch
    from torch import nn

    import arena.torch_players  # noqa: F401

    _numpy()
    torch.set_num_threads(1)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))
    optimizer = torch.optim.Adam(net.parameters())
    x = torch.zeros(2, 1, 8, 8, requires_grad=True)
    nn.functional.cross_entropy(net(x), torch.zeros(2, dtype=torch.long)).backward()
    optimizer.step()
    torch.optim.SGD(net.parameters(), lr=0.0).step()


def _sklearn() -> None:
    _numpy()
    for name in _SKLEARN:
        importlib.import_module(name)
    importlib.import_module("arena.sandbox.guest_sklearn")


def _onnx() -> None:
    _numpy()
    importlib.import_module("arena.sandbox.guest_onnx")


def warm(framework: str) -> None:
    """Everything that players of ``framework`` need before their own first line."""
    import arena.sandbox.child  # noqa: F401
    from arena.sandbox.guest_loader import import_framework

    import_framework(Framework(framework))
    _WARM[Framework(framework)]()


_WARM: Final[dict[Framework, Callable[[], None]]] = {
    Framework.NUMPY: _numpy,
    Framework.TORCH: _torch,
    Framework.SKLEARN: _sklearn,
    Framework.ONNX: _onnx,
}


def use_threads(count: int) -> None:
    """For what reads its number of threads when it is first used, and for what has begun."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(count)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(count)
