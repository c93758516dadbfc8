"""Adversarial logit pairing: an image and its perturbed copy are to have the same logits.

Kannan, Kurakin & Goodfellow 2018 (arXiv:1803.06373), eq. 1: loss on x and on PGD's x', plus
λ |z(x) - z(x')|². Reported on ImageNet at 27.9 %, and broken to .6 % by more steps (Engstrom,
Ilyas & Athalye 2018, arXiv:1807.10272). On small tasks the adversarial training within it holds;
what pairing adds is not robustness.
"""

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Adversarial logit pairing"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:AdversarialLogitPairing"
differentiable = true
family = "adversarial logit pairing"
description = "Adversarial training with the logits of x and x' pulled together."
"""


class AdversarialLogitPairing(TorchDefense):
    """The module of architecture.py with the weights of weights.safetensors, as it is."""
