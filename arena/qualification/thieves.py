"""A thief: it steals a house model in a black-box round."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from arena import house
from arena.qualification.check import HOUSE_DEFENSE, Check, Rejected, friendly, judged
from arena.rounds import GameName, RoundSpec
from arena.threat_model import OracleOutput, OutputKind, Probes, ThreatModel
from arena.verdict import Status

FRIENDLY_PROBES: Final = 500


def check_thief(check: Check) -> str:
    check.report("Stealing a house model.", 1)
    model = replace(
        ThreatModel.black(),
        probes=Probes(total=FRIENDLY_PROBES),
        output=OracleOutput(OutputKind.LOGITS if check.manifest.needs.output == "logits"
                            else OutputKind.PROBABILITIES),
    )  # fmt: skip
    round_ = RoundSpec(
        GameName.EXTRACTION,
        check.task.name,
        model,
        examples=min(200, len(check.task.practice)),
    )
    defense = house.package(HOUSE_DEFENSE, check.task.name)
    verdict = judged(check, friendly(check, round_, defense, check.task))
    if verdict.status is Status.NOT_APPLICABLE:
        raise Rejected(
            "A thief is tried in a black-box round, and [needs] in the manifest asks for more: "
            f"{verdict.fault.sentence if verdict.fault else ''}"
        )
    check.figures["friendly"] = dict(verdict.metrics)
    fidelity = verdict.metrics.get("fidelity") or 0.0
    asked = f"{FRIENDLY_PROBES:,} probes"
    return f"Qualified; its copy of a house model agrees on {fidelity:.0%} after {asked}."
