"""What qualification's own figures are called; those of its friendlies are a verdict's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WORDS: Final[Mapping[str, str]] = {
    "floor": "Floor of the task",
    "examples": "Examples",
    "abstained": "Abstained",
    "differentiable": "Differentiable",
    "zero_gradients": "Gradients that are zero",
    "stochastic": "Stochastic",
    "answers_change_with_seed": "Answers change with the seed",
    "seconds_forward_256": "Seconds for 256 rows, forward",
    "seconds_backward_256": "Seconds for 256 rows, backward",
    "seconds_to_train": "Seconds to train",
    "seconds": "Seconds",
    "grey_eligible": "Fit for grey-box rounds",
    "grey_reason": "Grey-box rounds",
    "architecture_agrees": "Architecture and weights reproduce it",
    "redrawn_accuracy": "Accuracy with redrawn weights",
    "claimed_share": "Examples with a claim",
    "seconds_a_claim": "Seconds a claim",
    "friendly": "Friendly",
    "friendly_backdoor": "Backdoor friendly",
    "friendly_targeted": "Targeted friendly",
    "friendly_online": "Online friendly",
    "planted": "Planted examples",
    "epsilon": "ε",
    "norm": "Norm",
    "success": "Success",
    "reliable": "Reliable",
    "fault": "Fault",
}
SHARES: Final = frozenset(
    ("floor", "abstained", "zero_gradients", "architecture_agrees", "redrawn_accuracy",
     "claimed_share", "success")
)  # fmt: skip
"""Those that are shares of 1."""


def word(key: str) -> str:
    """The name of a figure; of one that has none its key, as words."""
    if key.startswith("claims_"):
        return f"Claims in {key.removeprefix('claims_')}"
    return WORDS.get(key) or key.replace("_", " ").capitalize()
