"""The nearest neighbour, after training images too near to another class were taken out.

Wang, Jha & Chaudhuri 2018 (arXiv:1706.03922), section 3.3: no two images of different classes are
left nearer than 2 r in L2, so that everything within r of a stored image gets its label. Around any
x the label holds within (d - d0) / 2, d0 the distance to the nearest image, d that to the nearest
of another class. What is stored is what the cover of the conflicts left (``separated`` in
``arena/house/train.py``).
"""

MANIFEST = """
schema_version = 1
name = "Robust nearest neighbour"
role = "defense"
framework = "sklearn"
architecture = "architecture.toml"
weights = "weights.npz"
output = "probabilities"
family = "nearest neighbour"
description = "The nearest training image, of those that lie far from other classes."
"""
