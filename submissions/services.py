"""Writes submissions: upload, cancel, qualify."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final, NamedTuple

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

import arena.tasks
from accounts.models import Team, User
from accounts.services import require_member
from arena.errors import PackageError, TaskError
from arena.manifest import Manifest
from arena.packages import Package
from arena.tasks.fitting import usual_task
from events import hints
from events import services as events
from events.errors import Conflict, Invalid, QuotaExceeded
from events.models import Audience
from submissions import artifacts, room, selectors
from submissions.models import Submission
from submissions.states import SUBMISSIONS, WAITING, SubmissionState

QUALIFY_TASK: Final = "submissions.tasks.qualify"
MOST_ATTEMPTS: Final = 6
"""Beyond so many, a package that its team cancels again and again is not begun once more."""
CHUNK: Final = 256 * 1024

Listener = Callable[[Submission], None]
_listeners: list[Listener] = []


class Submitted(NamedTuple):
    submission: Submission
    created: bool
    """False: the team has submitted this package before; nothing was counted or queued."""


def on_outcome(listener: Listener) -> None:
    """Call ``listener`` in the transaction that qualifies or rejects a submission.

    The layers above register here, once, in ``AppConfig.ready``: this one cannot know them.
    """
    if listener not in _listeners:
        _listeners.append(listener)


# --- upload -------------------------------------------------------------------------------------


def submit(*, team: Team, user: User, archive: IO[bytes] | Path, task: str = "") -> Submitted:
    """Keeps a package and queues its qualification.

    ``archive``: a zip, read in chunks under the size cap. ``task``: the one to be qualified on,
    by default the first the manifest names.

    Raises:
        NotAllowed: ``user`` is not in the team.
        Conflict: this site plays the house alone (ADVERSARIUM_TRUSTED_ONLY), its disk is full, or
            the package was begun and cancelled too often.
        Invalid: too large, a package that breaks the format, or a task it does not name.
        QuotaExceeded: no submission left today, for the team or for ``user`` in all teams.
    """
    require_member(user, team)
    if settings.TRUSTED_ONLY:
        raise Conflict("This site has no jail that is strong enough for guests; it takes none.")
    if not room.has_room():
        raise Conflict("The site's disk is full, so it takes no package: tell whoever runs it.")
    with tempfile.TemporaryDirectory(prefix="adversarium-upload-") as scratch:
        package = _checked(_received(archive, Path(scratch)))
    known = team.submissions.filter(sha256=package.sha256).first()
    if known is not None:
        return Submitted(_revived(known, package, user), created=False)
    _require_quota(team, user)  # before its bytes are kept: who is refused fills no disk
    task = _task_for(package.manifest, task)
    artifacts.keep(package)
    try:
        return Submitted(_created(team, user, package, task), created=True)
    except IntegrityError:  # the same package, uploaded twice at once
        return Submitted(team.submissions.get(sha256=package.sha256), created=False)


def _received(archive: IO[bytes] | Path, scratch: Path) -> Path:
    """The upload as a file, counted while it arrives."""
    if isinstance(archive, Path):
        with archive.open("rb") as file:
            return _received(file, scratch)
    path, size = scratch / "upload.zip", 0
    with path.open("wb") as file:
        while chunk := archive.read(CHUNK):
            size += len(chunk)
            if size > settings.UPLOAD_BYTES:
                mib = settings.UPLOAD_BYTES // (1024 * 1024)
                raise Invalid(
                    f"The archive is larger than {mib} MiB; leave out what the player does not "
                    "read."
                )
            file.write(chunk)
    return path


def _checked(path: Path) -> Package:
    try:
        return Package.read(path)
    except PackageError as error:
        raise Invalid(str(error)) from error


@transaction.atomic
def _created(team: Team, user: User, package: Package, task: str) -> Submission:
    _claim_quota(team, user)
    manifest = package.manifest
    submission = Submission.objects.create(
        team=team,
        uploader=user,
        role=manifest.role.value,
        sha256=package.sha256,
        name=manifest.name,
        manifest=manifest.to_json(),
        task=task,
        bytes=sum(map(len, package.files.values())),
        state=SubmissionState.QUEUED,
        queued_at=timezone.now(),
    )
    tell(submission, "submission.uploaded")
    announce_qualifications()
    return submission


def _claim_quota(team: Team, user: User) -> None:
    """Until the transaction ends: two uploads at once must not both take the last of it."""
    Team.objects.select_for_update().get(pk=team.pk)
    User.objects.select_for_update().get(pk=user.pk)
    _require_quota(team, user)


def _require_quota(team: Team, user: User) -> None:
    quota = selectors.quota(team, person=user)
    if quota.exhausted:
        whose = "Your team has used up its submissions of today; it"
        if not selectors.quota(team).exhausted:
            whose = "You have used up your submissions of today, in all your teams together; you"
        raise QuotaExceeded(
            f"{whose} may submit again at {quota.resets_at:%H:%M} UTC.",
            resets_at=quota.resets_at,
        )


def announce_qualifications(times: int = 1) -> None:
    """Tell the workers, once the running transaction has committed."""
    transaction.on_commit(lambda: hints.wake(QUALIFY_TASK, times=times), robust=True)


def _task_for(manifest: Manifest, wanted: str) -> str:
    """The task to be qualified on: the one wanted, else the first that is named and here.

    Raises:
        Invalid: no such task, or its data is not on this machine: nothing could be said of it.
    """
    tasks = [task for task in manifest.tasks if task != "*"]
    if wanted and wanted not in arena.tasks.names():
        raise _unknown(wanted)
    if wanted and tasks and wanted not in tasks:
        raise Invalid(f"The manifest is for {', '.join(tasks)}, not for {wanted!r}.")
    if wanted or not tasks:
        return _here([wanted or usual_task(manifest.role, manifest.needs.games)])
    known = [task for task in tasks if task in arena.tasks.names()]
    if not known:
        raise _unknown(tasks[0])
    return _here(known)


def _here(tasks: list[str]) -> str:
    """The first of these whose data is on this machine."""
    here = next((task for task in tasks if task in arena.tasks.at_hand()), None)
    if here is not None:
        return here
    try:
        return arena.tasks.load(tasks[0]).name
    except TaskError as error:
        raise Invalid(str(error)) from error


def _unknown(task: str) -> Invalid:
    return Invalid(f"There is no task {task!r}; known are {', '.join(arena.tasks.names())}.")


@transaction.atomic
def _revived(submission: Submission, package: Package, user: User) -> Submission:
    """Uploading again what was cancelled, or void by our fault, asks for another try.

    Its bytes are kept anew: they may have been let go of (``submissions.cleaning``).

    What was cancelled gave its quota back, so it costs what a new one does, today.

    Raises:
        Conflict: begun and cancelled too often.
        QuotaExceeded: no submission left today.
    """
    if submission.state == SubmissionState.VOID:
        artifacts.keep(package)
        requeue(submission=submission)
    if submission.state == SubmissionState.CANCELLED:
        if submission.attempt >= MOST_ATTEMPTS:
            raise Conflict("This package was begun and cancelled too often; change it.")
        _claim_quota(submission.team, user)
        artifacts.keep(package)
        Submission.objects.filter(pk=submission.pk).update(created_at=timezone.now(), uploader=user)
        requeue(submission=submission)
    return submission


@transaction.atomic
def requeue(*, submission: Submission) -> None:
    rows = Submission.objects.filter(pk=submission.pk)
    SUBMISSIONS.move_one(
        rows, SubmissionState.QUEUED, queued_at=timezone.now(), faults=0, hinted_at=None
    )
    submission.refresh_from_db()
    tell(submission, "submission.uploaded")
    announce_qualifications()


@transaction.atomic
def cancel(*, submission: Submission, user: User) -> None:
    """Takes a waiting submission out of the queue; its quota is given back (``selectors.quota``).

    Raises:
        NotAllowed: not of the user's team.
        Conflict: it has been judged.
    """
    require_member(user, submission.team)
    rows = Submission.objects.filter(pk=submission.pk)
    if not SUBMISSIONS.move(
        rows.filter(state__in=WAITING), SubmissionState.CANCELLED, finished_at=timezone.now(),
        lease_until=None, sentence="Cancelled by the team.",
    ):  # fmt: skip
        raise Conflict("It has been judged already.")
    submission.refresh_from_db()
    _inform(submission)
    tell(submission, "submission.cancelled")


# --- outcomes -----------------------------------------------------------------------------------


def _inform(submission: Submission) -> None:
    for listener in _listeners:
        listener(submission)


@transaction.atomic
def record_outcome(
    *, submission: Submission, attempt: int, accepted: bool, sentence: str,
    figures: dict[str, object], log: str,
) -> bool:  # fmt: skip
    """What qualification found; only of the attempt that holds the lease, and only once.

    False: the attempt has lost it (or had told already); nothing was written.
    """
    state = SubmissionState.QUALIFIED if accepted else SubmissionState.REJECTED
    rows = Submission.objects.filter(pk=submission.pk, attempt=attempt)
    held = rows.filter(state=SubmissionState.QUALIFYING)
    if not SUBMISSIONS.move(
        held, state, sentence=sentence, figures=figures, log=log, lease_until=None,
        finished_at=timezone.now(),
    ):  # fmt: skip
        return False
    submission.refresh_from_db()
    _inform(submission)
    tell(submission, f"submission.{state.value}")
    return True


def tell(submission: Submission, kind: str) -> None:
    events.record(
        kind,
        audience=Audience.TEAM,
        team=submission.team_id,
        subject=submission.pk,
        payload={
            "submission": submission.uid,
            "name": submission.name,
            "state": submission.state,
            "sentence": submission.sentence,
        },
    )
