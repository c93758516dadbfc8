"""Softmax regression: one linear layer, for inputs of any shape."""

import math

from torch import nn

SHAPE: tuple[int, ...] = (1, 28, 28)
CLASSES: int = 10


def build(shape: tuple[int, ...] = SHAPE, classes: int = CLASSES) -> nn.Module:
    """Logits W x + b."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))
