"""BPDA: the gradient goes around what cannot be differentiated, the answer goes through it.

Athalye, Carlini & Wagner 2018 (arXiv:1802.00420), section 4.1: for a defense f(g(x)) with g near
the identity, the forward pass runs through g, and the backward pass takes ∇g for 1:

    ∇x f(g(x)) ≈ ∇f at g(x)

The net f is read from the package that the round reveals; the answers come from the defense
itself. Where g is not known, ∇f is taken at x + a little noise, averaged over DRAWS (expectation
over transformation, Athalye et al. 2018, arXiv:1707.07397): that sees past the steps of a rounding
too. The steps are PGD's, with momentum, on the margin; finished examples leave the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from arena.house.attacks.ball import steepest
from arena.house.attacks.pgd import project, settled
from arena.players import EvasionAttack, EvasionChallenge, QueryBudgetExceeded
from arena.torch_players import load_module

MANIFEST = """
schema_version = 1
name = "BPDA"
role = "attack"
framework = "torch"
entry = "player.py:Bpda"
family = "iterative gradient"
description = "PGD on the net inside the defense, past whatever hides its gradients."

[needs]
gradients = true
norms = ["linf", "l2"]
games = ["evasion"]
"""

Images = NDArray[np.float32]
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


class Bpda(EvasionAttack):
    """``steps`` of a run, ``restarts``; ``draws`` of noise of size ``noise`` for each gradient."""

    steps = 60
    restarts = 2
    momentum = 0.75
    draws = 3
    noise = 0.1

    def attack(self, challenge: EvasionChallenge) -> Images:
        for option in ("steps", "restarts", "momentum", "draws", "noise"):
            setattr(self, option, self.options.get(option, getattr(self, option)))
        assert challenge.package is not None, "BPDA reads the opponent's net."
        torch.set_num_threads(1)
        net, rng = load_module(challenge.package), challenge.rng()
        best, done = challenge.x.copy(), np.zeros(len(challenge), bool)
        labels = challenge.targets if challenge.targets is not None else challenge.y
        try:
            if labels is None:
                labels = challenge.defense.logits(challenge.x).argmax(1)
            for restart in range(self.restarts):
                self._run(challenge, net, labels, best, done, rng, restart)
                challenge.submit(best)
        except QueryBudgetExceeded:  # the defense's time is up: what was found stands
            pass
        return best

    def _run(
        self,
        challenge: EvasionChallenge,
        net: torch.nn.Module,
        labels: Labels,
        best: Images,
        done: NDArray[np.bool_],
        rng: np.random.Generator,
        restart: int,
    ) -> None:
        """One run over what stands; ``best`` and ``done`` are kept."""
        epsilon, norm = challenge.epsilon, challenge.norm
        assert epsilon is not None, "BPDA searches a ball of a given size."
        x = challenge.x.reshape(len(challenge), -1).astype(np.float64)
        delta, velocity = np.zeros_like(x), np.zeros_like(x)
        if restart:
            delta = _within(challenge, epsilon * rng.uniform(-1, 1, x.shape), x)
        for step in range(self.steps + 1):
            rows = np.flatnonzero(~done)
            if not len(rows):
                return
            radius = np.full(len(rows), epsilon)
            images = settled(x[rows], delta[rows].copy(), radius, norm).reshape(
                -1, *challenge.x.shape[1:]
            )
            logits = challenge.defense.logits(images)
            hit = self._fooled(challenge, logits, labels[rows])
            best[rows[hit]], done[rows[hit]] = images[hit], True
            rows, images, logits = rows[~hit], images[~hit], logits[~hit]
            if step == self.steps or not len(rows):
                return
            weights = _margin_weights(challenge, logits, labels[rows])
            slope = self._slope(net, images, weights, rng)
            kept = self.momentum * velocity[rows] + (1 - self.momentum) * steepest(slope, norm)
            velocity[rows] = kept
            size = epsilon * (1.0 if step + restart == 0 else 0.5 * (1 - step / self.steps))
            moved = delta[rows] + size * steepest(kept, norm)
            delta[rows] = _within(challenge, moved, x[rows])

    def _slope(
        self,
        net: torch.nn.Module,
        images: Images,
        weights: NDArray[np.float32],
        rng: np.random.Generator,
    ) -> Floats:
        """Of sum_k weights[i, k] f_k around the images, averaged over noise."""
        total = np.zeros((len(images), int(np.prod(images.shape[1:]))))
        for draw in range(self.draws):
            noise = 0.0 if draw == 0 else self.noise * rng.standard_normal(images.shape)
            near = np.clip(images + noise, 0, 1).astype(np.float32)
            point = torch.from_numpy(near).requires_grad_()
            scores = net(point)
            aim = torch.from_numpy(weights[:, : scores.shape[1]])
            (slope,) = torch.autograd.grad((scores * aim).sum(), point)
            total += slope.numpy().reshape(len(images), -1)
        return total

    def _fooled(self, challenge: EvasionChallenge, logits: Any, labels: Labels) -> Any:
        answers = logits.argmax(1)
        if challenge.targeted:
            return answers == labels
        return (answers != labels) & (answers < (len(challenge.task.classes) or logits.shape[1]))


def _margin_weights(
    challenge: EvasionChallenge, logits: NDArray[np.float32], labels: Labels
) -> NDArray[np.float32]:
    """Towards the best class other than the label; towards the target in targeted rounds."""
    line, classes = np.arange(len(labels)), len(challenge.task.classes) or logits.shape[1]
    others = logits[:, :classes].astype(np.float64)
    others[line, labels] = -np.inf
    weights = np.zeros_like(logits)
    weights[line, others.argmax(1)] = 1.0
    weights[line, labels] = -1.0
    return -weights if challenge.targeted else weights


def _within(challenge: EvasionChallenge, delta: Floats, x: Floats) -> Floats:
    delta = challenge.task.allowed(delta)
    assert challenge.epsilon is not None
    return project(delta, x, np.full((len(x), 1), challenge.epsilon), challenge.norm)
