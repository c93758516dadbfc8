"""Fast gradient sign method: one step along the sign of the gradient.

Goodfellow, Shlens & Szegedy 2015 (arXiv:1412.6572), section 4:

    x' = clip(x + ε sign(∇x loss(w, x, y)))

In L2 the steepest step is ε g / |g|2 (the fast gradient method). With a target t the step goes
down the loss of t. Where the round withholds labels, y is the label the defense predicts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arena.players import EvasionAttack, EvasionChallenge, QueryBudgetExceeded

MANIFEST = """
schema_version = 1
name = "FGSM"
role = "attack"
entry = "player.py:Fgsm"
family = "one-step gradient"
description = "One step of size ε along the sign of the gradient (Goodfellow et al. 2015)."

[needs]
gradients = true
norms = ["linf", "l2"]
games = ["evasion"]
"""

Images = NDArray[np.float32]


class Fgsm(EvasionAttack):
    """One gradient, one step."""

    def attack(self, challenge: EvasionChallenge) -> Images:
        epsilon = challenge.epsilon
        assert epsilon is not None, "FGSM takes one step of a given size."
        try:
            slope = self._slope(challenge)
        except QueryBudgetExceeded:  # the defense has no more time
            return challenge.x
        if challenge.targeted:
            slope = -slope
        slope = challenge.task.allowed(slope)
        if challenge.norm == "linf":
            step = np.sign(slope)
            step *= np.float32(epsilon)
            step += challenge.x
            return challenge.clip(step)
        return challenge.clip(challenge.x + epsilon * _unit(slope))

    def _slope(self, challenge: EvasionChallenge) -> Images:
        labels = challenge.targets if challenge.targets is not None else challenge.y
        if labels is None:
            labels = challenge.defense.logits(challenge.x).argmax(1)
        return challenge.defense.gradient(challenge.x, labels)


def _unit(slope: Images) -> NDArray[np.float64]:
    """g / |g|2 per example, a hair shorter, so that rounding to float32 stays inside the ball."""
    flat = slope.reshape(len(slope), -1).astype(np.float64)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    unit: NDArray[np.float64] = flat / np.maximum(length, 1e-300) * (1 - 1e-6)
    return unit.reshape(slope.shape)
