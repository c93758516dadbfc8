"""Label smoothing: the net is trained never to be sure.

Szegedy et al. 2016, section 7, as a defense: Warde-Farley & Goodfellow 2016. The target is
(1 - s) one-hot + s / K; s stands in the recipe (``arena/house/recipes.py``). It was among the best
of its day against one step; small logits flatten the loss, and an attack that goes by the margin
walks through. It stays in the house so that the evidence page has something to show.
"""

from arena.torch_players import TorchDefense

MANIFEST = """
schema_version = 1
name = "Label smoothing"
role = "defense"
framework = "torch"
architecture = "architecture.py"
weights = "weights.safetensors"
entry = "player.py:LabelSmoothing"
differentiable = true
family = "label smoothing"
description = "Trained with targets that are never sure; falls to many steps."
"""


class LabelSmoothing(TorchDefense):
    """The module of architecture.py with the weights of weights.safetensors, as it is."""
