"""How a torch model is run: in which memory format, and how many rows at once.

Convolutions of many channels are faster channels-last, and a pass is fastest while what it holds
stays in the processor's cache. Both are read off the model once, with no clock: the same model is
run alike everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

HELD_BYTES: Final = {"cpu": 10 * 2**20, "cuda": 2**30}
"""What a forward pass may hold at once."""
MANY: Final = 32
"""Channels into a convolution from which on their order pays."""
SAME: Final = 1e-3
"""The most, of the largest score, that rounding in another order is taken to change."""


@dataclass(frozen=True)
class Layout:
    """``row_bytes``: what the outputs of a model's layers hold for one row."""

    channels_last: bool
    row_bytes: int

    def placed(self, x: Tensor) -> Tensor:
        """``x``, in the model's memory format."""
        if self.channels_last and x.ndim == 4:
            return x.contiguous(memory_format=torch.channels_last)
        return x

    def rows(self, device: str) -> int:
        return max(1, HELD_BYTES["cpu" if device == "cpu" else "cuda"] // max(1, self.row_bytes))


def layout_of(module: nn.Module, scores: Callable[[Tensor], Tensor], x: Tensor) -> Layout:
    """The layout of ``module``, seen on a row or two of ``x``; sets the format of its weights.

    ``scores`` runs the module and what a defense puts around it. A model that is at home in one
    format alone, because it takes a view of its channels, say, keeps to that.
    """
    # weights that are moved in inference mode would never again see a gradient
    with torch.inference_mode(mode=False), torch.no_grad():
        row_bytes = _row_bytes(module, scores, x)
        convolved = [
            layer.in_channels for layer in module.modules() if isinstance(layer, nn.Conv2d)
        ]
        wide = x.ndim == 4 and max(convolved, default=0) >= MANY
        last = wide and _runs_last(module, scores, x)
    return Layout(last, row_bytes)


def _row_bytes(module: nn.Module, scores: Callable[[Tensor], Tensor], x: Tensor) -> int:
    held = x.nbytes

    def count(_layer: nn.Module, _inputs: object, output: object) -> None:
        nonlocal held
        held += output.nbytes if isinstance(output, Tensor) else 0

    leaves = [layer for layer in module.modules() if not any(layer.children())]
    hooks = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        scores(x)
    finally:
        for hook in hooks:
            hook.remove()
    return held // len(x)


def _runs_last(module: nn.Module, scores: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    before = scores(x)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        after = scores(x.contiguous(memory_format=torch.channels_last))
    except RuntimeError:  # view() of what is no longer in one piece
        after = torch.full_like(before, torch.inf)
    if (after - before).abs().max() <= SAME * before.abs().max():
        return True
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return False
