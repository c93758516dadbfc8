"""Oscar runs a tournament over the API alone, from the file that the command line loads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from accounts.models import Scope
from arena.threat_model import OutputKind
from tournaments.models import Tournament
from tournaments.states import Phase

PLAN: dict[str, Any] = {
    "schema_version": 1,
    "slug": "summer",
    "title": "Summer",
    "task": "digits",
    "opens_at": "2030-03-01T09:00:00+02:00",
    "defaults": {"examples": 20, "defenses": ["cnn"]},
    "rounds": [
        {"title": "White", "game": "evasion", "epsilons": [0.1, 0.2], "attacks": ["fgsm"]},
        {
            "title": "Labels alone",
            "game": "evasion",
            "threat_model": "black",
            "queries": 50,
            "switches": {"output": {"kind": "label"}},
            "epsilons": [0.2],
            "attacks": ["boundary"],
            "weight": 2.5,
        },
    ],
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**PLAN, **changes}


def in_round(**changes: Any) -> dict[str, Any]:
    return changed(rounds=[{**PLAN["rounds"][0], **changes}])


def test_oscar_makes_opens_pauses_publishes_and_freezes_a_tournament(oscar: Any) -> None:
    made = oscar.post("tournaments/", PLAN)
    assert made.status_code == 201, made.data
    assert made["Location"] == reverse("api:tournament", args=["summer"])
    assert made.data["state"] == "scheduled"
    assert made.data["opens_at"] == "2030-03-01T07:00:00Z"
    white, labels = made.data["rounds"]
    assert white["spec"]["epsilons"] == [0.1, 0.2]
    assert (labels["threat_model"], labels["weight"]) == ("custom", 2.5)
    stored = Tournament.objects.get(slug="summer").rounds.get(number=2).rules.threat_model
    assert stored.output.kind is OutputKind.LABEL
    assert stored.probes.per_example == 50

    opened = oscar.post("tournaments/summer/move/", {"to": "open"})
    assert (opened.status_code, opened.data["state"]) == (200, "open")
    assert opened.data["counts"]["pending"] == 2
    assert oscar.post("tournaments/summer/pause/", {"paused": True}).data["paused"] is True
    assert oscar.post("tournaments/summer/pause/", {"paused": False}).data["paused"] is False
    assert oscar.post("tournaments/summer/move/", {"to": "playing"}).data["state"] == "playing"
    early = oscar.post("tournaments/summer/move/", {"to": "published"})
    assert early.status_code == 409
    assert "2 matches are still to be played" in early.json()["detail"]
    Tournament.objects.get(slug="summer").matches.all().update(state="cancelled")
    for phase in ("published", "frozen"):
        moved = oscar.post("tournaments/summer/move/", {"to": phase})
        assert moved.data["state"] == phase
        assert {round_["state"] for round_ in moved.data["rounds"]} == {phase}
    assert oscar.post("tournaments/summer/move/", {"to": "open"}).status_code == 409
    unknown = oscar.post("tournaments/summer/move/", {"to": "nowhere"})
    assert "There is no phase nowhere: say scheduled, open, playing" in unknown.data["detail"]


def test_the_file_of_the_docs_is_taken_as_it_is(oscar: Any, project_root: Path) -> None:
    page = (project_root / "docs" / "running-a-tournament.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    made = oscar.client.post("/api/v1/tournaments/", example, content_type="application/toml")
    assert made.status_code == 201, made.data
    assert made.data["id"] == "spring"
    broken = oscar.client.post("/api/v1/tournaments/", "a = ", content_type="application/toml")
    assert broken.status_code == 400
    assert "not valid TOML" in broken.json()["detail"]


def test_a_deadline_is_changed_and_taken_away(oscar: Any, spring: Tournament) -> None:
    later = {"closes_at": "2030-04-05T23:00:00+02:00"}
    changed = oscar.post("tournaments/spring/clock/", later)
    assert (changed.status_code, changed.data["closes_at"]) == (200, "2030-04-05T21:00:00Z")
    assert oscar.post("tournaments/spring/clock/", {}).data["closes_at"] == "2030-04-05T21:00:00Z"
    past = oscar.post("tournaments/spring/clock/", {"closes_at": "2020-01-01T00:00:00Z"})
    assert past.status_code == 422
    assert "has passed" in past.json()["detail"]
    assert oscar.post("tournaments/spring/clock/", {"closes_at": None}).data["closes_at"] is None
    uid = spring.rounds.get().uid
    assert oscar.post(f"rounds/{uid}/clock/", later).data["closes_at"] == "2030-04-05T21:00:00Z"


def test_one_round_has_a_life_of_its_own(oscar: Any, spring: Tournament) -> None:
    uid = spring.rounds.get().uid
    moved = oscar.post(f"rounds/{uid}/move/", {"to": "playing"})
    assert (moved.status_code, moved.data["state"]) == (200, "playing")
    assert oscar.get("tournaments/spring/").data["state"] == "open"


@pytest.mark.parametrize("who", ["alice", "visitor"])
def test_nobody_else_runs_tournaments(
    who: str, oscar: Any, spring: Tournament, request: pytest.FixtureRequest
) -> None:
    other = request.getfixturevalue(who)
    status = 401 if who == "visitor" else 403
    uid = spring.rounds.get().uid
    for path, body in (
        ("tournaments/", PLAN),
        ("tournaments/spring/move/", {"to": "playing"}),
        ("tournaments/spring/pause/", {"paused": True}),
        (f"rounds/{uid}/move/", {"to": "playing"}),
        ("tournaments/spring/invite/", {"teams": ["Moat"]}),
        ("tournaments/spring/uninvite/", {"teams": ["Moat"]}),
        ("tournaments/spring/organizers/", {"username": "alice"}),
        ("tournaments/spring/organizers/remove/", {"username": "oscar"}),
        ("tournaments/spring/clock/", {"closes_at": "2030-04-05T21:00:00Z"}),
        (f"rounds/{uid}/clock/", {"closes_at": "2030-04-05T21:00:00Z"}),
    ):
        answer = other.post(path, body)
        assert answer.status_code == status, path
    spring.refresh_from_db()
    assert (spring.state, spring.paused) == (Phase.OPEN, False)
    assert Tournament.objects.count() == 1


def test_a_private_tournament_is_not_there_for_another_organizer(
    oscar: Any, mallory: Any, secret_cup: Tournament
) -> None:
    mallory.user.is_organizer = True
    mallory.user.save()
    answer = mallory.post("tournaments/secret-cup/move/", {"to": "playing"})
    assert answer.status_code == 404


def test_oscar_invites_a_team_to_a_private_tournament(
    oscar: Any, alice: Any, secret_cup: Tournament
) -> None:
    assert alice.get("tournaments/secret-cup/").status_code == 404
    assert alice.post("tournaments/secret-cup/invite/", {"teams": ["x"]}).status_code == 404
    wrong = oscar.post("tournaments/secret-cup/invite/", {"teams": ["Nobody's"]})
    assert (wrong.status_code, "no team" in wrong.json()["detail"]) == (422, True)
    team = alice.user.teams.get().name
    assert oscar.post("tournaments/secret-cup/invite/", {"teams": [team]}).status_code == 200
    assert alice.get("tournaments/secret-cup/").status_code == 200


def test_oscar_reads_and_takes_back_invitations(
    oscar: Any, alice: Any, secret_cup: Tournament
) -> None:
    team = alice.user.teams.get().name
    told = oscar.post("tournaments/secret-cup/invite/", {"teams": [team]})
    assert told.data["invited"] == [team]
    shown = alice.get("tournaments/secret-cup/").data
    assert (shown["invited"], shown["organizers"]) == (None, None)
    wrong = oscar.post("tournaments/secret-cup/uninvite/", {"teams": [team, "Nobody's"]})
    assert (wrong.status_code, "not invited" in wrong.json()["detail"]) == (422, True)
    assert alice.get("tournaments/secret-cup/").status_code == 200
    told = oscar.post("tournaments/secret-cup/uninvite/", {"teams": [team]})
    assert (told.status_code, told.data["invited"]) == (200, [])
    assert alice.get("tournaments/secret-cup/").status_code == 404


def test_a_public_tournament_takes_no_invitations(
    oscar: Any, alice: Any, spring: Tournament
) -> None:
    team = alice.user.teams.get().name
    answer = oscar.post("tournaments/spring/invite/", {"teams": [team]})
    assert (answer.status_code, "public" in answer.json()["detail"]) == (422, True)
    assert not spring.invited.exists()


def test_oscar_names_a_second_organizer_and_leaves(
    oscar: Any, mallory: Any, secret_cup: Tournament
) -> None:
    path, name = "tournaments/secret-cup/organizers/", mallory.user.username
    wrong = oscar.post(path, {"username": name})
    assert (wrong.status_code, "is no organizer" in wrong.json()["detail"]) == (422, True)
    mallory.user.is_organizer = True
    mallory.user.save()
    assert oscar.post(path, {"username": name}).data == {"organizers": [name, "oscar"]}
    assert mallory.get("tournaments/secret-cup/").data["organizers"] == [name, "oscar"]
    left = oscar.post(f"{path}remove/", {"username": "oscar"})
    assert (left.status_code, left.data) == (200, {"organizers": [name]})
    assert oscar.get("tournaments/secret-cup/").status_code == 404
    last = mallory.post(f"{path}remove/", {"username": name})
    assert (last.status_code, "Somebody has to run" in last.json()["detail"]) == (409, True)


def test_a_token_organizes_only_with_that_scope(oscar: Any) -> None:
    oscar.carries((Scope.READ, Scope.SUBMIT, Scope.ENTER))
    refused = oscar.post("tournaments/", PLAN)
    assert refused.status_code == 403
    assert refused.data["detail"] == "This token lacks the scope organize."


def test_the_same_request_makes_one_tournament(oscar: Any) -> None:
    plan = {key: value for key, value in PLAN.items() if key != "slug"}
    headers = {"Idempotency-Key": "once"}
    answers = [oscar.post("tournaments/", plan, **headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].data["id"] == answers[1].data["id"]
    assert Tournament.objects.count() == 1
    assert oscar.post("tournaments/", [1], **{"Idempotency-Key": "list"}).status_code == 400


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        ({}, "schema_version = 1"),
        (changed(title=7), "title must be a text"),
        (in_round(shares=[0.1]), "shares changes nothing in a round of evasion"),
        (
            in_round(
                game="replay", threat_model="transfer", switches={"output": {"kind": "logits"}}
            ),
            "output changes nothing in a round that grants no probes: nothing is answered.",
        ),
        (
            in_round(game="attacker_first", switches={"randomness": "seed"}),
            "randomness changes nothing in a round of attacker_first",
        ),
        (changed(title="T" * 121), "at most 120"),
        (changed(title="a\0b"), "NUL"),
        (changed(slug="two words"), "cannot be an address"),
        (changed(slug="new"), "cannot be an address"),
        (changed(task="atlantis"), "There is no task"),
        (changed(split="other"), "split must be one of practice, final"),
        (changed(rounds="all"), "rounds must be a list"),
        (changed(rounds=["one"]), "must be a table"),
        (changed(rounds=[PLAN["rounds"][0]] * 31), "at most 30 rounds"),
        (changed(defaults=[1]), "defaults must be a table"),
        (changed(opens_at="soon"), "2030-01-31"),
        (changed(opens_at="0001-01-01T00:00:00+14:00"), "2030-01-31"),
        (changed(closes_at="2030-02-01T00:00:00Z"), "closes before it opens"),
        (changed(opens_at=None, closes_at="2020-02-01T00:00:00Z"), "closes in the past"),
        (in_round(closes_at="2020-02-01T00:00:00Z"), "closes in the past"),
        (in_round(attacks="fgsm"), "list of names"),
        (in_round(attacks=["nobody"]), "nobody"),
        (in_round(attacks=["cnn"]), "has no place among the attacks"),
        (in_round(defenses=["cnn", "word-insertion-training"]), "Leave it out of this round."),
        (
            in_round(game="certification", norm="l2"),
            (
                "'cnn' does not play certification rounds in the norm l2: it certifies nothing "
                "there. Those of the house that do: certified-linear, certified-smoothing. Leave"
            ),
        ),
        (
            in_round(game="certification", norm="patch", defenses=["certified-linear"]),
            "No defense of the house does. Leave it out",
        ),
        (
            changed(
                defaults={"task": "mnist-1-7", "defenses": ["logistic-learner"]},
                rounds=[
                    {"title": "W", "game": "backdoor", "shares": [0.1], "attacks": ["label-flip"]}
                ],
            ),
            "'label-flip' does not play backdoor rounds. Those of the house that do: badnets.",
        ),
        (in_round(attacks=["good-words"]), "more (`arena house list`). Leave it out"),
        (in_round(weight="much"), "weight must be a number"),
        (in_round(weight=-1), "from 0 up"),
        (in_round(examples=2.5), "whole number"),
        (in_round(threat_model="grey", queries="9"), "queries must be a whole number"),
        (in_round(switches=["all"]), "switches must be a table"),
        (in_round(switches={"output": {}}), "output.kind must be one of label, "),
        (in_round(switches={"output": "label"}), "such as {kind = 'label'}"),
        (in_round(switches={"probes": {"totl": 5}}), "Unknown key totl in probes"),
        (in_round(switches={"architecture": "shown"}), "must be one of hidden, given"),
        (in_round(switches={"true_label": "yes"}), "true_label must be true or false"),
        (in_round(switches={"architecture": "hidden"}), "give the architecture too"),
        (in_round(attack_limits={"wall_seconds": "long"}), "positive number"),
        (in_round(attack_limits=[1]), "attack_limits must be a table, such as"),
        (in_round(attack_limits={"seconds": 5}), "Unknown key seconds in attack_limits"),
        (in_round(epsilons=0.1), "epsilons must be a list of numbers"),
        (in_round(trigger_area="small"), "trigger_area must be a number"),
        (in_round(threat_model="white", queries=9), "queries are for threat_model = 'grey'"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_a_sentence(
    oscar: Any, plan: dict[str, Any], sentence: str
) -> None:
    answer = oscar.post("tournaments/", plan)
    assert answer.status_code == 422, answer.data
    assert sentence in answer.json()["detail"]
    assert not Tournament.objects.exists()


def test_a_second_tournament_of_that_name_is_a_conflict(oscar: Any, spring: Tournament) -> None:
    assert oscar.post("tournaments/", changed(slug="spring")).status_code == 409
