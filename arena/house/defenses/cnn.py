"""A small convolutional network without any defense: the baseline that attacks must break."""

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Plain CNN"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:Cnn"
differentiable = true
family = "convolutional network"
description = "Two convolutions and one hidden layer, trained without any defense."
"""


class Cnn(TorchDefense):
    """The module of architecture.py with the weights of weights.safetensors, as it is."""
