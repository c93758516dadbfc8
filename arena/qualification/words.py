"""What qualification measured, flat and in words; its friendlies' figures are a verdict's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from arena import metric_names

WORDS: Final[Mapping[str, str]] = {
    "floor": "Floor of the task",
    "examples": "Examples",
    "abstained": "Abstained",
    "differentiable": "Differentiable",
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
NORMS: Final[Mapping[str, str]] = {"linf": "L∞", "l2": "L2", "l1": "L1", "l0": "L0"}
SHARES: Final = frozenset(
    ("floor", "abstained", "architecture_agrees", "redrawn_accuracy",
     "claimed_share", "success")
)  # fmt: skip
"""Those that are shares of 1."""


@dataclass(frozen=True)
class Measured:
    """One figure: its ``name`` in words with those of the tables around it, and its own key."""

    name: str
    key: str
    value: Any
    low: float | None = None
    high: float | None = None

    @property
    def is_share(self) -> bool:
        return self.key in SHARES or self.key in metric_names.SHARES


def flat(found: Mapping[str, Any], *, above: str = "") -> Iterator[Measured]:
    """Each figure, those of nested tables and of lists of tables under their table's name; of
    other lists what is in them, in one line."""
    for key, value in found.items():
        name = f"{above}{word(key)}"
        if isinstance(value, Mapping):
            yield from flat(value, above=f"{name}: ")
        elif isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
            for number, item in enumerate(value, start=1):
                yield from flat(item, above=f"{name} {number}: ")
        elif isinstance(value, list):
            yield Measured(name, key, ", ".join(str(_shown(key, item)) for item in value))
        elif not key.endswith(metric_names.ENDS):
            yield Measured(
                name, key, _shown(key, value), *(found.get(key + end) for end in metric_names.ENDS)
            )


def _shown(key: str, value: Any) -> Any:
    """Norms as the field writes them."""
    return NORMS.get(value, value) if key in ("norm", "norms", "certifies") else value


def word(key: str) -> str:
    """The name of a figure; of one that has none its key, as words."""
    known = WORDS.get(key) or metric_names.NAMES.get(key)
    if known is None and key.startswith("claims_"):
        norm = key.removeprefix("claims_")
        return f"Claims in {NORMS.get(norm, norm)}"
    return known or key.replace("_", " ").capitalize()
