"""Untrained builders that the house defenses share: ``build() -> torch.nn.Module``.

A file here becomes ``architecture.py`` of a package, with SHAPE and CLASSES set to the task's.
Inputs are (n, *SHAPE) float32 in [0, 1], outputs logits (n, CLASSES).
"""
