"""Softmax regression: the linear baseline, whose worst perturbation has a closed form."""

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Logistic regression"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:LogisticRegression"
differentiable = true
family = "logistic regression"
description = "One linear layer with softmax, trained without any defense."
"""


class LogisticRegression(TorchDefense):
    """The module of architecture.py with the weights of weights.safetensors, as it is."""
