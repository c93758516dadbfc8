"""What is cancelled or rejected for long leaves the disk; whatever may play stays."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Team, User
from submissions import artifacts, services
from submissions.cleaning import Freed, forget_packages
from submissions.models import Submission
from submissions.states import SubmissionState

Packer = Callable[..., io.BytesIO]
OLD = timedelta(days=100)


@pytest.fixture
def judged(team: Team, dana: User, package: Packer) -> Callable[..., Submission]:
    """judged("rejected", "Wall", ago=OLD): a submission that ended so, so long ago."""

    def make(
        state: SubmissionState, name: str, *, ago: timedelta = OLD, of: Team = team, by: User = dana
    ) -> Submission:
        archive = package(name=name)
        submission = services.submit(team=of, user=by, archive=archive).submission
        then = timezone.now() - ago
        Submission.objects.filter(pk=submission.pk).update(state=state, finished_at=then)
        os.utime(stored(submission), (then.timestamp(), then.timestamp()))
        submission.refresh_from_db()
        return submission

    return make


def stored(submission: Submission) -> Path:
    return Path(artifacts.store().path(artifacts.name_of(submission.sha256)))


@pytest.mark.parametrize("state", [SubmissionState.REJECTED, SubmissionState.CANCELLED])
def test_what_ended_long_ago_leaves_the_disk(
    judged: Callable[..., Submission], state: SubmissionState
) -> None:
    old = judged(state, "Old")
    size = stored(old).stat().st_size
    assert forget_packages(days=90, dry_run=True) == Freed(1, size)
    assert stored(old).exists()
    assert forget_packages(days=90) == Freed(1, size)
    assert not stored(old).exists()
    assert forget_packages(days=90) == Freed()
    assert Submission.objects.filter(pk=old.pk, state=state).exists()


@pytest.mark.parametrize(
    "state", [state for state in SubmissionState if state not in ("rejected", "cancelled")]
)
def test_what_may_play_stays(judged: Callable[..., Submission], state: SubmissionState) -> None:
    kept = judged(state, "Kept")
    assert forget_packages(days=90) == Freed()
    assert stored(kept).exists()


def test_what_ended_of_late_stays(judged: Callable[..., Submission]) -> None:
    recent = judged(SubmissionState.REJECTED, "Recent", ago=timedelta(days=80))
    assert forget_packages(days=90) == Freed()
    assert stored(recent).exists()


def test_what_another_team_still_plays_stays(
    judged: Callable[..., Submission], mallory: User
) -> None:
    """Equal packages lie at one place, whoever's they are."""
    theirs = Team.objects.create(name="Others")
    theirs.memberships.create(user=mallory, role="captain")
    judged(SubmissionState.QUALIFIED, "Same", of=theirs, by=mallory)
    old = judged(SubmissionState.CANCELLED, "Same")
    assert forget_packages(days=90) == Freed()
    assert stored(old).exists()


def test_what_is_being_uploaded_again_stays(
    judged: Callable[..., Submission], package: Packer
) -> None:
    """Its bytes are kept a moment before its row says so."""
    old = judged(SubmissionState.CANCELLED, "Again")
    with artifacts.open_archive(old.sha256) as archive:
        artifacts.keep(services.Package.read(archive.read()))
    assert forget_packages(days=90) == Freed()


def test_uploading_it_again_brings_it_back(
    judged: Callable[..., Submission], team: Team, dana: User, package: Packer
) -> None:
    old = judged(SubmissionState.CANCELLED, "Back")
    forget_packages(days=90)
    again = services.submit(team=team, user=dana, archive=package(name="Back"))
    assert again.submission == old
    assert again.submission.state == SubmissionState.QUEUED
    assert stored(old).exists()


def test_the_command_says_what_it_did(judged: Callable[..., Submission], capsys: Any) -> None:
    judged(SubmissionState.REJECTED, "Old")
    call_command("clean", dry_run=True)
    assert capsys.readouterr().out.startswith("Would remove 1 packages, ")
    call_command("clean", days=90)
    assert capsys.readouterr().out.startswith("Removed 1 packages, ")
    with pytest.raises(CommandError, match="--days"):
        call_command("clean", days=0)
