"""A support vector machine with a radial kernel: no gradients are served. Fitted when loaded.

Cortes & Vapnik 1995, one against one, by scikit-learn; the scores are its decision function.
"""

MANIFEST = """
schema_version = 1
name = "Support vector machine"
role = "defense"
framework = "sklearn"
architecture = "architecture.toml"
weights = "weights.npz"
output = "logits"
family = "support vector machine"
description = "A radial kernel on a part of the training set. It gives no gradients."
"""
