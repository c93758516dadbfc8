"""Virtual adversarial training: the answer is to stay the same where it changes fastest.

Miyato, Maeda, Koyama & Ishii 2018 (arXiv:1704.03976), eq. 5 to 8: loss(x, y) +
λ KL(p(x) | p(x + r)), r of L2 length ε along the direction in which the divergence grows fastest,
found by the power iteration. No label enters r. Made for learning with few labels; as a defense
it smooths a little.
"""

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Virtual adversarial training"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:VirtualAdversarial"
differentiable = true
family = "virtual adversarial training"
description = "Trained to answer alike along the direction in which its answer changes fastest."
"""


class VirtualAdversarial(TorchDefense):
    """The module of architecture.py with the weights of weights.safetensors, as it is."""
