"""Uploading a package by the API, and following it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from api.models import KeptAnswer
from submissions.models import Submission
from submissions.states import SubmissionState


def test_an_upload_is_accepted_for_qualification_with_an_address_to_follow(alice: Any) -> None:
    answer = alice.submit("Push", task="digits")
    assert answer.status_code == 202
    status = alice.client.get(answer.headers["Location"])
    assert status.status_code == 200
    assert status.data["state"] == "queued"
    assert status.data["pending"] is True
    assert status.data["task"] == "digits"
    assert status.data["queue_position"] == 1
    assert status.data["team"] == {"id": alice.team.uid, "name": "Team alice"}
    assert [row["id"] for row in alice.get("submissions/").data["results"]] == [answer.data["id"]]


def test_the_same_package_twice_is_one_submission(alice: Any) -> None:
    first = alice.submit("Push")
    second = alice.submit("Push")
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.data["id"] == second.data["id"]
    assert alice.get("teams/me/").data["teams"][0]["quota"]["total_left"] == 59


def test_a_hostile_zip_is_refused_with_a_sentence(mallory: Any) -> None:
    answer = mallory.submit(b"PK\x03\x04 no zip at all")
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.data["type"] == "urn:adversarium:problem:invalid"
    assert answer.data["detail"].endswith(".")
    assert not Submission.objects.exists()


def test_an_upload_without_a_file_names_the_field(alice: Any) -> None:
    answer = alice.client.post("/api/v1/submissions/", {}, format="multipart")
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:adversarium:problem:malformed"
    assert "archive" in answer.json()["errors"]


def test_json_is_no_way_to_upload(alice: Any) -> None:
    answer = alice.post("submissions/", {"archive": "zip"})
    assert answer.status_code == 415
    assert answer.data["type"] == "urn:adversarium:problem:unsupported-media-type"


def test_a_used_up_quota_says_when_to_come_back(alice: Any, settings: Any) -> None:
    settings.QUOTA_TOTAL = 1
    alice.submit("First")
    answer = alice.submit("Second")
    assert answer.status_code == 429
    assert answer.data["type"] == "urn:adversarium:problem:quota-exceeded"
    assert 0 < int(answer.headers["Retry-After"]) <= 24 * 3600


def test_another_team_s_submission_is_not_there(alice: Any, mallory: Any) -> None:
    uid = alice.submit("Push").data["id"]
    for path in (f"submissions/{uid}/", f"submissions/{uid}/log/"):
        answer = mallory.get(path)
        assert answer.status_code == 404
        assert answer.data["type"] == "urn:adversarium:problem:not-found"
    assert mallory.post(f"submissions/{uid}/cancel/").status_code == 404
    assert mallory.get("submissions/").data["results"] == []
    assert Submission.objects.get(uid=uid).state == SubmissionState.QUEUED


def test_nobody_uploads_for_another_team(alice: Any, mallory: Any) -> None:
    answer = mallory.submit("Push", team=alice.team.uid)
    assert answer.status_code == 404
    assert not Submission.objects.exists()


def test_a_waiting_submission_can_be_cancelled_and_a_judged_one_cannot(alice: Any) -> None:
    uid = alice.submit("Push").data["id"]
    assert alice.post(f"submissions/{uid}/cancel/").data["state"] == "cancelled"
    again = alice.post(f"submissions/{uid}/cancel/")
    assert again.status_code == 409
    assert again.data["type"] == "urn:adversarium:problem:conflict"


def test_an_accepted_submission_shows_its_figures_and_log(alice: Any, settings: Any) -> None:
    row = alice.has_qualified("Push")
    (settings.DATA / "log.txt").write_text("hello\x1b[31m there\n")
    Submission.objects.filter(pk=row.pk).update(log="log.txt")
    shown = alice.get(f"submissions/{row.uid}/").data
    assert (shown["state"], shown["figures"]) == ("qualified", {"seconds": 1.5})
    assert shown["pending"] is False
    assert "\x1b" not in alice.get(f"submissions/{row.uid}/log/").data["log"]


def test_submissions_are_filtered_by_state_and_an_unknown_state_is_refused(alice: Any) -> None:
    alice.has_qualified("Old")
    alice.submit("New")
    names = [r["name"] for r in alice.get("submissions/", {"state": "queued"}).data["results"]]
    assert names == ["New"]
    assert alice.get("submissions/", {"state": "lost"}).status_code == 400


# --- Idempotency-Key ----------------------------------------------------------------------------


def test_a_request_sent_twice_with_a_key_acts_once(alice: Any) -> None:
    first = alice.submit("Push", headers={"Idempotency-Key": "k1"})
    second = alice.submit("Push", headers={"Idempotency-Key": "k1"})
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    assert second.json() == first.json()


def test_a_finish_that_can_be_told_is_a_text_in_the_kept_answer_too(alice: Any) -> None:
    earlier = alice.has_qualified("Earlier")
    began = earlier.finished_at - timedelta(seconds=5)
    Submission.objects.filter(pk=earlier.pk).update(started_at=began)
    first = alice.submit("Push", headers={"Idempotency-Key": "k1"})
    assert first.status_code == 202
    assert datetime.fromisoformat(first.json()["estimated_finish"]) > timezone.now()
    again = alice.submit("Push", headers={"Idempotency-Key": "k1"})
    assert again.json() == first.json()


def test_a_key_serves_one_request_only(alice: Any) -> None:
    alice.submit("Push", headers={"Idempotency-Key": "k1"})
    other = alice.submit("Pull", headers={"Idempotency-Key": "k1"})
    assert other.status_code == 422
    assert Submission.objects.count() == 1


def test_keys_of_two_people_do_not_meet(alice: Any, dana: Any) -> None:
    alice.submit("Push", headers={"Idempotency-Key": "k1"})
    assert dana.submit("Push", headers={"Idempotency-Key": "k1"}).status_code == 202
    assert Submission.objects.count() == 2


def test_a_refused_request_frees_its_key(alice: Any) -> None:
    assert alice.submit(b"no zip", headers={"Idempotency-Key": "k1"}).status_code == 422
    assert alice.submit("Push", headers={"Idempotency-Key": "k1"}).status_code == 202


def test_a_key_is_forgotten_after_a_day(alice: Any) -> None:
    alice.submit("Push", headers={"Idempotency-Key": "k1"})
    KeptAnswer.objects.update(created_at=timezone.now() - timedelta(hours=25))
    answer = alice.submit("Push", headers={"Idempotency-Key": "k1"})
    assert answer.status_code == 200  # asked anew, and the package was known


@pytest.mark.parametrize("key", ["x" * 101, "line\tbreak"])
def test_a_key_that_cannot_be_is_refused(alice: Any, key: str) -> None:
    answer = alice.submit("Push", headers={"Idempotency-Key": key})
    assert answer.status_code == 400


def test_a_key_whose_request_was_lost_with_its_process_is_free_again(alice: Any) -> None:
    alice.submit("Push", headers={"Idempotency-Key": "k1"})
    KeptAnswer.objects.update(status=None)
    again = alice.submit("Push", headers={"Idempotency-Key": "k1"})
    assert again.status_code == 409
    assert again.headers["Retry-After"] == "1"
    KeptAnswer.objects.update(created_at=timezone.now() - timedelta(minutes=11))
    assert alice.submit("Push", headers={"Idempotency-Key": "k1"}).status_code == 200
