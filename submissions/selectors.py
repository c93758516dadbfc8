"""Reads submissions. A team sees its own; organizers see those entered with them
(``tournaments.selectors.submissions_visible_to``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, Q, QuerySet
from django.utils import timezone

from accounts.models import Team, User
from accounts.selectors import Person, is_administrator, team_ids
from events import hints
from events.errors import NotThere
from events.texts import printable
from submissions.models import Submission
from submissions.states import NOT_VALID, WAITING, SubmissionState

LOG_BYTES: Final = 256 * 1024


def visible_to(user: Person) -> QuerySet[Submission]:
    """The submissions of the user's own teams; all of them for an administrator."""
    found = Submission.objects.select_related("team", "uploader")
    if is_administrator(user):
        return found
    return found.filter(team__in=team_ids(user))


def get(user: Person, uid: str) -> Submission:
    """Raises NotThere for another team's submission as for none."""
    submission = visible_to(user).filter(uid=uid).first()
    if submission is None:
        raise NotThere("There is no such submission of yours.")
    return submission


def log_text(submission: Submission) -> str:
    """The qualification's log, without control characters; empty where there is none.

    For those whom ``tournaments.visibility.may_see_log`` lets.
    """
    if not submission.log:
        return ""
    path = settings.DATA / submission.log
    return read_log(path)


def read_log(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    return printable(text)


# --- quotas -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quota:
    """What a team, or one of it, has left today (UTC)."""

    valid_left: int
    total_left: int
    resets_at: datetime

    @property
    def exhausted(self) -> bool:
        return self.valid_left <= 0 or self.total_left <= 0


def quota(team: Team, *, person: User | None = None) -> Quota:
    """Waiting submissions count as valid ones until it is known; our faults count for nothing.

    A cancelled one counts for nothing while it waited, and in the total once a worker had begun.
    ``person`` has as many in all of their teams together: founding teams buys nothing.
    """
    [(_, found)] = quotas([team], person=person)
    return found


def quotas(teams: Sequence[Team], *, person: User | None = None) -> list[tuple[Team, Quota]]:
    """The quota of each, at the price of one."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    today = _counted(Submission.objects.filter(team__in=teams), midnight)
    counts = (
        today.order_by()
        .values("team")
        .annotate(total=Count("pk"), valid=Count("pk", filter=~Q(state__in=NOT_VALID)))
    )
    used = {row["team"]: (row["total"], row["valid"]) for row in counts}
    theirs = 0
    if person is not None:
        theirs = _counted(Submission.objects.filter(uploader=person), midnight).count()
    resets_at = midnight + timedelta(days=1)
    return [(team, _left(*used.get(team.pk, (0, 0)), theirs, resets_at)) for team in teams]


def _left(total: int, valid: int, theirs: int, resets_at: datetime) -> Quota:
    """After so many of the team's, ``valid`` ones among them, and of one person's in all teams."""
    return Quota(
        valid_left=settings.QUOTA_VALID - valid,
        total_left=settings.QUOTA_TOTAL - max(total, theirs),
        resets_at=resets_at,
    )


def _counted(rows: QuerySet[Submission], midnight: datetime) -> QuerySet[Submission]:
    return (
        rows.filter(created_at__gte=midnight)
        .exclude(state=SubmissionState.VOID)
        .exclude(state=SubmissionState.CANCELLED, started_at__isnull=True)
    )


# --- the queue ----------------------------------------------------------------------------------


def queue_position(submission: Submission) -> int | None:
    """1 is next; None where it is not waiting. By the time that workers go by, which is a new one
    for what was uploaded again."""
    if submission.state != SubmissionState.QUEUED or submission.queued_at is None:
        return None
    queued = Submission.objects.filter(state=SubmissionState.QUEUED)
    return queued.filter(queued_at__lt=submission.queued_at).count() + 1


def estimated_finish(submission: Submission) -> datetime | None:
    """From the mean of the last hundred qualifications; None where nothing is known."""
    if submission.state not in WAITING:
        return None
    took = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    recent = Submission.objects.filter(finished_at__isnull=False, started_at__isnull=False)
    last = recent.order_by("-finished_at").values("pk")[:100]
    mean = Submission.objects.filter(pk__in=list(last.values_list("pk", flat=True))).aggregate(
        mean=Avg(took)
    )["mean"]
    if mean is None:
        return None
    finish: datetime = timezone.now() + mean * (queue_position(submission) or 1)
    return finish


def progress(submission: Submission) -> dict[str, object]:
    """What its qualification does now: {"stage", "done", "total", "sentence"} or empty."""
    return hints.progress_of([submission.uid]).get(submission.uid, {})
