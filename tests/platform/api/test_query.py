"""What comes after the ``?``: a filter that is misspelt never answers with all rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from api.urls import urlpatterns
from api.views.unknown import UnknownView
from tournaments.models import Tournament

LISTS = ("tournaments/", "tournaments/spring/rounds/", "tournaments/spring/entries/", "matches/")


def refusal(answer: Any, parameter: str) -> str:
    """The sentence about this parameter; nothing else is wrong."""
    body = answer.json()
    assert answer.status_code == 400, body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert list(body["errors"]) == [parameter]
    (sentence,) = body["errors"][parameter]
    assert parameter in body["detail"]
    assert sentence in body["detail"]
    return str(sentence)


@pytest.mark.parametrize(
    "address",
    [
        *LISTS, "submissions/", "teams/me/", "tasks/", "tasks/digits/", "events/",
        "tournaments/spring/", "tournaments/spring/standings/", "openapi.yaml", "docs/",
    ],
)  # fmt: skip
def test_a_parameter_that_does_not_exist_is_refused_by_its_name(
    address: str, alice: Any, spring: Tournament
) -> None:
    assert alice.get(address).status_code == 200
    assert "no such parameter" in refusal(alice.get(address, {"turnament": "spring"}), "turnament")


def test_the_refusal_lists_what_there_is(alice: Any) -> None:
    told = refusal(alice.get("submissions/", {"stat": "qualified"}), "stat")
    assert told.endswith("There are: cursor, limit, role, state, task, team.")
    assert "takes none" in refusal(alice.get("teams/me/", {"a": 1}), "a")


def test_a_write_takes_no_parameters(alice: Any, spring: Tournament) -> None:
    sent = alice.has_qualified("Push")
    wish = {"tournament": "spring", "submission": sent.uid}
    refusal(alice.post("entries/?dry_run=true", wish), "dry_run")
    refusal(alice.client.post("/api/v1/submissions/?team=other", {}), "team")
    assert not spring.entries.filter(submission=sent).exists()


@pytest.mark.parametrize(
    ("address", "parameter"),
    [
        ("matches/?tournament=spring&tournament=secret-cup", "tournament"),
        ("matches/?mine=true&mine=false", "mine"),
        ("matches/?limit=1&limit=2", "limit"),
        ("events/?after=0&after=1", "after"),
        ("tournaments/spring/standings/?role=attack&role=defense", "role"),
        ("tournaments/spring/entries/?state=active&state=withdrawn", "state"),
    ],
)
def test_one_value_is_not_chosen_of_two(
    address: str, parameter: str, alice: Any, spring: Tournament
) -> None:
    assert refusal(alice.get(address), parameter) == "It is given more than once; give it once."


def test_states_of_matches_may_be_several(alice: Any, spring: Tournament) -> None:
    states = {row["state"] for row in alice.get("matches/").json()["results"]}
    assert states
    asked = "&".join(f"state={state}" for state in {*states, "void"})
    told = alice.get(f"matches/?{asked}").json()["results"]
    assert {row["state"] for row in told} == states


@pytest.mark.parametrize(
    ("address", "parameter"),
    [
        ("matches/?tournament=", "tournament"),
        ("matches/?mine=", "mine"),
        ("events/?tournament=", "tournament"),
        ("tournaments/spring/standings/?round=", "round"),
        ("tournaments/spring/standings/?role=", "role"),
        ("tournaments/?state=", "state"),
    ],
)
def test_an_empty_value_does_not_mean_everything(
    address: str, parameter: str, alice: Any, spring: Tournament
) -> None:
    """As where a script's variable was not set."""
    assert "leave it out" in refusal(alice.get(address), parameter)


@pytest.mark.parametrize("address", LISTS)
@pytest.mark.parametrize("limit", ["0", "201", "-1", "many", "1.5", "+1", "%201", "9" * 5000])
def test_a_page_has_from_1_to_200_rows(
    address: str, limit: str, alice: Any, spring: Tournament
) -> None:
    told = refusal(alice.get(f"{address}?limit={limit}"), "limit")
    assert told == "It must be a whole number from 1 to 200."
    assert alice.get(f"{address}?limit=200").status_code == 200


@pytest.mark.parametrize(
    ("asked", "parameter", "told"),
    [
        ("limit=0", "limit", "from 1 to 500"),  # more, and the same cursor: for ever
        ("limit=501", "limit", "from 1 to 500"),
        ("after=-1", "after", "from 0 to"),
        ("after=soon", "after", "from 0 to"),
        ("after=9223372036854775808", "after", "from 0 to 9223372036854775807"),
    ],
)
def test_numbers_of_events_have_bounds(asked: str, parameter: str, told: str, visitor: Any) -> None:
    assert told in refusal(visitor.get(f"events/?{asked}"), parameter)


@pytest.mark.parametrize(
    ("address", "parameter", "told"),
    [
        ("matches/?mine=yes", "mine", "It must be true or false."),
        ("matches/?mine=1", "mine", "It must be true or false."),
        ("matches/?state=lost", "state", "pending, "),
        ("submissions/?role=judge", "role", "learner, poisoner or thief."),
        ("tournaments/?state=over", "state", "open, playing"),
        ("tournaments/spring/standings/?role=judge", "role", "It must be attack or defense."),
        ("tournaments/spring/entries/?role=judge", "role", "It must be attack or defense."),
        ("matches/?cursor=none", "cursor", "ask for the address of next or previous"),
    ],
)
def test_the_refusal_of_a_value_names_the_right_ones(
    address: str, parameter: str, told: str, alice: Any, spring: Tournament
) -> None:
    assert told in refusal(alice.get(address), parameter)


def test_mine_is_true_or_false(alice: Any, spring: Tournament) -> None:
    everyone = alice.get("matches/").json()["results"]
    assert everyone
    assert alice.get("matches/", {"mine": "true"}).json()["results"] == []
    assert alice.get("matches/", {"mine": "false"}).json()["results"] == everyone


def test_a_log_is_of_one_side(alice: Any, spring: Tournament) -> None:
    match = spring.matches.first()
    assert match is not None
    address = f"matches/{match.uid}/log/"
    assert "side=attack" in refusal(alice.get(address), "side")
    assert "attack or defense" in refusal(alice.get(address, {"side": "both"}), "side")


def test_all_wrong_parameters_are_told_at_once(alice: Any) -> None:
    body = alice.get("matches/?a=1&mine=true&mine=true&round=").json()
    assert set(body["errors"]) == {"a", "mine", "round"}


def test_who_may_not_read_is_told_that_first(visitor: Any) -> None:
    assert visitor.get("teams/me/", {"a": 1}).status_code == 401
    assert visitor.get("nothing/", {"a": 1}).status_code == 404


def test_what_an_address_takes_is_what_its_description_says(project_root: Path) -> None:
    described = yaml.safe_load((project_root / "docs" / "openapi.yaml").read_text())["paths"]
    checked = 0
    for pattern in urlpatterns:
        view: Any = pattern.callback.cls  # type: ignore[attr-defined]
        route = str(pattern.pattern).replace("<slug:", "{").replace(">", "}")
        if view is UnknownView or f"/api/v1/{route}" not in described:
            continue
        for method, operation in described[f"/api/v1/{route}"].items():
            told = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"}
            assert told == (set(view.query_names()) if method == "get" else set()), route
            checked += 1
    assert checked > 20
