"""A linear spam filter trained against added words.

min_θ E max over at most 30 added words of the loss: for a linear model the maximum is exact, the
absent words whose weights speak most for ham (``word_insertion`` in ``arena/house/objectives.py``,
after Globerson & Roweis 2006). No word is left with a large weight for ham.
"""

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Word insertion training"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:WordInsertionTraining"
differentiable = true
family = "logistic regression"
description = "One linear layer, trained on spam with the 30 words added that deceive it most."
"""


class WordInsertionTraining(TorchDefense):
    """The module of architecture.py with the weights of weights.safetensors, as it is."""
