"""Three nearest neighbours in Euclidean distance: no gradients, no training, no code.

scikit-learn fits it on the stored examples when it is loaded. Cover & Hart 1967.
"""

MANIFEST = """
schema_version = 1
name = "Nearest neighbour"
role = "defense"
framework = "sklearn"
architecture = "architecture.toml"
weights = "weights.npz"
output = "probabilities"
family = "nearest neighbour"
description = "The majority of the three nearest training images. It gives no gradients."
"""
