"""Uploading: what is kept, what is refused, what it costs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Team, User
from arena.packages import Package
from events.errors import Conflict, Invalid, NotAllowed, NotThere, QuotaExceeded
from events.models import Event
from submissions import artifacts, selectors, services
from submissions.models import Submission
from submissions.states import SubmissionState

Packer = Callable[..., io.BytesIO]


def test_an_upload_is_kept_under_its_hash_and_waits_for_qualification(
    team: Team, dana: User, package: Packer
) -> None:
    submission, created = services.submit(team=team, user=dana, archive=package())
    assert created
    assert submission.state == SubmissionState.QUEUED
    assert (submission.role, submission.name, submission.task) == ("defense", "Wall", "digits")
    with artifacts.open_archive(submission.sha256) as stored:
        assert Package.read(stored.read()).sha256 == submission.sha256
    assert Event.objects.filter(kind="submission.uploaded", team=team.pk).count() == 1


@pytest.mark.parametrize("refusal", ["quota", "task"])
def test_what_is_refused_fills_no_disk(
    team: Team, dana: User, package: Packer, settings: Any, refusal: str
) -> None:
    settings.QUOTA_TOTAL = 0 if refusal == "quota" else 60
    with pytest.raises((QuotaExceeded, Invalid)):
        services.submit(
            team=team, user=dana, archive=package(), task="no-such" if refusal == "task" else ""
        )
    assert not list(settings.DATA.rglob("*.zip"))


def test_a_full_disk_takes_no_package_and_says_so(
    team: Team, dana: User, package: Packer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submissions.room.LEAST_BYTES", 1 << 80)
    with pytest.raises(Conflict, match="disk is full"):
        services.submit(team=team, user=dana, archive=package())
    assert not Submission.objects.exists()


def test_identical_bytes_return_the_existing_submission(
    team: Team, dana: User, package: Packer
) -> None:
    first = services.submit(team=team, user=dana, archive=package())
    left = selectors.quota(team)
    second = services.submit(team=team, user=dana, archive=package())
    assert not second.created
    assert second.submission == first.submission
    assert selectors.quota(team) == left


def test_the_same_files_zipped_otherwise_are_the_same_package(
    team: Team, dana: User, package: Packer
) -> None:
    first = services.submit(team=team, user=dana, archive=package()).submission
    deflated = io.BytesIO()
    with (
        zipfile.ZipFile(package()) as old,
        zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in reversed(old.namelist()):
            new.writestr(name, old.read(name))
    deflated.seek(0)
    assert services.submit(team=team, user=dana, archive=deflated).submission == first


def test_two_teams_may_submit_the_same_package(
    team: Team, dana: User, mallory: User, package: Packer
) -> None:
    first = services.submit(team=team, user=dana, archive=package()).submission
    second = services.submit(team=mallory.teams.get(), user=mallory, archive=package()).submission
    assert first != second
    assert first.sha256 == second.sha256


def test_an_outsider_cannot_submit_for_a_team(team: Team, mallory: User, package: Packer) -> None:
    with pytest.raises(NotAllowed):
        services.submit(team=team, user=mallory, archive=package())


def test_an_archive_above_the_cap_is_refused_while_it_arrives(
    team: Team, dana: User, settings: object
) -> None:
    settings.UPLOAD_BYTES = 1000  # type: ignore[attr-defined]

    class Endless:
        given = 0

        def read(self, size: int) -> bytes:
            self.given += size
            return b"\0" * size

    endless = Endless()
    with pytest.raises(Invalid, match=r"larger than .* MiB; leave out"):
        services.submit(team=team, user=dana, archive=endless)  # type: ignore[arg-type]
    assert endless.given <= services.CHUNK


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "empty"), (b"PK not a zip", "not a readable zip")],
)
def test_what_is_no_package_is_refused_with_a_sentence(
    team: Team, dana: User, content: bytes, sentence: str
) -> None:
    with pytest.raises(Invalid, match=sentence):
        services.submit(team=team, user=dana, archive=io.BytesIO(content))
    assert not Submission.objects.exists()


def test_a_path_that_leaves_the_package_is_refused(team: Team, dana: User) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../etc/passwd", "x")
    buffer.seek(0)
    with pytest.raises(Invalid, match=r"not allowed|plain relative path"):
        services.submit(team=team, user=dana, archive=buffer)


def test_a_task_that_nobody_knows_is_refused(team: Team, dana: User, package: Packer) -> None:
    with pytest.raises(Invalid, match="no task"):
        services.submit(team=team, user=dana, archive=package(), task="atlantis")


def test_a_task_that_the_manifest_does_not_name_is_refused(
    team: Team, dana: User, package: Packer
) -> None:
    with pytest.raises(Invalid, match="manifest is for digits"):
        services.submit(team=team, user=dana, archive=package(), task="mnist5k")


# --- quotas -------------------------------------------------------------------------------------


def test_founding_teams_buys_no_uploads(
    team: Team, dana: User, mallory: User, package: Packer, settings: Any
) -> None:
    """Mallory founds a second team to upload twice as much; her team mates are not held to that."""
    settings.QUOTA_TOTAL = 2
    first, second = mallory.teams.get(), Team.objects.create(name="Also hers")
    second.memberships.create(user=mallory)
    second.memberships.create(user=dana)
    for number, of in enumerate((first, second)):
        services.submit(team=of, user=mallory, archive=package(name=f"P{number}"))
    with pytest.raises(QuotaExceeded, match="in all your teams together"):
        services.submit(team=second, user=mallory, archive=package(name="One more"))
    assert selectors.quota(second, person=mallory).total_left == 0
    services.submit(team=second, user=dana, archive=package(name="Hers"))
    with pytest.raises(QuotaExceeded, match="Your team has used up"):
        services.submit(team=second, user=dana, archive=package(name="Beyond the team's"))


def test_a_team_has_so_many_submissions_a_day(
    team: Team, dana: User, package: Packer, settings: object
) -> None:
    settings.QUOTA_VALID = 2  # type: ignore[attr-defined]
    for name in ("one", "two"):
        services.submit(team=team, user=dana, archive=package(name=name))
    with pytest.raises(QuotaExceeded) as refused:
        services.submit(team=team, user=dana, archive=package(name="three"))
    assert refused.value.resets_at > timezone.now()


def test_what_was_cancelled_costs_again_when_it_comes_back(
    team: Team, dana: User, package: Packer, settings: Any
) -> None:
    settings.QUOTA_VALID = 1
    first = services.submit(team=team, user=dana, archive=package(name="one")).submission
    services.cancel(submission=first, user=dana)
    services.submit(team=team, user=dana, archive=package(name="two"))
    with pytest.raises(QuotaExceeded):
        services.submit(team=team, user=dana, archive=package(name="one"))
    first.refresh_from_db()
    assert first.state == SubmissionState.CANCELLED


def test_who_cancels_once_a_worker_has_begun_has_one_try_less(
    team: Team, dana: User, package: Packer
) -> None:
    before = selectors.quota(team)
    submission = services.submit(team=team, user=dana, archive=package()).submission
    Submission.objects.filter(pk=submission.pk).update(
        state=SubmissionState.QUALIFYING, started_at=timezone.now(), attempt=1
    )
    services.cancel(submission=submission, user=dana)
    after = selectors.quota(team)
    assert (after.valid_left, after.total_left) == (before.valid_left, before.total_left - 1)


def test_nobody_keeps_a_worker_busy_by_cancelling_one_package_again_and_again(
    team: Team, dana: User, package: Packer
) -> None:
    def begun_and_cancelled() -> None:
        submission = services.submit(team=team, user=dana, archive=package()).submission
        Submission.objects.filter(pk=submission.pk).update(
            state=SubmissionState.QUALIFYING,
            started_at=timezone.now(),
            attempt=submission.attempt + 1,
        )
        services.cancel(submission=submission, user=dana)

    for _ in range(services.MOST_ATTEMPTS):
        begun_and_cancelled()
    with pytest.raises(Conflict, match="too often"):
        begun_and_cancelled()


def test_what_was_cancelled_on_another_day_costs_today_when_it_comes_back(
    team: Team, dana: User, package: Packer
) -> None:
    first = services.submit(team=team, user=dana, archive=package()).submission
    services.cancel(submission=first, user=dana)
    Submission.objects.update(created_at=timezone.now() - timedelta(days=2))
    left = selectors.quota(team).total_left
    back = services.submit(team=team, user=dana, archive=package()).submission
    assert (back, back.state) == (first, SubmissionState.QUEUED)
    assert selectors.quota(team).total_left == left - 1


def test_a_rejected_submission_costs_the_total_alone(
    team: Team, dana: User, package: Packer
) -> None:
    before = selectors.quota(team)
    submission = services.submit(team=team, user=dana, archive=package()).submission
    Submission.objects.filter(pk=submission.pk).update(state=SubmissionState.REJECTED)
    after = selectors.quota(team)
    assert after.valid_left == before.valid_left
    assert after.total_left == before.total_left - 1


@pytest.mark.parametrize("state", [SubmissionState.VOID, SubmissionState.CANCELLED])
def test_our_faults_and_cancellations_are_refunded(
    team: Team, dana: User, package: Packer, state: str
) -> None:
    before = selectors.quota(team)
    submission = services.submit(team=team, user=dana, archive=package()).submission
    Submission.objects.filter(pk=submission.pk).update(state=state)
    assert selectors.quota(team) == before


def test_a_void_submission_is_tried_again_when_it_is_uploaded_again(
    team: Team, dana: User, package: Packer
) -> None:
    submission = services.submit(team=team, user=dana, archive=package()).submission
    Submission.objects.filter(pk=submission.pk).update(state=SubmissionState.VOID, faults=3)
    again = services.submit(team=team, user=dana, archive=package())
    assert not again.created
    assert again.submission.state == SubmissionState.QUEUED
    assert again.submission.faults == 0


# --- cancelling, seeing ---------------------------------------------------------------------------


def test_a_waiting_submission_is_cancelled_in_one_step(
    team: Team, dana: User, package: Packer
) -> None:
    submission = services.submit(team=team, user=dana, archive=package()).submission
    services.cancel(submission=submission, user=dana)
    assert submission.state == SubmissionState.CANCELLED
    with pytest.raises(Conflict):
        services.cancel(submission=submission, user=dana)


def test_nobody_cancels_for_another_team(
    team: Team, dana: User, mallory: User, package: Packer
) -> None:
    submission = services.submit(team=team, user=dana, archive=package()).submission
    with pytest.raises(NotAllowed):
        services.cancel(submission=submission, user=mallory)


def test_a_team_sees_its_own_submissions_and_nobody_elses(
    team: Team, dana: User, mallory: User, package: Packer
) -> None:
    submission = services.submit(team=team, user=dana, archive=package()).submission
    assert selectors.get(dana, submission.uid) == submission
    assert not selectors.visible_to(mallory).exists()
    with pytest.raises(NotThere):
        selectors.get(mallory, submission.uid)


def test_a_site_without_a_strong_jail_takes_no_guests(
    team: Team, dana: User, package: Packer, settings: object
) -> None:
    settings.TRUSTED_ONLY = True  # type: ignore[attr-defined]
    with pytest.raises(Conflict, match="no jail"):
        services.submit(team=team, user=dana, archive=package())
