"""Turns a torch checkpoint into safetensors: ``python -m arena.cli.convert MODEL.pt OUT``.

A process of its own, so that the command that asked never imports torch. Meant for a file of the
user's own: it is read with ``weights_only=True``, which refuses code, but a file from a stranger
has no business here.
"""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch

NESTED: Final = ("state_dict", "model_state_dict", "model")
"""Keys under which trainers keep the state dict in a checkpoint."""
PARALLEL: Final = "module."
"""What DataParallel puts before every name."""


def main(arguments: list[str]) -> int:
    """Prints ``{"name": [shape], ...}``; status 1 with a sentence where it cannot."""
    source, target = map(Path, arguments)
    try:
        tensors = state_dict(source)
    except Exception as error:  # noqa: BLE001 (torch.load raises whatever the file provokes)
        sys.stderr.write(f"{source.name} is no state dict that torch reads safely: {_why(error)}\n")
        return 1
    from safetensors.torch import save_file

    save_file(tensors, target)
    sys.stdout.write(json.dumps({name: list(t.shape) for name, t in tensors.items()}))
    return 0


def _why(error: Exception) -> str:
    """Without torch's advice to read the file unsafely."""
    if isinstance(error, pickle.UnpicklingError):
        return "it holds objects other than tensors, or code. Save model.state_dict() alone."
    return str(error).partition("\n")[0][:200]


def state_dict(source: Path) -> dict[str, torch.Tensor]:
    import torch

    loaded: Any = torch.load(source, map_location="cpu", weights_only=True)
    for key in NESTED:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not loaded:
        raise ValueError("it holds no mapping of names to tensors")
    if all(str(name).startswith(PARALLEL) for name in loaded):
        loaded = {str(name).removeprefix(PARALLEL): value for name, value in loaded.items()}
    wrong = [str(name) for name, value in loaded.items() if not isinstance(value, torch.Tensor)]
    if wrong:
        raise ValueError(f"{wrong[0][:60]!r} is no tensor")
    # Cloned: safetensors refuses tensors that share memory (tied weights).
    return {str(name): value.detach().contiguous().clone() for name, value in loaded.items()}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
