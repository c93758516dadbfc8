"""Tournaments, entries, matches, boards, events and tasks: what each reader is shown."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from django.test import Client

from accounts.services import accept_invitation, invite
from arena.errors import FaultCode, Side
from arena.rounds import RoundSpec
from arena.verdict import Fault, Kills, Status
from arena.verdict import Verdict as Finding
from leaderboard import services as leaderboard
from leaderboard.models import Standing
from submissions.states import SubmissionState
from tournaments import claims, recording
from tournaments.models import Entry, Match, Tournament
from tournaments.states import EntryState, MatchState

SECRETS = ("secret", "seed", "uploader", "email", "password", "token")


def keys(data: Any) -> set[str]:
    """Every key anywhere in a body."""
    if isinstance(data, dict):
        return set(data) | {key for value in data.values() for key in keys(value)}
    if isinstance(data, list):
        return {key for value in data for key in keys(value)}
    return set()


def enters(bot: Any, name: str, role: str = "attack", **more: str) -> str:
    row = bot.has_qualified(name, role, **more)
    answer = bot.post("entries/", {"tournament": "spring", "submission": row.uid})
    assert answer.status_code == 201
    return str(answer.data["id"])


def plays_all(settings: Any, *, fault: Fault | None = None, log: str = "") -> None:
    """Every waiting match gets the same verdict, as a worker would record it."""
    index = np.arange(20)
    broken = (index < 5)[None, :]
    finding = Finding(
        Status.FORFEIT if fault else Status.SCORED,
        metrics={"clean_accuracy": 1.0, "robust_accuracy": 0.75},
        curve=({"epsilon": 0.1, "robust_accuracy": 0.75},),
        fault=fault,
        kills=Kills(index, np.ones(20, bool), broken, (0.1,)),
        provenance={"seed": 7, "attack_sha256": "ab", "task": "digits"},
        logs={"attack": log, "defense": ""},
    )
    while (match := claims.claim(worker="test")) is not None:
        directory = f"matches/{match.uid}/{match.attempt}"
        path = Path(settings.DATA) / directory
        path.mkdir(parents=True)
        (path / "outcome.parquet").write_bytes(b"PAR1 rows PAR1")
        (path / "images.npz").write_bytes(b"pictures")
        assert recording.record_verdict(match, finding, files=directory)
    leaderboard.fold_all()


# --- tournaments --------------------------------------------------------------------------------


def test_a_tournament_shows_its_rounds_rules_and_progress(visitor: Any, spring: Tournament) -> None:
    shown = visitor.get("tournaments/spring/").json()
    assert (shown["id"], shown["state"], shown["counts"]["pending"]) == ("spring", "open", 1)
    (round_,) = shown["rounds"]
    assert round_["threat_model"] == "white"
    assert round_["sentence"].startswith("The attacker sees")
    assert RoundSpec.from_json(round_["spec"]).epsilons == (0.1,)
    assert visitor.get(f"rounds/{round_['id']}/").json() == round_
    assert visitor.get("tournaments/spring/rounds/").json()["results"] == [round_]


def test_nothing_that_is_secret_is_in_any_body(
    visitor: Any, alice: Any, spring: Tournament, settings: Any
) -> None:
    push = enters(alice, "Push")
    plays_all(settings)
    (uid,) = spring.rounds.values_list("uid", flat=True)
    match = Match.objects.get(attack__uid=push)  # of the house alone everything is public
    for path in ("tournaments/", "tournaments/spring/", f"rounds/{uid}/", f"matches/{match.uid}/",
                 f"rounds/{uid}/standings/", f"rounds/{uid}/matrix/", "events/",
                 "tournaments/spring/entries/", "matches/"):  # fmt: skip
        body = visitor.get(path).json()
        assert not keys(body) & set(SECRETS), path
        assert bytes(spring.secret).hex() not in json.dumps(body)


def test_a_private_tournament_is_not_there_for_strangers(
    visitor: Any, mallory: Any, oscar: Any, secret_cup: Tournament
) -> None:
    uid = secret_cup.rounds.get().uid
    match = secret_cup.matches.get().uid
    entry = secret_cup.entries.filter(house="cnn").get().uid
    paths = ["tournaments/secret-cup/", "tournaments/secret-cup/rounds/", f"entries/{entry}/",
             "tournaments/secret-cup/entries/", "tournaments/secret-cup/standings/",
             f"rounds/{uid}/", f"rounds/{uid}/standings/", f"rounds/{uid}/matrix/",
             f"matches/{match}/", f"matches/{match}/log/?side=attack",
             f"matches/{match}/outcome/"]  # fmt: skip
    for bot in (visitor, mallory):
        for path in paths:
            assert bot.get(path).status_code == 404, path
        assert bot.get("tournaments/").json()["results"] == []
        assert bot.get("matches/").json()["results"] == []
        told = bot.get("events/").json()["events"]
        assert not [event for event in told if event["payload"].get("tournament")]
        assert bot.get("events/", {"tournament": "secret-cup"}).status_code == 404
    assert oscar.get("tournaments/secret-cup/").status_code == 200
    assert oscar.get("matches/").json()["results"][0]["id"] == match


# --- entries ------------------------------------------------------------------------------------


def test_a_qualified_submission_enters_and_its_matches_are_planned(
    alice: Any, spring: Tournament
) -> None:
    uid = enters(alice, "Push")
    shown = alice.get(f"entries/{uid}/").json()
    assert (shown["state"], shown["team"]["name"]) == ("active", "Team alice")
    waiting = alice.get("matches/", {"mine": "true"}).json()["results"]
    assert [m["attack"]["id"] for m in waiting] == [uid]
    assert alice.get("teams/me/").json()["teams"][0]["pending_matches"] == 1


def test_entering_twice_is_one_entry(alice: Any, spring: Tournament) -> None:
    row = alice.has_qualified("Push")
    wish = {"tournament": "spring", "submission": row.uid}
    first, second = alice.post("entries/", wish), alice.post("entries/", wish)
    assert first.json()["id"] == second.json()["id"]
    assert Entry.objects.filter(team=alice.team).count() == 1


def test_a_waiting_submission_enters_and_plays_later(alice: Any, spring: Tournament) -> None:
    uid = alice.submit("Push").json()["id"]
    answer = alice.post("entries/", {"tournament": "spring", "submission": uid})
    assert answer.json()["state"] == "waiting"


def test_a_package_that_no_round_takes_is_refused_with_the_reason(
    alice: Any, spring: Tournament
) -> None:
    row = alice.has_qualified("Sphere", "learner")
    answer = alice.post("entries/", {"tournament": "spring", "submission": row.uid})
    assert answer.status_code == 422
    told = answer.json()["detail"]
    assert told.startswith("No round of this tournament is made for this learner. ")
    assert "is defended by a player of role defense." in told


def test_nobody_enters_or_withdraws_for_another_team(
    alice: Any, mallory: Any, spring: Tournament
) -> None:
    row = alice.has_qualified("Push")
    wish = {"tournament": "spring", "submission": row.uid}
    assert mallory.post("entries/", wish).status_code == 404
    uid = alice.post("entries/", wish).json()["id"]
    assert mallory.post(f"entries/{uid}/withdraw/").status_code == 403
    house = spring.entries.filter(house="cnn").get().uid
    assert mallory.post(f"entries/{house}/withdraw/").status_code == 403
    assert set(Entry.objects.values_list("state", flat=True)) == {EntryState.ACTIVE}


def test_only_its_team_reads_an_entry_s_manifest(
    alice: Any, dana: Any, oscar: Any, spring: Tournament
) -> None:
    uid = enters(alice, "Push", description='"A push with a twist."')
    assert alice.get(f"entries/{uid}/").json()["manifest"]["description"] == "A push with a twist."
    assert oscar.get(f"entries/{uid}/").json()["submission"] is not None
    shown = dana.get(f"entries/{uid}/").json()
    assert (shown["manifest"], shown["submission"], shown["reason"]) == (None, None, None)
    house = spring.entries.filter(house="cnn").get().uid
    assert dana.get(f"entries/{house}/").json()["manifest"]["name"] == "Plain CNN"


def test_a_withdrawn_entry_loses_its_name_but_for_its_own_team(
    alice: Any, dana: Any, spring: Tournament, settings: Any
) -> None:
    uid = enters(alice, "Push")
    plays_all(settings)
    assert alice.post(f"entries/{uid}/withdraw/").json()["state"] == "withdrawn"
    assert alice.post(f"entries/{uid}/withdraw/").status_code == 409
    seen = dana.get(f"entries/{uid}/").json()
    assert (seen["name"], seen["team"]) == ("withdrawn", None)
    assert alice.get(f"entries/{uid}/").json()["name"] == "Push"
    played = dana.get("matches/", {"attack": uid}).json()["results"]
    assert [m["attack"]["name"] for m in played] == ["withdrawn"]
    assert dana.get("matches/", {"team": alice.team.uid}).json()["results"] == []
    entries = "tournaments/spring/entries/"
    assert dana.get(entries, {"team": alice.team.uid}).json()["results"] == []
    assert [e["id"] for e in alice.get(entries, {"team": alice.team.uid}).json()["results"]] == [
        uid
    ]


def test_no_event_names_an_entry_once_it_is_withdrawn(
    alice: Any, visitor: Any, spring: Tournament
) -> None:
    uid = enters(alice, "Push")
    alice.post(f"entries/{uid}/withdraw/")

    def told(bot: Any) -> set[tuple[str, str]]:
        events = bot.get("events/", {"tournament": "spring"}).json()["events"]
        found = [e["payload"] for e in events if e["payload"].get("entry") == uid]
        return {(payload["name"], payload["team"]) for payload in found}

    assert told(visitor) == {("withdrawn", "")}
    assert told(alice) == {("Push", "Team alice")}


def test_how_qualification_goes_is_for_the_team_and_the_organizers(
    alice: Any, oscar: Any, dana: Any, spring: Tournament
) -> None:
    uid = alice.submit("Push").json()["id"]
    entry = alice.post("entries/", {"tournament": "spring", "submission": uid}).json()["id"]

    def knows(bot: Any) -> tuple[bool, bool, bool]:
        listed = bot.get("tournaments/spring/entries/").json()["results"]
        events = bot.get("events/", {"tournament": "spring"}).json()["events"]
        return (
            bot.get(f"entries/{entry}/").status_code == 200,
            entry in [row["id"] for row in listed],
            entry in [event["payload"].get("entry") for event in events],
        )

    assert {name: knows(bot) for name, bot in (("alice", alice), ("oscar", oscar))} == {
        "alice": (True, True, True),
        "oscar": (True, True, True),
    }
    assert knows(dana) == (False, False, False)
    alice.post(f"submissions/{uid}/cancel/")
    assert alice.get(f"entries/{entry}/").json()["state"] == "refused"
    assert knows(dana) == (False, False, False)


# --- matches ------------------------------------------------------------------------------------


def test_matches_are_filtered_and_paged_by_cursor(
    visitor: Any, alice: Any, spring: Tournament
) -> None:
    uid = enters(alice, "Push")
    first = visitor.get("matches/", {"limit": 1}).json()
    second = visitor.client.get(first["next"]).json()
    assert second["next"] is None
    seen = [page["results"][0]["attack"]["name"] for page in (first, second)]
    assert seen == ["Push", "FGSM"]
    assert len(visitor.get("matches/", {"entry": uid}).json()["results"]) == 1
    assert len(visitor.get("matches/", {"state": "scored"}).json()["results"]) == 0
    assert visitor.get("matches/", {"state": "lost"}).status_code == 400


@pytest.mark.parametrize("address", ["matches/", "events/"])
def test_a_tournament_that_is_not_there_is_no_empty_list(
    visitor: Any, spring: Tournament, address: str
) -> None:
    assert visitor.get(address, {"tournament": "spring"}).status_code == 200
    answer = visitor.get(address, {"tournament": "sprong"})
    assert answer.status_code == 404
    assert answer.json()["detail"] == "There is no such tournament."


def test_a_verdict_is_for_everyone_and_its_files_for_its_sides(
    visitor: Any, alice: Any, dana: Any, oscar: Any, spring: Tournament, settings: Any
) -> None:
    uid = enters(alice, "Push")
    plays_all(settings, log="alice was here\x1b[2J")
    (found,) = visitor.get("matches/", {"attack": uid}).json()["results"]
    assert found["verdict"]["metrics"]["robust_accuracy"] == 0.75
    path = f"matches/{found['id']}/"
    shown = visitor.get(path).json()
    assert shown["curve"] == [{"epsilon": 0.1, "robust_accuracy": 0.75}]
    assert shown["provenance"] == {"task": "digits"}
    assert shown["downloads"] == {}
    assert shown["outcome_sha256"] is None
    for stranger in (visitor, dana):
        for part in ("outcome/", "images/", "log/?side=attack"):
            assert stranger.get(path + part).status_code == 404
    # Against a house player, on the practice split, its own team sees everything.
    mine = alice.get(path).json()
    assert mine["provenance"] == {"seed": 7, "attack_sha256": "ab", "task": "digits"}
    assert mine["outcome_sha256"] == hashlib.sha256(b"PAR1 rows PAR1").hexdigest()
    downloads = mine["downloads"]
    assert set(downloads) == {"outcome", "images", "attack_log", "defense_log"}
    outcome, images = (alice.client.get(downloads[name]) for name in ("outcome", "images"))
    assert b"".join(outcome.streaming_content) == b"PAR1 rows PAR1"
    assert b"".join(images.streaming_content) == b"pictures"
    assert outcome.headers["Content-Disposition"].startswith("attachment")
    log = alice.client.get(downloads["attack_log"]).json()["log"]
    assert log.startswith("alice was here")
    assert "\x1b" not in log
    assert oscar.get(path).json()["downloads"] == downloads


def test_a_fault_is_told_in_full_to_its_side_and_in_fixed_words_to_others(
    visitor: Any, alice: Any, spring: Tournament, settings: Any
) -> None:
    uid = enters(alice, "Push")
    fault = Fault(Side.ATTACK, FaultCode.CRASHED, "KeyError: 'my secret trick'")
    plays_all(settings, fault=fault)
    (found,) = visitor.get("matches/", {"attack": uid}).json()["results"]
    assert found["verdict"]["fault"] == {"side": "attack", "code": "crashed"}
    path = f"matches/{found['id']}/"
    assert visitor.get(path).json()["fault_sentence"] == "The player crashed."
    assert "secret trick" in alice.get(path).json()["fault_sentence"]


def test_a_void_match_does_not_say_why_to_the_public(visitor: Any, spring: Tournament) -> None:
    Match.objects.update(state=MatchState.VOID, sentence="OSError at /srv/worker-7")
    (found,) = visitor.get("matches/").json()["results"]
    assert found["sentence"] == "Void: our fault"


def test_a_log_needs_a_side(visitor: Any, spring: Tournament) -> None:
    assert visitor.get(f"matches/{spring.matches.get().uid}/log/").status_code == 400


# --- boards -------------------------------------------------------------------------------------


def test_standings_name_entries_by_their_opaque_ids(
    visitor: Any, alice: Any, spring: Tournament, settings: Any
) -> None:
    uid = enters(alice, "Push")
    plays_all(settings)
    boards = {b["role"]: b for b in visitor.get("tournaments/spring/standings/").json()["boards"]}
    (defense,) = boards["defense"]["rows"]
    assert (defense["entry"]["name"], defense["headline"]) == ("Plain CNN", 0.75)
    known = set(Entry.objects.values_list("uid", flat=True))
    assert defense["metrics"]["strongest_attack"] in known
    assert defense["metrics"]["strongest_round"] is None
    assert uid in [row["entry"]["id"] for row in boards["attack"]["rows"]]
    round_ = spring.rounds.get().uid
    one = visitor.get(f"rounds/{round_}/standings/", {"role": "defense"}).json()
    assert one["boards"] == [boards["defense"]]
    row = Standing.objects.get(role="defense")
    row.metrics |= {"strongest_round": spring.rounds.get().pk}
    row.save()
    (told,) = visitor.get(f"rounds/{round_}/standings/", {"role": "defense"}).json()["boards"]
    assert told["rows"][0]["metrics"]["strongest_round"] == round_
    assert visitor.get("tournaments/spring/standings/", {"round": round_}).status_code == 200
    assert visitor.get("tournaments/spring/standings/", {"role": "both"}).status_code == 400
    assert visitor.get("tournaments/spring/standings/", {"round": "nowhere"}).status_code == 404


def test_the_matrix_has_a_cell_for_every_match(
    visitor: Any, alice: Any, spring: Tournament, settings: Any
) -> None:
    enters(alice, "Push")
    path = f"rounds/{spring.rounds.get().uid}/matrix/"
    before = visitor.get(path).json()
    assert {cell["state"] for cell in before["cells"]} == {"pending"}
    plays_all(settings)
    after = visitor.get(path).json()
    assert len(after["cells"]) == len(after["attacks"]) * len(after["defenses"]) == 2
    assert {cell["robust"] for cell in after["cells"]} == {0.75}
    assert visitor.get(f"matches/{after['cells'][0]['match']}/").status_code == 200


@pytest.mark.parametrize("board", ["standings", "matrix"])
def test_an_unchanged_board_costs_no_body(
    visitor: Any, spring: Tournament, settings: Any, board: str
) -> None:
    path = f"rounds/{spring.rounds.get().uid}/{board}/"
    plays_all(settings)
    tag = visitor.get(path).headers["ETag"]
    same = visitor.get(path, **{"If-None-Match": f'"old", W/{tag}'})
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    assert visitor.get(path, **{"If-None-Match": '"old"'}).status_code == 200


def test_a_new_verdict_changes_the_tag(
    visitor: Any, alice: Any, spring: Tournament, settings: Any
) -> None:
    path = f"rounds/{spring.rounds.get().uid}/standings/"
    plays_all(settings)
    tag = visitor.get(path).headers["ETag"]
    enters(alice, "Push")
    plays_all(settings)
    assert visitor.get(path, **{"If-None-Match": tag}).status_code == 200


# --- events -------------------------------------------------------------------------------------


def test_events_are_read_from_a_cursor_without_a_gap(visitor: Any, spring: Tournament) -> None:
    everything = visitor.get("events/").json()
    assert everything["more"] is False
    found, cursor = [], 0
    for _ in everything["events"]:
        page = visitor.get("events/", {"after": cursor, "limit": 1}).json()
        found += page["events"]
        cursor = page["cursor"]
    assert found == everything["events"]
    rest = visitor.get("events/", {"after": cursor}).json()
    assert rest == {"events": [], "cursor": cursor, "more": False}


def test_a_team_s_events_are_its_own(alice: Any, mallory: Any, visitor: Any) -> None:
    alice.submit("Push")
    kinds = [e["kind"] for e in alice.get("events/").json()["events"]]
    assert "submission.uploaded" in kinds
    for bot in (mallory, visitor):
        assert "submission.uploaded" not in [e["kind"] for e in bot.get("events/").json()["events"]]


@pytest.mark.parametrize("after", ["-1", "1e3", "x", "9" * 40, "²"])
def test_a_cursor_that_cannot_be_is_refused(visitor: Any, db: None, after: str) -> None:
    assert visitor.get("events/", {"after": after}).status_code == 400


@pytest.mark.parametrize("limit", ["0", "501", "-1", "", "many"])
def test_no_page_of_events_is_empty_with_more_to_come(
    limit: str, visitor: Any, spring: Tournament
) -> None:
    answer = visitor.get("events/", {"limit": limit})
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["limit"]


@pytest.mark.parametrize(
    "position", ["abc", "\0", "", "1e5", "2020-99-99", "0001-01-01T00:00+14:00"]
)
@pytest.mark.parametrize("path", ["matches/", "tournaments/", "tournaments/spring/entries/"])
def test_a_page_s_cursor_that_no_row_can_have_is_refused(
    visitor: Any, spring: Tournament, path: str, position: str
) -> None:
    cursor = b64encode(urlencode({"r": 1, "p": position}).encode()).decode()
    answer = visitor.get(path, {"cursor": cursor})
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:adversarium:problem:malformed"


# --- tasks --------------------------------------------------------------------------------------


def test_tasks_are_listed_with_their_floor_and_nothing_of_the_final_split(visitor: Any) -> None:
    listed = {task["name"]: task for task in visitor.get("tasks/").json()}
    assert listed["mnist5k"]["shape"] == [1, 28, 28]
    assert listed["digits"]["floor"] == 0.85
    shown = visitor.get("tasks/digits/").json()
    assert shown["splits"]["final"] == {
        "size": shown["splits"]["practice"]["size"], "origin": "derived",
    }  # fmt: skip


def test_a_new_member_sees_the_team_s_submissions_at_once(alice: Any, dana: Any) -> None:
    uid = alice.submit("Push").json()["id"]
    assert dana.get(f"submissions/{uid}/").status_code == 404
    accept_invitation(user=dana.user, token=invite(user=alice.user, team=alice.team).token)
    assert dana.get(f"submissions/{uid}/").status_code == 200
    several = dana.submit("Pull")
    assert several.status_code == 422
    assert "several teams" in several.json()["detail"]
    assert dana.submit("Pull", team=alice.team.uid).status_code == 202


def test_a_rejected_submission_does_not_enter(alice: Any, spring: Tournament) -> None:
    row = alice.has_qualified("Push")
    type(row).objects.filter(pk=row.pk).update(state=SubmissionState.REJECTED)
    answer = alice.post("entries/", {"tournament": "spring", "submission": row.uid})
    assert answer.status_code == 409
    assert Entry.objects.filter(team=alice.team).count() == 0


@pytest.mark.parametrize("address", ["nowhere", "nowhere/", "matches/a%0Ab/log/", "%0A"])
def test_an_address_that_is_none_is_a_problem_and_no_page(client: Client, address: str) -> None:
    answer = client.get(f"/api/v1/{address}")
    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"
