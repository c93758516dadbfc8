"""Plays one claimed match: refereed in a jail, under its lease, to a recorded verdict."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from arena.errors import RefereeError
from arena.verdict import Verdict as Finding
from events import hints
from submissions import artifacts, processes
from submissions.jobs import persistently
from submissions.work import progress_line
from tournaments import claims, crafting, files, recording
from tournaments.models import Entry, Match

OUR_FAULT: Final = 5

logger = logging.getLogger(__name__)


def play(match: Match) -> None:
    """Ends when the match is recorded, ours to try again, or not ours any more."""
    directory = files.attempt_directory(match)
    out = settings.DATA / directory
    out.mkdir(parents=True, exist_ok=True)
    carried = {"match": match.uid, "attempt": match.attempt}
    try:
        ended = run(match, out)
        finding = None if ended.lost else _finding(ended, out)
    except RefereeError as error:
        sentence = str(error)
        logger.warning("Our fault: %s", sentence, extra=carried)
        persistently(lambda: claims.fail(match, sentence))
        return
    finally:
        hints.forget_progress(match.uid)
    if finding is None:
        logger.warning("The lease was lost; the match was ended.", extra=carried)
        return
    if persistently(lambda: recording.record_verdict(match, finding, files=directory)):
        files.forget_attempts(match, but=match.attempt)


def run(match: Match, out: Path) -> processes.Ended:
    """Its referee, with its orders in a directory that goes with it."""

    def referee(order: Mapping[str, object], directory: Path) -> processes.Ended:
        return processes.play(
            order,
            instead=settings.RUNNER,
            directory=directory,
            heartbeat=heartbeat,
            on_line=lambda line: progress_line(match.uid, line),
            seconds=settings.MATCH_SECONDS,
        )

    def heartbeat() -> bool:
        return claims.LEASES.renew(match)

    with files.scratch(match) as scratch:
        orders = orders_for(match, scratch, out)
        orders |= crafting.kept(match, orders, scratch, run=referee, heartbeat=heartbeat)
        file = scratch / "match.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(orders))
        order = {"program": "match", "arguments": [str(file)], "trusted": match.house_only}
        return referee(order, out)


def orders_for(match: Match, scratch: Path, out: Path) -> dict[str, Any]:
    """What ``python -m arena.runner`` reads. The secrets stay with the referee.

    All rounds of a tournament judge the same examples, so that a kill in one counts on another.
    """
    return {
        "match": match.uid,
        "attempt": match.attempt,
        "round": match.round.spec,
        "attack": player(match.attack, scratch),
        "defense": player(match.defense, scratch),
        "seed": match.seed,
        "secret": bytes(match.round.secret).hex(),
        "split_secret": bytes(match.round.tournament.secret).hex(),
        "out": str(out),
        "seconds": settings.MATCH_SECONDS,
        "trusted": match.house_only,
    }


def player(entry: Entry, scratch: Path) -> str:
    """A path to its zip, or ``house:NAME``."""
    if entry.submission is None:
        return f"house:{entry.house}"
    return str(artifacts.local_copy(entry.submission.sha256, scratch))


def _finding(ended: processes.Ended, out: Path) -> Finding:
    """The verdict, void ones included: with status 5 the runner has written why."""
    if ended.status != 0 and not (ended.status == OUR_FAULT and recording.is_found(out)):
        raise RefereeError(ended.sentence)
    return recording.read_finding(out)
