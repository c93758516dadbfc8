"""Distributionally robust training by a penalty: WRM.

Sinha, Namkoong & Duchi 2018 (arXiv:1710.10571), algorithm 1 and eq. 2:

    min_θ E sup_z [loss(θ; z, y) - γ |z - x|²]

a penalty, not a ball: no radius is promised. Its certificate (theorem 3) is about the mean loss
of any perturbation of mean squared size ρ: E loss(x', y) ≤ γ ρ + E φ_γ(x, y), φ_γ the supremum
above. γ stands in the recipe; the net is smooth (ELU), as the theory asks.
"""

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "WRM"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:Wrm"
differentiable = true
family = "distributionally robust training"
description = "Trained on perturbations that a penalty on their squared size allows."
"""


class Wrm(TorchDefense):
    """The module of architecture.py with the weights of weights.safetensors, as it is."""
