"""Naive Bayes: the classic spam filter, and the one that good words were first used on.

Lowd & Meek 2005, "Good word attacks on statistical spam filters", section 3. How it is trained:
``arena/house/naive_bayes.py``; it is a linear model of the words that a mail holds.
"""

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Naive Bayes"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:NaiveBayes"
differentiable = true
family = "naive bayes"
description = "Bernoulli naive Bayes over words, written as a linear model."
"""


class NaiveBayes(TorchDefense):
    """The module of architecture.py with the weights of weights.safetensors, as it is."""
