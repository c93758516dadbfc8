"""From the files of a package to a player: the class that its manifest names, made once.

Runs in the jail, after the walls are up. Whatever goes wrong here is the player's own fault.
"""

from __future__ import annotations

import importlib.util
import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np

from arena.errors import PackageError
from arena.manifest import Framework, Manifest, Role
from arena.players import TaskInfo


def import_framework(framework: Framework) -> None:
    """Import what the manifest declares, before the walls go up; a numpy player pays nothing."""
    if framework is Framework.TORCH and "torch" not in sys.modules:
        import safetensors.torch  # noqa: F401
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    elif framework is Framework.SKLEARN:
        import sklearn  # noqa: F401
    elif framework is Framework.ONNX:
        import onnxruntime  # noqa: F401


def reseed(seed: int) -> None:
    """Seed what a player may draw from without saying so; each match is then repeatable.

    As ``torch.manual_seed`` does, but for devices that no jail has: asking after them takes a
    hundred times as long, and a fresh process most of all.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (players may still use the global generator)
    if "torch" in sys.modules:
        import torch

        torch.default_generator.manual_seed(seed % 2**63)
        if torch.backends.cuda.is_built():
            torch.cuda.manual_seed_all(seed % 2**63)


def load_player(package: Path, manifest: Manifest, task: TaskInfo) -> Any:
    """The player, loaded: its own class, or the one of its framework where it has no code."""
    sys.path.insert(0, str(package))
    if not manifest.entry:
        return _code_free(manifest.framework)(package, task)
    player = _entry(package, manifest.entry)
    if manifest.role in (Role.DEFENSE, Role.LEARNER):
        return player(package, task)
    return player(package)


def _code_free(framework: Framework) -> Any:
    if framework is Framework.TORCH:
        from arena.torch_players import TorchDefense

        return TorchDefense
    if framework is Framework.SKLEARN:
        from arena.sandbox.guest_sklearn import SklearnDefense

        return SklearnDefense
    if framework is Framework.ONNX:
        from arena.sandbox.guest_onnx import OnnxDefense

        return OnnxDefense
    raise PackageError('A numpy player needs entry = "player.py:ClassName".')


def _entry(package: Path, entry: str) -> Any:
    """``player.py:Defense`` -> the class; the file is imported under its own stem."""
    file, _, name = entry.partition(":")
    path = package / file
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise PackageError(f"{file} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    if not isinstance(getattr(module, name, None), type):
        raise PackageError(f"{file} defines no class {name}.")
    return getattr(module, name)
