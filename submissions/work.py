"""Qualification: claimed with a lease, run in a process of its own, recorded once."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

import arena.tasks
from arena.errors import RefereeError
from arena.sandbox import gpu
from events import hints
from events.texts import storable
from submissions import artifacts, processes, room, services
from submissions.jobs import Leases, persistently
from submissions.models import Submission
from submissions.states import SUBMISSIONS, SubmissionState

logger = logging.getLogger(__name__)

LEASES: Final = Leases(
    Submission,
    SUBMISSIONS,
    waiting=SubmissionState.QUEUED,
    running=SubmissionState.QUALIFYING,
    void=SubmissionState.VOID,
)


def claim(*, worker: str) -> Submission | None:
    """The submission that has waited longest, now ours; None where none waits that this machine
    can check, where its jail is too weak for guests, or its disk is full."""
    if settings.TRUSTED_ONLY or not room.may_work():
        return None
    while True:
        queued = Submission.objects.filter(state=SubmissionState.QUEUED)
        first = _playable_here(queued).order_by("queued_at").values_list("pk", flat=True).first()
        if first is None:
            return None
        claimed = _take(first, worker)
        if claimed is not None:
            return claimed


def _playable_here(queued: QuerySet[Submission]) -> QuerySet[Submission]:
    """Without a GPU, all but those for tasks that ask for one: they wait for who has one."""
    if gpu.nodes():
        return queued
    tasks = queued.values_list("task", flat=True).distinct()
    return queued.exclude(task__in=arena.tasks.on_a_gpu(tasks))


@transaction.atomic
def _take(pk: int, worker: str) -> Submission | None:
    claimed = LEASES.take(pk, worker=worker)
    if claimed is not None:
        services.tell(claimed, "submission.qualifying")
    return claimed


def qualify(submission: Submission) -> None:
    """Check a claimed submission and record what was found; ends with the lease."""
    directory = Path("qualifications") / submission.uid / str(submission.attempt)
    out = settings.DATA / directory
    out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="adversarium-qualify-") as scratch:
            ended = _run(submission, Path(scratch), out)
        finding = None if ended.lost else _finding(ended, out)
    except RefereeError as error:
        sentence = str(error)
        persistently(lambda: fail(submission, sentence))
        return
    finally:
        hints.forget_progress(submission.uid)
    if finding is None:
        logger.warning("Qualification of %s lost its lease.", submission.uid)
        return
    log = str(directory / "log.txt") if (out / "log.txt").is_file() else ""
    persistently(
        lambda: services.record_outcome(
            submission=submission,
            attempt=submission.attempt,
            accepted=bool(finding["accepted"]),
            sentence=str(finding["sentence"]),
            figures=dict(finding["figures"]),
            log=log,
        )
    )


def _run(submission: Submission, scratch: Path, out: Path) -> processes.Ended:
    package = artifacts.local_copy(submission.sha256, scratch)
    arguments = [str(package), "--task", submission.task, "--out", str(out)]
    return processes.play(
        {"program": "qualification", "arguments": arguments, "fresh": True},
        instead=settings.QUALIFIER,
        directory=out,
        heartbeat=lambda: LEASES.renew(submission),
        on_line=lambda line: progress_line(submission.uid, line),
        seconds=settings.QUALIFICATION_SECONDS,
    )


def _finding(ended: processes.Ended, out: Path) -> dict[str, Any]:
    if ended.status != 0:
        raise RefereeError(ended.sentence)
    try:
        finding = storable(json.loads((out / "qualification.json").read_text()))
        return {key: finding[key] for key in ("accepted", "sentence", "figures")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RefereeError(f"The qualification left no finding: {error}") from error


def progress_line(uid: str, line: str) -> None:
    """One JSON line of the referee's, passed on to whoever watches."""
    try:
        progress = json.loads(line)
    except ValueError:
        return
    if isinstance(progress, dict):
        hints.report_progress(uid, progress)


@transaction.atomic
def fail(submission: Submission, sentence: str) -> None:
    """Our fault: queued again, at most twice, then void."""
    if not LEASES.blame_ourselves(LEASES.held(submission), sentence):
        return
    submission.refresh_from_db()
    _tell_of_fault(submission)


def _tell_of_fault(submission: Submission) -> None:
    void = submission.state == SubmissionState.VOID
    services.tell(submission, "submission.void" if void else "submission.requeued")
    if not void:
        services.announce_qualifications()


# --- for the reaper -----------------------------------------------------------------------------


def reap() -> int:
    """Requeue or void what is overdue, announce what is forgotten; how many were overdue."""
    overdue = list(LEASES.overdue()[:100])
    for submission in overdue:
        _reap_one(submission)
    remind()
    return len(overdue)


@transaction.atomic
def _reap_one(submission: Submission) -> None:
    silent = LEASES.held(submission) & LEASES.overdue()
    if LEASES.blame_ourselves(silent, "The worker that qualified it fell silent."):
        submission.refresh_from_db()
        _tell_of_fault(submission)


@transaction.atomic
def remind() -> None:
    keys = list(LEASES.forgotten().values_list("pk", flat=True)[:4])
    if Submission.objects.filter(pk__in=keys).update(hinted_at=Now()):
        services.announce_qualifications(len(keys))
