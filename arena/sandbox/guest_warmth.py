"""What a zygote does once, so that none of its children has to: first uses are dear.

Everything runs on one thread: a process with more could not be forked. The children's number of
threads is set in :func:`use_threads`.

Runs inside the jail.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
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

    import arena.torch_layout
    import arena.torch_players  # noqa: F401

    _numpy()
    torch.set_num_threads(1)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))
    optimizer = torch.optim.Adam(net.parameters())
    x = torch.zeros(2, 1, 8, 8, requires_grad=True)
    nn.functional.cross_entropy(net(x), torch.zeros(2, dtype=torch.long)).backward()
    optimizer.step()
    torch.optim.SGD(net.parameters(), lr=0.0).step()
    _load_a_player()


_MANIFEST: Final = """
schema_version = 1
name = "Warmth"
role = "defense"
framework = "torch"
task = "warmth"
architecture = "architecture.py"
weights = "weights.safetensors"
differentiable = true
"""
_ARCHITECTURE: Final = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2))
"""


def _load_a_player() -> None:
    """The way that every player without code of its own is loaded, asked, and asked for slopes."""
    import numpy as np
    import safetensors.torch
    import torch

    from arena.manifest import FILE_NAME, Manifest
    from arena.players import TaskInfo
    from arena.sandbox.guest_loader import load_player

    space: dict[str, object] = {}
    exec(_ARCHITECTURE, space)  # noqa: S102 - the text above
    build: Callable[[], torch.nn.Module] = space["build"]  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch)
        (package / FILE_NAME).write_text(_MANIFEST)
        (package / "architecture.py").write_text(_ARCHITECTURE)
        safetensors.torch.save_file(build().state_dict(), package / "weights.safetensors")
        task = TaskInfo("warmth", (1, 8, 8), ("a", "b"))
        searched = list(sys.path)
        player = load_player(package, Manifest.parse(_MANIFEST.encode()), task)
        player.predict(np.zeros((2, 1, 8, 8), np.float32))
        player.gradient(np.zeros((2, 1, 8, 8), np.float32), np.zeros(2, np.int64))
        sys.path[:] = searched
        for name in [n for n, m in sys.modules.items() if _lies_in(m, scratch)]:
            del sys.modules[name]


def _lies_in(module: object, directory: str) -> bool:
    return str(getattr(module, "__file__", None) or "").startswith(directory)


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
    from arena.sandbox.guest_loader import import_framework, reseed

    import_framework(Framework(framework))
    _WARM[Framework(framework)]()
    reseed(0)


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
