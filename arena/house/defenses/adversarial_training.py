"""Adversarial training: the net is trained on the perturbations that PGD finds against it.

Madry et al. 2018 (arXiv:1706.06083): min_θ E max_{|δ|∞ ≤ ε} loss(θ, x + δ, y). The recipe of the
weights (``arena/house/recipes.py``) names ε, the steps and their size.
"""

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Adversarial training"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:AdversarialTraining"
differentiable = true
family = "adversarial training"
description = "A small convolutional net trained on the perturbations that PGD finds against it."
"""


class AdversarialTraining(TorchDefense):
    """The module of architecture.py with the weights of weights.safetensors, as it is."""
