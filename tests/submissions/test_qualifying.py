"""Qualification as a job: claimed, run in a process, recorded once, blamed rightly."""

from __future__ import annotations

import io
import sys
import textwrap
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.models import Team, User
from events.models import Event
from submissions import selectors, services, work
from submissions.models import Submission
from submissions.states import SubmissionState

Packer = Callable[..., io.BytesIO]

QUALIFIER = """
    import json, os, pathlib, sys
    package, out = sys.argv[1], pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
    assert pathlib.Path(package).is_file()
    assert not any("SECRET" in name or "DATABASE" in name for name in os.environ)
    {body}
"""
ACCEPTS = """
    (out / "log.txt").write_text("loaded\\x1b[31m in red")
    finding = {"accepted": True, "sentence": "Qualified.", "figures": {"clean_accuracy": 0.97}}
    (out / "qualification.json").write_text(json.dumps(finding))
"""
REJECTS = """
    finding = {"accepted": False, "sentence": "It returns NaN.", "figures": {}}
    (out / "qualification.json").write_text(json.dumps(finding))
"""
FAILS = """
    print("The jail did not start.", file=sys.stderr)
    raise SystemExit(5)
"""


@pytest.fixture
def qualifier(tmp_path: Path, settings: object) -> Callable[[str], None]:
    def use(body: str) -> None:
        script = tmp_path / "qualifier.py"
        text = textwrap.dedent(QUALIFIER).replace("{body}", textwrap.dedent(body))
        script.write_text(text)
        settings.QUALIFIER = [sys.executable, str(script)]  # type: ignore[attr-defined]

    return use


@pytest.fixture
def submission(team: Team, dana: User, package: Packer) -> Submission:
    return services.submit(team=team, user=dana, archive=package()).submission


def run() -> Submission:
    claimed = work.claim(worker="w:1")
    assert claimed is not None
    work.qualify(claimed)
    return Submission.objects.get(pk=claimed.pk)


@pytest.fixture
def heard() -> list[str]:
    """What the layers above are told."""
    states: list[str] = []

    def listener(submission: Submission) -> None:
        states.append(submission.state)

    services.on_outcome(listener)
    yield states
    services._listeners.remove(listener)


def test_an_accepted_submission_has_its_figures_and_log(
    submission: Submission, qualifier: Callable[[str], None], heard: list[str]
) -> None:
    qualifier(ACCEPTS)
    done = run()
    assert done.state == SubmissionState.QUALIFIED
    assert done.figures == {"clean_accuracy": 0.97}
    assert selectors.log_text(done) == "loaded�[31m in red"
    assert heard == [SubmissionState.QUALIFIED]


def test_a_rejected_one_says_why(submission: Submission, qualifier: Callable[[str], None]) -> None:
    qualifier(REJECTS)
    done = run()
    assert done.state == SubmissionState.REJECTED
    assert done.sentence == "It returns NaN."


def test_on_a_full_disk_submissions_wait(
    submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submissions.room.LEAST_BYTES", 1 << 80)
    assert work.claim(worker="w:1") is None
    monkeypatch.undo()
    assert work.claim(worker="w:1") == submission


def test_a_fault_of_ours_is_tried_twice_more_and_then_void(
    submission: Submission, qualifier: Callable[[str], None], heard: list[str]
) -> None:
    qualifier(FAILS)
    states = [run().state for _ in range(3)]
    assert states == [SubmissionState.QUEUED, SubmissionState.QUEUED, SubmissionState.VOID]
    done = Submission.objects.get(pk=submission.pk)
    assert done.sentence == "The jail did not start."
    assert heard == []
    assert work.claim(worker="w:1") is None


def test_a_finding_that_is_missing_is_our_fault(
    submission: Submission, qualifier: Callable[[str], None]
) -> None:
    qualifier("")
    assert run().state == SubmissionState.QUEUED


def test_an_attempt_that_lost_its_lease_records_nothing(submission: Submission) -> None:
    first = work.claim(worker="w:1")
    assert first is not None
    work.fail(first, "")
    second = work.claim(worker="w:2")
    assert second is not None
    said = {"sentence": "", "figures": {}, "log": ""}
    assert not services.record_outcome(submission=first, attempt=1, accepted=False, **said)
    assert services.record_outcome(submission=second, attempt=2, accepted=True, **said)
    assert Event.objects.filter(kind="submission.qualified").count() == 1
    assert not Event.objects.filter(kind="submission.rejected").exists()


def test_telling_twice_records_once(submission: Submission) -> None:
    claimed = work.claim(worker="w:1")
    assert claimed is not None
    said = {"sentence": "", "figures": {}, "log": ""}
    told = [
        services.record_outcome(submission=claimed, attempt=1, accepted=True, **said)
        for _ in range(2)
    ]
    assert told == [True, False]
    assert Event.objects.filter(kind="submission.qualified").count() == 1


def test_the_reaper_takes_back_what_is_overdue(submission: Submission) -> None:
    claimed = work.claim(worker="w:1")
    assert claimed is not None
    assert work.reap() == 0
    Submission.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert work.reap() == 1
    submission.refresh_from_db()
    assert submission.state == SubmissionState.QUEUED
    assert not work.LEASES.renew(claimed)


def test_cancelling_ends_the_lease(submission: Submission, dana: User) -> None:
    claimed = work.claim(worker="w:1")
    assert claimed is not None
    services.cancel(submission=claimed, user=dana)
    assert not work.LEASES.renew(claimed)


def test_the_oldest_goes_first_and_the_queue_tells_its_length(
    team: Team, dana: User, package: Packer
) -> None:
    first, second = (
        services.submit(team=team, user=dana, archive=package(name=name)).submission
        for name in ("one", "two")
    )
    assert [selectors.queue_position(s) for s in (first, second)] == [1, 2]
    assert work.claim(worker="w:1") == first
    second.refresh_from_db()
    assert selectors.queue_position(second) == 1


def test_what_comes_back_after_a_cancellation_waits_behind_the_others(
    team: Team, dana: User, package: Packer
) -> None:
    first, second = (
        services.submit(team=team, user=dana, archive=package(name=name)).submission
        for name in ("one", "two")
    )
    services.cancel(submission=first, user=dana)
    first = services.submit(team=team, user=dana, archive=package(name="one")).submission
    assert [selectors.queue_position(s) for s in (first, second)] == [2, 1]
    assert work.claim(worker="w:1") == second


@pytest.mark.parametrize("body", [ACCEPTS, FAILS], ids=["found", "fault of ours"])
def test_what_a_qualification_told_on_its_way_is_forgotten_when_it_ends(
    body: str,
    submission: Submission,
    qualifier: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else what waits again would show how far the attempt that failed had come."""
    forgotten: list[str] = []
    monkeypatch.setattr(work.hints, "forget_progress", forgotten.append)
    qualifier(body)
    run()
    assert forgotten == [submission.uid]
