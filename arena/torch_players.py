"""Torch for players: a defense that is a module with weights, and how an attack loads one.

A defense in twelve lines or none: ``architecture.py`` holds ``build() -> torch.nn.Module``, the
manifest names it and a ``.safetensors`` file, and :class:`TorchDefense` does the rest. Overriding
:meth:`TorchDefense.forward` puts anything differentiable around the module::

    class Defense(arena.torch_players.TorchDefense):
        def forward(self, x):
            return self.module((x > 0.5).float())

Torch is imported when the first of these is used, not with this file.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from arena.errors import PackageError
from arena.manifest import FILE_NAME, Manifest, Output
from arena.players import Defense, DefenseView, Images, Labels, Scores, TaskInfo

if TYPE_CHECKING:
    import torch

    from arena.torch_layout import Layout

__all__ = ["TorchDefense", "expected_gradient", "load_module", "straight_through"]

PROBED: Final = 2
"""Rows on which a model's layout is read off."""
SMALLEST_PROBABILITY: Final = 1e-12


class TorchDefense(Defense):
    """A defense whose scores come from a torch module.

    ``forward`` returns what the manifest declares as ``output``: logits, or probabilities. It must
    treat rows apart. With ``stochastic = true`` it is called as ``forward(x, seeds)``, ``seeds``
    (n,) uint64 in numpy, and draws row i's randomness from ``seeds[i]`` alone.
    """

    module: torch.nn.Module
    manifest: Manifest
    _layout: Layout | None = None
    """Read off the module when it is first asked."""

    def __init__(self, package: Path, task: TaskInfo) -> None:
        self.manifest = read_manifest(package)
        super().__init__(package, task)

    def load(self) -> None:
        """Build the module on the task's device, fill in the weights; an override may do more."""
        self.module = load_module(self.package).to(self.task.device)

    def forward(self, x: torch.Tensor, *seeds: NDArray[np.uint64]) -> torch.Tensor:
        """Scores (n, classes) of ``x`` (n, *shape) in [0, 1]; differentiable in x."""
        scores: torch.Tensor = self.module(x)
        return scores

    def predict(self, x: Images, seeds: NDArray[np.uint64] | None = None) -> Scores:
        """Scores (n, classes), batch after batch, without a graph."""
        import torch

        with torch.inference_mode():
            parts = [
                self._forward(self._there(_tensor(x[rows])), None if seeds is None else seeds[rows])
                for rows in self._batches(x, seeds)
            ]
        return _joined([part.cpu().numpy() for part in parts]) if parts else self._nothing()

    def gradient(
        self,
        x: Images,
        weights: Scores | Labels,
        seeds: NDArray[np.uint64] | None = None,
    ) -> tuple[Scores, Images]:
        """Logits and the gradient with respect to x, by one forward and one backward pass.

        ``weights`` (n,) int64: of each row's cross-entropy with that label. ``weights``
        (n, columns) float32: of sum_k weights[i, k] logits[i, k]. A row's gradient does not
        depend on the other rows: the losses are summed, not averaged.
        """
        parts = [
            self._backward(x[rows], weights[rows], None if seeds is None else seeds[rows])
            for rows in self._batches(x, seeds)
        ]
        if not parts:
            return self._nothing(), np.zeros_like(x)
        return _joined([p[0] for p in parts]), _joined([p[1] for p in parts])

    def _backward(
        self, x: Images, weights: NDArray[Any], seeds: NDArray[np.uint64] | None
    ) -> tuple[Scores, Images]:
        import torch
        from torch.nn import functional

        point = torch.tensor(x, dtype=torch.float32, device=self.task.device, requires_grad=True)
        with torch.enable_grad():
            logits = self._logits(self._forward(point, seeds))
            if weights.ndim == 1:
                loss = functional.cross_entropy(
                    logits, self._there(_tensor(weights)), reduction="sum"
                )
            else:
                loss = (logits * self._there(_tensor(weights))).sum()
            (slope,) = torch.autograd.grad(loss, point)
        return logits.detach().cpu().numpy(), slope.cpu().numpy()

    def _there(self, tensor: torch.Tensor) -> torch.Tensor:
        """On the task's device."""
        return tensor.to(self.task.device)

    def _forward(self, x: torch.Tensor, seeds: NDArray[np.uint64] | None) -> torch.Tensor:
        if self._layout is not None:
            x = self._layout.placed(x)
        scores = self.forward(x) if seeds is None else self.forward(x, seeds)
        return scores.float().contiguous()

    def _batches(self, x: Images, seeds: NDArray[np.uint64] | None) -> list[slice]:
        """Slices of rows that the model holds at once."""
        if not len(x):
            return []
        if self._layout is None:
            from arena.torch_layout import layout_of

            few = None if seeds is None else seeds[:PROBED]
            probe = self._there(_tensor(x[:PROBED].copy()))
            self._layout = layout_of(self.module, lambda some: self._forward(some, few), probe)
        size = self._layout.rows(self.task.device)
        return [slice(start, start + size) for start in range(0, len(x), size)]

    def _logits(self, scores: torch.Tensor) -> torch.Tensor:
        if self.manifest.output is Output.PROBABILITIES:
            return scores.clamp_min(SMALLEST_PROBABILITY).log()
        return scores

    def _nothing(self) -> Scores:
        columns = len(self.task.classes) + int(self.manifest.abstains)
        return np.zeros((0, columns), np.float32)


def load_module(directory: Path) -> torch.nn.Module:
    """The module of a package: built, filled with its weights if it has any, frozen, float32.

    Works on a whole package (a defense's own, ``challenge.package``, each of
    ``challenge.related``) and on ``challenge.architecture``, which holds a builder alone.

    Raises:
        PackageError: no builder, weights in another format, names or shapes that do not fit.
    """
    if not (directory / FILE_NAME).is_file():
        return _frozen(build(_only_builder(directory)))
    manifest = read_manifest(directory)
    if not manifest.architecture.endswith(".py"):
        raise PackageError('A torch model needs architecture = "architecture.py" in its manifest.')
    module = build(directory / manifest.architecture)
    if manifest.weights:
        fill(module, directory / manifest.weights)
    return _frozen(module)


def straight_through(
    shown: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    *,
    like: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """``shown(x)``, with the gradient of ``like(x)``, or of x itself: BPDA.

    Athalye, Carlini & Wagner 2018 (arXiv:1802.00420), section 4.1, for an adaptive attack that
    runs its opponent's net past a rounding, a median filter or the like::

        scores = net(straight_through(torch.round, x))
    """
    smooth = x if like is None else like(x)
    return smooth + (shown(x) - smooth).detach()


def expected_gradient(
    defense: DefenseView, x: Images, weights: Scores | Labels, *, draws: int
) -> tuple[Scores, Images]:
    """Mean logits and mean gradient over ``draws`` requests: expectation over transformation.

    Athalye, Engstrom, Ilyas & Kwok 2018 (arXiv:1707.07397), eq. 3, where the transformation is
    the randomness that a stochastic defense draws for each request. Arguments as for
    :meth:`arena.players.DefenseView.logits_and_gradient`; needs a white-box round.
    """
    if draws < 1:
        raise ValueError("An expectation takes at least one draw; pass draws=1 or more.")
    answers = [defense.logits_and_gradient(x, weights) for _ in range(draws)]
    logits, slopes = (np.mean([answer[i] for answer in answers], axis=0) for i in (0, 1))
    return logits.astype(np.float32), slopes.astype(np.float32)


def build(architecture: Path) -> torch.nn.Module:
    """What ``build()`` in the file returns; imported under a name of its own."""
    import torch

    name = f"architecture_{abs(hash(architecture.resolve().as_posix())):x}"
    spec = importlib.util.spec_from_file_location(name, architecture)
    if spec is None or spec.loader is None:
        raise PackageError(f"{architecture.name} is no Python file.")
    source = importlib.util.module_from_spec(spec)
    sys.modules[name] = source
    spec.loader.exec_module(source)
    if not hasattr(source, "build"):
        raise PackageError(f"{architecture.name} must define build() -> torch.nn.Module.")
    module = source.build()
    if not isinstance(module, torch.nn.Module):
        raise PackageError(f"build() in {architecture.name} must return a torch.nn.Module.")
    return module


def fill(module: torch.nn.Module, weights: Path) -> None:
    """Load ``.safetensors`` weights; every name and shape must fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if weights.suffix != ".safetensors":
        raise PackageError(f"{weights.name} must be .safetensors for a torch model.")
    try:
        module.load_state_dict(load_file(weights), strict=True)
    except SafetensorError as error:
        raise PackageError(f"{weights.name} is no safetensors file: {error}") from error
    except RuntimeError as error:
        raise PackageError(f"{weights.name} does not fit the architecture: {error}") from error


def read_manifest(package: Path) -> Manifest:
    return Manifest.parse((package / FILE_NAME).read_bytes())


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    """Shares memory where torch may; it warns of arrays that are read-only."""
    import torch

    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _frozen(module: torch.nn.Module) -> torch.nn.Module:
    return module.float().eval().requires_grad_(False)


def _only_builder(directory: Path) -> Path:
    builders = sorted(directory.rglob("*.py"))
    if len(builders) != 1:
        raise PackageError(f"{directory} holds {len(builders)} Python files; one builder is due.")
    return builders[0]
