"""Recording: once, by the holder of the lease, with the blame where it belongs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arena.errors import Side
from arena.manifest import Role
from arena.verdict import Fault, Status
from arena.verdict import Verdict as Finding
from events.models import Event
from tournaments import claims, recording, services
from tournaments.models import Match, Verdict
from tournaments.states import MatchState


@pytest.fixture
def match(stage: Any) -> Match:
    stage.enters(stage.person("dana"), "Wall", Role.DEFENSE)
    stage.enters(stage.person("alice"), "Spear", Role.ATTACK)
    claimed = claims.claim(worker="w:1")
    assert claimed is not None
    return claimed


def recorded(match: Match) -> int:
    return Event.objects.filter(kind="match.recorded", subject=match.pk).count()


def test_a_verdict_is_recorded_with_its_event_and_its_files(
    match: Match, make_finding: Any
) -> None:
    assert recording.record_verdict(match, make_finding(), files="matches/a/1")
    match.refresh_from_db()
    assert match.state == MatchState.SCORED
    assert match.lease_until is None
    assert match.verdict.files == "matches/a/1"
    assert match.verdict.metrics == {"robust_accuracy": 1 / 3}
    assert recorded(match) == 1


def test_recording_again_is_true_and_changes_nothing(match: Match, make_finding: Any) -> None:
    told = [recording.record_verdict(match, make_finding(), files="f") for _ in range(3)]
    assert told == [True, True, True]
    assert Verdict.objects.count() == 1
    assert recorded(match) == 1


def test_an_attempt_without_the_lease_writes_nothing(match: Match, make_finding: Any) -> None:
    claims.fail(match, "The worker fell silent.")
    second = claims.claim(worker="w:2")
    assert second is not None
    assert not recording.record_verdict(match, make_finding(), files="late")
    assert not Verdict.objects.exists()
    assert recording.record_verdict(second, make_finding(), files="matches/a/2")
    assert not recording.record_verdict(match, make_finding(), files="late")
    assert Verdict.objects.get().files == "matches/a/2"
    assert recorded(match) == 1


def test_a_verdict_holds_the_digest_of_its_outcome_file(
    match: Match, make_finding: Any, settings: Any, tmp_path: Path
) -> None:
    settings.DATA = tmp_path
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "outcome.parquet").write_bytes(b"abc")
    recording.record_verdict(match, make_finding(), files="f")
    of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4
    assert Verdict.objects.get().outcome_sha256 == of_abc


def test_a_verdict_without_an_outcome_file_has_no_digest(match: Match, make_finding: Any) -> None:
    recording.record_verdict(match, make_finding(), files="none")
    assert Verdict.objects.get().outcome_sha256 == ""


@pytest.mark.parametrize("side", Side)
def test_a_players_fault_forfeits_for_that_side_alone(
    match: Match, make_finding: Any, side: Side
) -> None:
    recording.record_verdict(match, make_finding(Status.FORFEIT, blame=side), files="f")
    match.refresh_from_db()
    assert (match.state, match.faults) == (MatchState.FORFEIT, 0)
    assert match.verdict.fault_side == side


def test_the_event_carries_no_sentence_that_a_player_had_a_hand_in(
    match: Match, make_finding: Any
) -> None:
    recording.record_verdict(match, make_finding(Status.FORFEIT, blame=Side.ATTACK), files="f")
    payload = Event.objects.get(kind="match.recorded").payload
    assert payload["fault_side"] == "attack"
    assert "secret" not in str(payload)


def test_a_void_finding_is_our_fault_and_plays_again_at_most_twice(match: Match) -> None:
    void = Finding(status=Status.VOID, fault=Fault(None, None, "The jail did not start."))
    states = []
    claimed: Match | None = match
    while claimed is not None:
        assert not recording.record_verdict(claimed, void, files="f")
        claimed.refresh_from_db()
        states.append((claimed.state, claimed.faults))
        claimed = claims.claim(worker="w:1")
    assert states == [("pending", 1), ("pending", 2), ("void", 3)]
    assert not Verdict.objects.exists()
    assert Match.objects.get().sentence == "The jail did not start."
    told = Event.objects.filter(kind__in=("match.requeued", "match.void"))
    assert len(told) == 3
    assert not any("jail" in str(event.payload) for event in told)  # organizers read why, alone


def test_the_organizer_requeues_a_void_match_with_a_clean_slate(stage: Any, match: Match) -> None:
    Match.objects.filter(pk=match.pk).update(state=MatchState.VOID, faults=3)
    assert services.requeue(matches=[match], organizer=stage.oscar) == 1
    match.refresh_from_db()
    assert (match.state, match.faults) == (MatchState.PENDING, 0)


def test_a_recorded_match_is_never_requeued(stage: Any, match: Match, make_finding: Any) -> None:
    recording.record_verdict(match, make_finding(), files="f")
    assert services.requeue(matches=[match], organizer=stage.oscar) == 0
    match.refresh_from_db()
    assert match.state == MatchState.SCORED


def test_cancelling_a_running_match_ends_its_lease(
    stage: Any, match: Match, make_finding: Any
) -> None:
    services.cancel_match(match=match, organizer=stage.oscar, reason="Played by mistake.")
    assert not claims.LEASES.renew(match)
    assert not recording.record_verdict(match, make_finding(), files="f")


def test_when_the_transaction_fails_nothing_is_written(
    match: Match, make_finding: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **values: object) -> None:
        raise ConnectionError("the machine lost power")

    with monkeypatch.context() as patched:
        patched.setattr("tournaments.announcing.tell_of_match", fail)
        with pytest.raises(ConnectionError):
            recording.record_verdict(match, make_finding(), files="f")
    match.refresh_from_db()
    assert match.state == MatchState.RUNNING
    assert not Verdict.objects.exists()
    assert recording.record_verdict(match, make_finding(), files="f")


def test_a_verdict_that_cannot_be_read_is_our_fault(tmp_path: Any) -> None:
    from arena.errors import RefereeError

    with pytest.raises(RefereeError):
        recording.read_finding(tmp_path)
    (tmp_path / "verdict.json").write_text("{")
    with pytest.raises(RefereeError):
        recording.read_finding(tmp_path)


def test_a_zero_byte_in_a_log_keeps_no_verdict_from_being_recorded(
    match: Match, make_finding: Any, tmp_path: Any
) -> None:
    """PostgreSQL holds none; a literal backslash of a player's is left as it is."""
    replace(make_finding(), logs={"attack": "a\0b", "defense": "\\u0000"}).write(tmp_path)

    found = recording.read_finding(tmp_path)
    assert recording.record_verdict(match, found, files="there")
    assert Verdict.objects.get().logs == {"attack": "a\\x00b", "defense": "\\u0000"}
