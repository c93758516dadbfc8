"""What a symptom is called, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class Code(StrEnum):
    """What a symptom is called in the database and in addresses."""

    ONE_STEP = "one_step_beats_iterative"
    BLACK_BOX = "black_box_beats_gradients"
    NOISE = "noise_beats_gradients"
    RISING = "more_epsilon_does_not_help"
    HUGE = "huge_epsilon_short_of_chance"
    ZERO = "zero_gradients"
    DOWNHILL = "gradients_do_not_lead_uphill"
    DOUBLED = "doubled_iterations_change_the_result"
    SPLITS = "practice_and_final_differ"
    NO_GRADIENTS = "no_gradients"
    CERTIFICATE = "certificate_broken"


NOTES: Final = frozenset({Code.NO_GRADIENTS})
"""Codes that inform and accuse nobody."""
REFUTED: Final = frozenset({Code.CERTIFICATE})
"""Codes of claims that do not hold, which say nothing of gradients."""


@dataclass(frozen=True)
class Symptom:
    """``figures`` hold the numbers behind the sentence, JSON values only."""

    code: Code
    sentence: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code.value, "sentence": self.sentence, "figures": dict(self.figures)}
