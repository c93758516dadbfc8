"""A decision tree: piecewise constant, so that gradients say nothing. Fitted when it is loaded.

Breiman, Friedman, Olshen & Stone 1984, with entropy as the impurity.
"""

MANIFEST = """
schema_version = 1
name = "Decision tree"
role = "defense"
framework = "sklearn"
architecture = "architecture.toml"
weights = "weights.npz"
output = "probabilities"
family = "decision tree"
description = "One tree, grown on a part of the training set. It gives no gradients."
"""
