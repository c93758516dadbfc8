"""What a preset says of a round's switches, and how what was sent follows it.

A preset fills the switches where the page has its script, and on the way in where it has none:
:func:`settle` lets switches that still stand as the last preset left them follow the new one. So
what is sent means the same with and without JavaScript.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.http import QueryDict

from arena.threat_model import PRESET_NAMES, ThreatModel
from tournaments.services import MOST_ROUNDS
from web import round_usuals

PREFIX: Final = "rounds"
COUNTED: Final = "counted"

GROUPS: Final = (
    ("first_mover",),
    ("task_knowledge",),
    ("training_data", "samples"),
    ("learning_algorithm",),
    ("architecture",),
    ("parameters",),
    ("structure",),
    ("randomness",),
    ("probes", "queries", "total"),
    ("output", "top_k", "decimals"),
    ("feedback",),
    ("true_label",),
)
"""A switch and the numbers that belong to it; together they follow the preset, or do not."""


def values_of(model: ThreatModel) -> dict[str, str]:
    """A threat model as the texts of the form's fields; empty where there is no number."""
    probes = "unlimited" if model.probes.unlimited else "none" if model.probes.none else COUNTED
    found: dict[str, Any] = {
        "first_mover": model.first_mover.value,
        "training_data": model.training_data.kind.value,
        "samples": model.training_data.samples,
        "probes": probes,
        "queries": model.probes.per_example,
        "total": model.probes.total,
        "output": model.output.kind.value,
        "top_k": model.output.k,
        "decimals": model.output.decimals,
        "true_label": "yes" if model.true_label else "no",
    }
    plain = ("task_knowledge", "learning_algorithm", "architecture", "parameters", "structure",
             "randomness", "feedback")  # fmt: skip
    found |= {name: getattr(model, name).value for name in plain}
    return {name: "" if value is None else str(value) for name, value in found.items()}


PRESETS: Final = {name: values_of(ThreatModel.preset(name)) for name in PRESET_NAMES}


def settle(sent: QueryDict) -> QueryDict:
    """The same with each round's switches filled: what its preset says, unless it was changed."""
    data = sent.copy()
    for number in range(rounds_sent(data)):
        prefix = f"{PREFIX}-{number}"
        round_usuals.follow(data, prefix)
        preset = data.get(f"{prefix}-preset", "")
        if preset not in PRESETS:
            continue
        before = PRESETS.get(data.get(f"{prefix}-filled", ""))
        for group in GROUPS:
            given = {name: data.get(f"{prefix}-{name}", "").strip() for name in group}
            for name, value in _settled(given, group, PRESETS[preset], before).items():
                data[f"{prefix}-{name}"] = value
        data[f"{prefix}-filled"] = preset
    return data


def _settled(
    given: Mapping[str, str],
    group: tuple[str, ...],
    wanted: Mapping[str, str],
    before: Mapping[str, str] | None,
) -> dict[str, str]:
    """A group as it counts. A number alone, without its switch, replaces the preset's numbers."""
    switch, *numbers = group
    if not given[switch]:
        own = any(given[name] for name in numbers)
        return {switch: wanted[switch], **{n: given[n] if own else wanted[n] for n in numbers}}
    untouched = before is not None and all(given[name] == before[name] for name in group)
    return {name: wanted[name] if untouched else given[name] for name in group}


def rounds_sent(data: QueryDict) -> int:
    """How many, at most as many as a tournament may have."""
    text = data.get(f"{PREFIX}-TOTAL_FORMS", "")
    return min(int(text), MOST_ROUNDS) if text.isdecimal() and len(text) < 4 else 0
