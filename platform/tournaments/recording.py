"""Records what the referee found: atomic, idempotent, for the holder of the lease alone."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from arena.errors import RefereeError
from arena.verdict import Status
from arena.verdict import Verdict as Finding
from events.texts import storable
from tournaments import announcing, claims
from tournaments.files import OUTCOME, VERDICT
from tournaments.models import Match, Verdict
from tournaments.states import MATCHES, MatchState

logger = logging.getLogger(__name__)

STATES: Final = {
    Status.SCORED: MatchState.SCORED,
    Status.FORFEIT: MatchState.FORFEIT,
    Status.NOT_APPLICABLE: MatchState.NOT_APPLICABLE,
}
MAX_VERDICT_BYTES: Final = 32 * 1024 * 1024


def is_found(directory: Path) -> bool:
    """Whether the referee came as far as a verdict, if perhaps a void one."""
    return (directory / VERDICT).is_file()


def read_finding(directory: Path) -> Finding:
    """The ``verdict.json`` that the referee left.

    Raises:
        RefereeError: there is none, or it cannot be read: our fault.
    """
    path = directory / VERDICT
    try:
        if path.stat().st_size > MAX_VERDICT_BYTES:
            raise RefereeError(f"The verdict is larger than {MAX_VERDICT_BYTES} bytes.")
        return Finding.from_json(storable(json.loads(path.read_text())))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RefereeError(f"The referee left no readable verdict: {error}") from error


def record_verdict(match: Match, finding: Finding, *, files: str) -> bool:
    """Write the verdict of ``match.attempt`` and adopt its files, in one transaction.

    ``files``: the attempt's directory, relative to the data directory. True when this attempt's
    verdict stands, also when it stood already; False when the attempt has lost its lease, and
    then nothing was written. A void finding is a fault of ours.
    """
    if finding.status is Status.VOID:
        sentence = finding.fault.sentence if finding.fault else "The referee voided the match."
        claims.fail(match, sentence)
        return False
    digest = sha256_of(settings.DATA / files / OUTCOME)
    with transaction.atomic():
        if _ended(match, finding):
            Verdict.objects.create(
                match=match,
                attempt=match.attempt,
                files=files,
                outcome_sha256=digest,
                **columns(finding),
            )
            match.refresh_from_db(fields=["state", "seconds", "finished_at"])
            announcing.tell_of_match(match, "match.recorded", **_shown(finding))
            return True
    return Verdict.objects.filter(match=match, attempt=match.attempt).exists()


def sha256_of(path: Path) -> str:
    """In hexadecimal, as ``sha256sum`` says it; empty where there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def _ended(match: Match, finding: Finding) -> bool:
    sentence = (
        finding.fault.sentence if finding.status is Status.NOT_APPLICABLE and finding.fault else ""
    )
    moved = MATCHES.move(
        claims.LEASES.held(match),
        STATES[finding.status],
        finished_at=Now(),
        lease_until=None,
        sentence=sentence,
        seconds=claims.elapsed_seconds(),
    )
    return bool(moved)


def columns(finding: Finding) -> dict[str, Any]:
    """The finding as the columns of a Verdict."""
    fault = finding.fault
    return {
        "status": finding.status.value,
        "metrics": dict(finding.metrics),
        "curve": [dict(point) for point in finding.curve],
        "kills": finding.kills.to_json() if finding.kills else None,
        "fault_side": fault.side.value if fault and fault.side else "",
        "fault_code": fault.code.value if fault and fault.code else "",
        "fault_sentence": fault.sentence if fault else "",
        "flags": list(finding.flags),
        "provenance": dict(finding.provenance),
        "logs": dict(finding.logs),
    }


def _shown(finding: Finding) -> Mapping[str, Any]:
    """What the event carries: no sentence, which a player may have had a hand in."""
    side = finding.fault.side if finding.fault else None
    return {
        "status": finding.status.value,
        "fault_side": side.value if side else None,
        "metrics": {
            key: finding.metrics.get(key)
            for key in ("clean_accuracy", "robust_accuracy", "attack_success")
            if key in finding.metrics
        },
    }
