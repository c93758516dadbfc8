"""A page asks the database as often for ten rows as for three."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import services as accounts
from arena.manifest import Role
from tests.platform.web.reading import Browser
from tests.platform.web.seeding import World, member, spec, submitted
from tournaments import services
from tournaments.services import RoundPlan, TournamentPlan
from tournaments.states import Phase

FEW, MANY = 3, 10


def tournaments(world: World, numbers: range) -> None:
    """Open ones, in each of which Alice's team has an entry that plays."""
    rounds = tuple(RoundPlan(f"Round {n}", spec("white"), ("fgsm",), ("cnn",)) for n in (1, 2))
    submission = submitted(world.attackers, world.alice, f"Wide {numbers}", Role.ATTACK)
    for number in numbers:
        made = services.create(
            TournamentPlan(f"Cup {number}", "mnist5k", rounds), organizer=world.oscar
        )
        services.move(tournament=made, to=Phase.OPEN, organizer=world.oscar)
        services.enter(tournament=made, submission=submission, user=world.alice)


def rounds(world: World, numbers: range) -> None:
    for number in numbers:
        first = world.round(1)
        first.pk, first.uid, first.number = None, f"round{number}", 20 + number
        first.save()


def uploads(world: World, numbers: range) -> None:
    """Of Alice, ready to be entered."""
    for number in numbers:
        submitted(world.attackers, world.alice, f"Upload {number}", Role.ATTACK)


def guests(world: World, numbers: range) -> None:
    """Entries of other teams, which play, and are invited."""
    for number in numbers:
        user = member(f"guest{number}")
        team = accounts.create_team(user=user, name=f"Guests {number}")
        submission = submitted(team, user, f"Player {number}", Role.DEFENSE)
        services.enter(tournament=world.tournament, submission=submission, user=user)
        world.tournament.invited.add(team)
        world.tournament.organizers.add(user)


def members(world: World, numbers: range) -> None:
    """Of Alice's team, each of whom has invited somebody else."""
    for number in numbers:
        user = member(f"member{number}")
        token = accounts.invite(user=world.alice, team=world.attackers).token
        accounts.accept_invitation(user=user, token=token)
        accounts.invite(user=user, team=world.attackers)


def teams(world: World, numbers: range) -> None:
    for number in numbers:
        accounts.create_team(user=world.alice, name=f"Team {number}")
        accounts.issue_token(user=world.alice, name=f"Bot {number}", scopes=["read"])


Rows = Callable[[World, range], None]
SPRING = "/tournaments/spring"
PAGES: list[tuple[str, str, Rows]] = [
    ("/tournaments/", "alice", tournaments),
    ("/submissions/", "alice", tournaments),
    ("/submissions/new/", "alice", tournaments),
    ("/submissions/new/", "alice", teams),
    ("/profile/", "alice", tournaments),
    ("/tasks/mnist5k/", "alice", tournaments),
    ("/", "alice", tournaments),
    (f"{SPRING}/", "alice", rounds),
    (f"{SPRING}/rules/", "alice", rounds),
    (f"{SPRING}/organize/", "oscar", rounds),
    ("/submissions/", "alice", uploads),
    (f"{SPRING}/entries/", "alice", uploads),
    (f"{SPRING}/entries/", "alice", guests),
    (f"{SPRING}/organize/", "oscar", guests),
    (f"{SPRING}/", "alice", guests),
    (f"{SPRING}/matches/", "alice", guests),
    ("/teams/TEAM/", "alice", members),
    ("/teams/TEAM/", "alice", uploads),
    ("/teams/TEAM/", "alice", tournaments),
    ("/profile/", "alice", members),
    ("/profile/", "alice", teams),
]


def asked(client: Client, address: str) -> list[str]:
    client.get(address)  # what is kept in memory is there
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in queries]


@pytest.mark.parametrize(("address", "name", "rows"), PAGES)
def test_rows_cost_no_questions(
    address: str, name: str, rows: Rows, world: World, as_: Browser
) -> None:
    client = as_(getattr(world, name))
    address = address.replace("TEAM", world.attackers.uid)
    rows(world, range(FEW))
    few = asked(client, address)
    rows(world, range(FEW, MANY))
    many = asked(client, address)
    assert len(many) == len(few), "\n".join(sorted(many))


@pytest.mark.parametrize("name", ["alice", "oscar"])
def test_a_match_asks_once_who_its_reader_is(name: str, world: World, as_: Browser) -> None:
    match = world.match("Momentum PGD", "Bulwark v3")
    queries = asked(as_(getattr(world, name)), f"/matches/{match.uid}/")
    assert len(queries) == len(set(queries)), "\n".join(sorted(queries))


def test_who_left_a_team_is_no_member_at_the_next_request(world: World, as_: Browser) -> None:
    client = as_(world.alice)
    address = f"/teams/{world.attackers.uid}/"
    assert client.get(address).status_code == 200
    world.attackers.memberships.all().delete()
    assert client.get(address).status_code == 404
