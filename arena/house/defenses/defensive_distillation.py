"""Defensive distillation: trained at a high temperature on another net's soft labels, used at one.

Papernot, McDaniel, Wu, Jha & Swami 2016 (arXiv:1511.04508), section IV. Used at T = 1 the logits
are T times too large: the softmax saturates, and the gradient of the cross-entropy rounds to
zero. Reported at 99.5 % against JSMA, and broken by attacks that go by the logits' margin
(Carlini & Wagner 2017, arXiv:1608.04644). It stays in the house to be flagged.
"""

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Defensive distillation"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:DefensiveDistillation"
differentiable = true
family = "defensive distillation"
description = "Trained at temperature 40 and used at 1: its softmax saturates (masked on purpose)."
"""


class DefensiveDistillation(TorchDefense):
    """The module of architecture.py with the weights of weights.safetensors, as it is."""
